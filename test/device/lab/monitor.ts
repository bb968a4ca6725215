// The monitor of the emulator (QMP): pause, snapshot to a file, network cable and ports, hard reset. One command at a time.

import { limits } from './limits.ts';
import { openLineSocket } from './line-socket.ts';

export interface Monitor {
  command(name: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Pauses the machine and writes its whole state into the file. */
  saveState(path: string): Promise<void>;
  setCable(isPluggedIn: boolean): Promise<void>;
  /** Opens a free port of the host's loopback that leads to this one of the guest. */
  forward(guestPort: number): Promise<number>;
  /** As the reset button does it: the machine gets no word of it. */
  reset(): Promise<void>;
  close(): void;
}

interface Answer {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
}

/** The emulator does not answer, or went away. */
export class MonitorError extends Error {}

/** What the guest cannot tell of itself. */
const eventsKept: readonly string[] = ['WATCHDOG', 'GUEST_PANICKED', 'BLOCK_IO_ERROR'];

export const openMonitor = async (
  path: string,
  onEvent: (name: string) => void,
  signal: AbortSignal,
): Promise<Monitor> => {
  let settle: ((answer: Answer) => void) | null = null;
  const onLine = (line: string): void => {
    if (line === '') return;
    const answer = JSON.parse(line) as Answer;
    if (answer.event !== undefined && eventsKept.includes(answer.event)) onEvent(answer.event);
    if (!('return' in answer) && answer.error === undefined) return;
    settle?.(answer);
    settle = null;
  };
  const socket = await openLineSocket(path, onLine, signal);
  const command: Monitor['command'] = async (name, args = {}) => {
    const answer = await new Promise<Answer>((resolve, reject) => {
      const end = (finish: () => void): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', abort);
        finish();
      };
      const fail = (what: string): void => end(() => reject(new MonitorError(`${name}: ${what}`)));
      const abort = (): void => fail('the emulator is gone');
      const timer = setTimeout(() => fail('no answer'), limits.monitorMs);
      signal.addEventListener('abort', abort, { once: true });
      settle = (found) => end(() => resolve(found));
      socket.send(JSON.stringify({ execute: name, arguments: args }));
    });
    if (answer.error !== undefined) throw new Error(`${name}: ${answer.error.desc}`);
    return answer.return;
  };
  const migrated = async (): Promise<void> => {
    const sinceMs = performance.now();
    for (;;) {
      const { status } = (await command('query-migrate')) as { readonly status?: string };
      if (status === 'completed') return;
      if (status === 'failed' || performance.now() - sinceMs > limits.monitorMs) {
        throw new Error(`migrate: ${status}`);
      }
      await new Promise((resolve) => setTimeout(resolve, limits.lookAtEmulatorMs));
    }
  };
  await command('qmp_capabilities');
  return {
    command,
    saveState: async (file) => {
      await command('stop');
      // No limit on the rate: the machine stands.
      await command('migrate-set-parameters', { 'max-bandwidth': 1 << 30 });
      await command('migrate', { uri: `file:${file}` });
      await migrated();
    },
    setCable: async (isPluggedIn) => {
      await command('set_link', { name: 'net', up: isPluggedIn });
    },
    forward: async (guestPort) => {
      const ask = (line: string): Promise<unknown> => command('human-monitor-command', { 'command-line': line });
      const complaint = await ask(`hostfwd_add net tcp:127.0.0.1:0-:${guestPort}`);
      // One line a connection: protocol, file, and the addresses with their ports, of the host and of the guest.
      const port = new RegExp(`HOST_FORWARD\\]\\s+\\S+\\s+127\\.0\\.0\\.1\\s+(\\d+)\\s+\\S+\\s+${guestPort}\\s`);
      const found = port.exec(String(await ask('info usernet')))?.[1];
      if (found === undefined) throw new Error(`port ${guestPort} of the guest is not forwarded: ${complaint}`);
      return Number(found);
    },
    reset: async () => {
      await command('system_reset');
    },
    close: socket.close,
  };
};
