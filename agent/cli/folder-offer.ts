// Offers a folder to otad for as long as a command runs: connections to the control socket on which otad asks for files. otad
// itself runs in a sandbox that sees neither a technician's home nor, perhaps, a stick; so the technician's otactl reads.

import { randomUUID } from 'node:crypto';
import { realpath, stat } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { folderPathCharsMax, folderProtocol } from '../api/folder-protocol.ts';
import { OtadError, toFailure } from '../core/errors.ts';
import type { OfferedFolder } from '../core/types.ts';
import type { ApiClient } from './client.ts';
import { serveFolder } from './folder-files.ts';

/** As many as otad uses at once. */
const connections = 4;
/** A connection that ended unused is not opened again at once. */
const pauseMs = 500;

export interface FolderOffer {
  readonly folder: OfferedFolder;
  /** What kept the folder from being read, once something did. */
  failure(): OtadError | null;
  close(): void;
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  );

const timestamp = join('metadata', 'timestamp.json');

/** The folder's real path. Throws FOLDER_INVALID with what is missing, and where it may be instead. */
export const requireRepository = async (given: string): Promise<string> => {
  let folder: string;
  try {
    folder = await realpath(given);
  } catch (cause) {
    throw new OtadError('FOLDER_INVALID', { folder: given, problem: toErrno(cause) }, { cause });
  }
  if (await isFile(join(folder, timestamp))) return folder;
  for (const below of ['repository', 'public', 'updates']) {
    if (await isFile(join(folder, below, timestamp))) {
      throw new OtadError('FOLDER_INVALID', { folder: given, tryInstead: join(given, below) });
    }
  }
  throw new OtadError('FOLDER_INVALID', { folder: given, missing: timestamp });
};

const toErrno = (error: unknown): string => {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'there is no such folder; is the stick mounted?';
  return code === 'EACCES' ? 'you may not read it' : (code ?? toFailure(error).message);
};

/** Throws FOLDER_INVALID, and what the client throws when otad cannot be reached. */
export const offerFolder = async (api: ApiClient, given: string): Promise<FolderOffer> => {
  const path = await requireRepository(given);
  const folder: OfferedFolder = { id: randomUUID(), path: path.slice(0, folderPathCharsMax) };
  const files = serveFolder(path);
  const open = new Set<Socket>();
  const timers = new Set<NodeJS.Timeout>();
  let isClosed = false;

  const connect = async (): Promise<void> => {
    const socket = await api.upgrade(`/v1/folder/${folder.id}`, folderProtocol);
    if (isClosed) {
      socket.destroy();
      return;
    }
    open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      open.delete(socket);
      reconnect(socket.bytesRead > 0 ? 0 : pauseMs);
    });
    files.server.emit('connection', socket);
  };
  const reconnect = (delayMs: number): void => {
    if (isClosed) return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      // Where otad has gone away, whoever follows the install finds out.
      connect().catch(() => undefined);
    }, delayMs);
    timers.add(timer);
  };

  const close = (): void => {
    isClosed = true;
    for (const timer of timers) clearTimeout(timer);
    for (const socket of open) socket.destroy();
  };
  try {
    for (let count = 0; count < connections; count += 1) await connect();
  } catch (error) {
    close();
    throw error;
  }
  return { folder, failure: files.failure, close };
};
