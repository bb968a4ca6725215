// The files of a technician's folder, as otad asks for them: plain GET with Range, one folder, nothing above it. Read with the
// technician's own rights. Keeps what went wrong, since otad only sees that the bytes ended.

import { constants } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { OtadError } from '../core/errors.ts';

const readBytes = 256 * 1024;
/** The only folders of a repository that have files for gateways. */
const served: readonly string[] = ['metadata', 'targets'];

export interface FolderFiles {
  /** Answers on connections that are handed to it; listens nowhere. */
  readonly server: Server;
  /** The first file that could not be read, and why; null: none so far. */
  failure(): OtadError | null;
}

/** The file's path below the folder; null for anything that is no such path. */
const pathOf = (url: string): string | null => {
  let parts: string[];
  try {
    parts = url.split('/').slice(1).map(decodeURIComponent);
  } catch {
    return null;
  }
  const isPlain = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !/[/\0]/.test(part));
  return isPlain && parts.length > 1 && served.includes(parts[0] ?? '') ? parts.join(sep) : null;
};

const isAbsent = (error: unknown): boolean =>
  ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');

/** Null where there is no such file, or where a link leads out of the folder: nothing else of this machine is offered. */
const openBelow = async (folder: string, path: string): Promise<FileHandle | null> => {
  const real = await realpath(join(folder, path));
  if (!served.some((name) => real.startsWith(join(folder, name) + sep))) return null;
  const handle = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  return null;
};

/** First and last byte; null: the whole file. */
const rangeOf = ({ headers }: IncomingMessage, length: number): readonly [first: number, last: number] | null => {
  const [, first, last] = /^bytes=(\d{1,15})-(\d{1,15})?$/.exec(headers.range ?? '') ?? [];
  if (first === undefined || Number(first) >= length) return null;
  return [Number(first), Math.min(last === undefined || last === '' ? length - 1 : Number(last), length - 1)];
};

const send = async (handle: FileHandle, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const { size } = await handle.stat();
  const range = rangeOf(request, size);
  const [first, last] = range ?? [0, size - 1];
  response.writeHead(range === null ? 200 : 206, {
    'content-length': last - first + 1,
    ...(range === null ? {} : { 'content-range': `bytes ${first}-${last}/${size}` }),
  });
  if (size === 0) response.end();
  else {
    const bytes = handle.createReadStream({ start: first, end: last, highWaterMark: readBytes, autoClose: false });
    await pipeline(bytes, response);
  }
};

/** `folder` is a real path: no link in it. */
export const serveFolder = (folder: string): FolderFiles => {
  let failure: OtadError | null = null;
  const fail = (path: string | null, error: unknown): void => {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    // otad ends a connection when it has had enough: that is no fault of the folder.
    if (code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'EPIPE' || code === 'ECONNRESET') return;
    failure ??= new OtadError('FOLDER_GONE', { folder, file: path, errno: code }, { cause: error });
  };
  /** A file that is not there is an answer, but not when all of the folder is gone: the next root would then be 'not there'. */
  const answerAbsent = async (response: ServerResponse, path: string | null): Promise<void> => {
    try {
      await stat(join(folder, 'metadata', 'timestamp.json'));
      response.writeHead(404).end();
    } catch (error) {
      fail(path, error);
      response.destroy();
    }
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = request.method === 'GET' ? pathOf(request.url ?? '') : null;
    let handle: FileHandle | null = null;
    try {
      handle = path === null ? null : await openBelow(folder, path);
      if (handle === null) await answerAbsent(response, path);
      else await send(handle, request, response);
    } catch (error) {
      if (isAbsent(error) && !response.headersSent) {
        await answerAbsent(response, path);
      } else {
        fail(path, error);
        response.destroy();
      }
    } finally {
      await handle?.close().catch(() => undefined);
    }
  };
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 }, (request, response) => {
    void answer(request, response);
  });
  return { server, failure: () => failure };
};
