// The TUF 1.0 client: one refresh of the four top-level roles in the specification's order, and look-ups after it.
// There is no unsigned mode: without a root from the image it only throws. After a failed refresh nothing can be looked up,
// and the next refresh starts from what was accepted before.

import { OtadError } from '../agent/core/errors.ts';
import { checkCap, type FreshFile, type MetadataFetcher, metadataLimits } from './metadata-fetcher.ts';
import { agentSchemes, type SignatureScheme } from './signature-schemes.ts';
import { searchTarget, type TargetInfo, targetUrlPath } from './target-search.ts';
import { loadTrustedRoot } from './trusted-root.ts';
import type { TrustedFiles } from './trusted-store.ts';
import type { RootMetadata, SnapshotMetadata, TargetsMetadata, TimestampMetadata } from './tuf-metadata.ts';
import {
  loadTargets,
  type Refresh,
  type Roles,
  updateRoot,
  updateSnapshot,
  updateTargets,
  updateTimestamp,
} from './tuf-roles.ts';
import { checkExpiry } from './tuf-verify.ts';

/** What is believed after a refresh. */
export interface TrustedSet {
  readonly root: RootMetadata;
  readonly timestamp: TimestampMetadata;
  readonly snapshot: SnapshotMetadata;
  readonly targets: TargetsMetadata;
}

export interface TufClient {
  /**
   * Brings the four top-level roles up to date; one at a time. `nowS` is trusted time in seconds, fixed for this refresh and
   * the look-ups after it (5.1): the floor of signed times, or a synchronised clock beyond it; never a lone local clock.
   */
  refresh(nowS: number, signal: AbortSignal): Promise<TrustedSet>;
  /** 5.6.7: length, digests and location of a target. After a refresh that succeeded only. Throws TARGET_UNKNOWN. */
  findTarget(path: string, signal: AbortSignal): Promise<TargetInfo>;
  /**
   * 5.7.3: where a target lies below the base URL, for one whose digest is believed already. Needs no refresh: whether digests
   * are part of names is for the trusted root to say (5.3.12).
   */
  locateTarget(path: string, digestHex: string): Promise<string>;
}

export interface TufClientOptions {
  readonly fetcher: MetadataFetcher;
  readonly files: TrustedFiles;
  /** root.json as the image carries it; null where none is installed, and then nothing is ever believed. */
  readonly initialRoot: Uint8Array | null;
  /** Test wiring only: what the agent never verifies with. */
  readonly schemes?: readonly SignatureScheme[];
}

/** The last refresh that succeeded, and what proves cheaply that nothing has changed since. */
interface Current {
  readonly set: TrustedSet;
  readonly nowS: number;
  readonly validator: string | null;
}

const timestampPath = 'metadata/timestamp.json';

const isUnexpired = (set: TrustedSet, nowS: number): boolean => {
  try {
    for (const signed of Object.values(set) as TrustedSet[keyof TrustedSet][]) {
      checkExpiry(signed, nowS, signed._type);
    }
    return true;
  } catch {
    return false;
  }
};

/** 5.4.1. */
const fetchTimestamp = async (
  { fetcher, signal }: Refresh,
  validator: string | null,
): Promise<FreshFile | 'unchanged'> => {
  const maxBytes = metadataLimits.timestampBytesMax;
  const answer =
    fetcher.fetchFresh === undefined
      ? await fetcher.fetch(timestampPath, maxBytes, signal)
      : await fetcher.fetchFresh(timestampPath, maxBytes, validator, signal);
  if (answer === null || (answer === 'unchanged' && validator === null)) {
    throw new OtadError('METADATA_MISSING', { path: timestampPath });
  }
  if (answer === 'unchanged') {
    return answer;
  }
  const file = answer instanceof Uint8Array ? { bytes: answer, validator: null } : answer;
  checkCap(file.bytes, timestampPath, maxBytes);
  return file;
};

/** 5.3 to 5.6. `early` is the timestamp when the poll has brought a changed one already. */
const updateAll = async (refresh: Refresh, roles: Roles, early: FreshFile | null): Promise<Current> => {
  const rootVersion = roles.root.signed.version;
  await updateRoot(refresh, roles);
  // A timestamp from before the new root may be signed by keys that are gone.
  const isUsable = early !== null && roles.root.signed.version === rootVersion;
  const file = isUsable ? early : await fetchTimestamp(refresh, null);
  if (file === 'unchanged') {
    throw new OtadError('METADATA_MISSING', { path: timestampPath });
  }
  const timestamp = await updateTimestamp(refresh, roles, file.bytes);
  const snapshot = await updateSnapshot(refresh, roles, timestamp);
  const targets = await updateTargets(refresh, roles, snapshot);
  const set = { root: roles.root.signed, timestamp, snapshot, targets };
  return { set, nowS: refresh.nowS, validator: file.validator };
};

/** A client over one repository and one folder of trusted files. Reads nothing before the first refresh. */
export const createTufClient = ({
  fetcher,
  files,
  initialRoot,
  schemes = agentSchemes,
}: TufClientOptions): TufClient => {
  let loading: Promise<Roles> | null = null;
  /** Looked up in; null while a refresh is under way or after it failed. */
  let current: Current | null = null;
  /** The same, kept over a poll that got no answer: its validator still belongs to what is trusted. */
  let settled: Current | null = null;

  /** 5.2, once; a refresh and a look-up that come together must work on the same roles. */
  const loadRoles = (): Promise<Roles> => {
    loading ??= loadTrustedRoot(files, initialRoot, schemes).then(
      (root) => ({ root, timestamp: null, snapshot: null, targets: null }),
      (error) => {
        loading = null;
        throw error;
      },
    );
    return loading;
  };

  return {
    refresh: async (nowS, signal) => {
      const refresh: Refresh = { fetcher, files, schemes, nowS, signal };
      current = null;
      const roles = await loadRoles();
      let early: FreshFile | null = null;
      // A poll without news is one request. The root is asked for whenever the timestamp changes or anything has expired:
      // a server that answers 'unchanged' for ever gains no more than by hiding the new root, and only until the expiry.
      if (settled !== null && settled.validator !== null && isUnexpired(settled.set, nowS)) {
        const answer = await fetchTimestamp(refresh, settled.validator);
        if (answer === 'unchanged') {
          current = { ...settled, nowS };
          return current.set;
        }
        early = answer;
      }
      settled = null;
      settled = await updateAll(refresh, roles, early);
      current = settled;
      return current.set;
    },

    findTarget: async (path, signal) => {
      if (current === null) {
        throw new OtadError('INTERNAL', { reason: 'a target was looked up without a refresh', path });
      }
      const { set, nowS } = current;
      const refresh: Refresh = { fetcher, files, schemes, nowS, signal };
      return await searchTarget(
        set.targets,
        path,
        set.root.consistent_snapshot,
        async (delegator, role) => (await loadTargets(refresh, set, delegator, role)).signed,
      );
    },

    locateTarget: async (path, digestHex) =>
      targetUrlPath(path, (await loadRoles()).root.signed.consistent_snapshot ? digestHex : null),
  };
};
