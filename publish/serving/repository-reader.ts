// Reads a repository as a device sees it: by path below a base, from a folder or over HTTP, each read capped. Follows no
// redirects and accepts no compression, because devices do not either.

import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
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

const readerOf = (stream: RepositoryReader['stream']): RepositoryReader => ({
  stream,
  fetch: async (path, maxLengthBytes, signal) => {
    const pieces = await stream(path, signal);
    return pieces === null ? null : await collect(path, pieces, maxLengthBytes);
  },
});

export const createFolderReader = (folder: string): RepositoryReader =>
  readerOf(async (path, signal) => {
    try {
      // Opened here, so that a missing file is an answer and not an error in the middle of a stream.
      const handle = await open(join(folder, path), 'r');
      return createReadStream('', { fd: handle, signal });
    } catch (error) {
      if (errorCodeOf(error) === 'ENOENT') return null;
      throw new OtadError(
        'REPOSITORY_INVALID',
        { path: join(folder, path), problem: 'cannot be read' },
        { cause: error },
      );
    }
  });

/** `baseUrl` ends with a slash. */
export const createHttpReader = (baseUrl: string): RepositoryReader =>
  readerOf(async (path, signal) => {
    const url = new URL(path.split('/').map(encodeURIComponent).join('/'), baseUrl);
    let answer: Awaited<ReturnType<typeof request>>;
    try {
      answer = await request(url, { signal, headersTimeout: headersTimeoutMs, bodyTimeout: bodyTimeoutMs });
    } catch (cause) {
      throw new OtadError('HTTP_UNREACHABLE', { url: url.href, reason: errorCodeOf(cause) }, { cause });
    }
    if (answer.statusCode === 200 && answer.headers['content-encoding'] === undefined) return answer.body;
    await answer.body.dump();
    if (answer.statusCode === 404 || answer.statusCode === 403) return null;
    if (answer.statusCode === 200) throw new OtadError('HTTP_ENCODING_REFUSED', { url: url.href });
    throw new OtadError('HTTP_STATUS', { url: url.href, status: answer.statusCode });
  });
