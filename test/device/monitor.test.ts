import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MonitorError, openMonitor } from './lab/monitor.ts';

const say = (socket: Socket, message: unknown): void => void socket.write(`${JSON.stringify(message)}\r\n`);

/** An emulator as QMP shows it: greets, reports a reset by the watchdog with each command, and knows two commands. */
const anEmulator = async (t: TestContext): Promise<{ readonly path: string; readonly end: AbortController }> => {
  const folder = await mkdtemp(join(tmpdir(), 'lab-'));
  const path = join(folder, 'monitor');
  const sockets: Socket[] = [];
  const end = new AbortController();
  const server = createServer((socket) => {
    sockets.push(socket);
    say(socket, { QMP: { version: {}, capabilities: [] } });
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      const { execute } = JSON.parse(text) as { readonly execute: string };
      if (execute === 'query-status') return end.abort();
      say(socket, { event: 'RESET', data: { guest: true } });
      say(socket, { event: 'WATCHDOG', data: { action: 'reset' } });
      const isKnown = execute === 'qmp_capabilities' || execute === 'system_reset';
      say(socket, isKnown ? { return: {} } : { error: { class: 'CommandNotFound', desc: `no ${execute}` } });
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await rm(folder, { recursive: true });
  });
  return { path, end };
};

test('what only the emulator sees is told: the watchdog, and not each reset', async (t) => {
  const { path, end } = await anEmulator(t);
  const events: string[] = [];
  const monitor = await openMonitor(path, (name) => events.push(name), end.signal);
  await monitor.reset();
  monitor.close();
  assert.deepEqual(events, ['WATCHDOG', 'WATCHDOG']);
});

test('a refusal of the emulator is no death of it', async (t) => {
  const { path, end } = await anEmulator(t);
  const monitor = await openMonitor(path, () => undefined, end.signal);
  await assert.rejects(monitor.setCable(false), (error) => {
    assert.ok(error instanceof Error && !(error instanceof MonitorError));
    assert.match(error.message, /no set_link/);
    return true;
  });
  monitor.close();
});

test('an emulator that goes away before it answers is a dead one', async (t) => {
  const { path, end } = await anEmulator(t);
  const monitor = await openMonitor(path, () => undefined, end.signal);
  await assert.rejects(monitor.command('query-status'), MonitorError);
  monitor.close();
});
