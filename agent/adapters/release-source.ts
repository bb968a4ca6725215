// The release source port over TUF and HTTP: what the server offers, verified, and an image's bytes. It decides nothing about
// a release; what cannot be verified becomes a failed outcome with its code.

import { type CarriedFile, carryRelease } from '../../verity/carried-metadata.ts';
import { createTrustedStore } from '../../verity/trusted-store.ts';
import { createTufClient } from '../../verity/tuf-client.ts';
import { readRelease } from '../../verity/verified-release.ts';
import { OtadError, toFailure } from '../core/errors.ts';
import type { ReleaseSource } from '../core/ports.ts';
import type { CheckOutcome, Release, Verified } from '../core/types.ts';
import type { HttpClient } from './http.ts';
import { createMirrors } from './mirrors.ts';
import { createStandbyFiles, type OnDiskChange } from './standby-files.ts';
import { raiseTimeFloor, readTimeFloor } from './trusted-time.ts';

export interface ReleaseSourceOptions {
  readonly http: HttpClient;
  /** Folders that hold `metadata/` and `targets/`, tried in order. */
  readonly baseUrls: readonly string[];
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
  const { http, baseUrls, channel, compatible, initialRoot, buildTimeS, syncedTimeS } = options;
  const files = createStandbyFiles(
    createTrustedStore(options.metadataFolder),
    options.onDiskChange ?? (() => undefined),
  );
  const mirrors = createMirrors(http, baseUrls);
  const client = createTufClient({ fetcher: mirrors, files, initialRoot });
  const inTurn = createQueue();

  const refresh = async (signal: AbortSignal): Promise<Verified<Release>> => {
    signal.throwIfAborted();
    await files.settle();
    const nowS = Math.max(await readTimeFloor(files, buildTimeS), syncedTimeS() ?? 0);
    const set = await client.refresh(nowS, signal);
    const reader = { client, fetcher: mirrors, files, root: set.root };
    const release = await readRelease(reader, { channel, compatible }, signal);
    await raiseTimeFloor(files, release, set);
    return release;
  };

  /** A mirror whose files do not verify is as good as down: the whole refresh is tried from the next one on. */
  const refreshAnywhere = async (signal: AbortSignal): Promise<Verified<Release>> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await refresh(signal);
      } catch (error) {
        if (attempt >= baseUrls.length || !(error instanceof OtadError) || error.class !== 'source') {
          throw error;
        }
        mirrors.demoteFirst();
      }
    }
  };

  return {
    check: async (signal): Promise<CheckOutcome> => {
      try {
        return { kind: 'release', release: await inTurn(() => refreshAnywhere(signal)) };
      } catch (error) {
        const isCancelled = signal.aborted && !(error instanceof OtadError);
        return { kind: 'failed', failure: toFailure(isCancelled ? new OtadError('CANCELLED') : error) };
      }
    },
    // In turn: in the middle of a refresh the files do not belong together.
    carry: (signal) => inTurn(() => carryRelease(files, initialRoot, { channel, compatible }, signal)),
    stream: async (artifact, offsetBytes, sink, signal) => {
      const path = await client.locateTarget(artifact.path, artifact.sha256Hex);
      await mirrors.stream(path, offsetBytes, artifact.lengthBytes, sink, signal);
    },
  };
};
