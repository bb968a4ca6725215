// The repository's files over HTTP from one or several base URLs, tried in order. Which mirror answers is of no consequence
// for trust: every byte is checked against signed metadata by the caller. A mirror's ETag is only ever sent back to it.

import type { FreshFile, MetadataFetcher } from '../../verity/metadata-fetcher.ts';
import { OtadError } from '../core/errors.ts';
import type { ByteSink, ServedSink } from '../core/ports.ts';
import type { HttpClient } from './http.ts';
import type { FileRange } from './http-rules.ts';
import { createRanking, type Wanted } from './mirror-ranking.ts';

export interface Mirrors extends MetadataFetcher {
  /** Puts the mirror that is asked first at the end. */
  demoteFirst(): void;
  /** Puts this mirror at the end. */
  demote(base: string): void;
  fetchFresh: NonNullable<MetadataFetcher['fetchFresh']>;
  /**
   * Exactly the bytes from `offset` to `lengthTotal`, going on at the next mirror where one breaks off. `onSkipped` is told of bytes
   * before those, which come along where no mirror gives ranges.
   */
  stream(
    path: string,
    offset: number,
    lengthTotal: number,
    sink: ServedSink,
    signal: AbortSignal,
    onSkipped?: (lengthBytes: number) => void,
  ): Promise<void>;
  /**
   * Exactly these bytes, all of them from one mirror: where one breaks off for good the next one begins at the first byte again.
   * Throws HTTP_RANGE_MISMATCH where no mirror gives just them.
   */
  streamRange(path: string, range: FileRange, sink: ServedSink, signal: AbortSignal): Promise<void>;
}

const joinUrl = (base: string, path: string): string => `${base.replace(/\/+$/, '')}/${path}`;

/** Worth another mirror: nothing was said, or this one says nonsense. */
const isAboutMirror = (error: unknown): boolean =>
  error instanceof OtadError && error.code !== 'CANCELLED' && ['transient', 'source'].includes(error.class);

const isRoot = (path: string): boolean => path.endsWith('.root.json');

/**
 * True for an answer that means 'there is no such file'. Object stores answer 403 for a key that is absent when listing is
 * not allowed; the next root, which as a rule is not there, must not fail the poll for that.
 */
const isAbsent = (error: unknown, path: string): boolean => {
  const status = error instanceof OtadError && error.code === 'HTTP_STATUS' ? error.details.status : null;
  return status === 404 || status === 410 || (status === 403 && isRoot(path));
};

/** The first mirror's answer that is one. The last error is thrown when none has one. */
const tryInOrder = async <T>(
  baseUrls: readonly string[],
  attempt: (base: string) => Promise<T>,
  noteFailure: (base: string, error: unknown) => void,
): Promise<T> => {
  let failure: unknown = new OtadError('CONFIG_INVALID', { key: 'baseUrls', expected: 'at least one URL' });
  for (const base of baseUrls) {
    try {
      return await attempt(base);
    } catch (error) {
      if (!isAboutMirror(error)) {
        throw error;
      }
      noteFailure(base, error);
      failure = error;
    }
  }
  throw failure;
};

/** `validator` is '<base URL> <etag>': a URL holds no space. */
const etagFor = (base: string, validator: string | null): string | null =>
  validator?.startsWith(`${base} `) ? validator.slice(base.length + 1) : null;

/** Passes on what lies behind the first `skipBytes`: for a server that knows no ranges. */
const skipFirst = (skipBytes: number, sink: ByteSink, onSkipped: (lengthBytes: number) => void): ByteSink => {
  let left = skipBytes;
  return (bytes) => {
    const skipped = Math.min(left, bytes.length);
    left -= skipped;
    if (skipped > 0) onSkipped(skipped);
    return skipped === bytes.length ? undefined : sink(bytes.subarray(skipped));
  };
};

const isRangeRefused = (error: unknown): boolean => error instanceof OtadError && error.code === 'HTTP_RANGE_MISMATCH';

/** One mirror is asked for what follows `position`. */
type StreamAttempt = (base: string, position: number, sink: ByteSink) => Promise<void>;

/** A mirror that broke off in the middle of a part is asked for the rest so often, while anything comes. */
const resumesMax = 3;

/** A part is short: a link that breaks now and then must not cost an attempt of the whole install each time. */
const resumePart = async (
  offset: number,
  sink: ByteSink,
  signal: AbortSignal,
  attempt: (at: number, sink: ByteSink) => Promise<void>,
): Promise<void> => {
  let at = offset;
  const counting: ByteSink = (bytes) => {
    at += bytes.length;
    return sink(bytes);
  };
  let isIdle = true;
  for (let resumes = 0; ; resumes += 1) {
    const from = at;
    try {
      return await attempt(at, counting);
    } catch (error) {
      const isCut = error instanceof OtadError && error.class === 'transient' && !signal.aborted;
      // A server may close a connection that waited while chunks were copied, just as it is used again: once is no sign of anything.
      const isStale = isIdle && isCut && error.code === 'HTTP_UNREACHABLE';
      if (!isCut || (at === from && !isStale) || resumes >= resumesMax) throw error;
      isIdle = false;
    }
  }
};

