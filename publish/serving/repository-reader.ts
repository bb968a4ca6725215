// Reads a repository as a device sees it: by path below a base, from a folder or over HTTP, each read capped. Follows no
// redirects and accepts no compression, because devices do not either.

import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from 'undici';
import { OtadError } from '../../agent/core/errors.ts';
import type { MetadataFetcher } from '../../verity/metadata-fetcher.ts';
import { errorCodeOf } from '../durable-file.ts';

const headersTimeoutMs = 15_000;
const bodyTimeoutMs = 30_000;

export interface RepositoryReader extends MetadataFetcher {
  /** The file's bytes in order; null when there is no such file. */
  stream(path: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array> | null>;
  /** The file's length without its bytes; null when there is no such file, undefined when the server does not say. */
  lengthOf(path: string, signal: AbortSignal): Promise<number | null | undefined>;
}

const collect = async (
  path: string,
  pieces: AsyncIterable<Uint8Array>,
  maxLengthBytes: number,
): Promise<Uint8Array> => {
  const kept: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    length += piece.length;
    if (length > maxLengthBytes) throw new OtadError('FILE_TOO_LARGE', { path, maximum: maxLengthBytes });
    kept.push(piece);
  }
  return Buffer.concat(kept);
};

const readerOf = (stream: RepositoryReader['stream'], lengthOf: RepositoryReader['lengthOf']): RepositoryReader => ({
  stream,
  lengthOf,
  fetch: async (path, maxLengthBytes, signal) => {
    const pieces = await stream(path, signal);
    return pieces === null ? null : await collect(path, pieces, maxLengthBytes);
  },
});

const unreadable = (path: string, cause: unknown): OtadError =>
  new OtadError('REPOSITORY_INVALID', { path, problem: 'cannot be read' }, { cause });

/** A missing file, or a file where a folder should be, is an answer and not an error. */
const orNull = async <T>(path: string, read: () => Promise<T>): Promise<T | null> => {
  try {
    return await read();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCodeOf(error) ?? '')) return null;
    throw unreadable(path, error);
  }
};

export const createFolderReader = (folder: string): RepositoryReader =>
  readerOf(
    // Opened here, so that a missing file is not an error in the middle of a stream.
    (path, signal) =>
      orNull(join(folder, path), async () => createReadStream('', { fd: await open(join(folder, path), 'r'), signal })),
    (path) => orNull(join(folder, path), async () => (await stat(join(folder, path))).size),
  );

const askServer = async (url: URL, method: 'GET' | 'HEAD', signal: AbortSignal) => {
  let answer: Awaited<ReturnType<typeof request>>;
  try {
    answer = await request(url, { method, signal, headersTimeout: headersTimeoutMs, bodyTimeout: bodyTimeoutMs });
  } catch (cause) {
    throw new OtadError('HTTP_UNREACHABLE', { url: url.href, reason: errorCodeOf(cause) }, { cause });
  }
  if (answer.statusCode === 200 && answer.headers['content-encoding'] === undefined) return answer;
  await answer.body.dump();
  if (answer.statusCode === 404 || answer.statusCode === 403) return null;
  if (answer.statusCode === 200) throw new OtadError('HTTP_ENCODING_REFUSED', { url: url.href });
  throw new OtadError('HTTP_STATUS', { url: url.href, status: answer.statusCode });
};

/** `baseUrl` ends with a slash. */
export const createHttpReader = (baseUrl: string): RepositoryReader => {
  const urlOf = (path: string): URL => new URL(path.split('/').map(encodeURIComponent).join('/'), baseUrl);
  return readerOf(
    async (path, signal) => (await askServer(urlOf(path), 'GET', signal))?.body ?? null,
    async (path, signal) => {
      const answer = await askServer(urlOf(path), 'HEAD', signal);
      if (answer === null) return null;
      await answer.body.dump();
      const length = answer.headers['content-length'];
      return typeof length === 'string' && /^\d{1,15}$/.test(length) ? Number(length) : undefined;
    },
  );
};
