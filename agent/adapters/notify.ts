// Tells systemd how this service is: READY, STATUS, WATCHDOG, STOPPING. With systemd 253 and newer it writes to the
// descriptor that OpenFile= passed under the name `notify`: one datagram, no process. Node cannot reach a socket path
// of that kind, so on older systemd each message is sent by `systemd-notify` (which needs NotifyAccess=all). Must never
// hold the service up: what cannot be sent is dropped, and the newest status replaces an unsent one.

import { write } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { runCommand } from './command.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface NotifyOptions {
  /** The inherited datagram socket named `notify`, or null. */
  readonly descriptor: number | null;
  /** NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are read. */
  readonly env: Environment;
  readonly pid: number;
  /** True while the service does its work; when it is false, no watchdog ping goes out and systemd restarts it. */
  readonly isAlive: () => boolean;
  readonly systemdNotifyPath?: string;
}

export interface Notify {
  /** Up; watchdog pings start here. */
  ready(status: string): void;
  status(text: string): void;
  stopping(): void;
  /** Stops the watchdog pings; resolves when all that was said is sent, or soon, when it cannot be. */
  close(): Promise<void>;
}

const messagesMax = 8;
const statusLengthMax = 200;
const sendTimeoutMs = 5000;
/** A write to a full socket blocks for as long as systemd does not read. */
const closeTimeoutMs = 1000;
const pingsAnInterval = 2;

type Send = (message: string) => Promise<void>;

const sendToDescriptor =
  (descriptor: number): Send =>
  (message) =>
    new Promise((resolve) => write(descriptor, Buffer.from(message), () => resolve()));

const sendByProgram =
  (program: string, socket: string): Send =>
  async (message) => {
    const never = new AbortController().signal;
    const argv = [program, ...message.split('\n')];
    await runCommand(argv, { timeoutMs: sendTimeoutMs, env: { NOTIFY_SOCKET: socket } }, never);
  };

const transport = (options: NotifyOptions): Send | null => {
  if (options.descriptor !== null) return sendToDescriptor(options.descriptor);
  const socket = options.env.NOTIFY_SOCKET ?? '';
  return socket === '' ? null : sendByProgram(options.systemdNotifyPath ?? 'systemd-notify', socket);
};

/** How often to ping, from WATCHDOG_USEC; null: no watchdog, or it watches another process. */
export const watchdogIntervalMs = (env: Environment, pid: number): number | null => {
  if (env.WATCHDOG_PID !== undefined && env.WATCHDOG_PID !== String(pid)) return null;
  const usec = Number(env.WATCHDOG_USEC);
  return Number.isFinite(usec) && usec > 0 ? Math.max(1, Math.floor(usec / 1000 / pingsAnInterval)) : null;
};

const silent: Notify = {
  ready: () => undefined,
  status: () => undefined,
  stopping: () => undefined,
  close: () => Promise.resolve(),
};

const oneLine = (text: string): string => text.replace(/\p{C}+/gu, ' ').slice(0, statusLengthMax);

export const createNotify = (options: NotifyOptions): Notify => {
  const send = transport(options);
  if (send === null) return silent;
  const messages: string[] = [];
  let nextStatus: string | null = null;
  let lastStatus: string | null = null;
  let pumping: Promise<void> | null = null;
  let watchdog: NodeJS.Timeout | undefined;

  const next = (): string | null => {
    const message = messages.shift();
    if (message !== undefined) return message;
    const status = nextStatus;
    nextStatus = null;
    return status;
  };
  const drain = async (): Promise<void> => {
    for (let message = next(); message !== null; message = next()) await send(message);
    pumping = null;
  };
  const pump = (): void => {
    pumping ??= drain();
  };
  const say = (message: string): void => {
    if (messages.length >= messagesMax) return;
    messages.push(message);
    pump();
  };

  return {
    ready(status) {
      lastStatus = oneLine(status);
      say(`READY=1\nSTATUS=${lastStatus}`);
      const intervalMs = watchdogIntervalMs(options.env, options.pid);
      if (intervalMs === null || watchdog !== undefined) return;
      watchdog = setInterval(() => {
        if (options.isAlive()) say('WATCHDOG=1');
      }, intervalMs);
      watchdog.unref();
    },
    status(text) {
      const status = oneLine(text);
      if (status === lastStatus) return;
      lastStatus = status;
      nextStatus = `STATUS=${status}`;
      pump();
    },
    stopping() {
      // A status that is still unsent would be news of yesterday.
      nextStatus = null;
      say('STOPPING=1');
    },
    async close() {
      clearInterval(watchdog);
      const sent = new AbortController();
      const giveUp = delay(closeTimeoutMs, undefined, { signal: sent.signal }).catch(() => undefined);
      await Promise.race([pumping, giveUp]);
      sent.abort();
    },
  };
};