export const createMirrors = (
  http: HttpClient,
  baseUrls: readonly string[],
  monoMs: () => number = () => performance.now(),
): Mirrors => {
  const { inOrder, demote, noteFailure } = createRanking(baseUrls, monoMs);
  const ask = <T>(wanted: Wanted, attempt: (base: string) => Promise<T>, bases = inOrder(wanted)): Promise<T> =>
    tryInOrder(bases, attempt, (base, error) => noteFailure(base, wanted, error));

  const fetchFresh: Mirrors['fetchFresh'] = async (path, maxBytes, validator, signal) => {
    const expects = path.startsWith('metadata/') ? 'json' : 'bytes';
    let isAbsentSomewhere = false;
    try {
      return await ask<FreshFile | 'unchanged' | null>('file', async (base) => {
        try {
          const etag = etagFor(base, validator);
          const file = await http.fetchBytes(joinUrl(base, path), { maxBytes, signal, expects, etag });
          return file === 'unchanged'
            ? file
            : { bytes: file.bytes, validator: file.etag === null ? null : `${base} ${file.etag}` };
        } catch (error) {
          isAbsentSomewhere ||= isAbsent(error, path);
          // There is hardly ever a next root: the first mirror that answers decides. Any other file may just lag behind.
          if (isAbsentSomewhere && isRoot(path)) {
            return null;
          }
          throw error;
        }
      });
    } catch (error) {
      // One mirror that answers decides over others that are down.
      if (isAbsentSomewhere && isAboutMirror(error)) {
        return null;
      }
      throw error;
    }
  };

  const startStream = (offset: number, sink: ServedSink) => {
    let position = offset;
    let isSinkFailed = false;
    const countingFrom =
      (base: string): ByteSink =>
      (bytes) => {
        position += bytes.length;
        const refuse = (error: unknown): never => {
          isSinkFailed = true;
          throw error;
        };
        try {
          return sink(bytes, base)?.catch(refuse);
        } catch (error) {
          return refuse(error);
        }
      };
    /** Asks these mirrors in order until one gives the rest. */
    return (wanted: Wanted, attempt: StreamAttempt, bases?: readonly string[]): Promise<void> =>
      ask(
        wanted,
        async (base) => {
          try {
            await attempt(base, position, countingFrom(base));
          } catch (error) {
            // What the sink throws is about this device, whatever its class says: another mirror would not help.
            throw isSinkFailed ? new SinkFailure(error) : error;
          }
        },
        bases,
      );
  };

  return {
    fetchFresh,
    demote,
    demoteFirst: () => {
      inOrder('file').slice(0, 1).forEach(demote);
    },
    fetch: async (path, maxBytes, signal) => {
      const file = await fetchFresh(path, maxBytes, null, signal);
      return file === null || file === 'unchanged' ? null : file.bytes;
    },
    stream: async (path, offset, lengthTotal, sink, signal, onSkipped = () => undefined) => {
      const through = startStream(offset, sink);
      /** Mirrors that answered a Range request with something else; they delivered nothing. */
      const withoutRanges: string[] = [];
      const get = (base: string, from: number, target: ByteSink): Promise<void> =>
        http.streamRange(joinUrl(base, path), { offset: from, lengthTotal, sink: target, signal });
      // The rest of a file is a part of it.
      await through(offset > 0 ? 'part' : 'file', async (base, position, counting) => {
        try {
          await get(base, position, counting);
        } catch (error) {
          if (isRangeRefused(error) && position > 0) withoutRanges.push(base);
          throw error;
        }
      })
        .catch(async (error: unknown) => {
          // A resume must not end for ever at servers without ranges: take the whole file, drop the start. Last of all, since it
          // costs what was fetched before once more.
          if (!isAboutMirror(error) || withoutRanges.length === 0) throw error;
          await through('file', (base, position, counting) => get(base, 0, skipFirst(position, counting, onSkipped)), [
            ...withoutRanges,
          ]);
        })
        .catch(throwReason);
    },
    streamRange: (path, { offset, end, lengthTotal }, sink, signal) =>
      startStream(offset, sink)('part', (base, _position, counting) =>
        resumePart(offset, counting, signal, (at, following) =>
          http.streamRange(joinUrl(base, path), { offset: at, end, lengthTotal, sink: following, signal }),
        ),
      ).catch(throwReason),
  };
};

class SinkFailure extends Error {
  readonly reason: unknown;

  constructor(reason: unknown) {
    super('the sink failed');
    this.reason = reason;
  }
}

const throwReason = (error: unknown): never => {
  throw error instanceof SinkFailure ? error.reason : error;
};
