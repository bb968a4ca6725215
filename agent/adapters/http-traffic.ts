// What crosses the wire beside the files: heads, chunk marks, promises to go on. A server may pour that for ever without a
// byte of a file, and on a metered link every byte costs. Counts only; who ends what is the exchange's business.

import type { Socket } from 'node:net';

/** Beyond what arrived of files; a head has at most 16 KiB, and a socket reads ahead by a few hundred. */
const overheadBytesMax = 1024 * 1024;

export interface Traffic {
  /** Counts what is read of the socket from now on. */
  add(socket: Socket): void;
  /** Bytes of a body arrived. */
  countBody(bytes: number): void;
  /** A way to tell whether, since now, more than a fair share of what was read was not of any body. */
  mark(): { isWasted(): boolean };
}

export const createTraffic = (): Traffic => {
  const open = new Set<Socket>();
  let closedBytes = 0;
  let bodyBytes = 0;
  const wireBytes = (): number => [...open].reduce((sum, socket) => sum + socket.bytesRead, closedBytes);
  return {
    add: (socket) => {
      open.add(socket);
      socket.once('close', () => {
        open.delete(socket);
        closedBytes += socket.bytesRead;
      });
    },
    countBody: (bytes) => {
      bodyBytes += bytes;
    },
    mark: () => {
      const before = { wire: wireBytes(), body: bodyBytes };
      return {
        // As much again as the body itself: small chunks carry marks of their own size.
        isWasted: () => wireBytes() - before.wire > 2 * (bodyBytes - before.body) + overheadBytesMax,
      };
    },
  };
};
