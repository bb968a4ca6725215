// A unix socket on which lines go to and fro: the monitor of the emulator and the control channel of the guest both speak so.

import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { limits } from './limits.ts';

const lineCharsMax = 16 << 20;

export interface LineSocket {
  send(line: string): void;
  close(): void;
}

const connectOnce = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = createConnection(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });

const connect = async (path: string, signal: AbortSignal): Promise<Socket> => {
  const sinceMs = performance.now();
  for (;;) {
    try {
      return await connectOnce(path);
    } catch (error) {
      if (performance.now() - sinceMs > limits.connectMs || signal.aborted) throw error;
    }
    await delay(limits.lookAtEmulatorMs, undefined, { signal });
  }
};

/** The other end may still be about to open the socket. */
export const openLineSocket = async (
  path: string,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<LineSocket> => {
  const socket = await connect(path, signal);
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('error', () => undefined);
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = (lines.pop() ?? '').slice(-lineCharsMax);
    for (const line of lines) onLine(line.replace(/\r$/, ''));
  });
  return { send: (line) => void socket.write(`${line}\n`), close: () => void socket.destroy() };
};
