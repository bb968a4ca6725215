// The line between the gateway and the server: a TCP relay on loopback that counts what comes down, can be as slow as a
// mobile network, and can go down in the middle of a byte stream. It never looks into what it carries.

import { createConnection, createServer, type Server, type Socket } from 'node:net';

export interface Link {
  readonly port: number;
  readonly url: string;
  /** Bytes that came from the server so far, headers included. */
  readonly receivedBytes: () => number;
  /** Bytes a second from the server, over all connections; null: as fast as it goes. */
  readonly setRate: (bytesPerS: number | null) => void;
  /** Goes down by itself after this many more bytes from the server; null: never. */
  readonly cutAfter: (bytes: number | null) => void;
  /** Breaks every connection and refuses new ones. */
  readonly cut: () => void;
  readonly mend: () => Promise<void>;
  readonly close: () => void;
}

interface LinkState {
  received: number;
  bytesPerS: number | null;
  bytesUntilCut: number | null;
  /** When the bytes let through so far have been paid for, in ms. */
  busyUntilMs: number;
  server: Server | null;
  readonly sockets: Set<Socket>;
}

const listen = (server: Server, port: number): Promise<number> =>
  new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      if (address === null || typeof address === 'string') return fail(new Error('no port'));
      done(address.port);
    });
  });

/** Milliseconds to hold the stream back after these bytes. */
const delayFor = (state: LinkState, bytes: number): number => {
  if (state.bytesPerS === null) return 0;
  const now = performance.now();
  state.busyUntilMs = Math.max(now, state.busyUntilMs) + (bytes / state.bytesPerS) * 1000;
  return state.busyUntilMs - now;
};

const relay = (state: LinkState, client: Socket, targetPort: number, goDown: () => void): void => {
  const upstream = createConnection({ port: targetPort, host: '127.0.0.1' });
  const both = [client, upstream];
  for (const socket of both) {
    state.sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      state.sockets.delete(socket);
      for (const end of both) end.destroySoon();
    });
  }
  client.pipe(upstream);
  upstream.on('data', (bytes) => {
    const passed = state.bytesUntilCut === null ? bytes : bytes.subarray(0, state.bytesUntilCut);
    state.received += passed.length;
    const isDrained = client.write(passed);
    if (state.bytesUntilCut !== null) {
      state.bytesUntilCut -= passed.length;
      if (state.bytesUntilCut <= 0) return goDown();
    }
    const delayMs = delayFor(state, passed.length);
    if (delayMs < 1 && isDrained) return;
    upstream.pause();
    if (delayMs >= 1) setTimeout(() => upstream.resume(), delayMs).unref();
    else client.once('drain', () => upstream.resume());
  });
};

/** Opens the link to a server on this machine. */
export const createLink = async (targetPort: number): Promise<Link> => {
  const state: LinkState = {
    received: 0,
    bytesPerS: null,
    bytesUntilCut: null,
    busyUntilMs: 0,
    server: null,
    sockets: new Set(),
  };
  const open = async (port: number): Promise<number> => {
    const server = createServer((client) => relay(state, client, targetPort, cut));
    state.server = server;
    return await listen(server, port);
  };
  const cut = (): void => {
    state.server?.close();
    state.server = null;
    state.bytesUntilCut = null;
    // What was let through still arrives: the sockets end after their buffers.
    for (const socket of state.sockets) socket.destroySoon();
  };
  const port = await open(0);
  return {
    port,
    url: `http://127.0.0.1:${port}/`,
    receivedBytes: () => state.received,
    setRate: (bytesPerS) => {
      state.bytesPerS = bytesPerS;
    },
    cutAfter: (bytes) => {
      state.bytesUntilCut = bytes;
    },
    cut,
    mend: async () => {
      if (state.server === null) await open(port);
    },
    close: () => {
      cut();
      for (const socket of state.sockets) socket.destroy();
    },
  };
};
