// Owns the place of a unix socket in the file system: takes over one that a dead process left, never one that answers,
// never a file that is no socket. The socket appears under its name only with its final mode and group, by rename.

import { chmod, chown, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { OtadError } from '../core/errors.ts';

/** sun_path holds 108 bytes with the terminating zero; a longer path would be cut off without a word. */
const pathBytesMax = 107;

export interface SocketPlace {
  readonly path: string;
  readonly mode: number;
  /** Group that may use it, or null to leave the group alone. */
  readonly gid: number | null;
}

const isAnswering = (path: string): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      // Whatever is not a clear 'nobody listens' counts as alive.
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
      else if (error.code === 'EAGAIN') resolve(true);
      else reject(new OtadError('SOCKET_UNUSABLE', { path, errno: error.code }, { cause: error }));
    });
  });

const statOrNull = async (path: string) => {
  try {
    return await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
};

const refuseTaken = async (path: string): Promise<void> => {
  const found = await statOrNull(path);
  if (found === null) return;
  if (!found.isSocket()) throw new OtadError('SOCKET_UNUSABLE', { path, problem: 'a file that is no socket is there' });
  if (await isAnswering(path)) throw new OtadError('SOCKET_IN_USE', { path });
};

const place = async ({ path, mode, gid }: SocketPlace, bind: (path: string) => Promise<void>): Promise<void> => {
  const temporary = `${path}.${process.pid}`;
  if (Buffer.byteLength(temporary) > pathBytesMax) {
    throw new OtadError('SOCKET_UNUSABLE', { path, problem: 'the path is too long for a unix socket' });
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await refuseTaken(path);
  // Left by a process of the same number that died between bind and rename.
  await rm(temporary, { force: true });
  await bind(temporary);
  // Group before mode: in between it is too narrow, never too wide.
  // Where the folder gives its own group already, the right to give one away is not needed.
  if (gid !== null && (await lstat(temporary)).gid !== gid) await chown(temporary, -1, gid);
  await chmod(temporary, mode);
  await rename(temporary, path);
};

/** Binds through `bind` so that the socket appears at `path` in one step. Returns the way to remove it again. */
export const bindUnixSocket = async (
  where: SocketPlace,
  server: Server,
  bind: (path: string) => Promise<void>,
): Promise<{ remove(): Promise<void> }> => {
  try {
    await place(where, bind);
  } catch (error) {
    server.close();
    if (error instanceof OtadError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new OtadError('SOCKET_UNUSABLE', { path: where.path, errno: code }, { cause: error });
  }
  const own = await lstat(where.path);
  return {
    remove: async () => {
      const found = await statOrNull(where.path);
      // Another otad may have taken the place over since; its socket is not ours to remove.
      if (found?.ino === own.ino && found.dev === own.dev) await rm(where.path, { force: true });
    },
  };
};
