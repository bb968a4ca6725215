// The release source port over TUF and HTTP: what the server offers, verified, and an image's bytes. It decides nothing about
// a release; what cannot be verified becomes a failed outcome with its code.

import { type CarriedFile, carryRelease } from '../../verity/carried-metadata.ts';
import { createTrustedStore } from '../../verity/trusted-store.ts';
import { createTufClient } from '../../verity/tuf-client.ts';
import { readRelease } from '../../verity/verified-release.ts';
import { OtadError, toFailure } from '../core/errors.ts';
import type { ReleaseSource } from '../core/ports.ts';
import type { CheckOutcome, OfferedFolder, Release, Verified } from '../core/types.ts';
import { throughFolder } from './folder-errors.ts';
import type { HttpClient } from './http.ts';
import { createMirrors, type Mirrors } from './mirrors.ts';
import { createStandbyFiles, type OnDiskChange } from './standby-files.ts';
import { raiseTimeFloor, readTimeFloor } from './trusted-time.ts';

export interface ReleaseSourceOptions {
  readonly http: HttpClient;
  /** Folders that hold `metadata/` and `targets/`, tried in order. */
  readonly baseUrls: readonly string[];
  /** Requests of this client go to the folder that a technician offers. Absent: none can be offered. */
  readonly openFolder?: (folder: OfferedFolder) => HttpClient;
  readonly channel: string;
  readonly compatible: string;
  /** Where trusted metadata stays between runs; ours alone. */
  readonly metadataFolder: string;
  /** Told when the disk does not take trusted metadata, which then stays in memory, and with null when it has it all. */
  readonly onDiskChange?: OnDiskChange;
  /** root.json of the image; null where there is none: then every check fails with TRUST_ROOT_MISSING. */
  readonly initialRoot: Uint8Array | null;
  /** When the running image was built, seconds since 1970; 0 when it does not say. */
  readonly buildTimeS: number;
  /** The local clock in seconds while it is known to be synchronised, null otherwise. */
  readonly syncedTimeS: () => number | null;
}

/** One check at a time: a second caller waits for the first. */
const createQueue = (): (<T>(work: () => Promise<T>) => Promise<T>) => {
  let tail: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = tail.then(work, work);
    tail = result.catch(() => undefined);
    return result;
  };
};

/** The release source, and the metadata that it believes now, to be verified again by whoever gets it. */
export interface SignedSource extends ReleaseSource {
  /** Throws what keeps the stored metadata from naming a release. */
  carry(signal: AbortSignal): Promise<readonly CarriedFile[]>;
}

export const createReleaseSource = (options: ReleaseSourceOptions): SignedSource => {
  const { http, baseUrls, openFolder, channel, compatible, initialRoot, buildTimeS, syncedTimeS } = options;
  const files = createStandbyFiles(
    createTrustedStore(options.metadataFolder),
    options.onDiskChange ?? (() => undefined),
  );
  const mirrors = createMirrors(http, baseUrls);
  /** What the refresh under way asks. One client for all sources, or one could take back what another has seen. */
  let asked: Mirrors = mirrors;
  const client = createTufClient({
    fetcher: {
      fetch: (...args) => asked.fetch(...args),
      fetchFresh: (...args) => asked.fetchFresh(...args),
    },
    files,
    initialRoot,
  });
  const inTurn = createQueue();

  const refresh = async (from: Mirrors, signal: AbortSignal): Promise<Verified<Release>> => {
    signal.throwIfAborted();
    asked = from;
    await files.settle();
    const nowS = Math.max(await readTimeFloor(files, buildTimeS), syncedTimeS() ?? 0);
    const set = await client.refresh(nowS, signal);
    const reader = { client, fetcher: from, files, root: set.root };
    const release = await readRelease(reader, { channel, compatible }, signal);
    await raiseTimeFloor(files, release, set);
    return release;
  };

  /** A mirror whose files do not verify is as good as down: the whole refresh is tried from the next one on. */
  const refreshAnywhere = async (signal: AbortSignal): Promise<Verified<Release>> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await refresh(mirrors, signal);
      } catch (error) {
        if (attempt >= baseUrls.length || !(error instanceof OtadError) || error.class !== 'source') {
          throw error;
        }
        mirrors.demoteFirst();
      }
    }
  };

  const outcomeOf = async (signal: AbortSignal, find: () => Promise<Verified<Release>>): Promise<CheckOutcome> => {
    try {
      return { kind: 'release', release: await inTurn(find) };
    } catch (error) {
      const isCancelled = signal.aborted && !(error instanceof OtadError);
      return { kind: 'failed', failure: toFailure(isCancelled ? new OtadError('CANCELLED') : error) };
    }
  };

  /** The files of a release, read through `through`: one attempt may ask several servers, each call is one attempt. */
  const filesFrom = (
    through: <T>(use: (from: Mirrors) => Promise<T>) => Promise<T>,
  ): Pick<ReleaseSource, 'stream' | 'streamRange'> => ({
    stream: (artifact, offsetBytes, sink, signal, onSkipped) =>
      through(async (from) => {
        const path = await client.locateTarget(artifact.path, artifact.sha256Hex);
        await from.stream(path, offsetBytes, artifact.lengthBytes, sink, signal, onSkipped);
      }),
    streamRange: (artifact, { offsetBytes, lengthBytes }, sink, signal) =>
      through(async (from) => {
        const path = await client.locateTarget(artifact.path, artifact.sha256Hex);
        const range = { offset: offsetBytes, end: offsetBytes + lengthBytes, lengthTotal: artifact.lengthBytes };
        await from.streamRange(path, range, sink, signal);
      }),
  });

  const servers: SignedSource = {
    check: (signal) =>
      outcomeOf(signal, () => {
        if (baseUrls.length === 0) throw new OtadError('SERVER_UNSET');
        return refreshAnywhere(signal);
      }),
    ...filesFrom((use) => use(mirrors)),
    serverCount: Math.max(1, baseUrls.length),
    distrust: (server) => mirrors.demote(server),
    // In turn: in the middle of a refresh the files do not belong together.
    carry: (signal) => inTurn(() => carryRelease(files, initialRoot, { channel, compatible }, signal)),
  };
  if (openFolder === undefined) return servers;
  return {
    ...servers,
    from: (folder) => {
      const through = <T>(use: (from: Mirrors) => Promise<T>): Promise<T> =>
        throughFolder(openFolder(folder), folder, { channel, compatible }, use);
      return {
        check: (signal) => outcomeOf(signal, () => through((from) => refresh(from, signal))),
        ...filesFrom(through),
        // What is at hand costs nothing: one stream, and no requests side by side through a technician's terminal.
        streamRange: ({ path }) =>
          Promise.reject(new OtadError('HTTP_RANGE_MISMATCH', { path, reason: 'a folder is read in one stream' })),
        // There is no other folder to turn to.
        serverCount: 1,
        distrust: () => undefined,
      };
    },
  };
};
