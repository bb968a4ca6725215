import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type ControlChannel, CutOff, openControlChannel } from './lab/control-channel.ts';

/** The emulator's end of the channel, in the hands of the test. */
const aGuest = async (t: TestContext): Promise<{ readonly channel: ControlChannel; readonly socket: Socket }> => {
  const folder = await mkdtemp(join(tmpdir(), 'lab-'));
  const path = join(folder, 'control');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const connected = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const end = new AbortController();
  const channel = await openControlChannel(path, null, end.signal);
  const socket = await connected;
  t.after(async () => {
    channel.close();
    socket.destroy();
    server.close();
    await rm(folder, { recursive: true });
  });
  return { channel, socket };
};

/** Serves commands as the lab's layer does in a guest, by a real shell. */
const serve = (socket: Socket, boot: string): void => {
  socket.write(`@hello ${boot}\n`);
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const [wanted, number, ...words] = text.trimEnd().split(' ');
    if (wanted !== boot) return;
    const child = spawn('sh', ['-c', words.join(' ')]);
    child.stdout.on('data', (bytes: Buffer) => socket.write(bytes));
    child.once('close', (code) => socket.write(`\n@status ${number} ${code}\n`));
  });
};

test('a command is answered with its output and its exit status', async (t) => {
  const { channel, socket } = await aGuest(t);
  serve(socket, 'b-1');
  assert.equal(await channel.nextBoot(null), 'b-1');
  assert.deepEqual(await channel.run('printf "one\\ntwo"; exit 3'), { status: 3, output: 'one\ntwo' });
});

test('a restart ends the command that was under way, and the next boot is told from it', async (t) => {
  const { channel, socket } = await aGuest(t);
  socket.write('@hello b-1\n');
  await channel.nextBoot(null);
  const answer = channel.run('reboot');
  const next = channel.nextBoot('b-1');
  socket.write('@hello b-2\n');
  await assert.rejects(answer, CutOff);
  assert.equal(await next, 'b-2');
});

test('nobody is asked before somebody is there', async (t) => {
  const { channel } = await aGuest(t);
  await assert.rejects(channel.run('true'), CutOff);
});
