// The lab's way into the guest: one line is one shell command, answered with its output and its exit status. A command is
// meant for one boot: what the guest has not read before it restarts is not run by the next boot.

import { limits } from './limits.ts';
import { openLineSocket } from './line-socket.ts';

export interface CommandResult {
  readonly status: number;
  readonly output: string;
}

export interface ControlChannel {
  /** Boot that answers now; null: none has said so yet. */
  boot(): string | null;
  /** Resolves when a boot other than this one says that it is there. */
  nextBoot(than: string | null): Promise<string>;
  run(command: string): Promise<CommandResult>;
  /** How many lines came, to see that something happens. */
  lines(): number;
  close(): void;
}

/** The guest restarted, or the emulator ended, before the command was answered. */
export class CutOff extends Error {}

interface Pending {
  readonly id: string;
  readonly output: string[];
  readonly resolve: (result: CommandResult) => void;
  readonly reject: (error: Error) => void;
}

/** `boot`: that of a machine which goes on from a saved state. */
export const openControlChannel = async (
  path: string,
  boot: string | null,
  signal: AbortSignal,
): Promise<ControlChannel> => {
  let current = boot;
  let pending: Pending | null = null;
  let count = 0;
  let lines = 0;
  let waiting: ((id: string) => void)[] = [];
  const cutOff = (): void => {
    pending?.reject(new CutOff('the guest went away before it answered'));
    pending = null;
  };
  const onLine = (line: string): void => {
    lines += 1;
    const hello = /^@hello ([0-9a-f-]+)$/.exec(line);
    if (hello?.[1] !== undefined) {
      current = hello[1];
      cutOff();
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake(current);
      return;
    }
    if (pending === null) return;
    const end = /^@status (\S+) (\d+)$/.exec(line);
    if (end?.[1] !== pending.id) {
      pending.output.push(line);
      return;
    }
    const { output, resolve } = pending;
    pending = null;
    resolve({ status: Number(end[2]), output: output.join('\n') });
  };
  const socket = await openLineSocket(path, onLine, signal);
  signal.addEventListener('abort', cutOff, { once: true });
  return {
    boot: () => current,
    nextBoot: (than) =>
      current !== null && current !== than ? Promise.resolve(current) : new Promise((resolve) => waiting.push(resolve)),
    run: (command) =>
      new Promise((resolve, reject) => {
        if (signal.aborted || current === null) return reject(new CutOff('nobody is there to answer'));
        if (pending !== null) return reject(new Error(`one command at a time: ${command}`));
        if (command.includes('\n')) return reject(new Error(`a command is one line: ${command}`));
        count += 1;
        const timer = setTimeout(() => {
          pending = null;
          reject(new CutOff(`no answer within ${limits.commandMs} ms: ${command}`));
        }, limits.commandMs);
        const settled =
          <T>(then: (value: T) => void) =>
          (value: T) => {
            clearTimeout(timer);
            then(value);
          };
        pending = { id: String(count), output: [], resolve: settled(resolve), reject: settled(reject) };
        socket.send(`${current} ${count} ${command}`);
      }),
    lines: () => lines,
    close: () => {
      cutOff();
      socket.close();
    },
  };
};
