// A gateway as an attacker meets it: the real release source over real HTTP, the real selection, the real installer on two
// file slots. It decides nothing that the daemon does not decide, and shows everything that an attack must leave alone.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  createHttpClient,
  defaultHttpSettings,
  type HttpClient,
  type HttpSettings,
} from '../../agent/adapters/http.ts';
import { createReleaseSource, type ReleaseSourceOptions } from '../../agent/adapters/release-source.ts';
import { type ErrorCode, OtadError, toFailure } from '../../agent/core/errors.ts';
import type { ReleaseSource } from '../../agent/core/ports.ts';
import { unmetConditions } from '../../agent/core/select.ts';
import { ceilToBlock, recordAreaBytes } from '../../agent/core/slot-layout.ts';
import type { Reason } from '../../agent/core/state.ts';
import type { Release, SlotName, Verified } from '../../agent/core/types.ts';
import type { Install } from '../../agent/runtime/install.ts';
import { treeLengthBytes } from '../../verity/dm-verity.ts';
import { aMoment, aPolicy, aRecord, aState } from '../support/builders.ts';
import { anInstall, createFileSlots, type FileSlots } from '../support/slot-bench.ts';
import { testNowS } from '../support/tuf-repository.ts';
import { compatible, running, slotBytes } from './vendor.ts';

const never = new AbortController().signal;
const quiet = (): void => {};

/** What came of one attempt to update: 'taken', the code of what stopped it, or why the release is not wanted. */
export type Outcome = 'taken' | ErrorCode | Reason['code'];

export interface Result {
  readonly outcome: Outcome;
  readonly version?: string;
  readonly message?: string;
  readonly retryAfterS?: number;
}

/** Everything that an attack must not change, by name and digest. */
export type Evidence = ReadonlyMap<string, string>;

export interface Gateway {
  readonly slots: FileSlots;
  readonly source: ReleaseSource;
  readonly install: Install;
  readonly metadataFolder: string;
  /** Check and select: whether the newest release would be installed. */
  check(): Promise<Result>;
  /** Check, select, write, verify: what the daemon does by itself, up to the flip of the bootloader. */
  update(): Promise<Result>;
  /** The trusted files as they lie on the disk, by name. */
  trusted(): Promise<ReadonlyMap<string, Buffer>>;
  /** Digests of both slots and of every trusted file. */
  evidence(): Promise<Evidence>;
  /** From now on the network is asked with these limits. */
  setLimits(settings: Partial<HttpSettings>): void;
  /** The same gateway after a restart of the daemon: same disk, nothing in memory. */
  restarted(): Promise<Gateway>;
}

export interface GatewayOptions {
  readonly baseUrls: readonly string[];
  readonly initialRoot: Uint8Array | null;
  /** Copied: what this gateway trusts already. */
  readonly trustedFolder?: string;
  readonly limits?: Partial<HttpSettings>;
  readonly hardwareRevision?: string | null;
  readonly source?: Partial<ReleaseSourceOptions>;
  /** A release source of the test's own, in front of the real one. */
  readonly wrap?: (source: ReleaseSource) => ReleaseSource;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A client whose limits can be changed under the release source: the same client meets an attacker, then an honest server. */
const createSwitchedClient = (t: TestContext, limits: Partial<HttpSettings>) => {
  const open = (settings: Partial<HttpSettings>): HttpClient => {
    const client = createHttpClient({ ...defaultHttpSettings, ...settings });
    t.after(() => client.close());
    return client;
  };
  let current = open(limits);
  const http: HttpClient = {
    fetchBytes: (url, options) => current.fetchBytes(url, options),
    streamRange: (url, options) => current.streamRange(url, options),
    close: () => current.close(),
  };
  const setLimits = (settings: Partial<HttpSettings>): void => {
    current = open(settings);
  };
  return { http, setLimits };
};

export const aFolder = async (t: TestContext): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-attack-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
};

export const readFolder = async (folder: string): Promise<ReadonlyMap<string, Buffer>> => {
  const names = await readdir(folder).catch((): string[] => []);
  return new Map(
    await Promise.all(names.sort().map(async (name) => [name, await readFile(join(folder, name))] as const)),
  );
};

const policyOf = (hardwareRevision: string | null) =>
  aPolicy({
    compatible,
    hardwareRevision,
    slotSizeBytes: { a: slotBytes, b: slotBytes },
    hasBootPlaces: true,
    footprintBytes: (length) => ceilToBlock(length) + treeLengthBytes(length) + recordAreaBytes,
  });

const failed = (error: unknown): Result => {
  const { code, message, retryAfterS } = toFailure(error);
  return { outcome: code, message, ...(retryAfterS === undefined ? {} : { retryAfterS }) };
};

const runningState = () =>
  aState({ records: { a: aRecord(running.sequence, { release: running }), b: null }, confirmed: running });

const assemble = async (
  t: TestContext,
  options: GatewayOptions,
  disk: { readonly metadataFolder: string; readonly slots: FileSlots },
): Promise<Gateway> => {
  const { metadataFolder, slots } = disk;
  const { http, setLimits } = createSwitchedClient(t, options.limits ?? {});
  const real = createReleaseSource({
    http,
    baseUrls: options.baseUrls,
    channel: 'stable',
    compatible,
    metadataFolder,
    initialRoot: options.initialRoot,
    buildTimeS: testNowS - 86_400,
    syncedTimeS: () => testNowS,
    ...options.source,
  });
  const source = options.wrap?.(real) ?? real;
  const install = anInstall({ slots: slots.devices, source });
  const policy = policyOf(options.hardwareRevision ?? null);
  const trusted = () => readFolder(metadataFolder);

  const select = async (): Promise<{ readonly release: Verified<Release> } | Result> => {
    const found = await source.check(never);
    if (found.kind === 'failed') return failed(new OtadError(found.failure.code, { ...found.failure }));
    const { release } = found;
    // A technician's command passes over waves and windows; an attack must be stopped even then.
    const [reason] = unmetConditions(release, runningState(), aMoment(), policy, true);
    return reason === undefined
      ? { release }
      : { outcome: reason.code, version: release.version, message: reason.sentence };
  };

  const check = async (): Promise<Result> => {
    const selected = await select();
    return 'release' in selected ? { outcome: 'taken', version: selected.release.version } : selected;
  };

  const update = async (): Promise<Result> => {
    const selected = await select();
    if (!('release' in selected)) return selected;
    const { release } = selected;
    const rootHex = release.artifacts.find((artifact) => artifact.role === 'rootfs')?.verity?.rootHex ?? '';
    try {
      await install.write({ slot: 'b', release, isReadBackNext: true }, never, quiet);
      await install.verify({ slot: 'b', rootHex }, never, quiet);
      return { outcome: 'taken', version: release.version };
    } catch (error) {
      return failed(error);
    }
  };

  return {
    slots,
    source,
    install,
    metadataFolder,
    check,
    update,
    trusted,
    setLimits,
    evidence: async () => {
      const evidence = new Map<string, string>();
      for (const [name, bytes] of await trusted()) evidence.set(`trusted ${name}`, sha256(bytes));
      for (const slot of ['a', 'b'] satisfies SlotName[])
        evidence.set(`slot ${slot}`, sha256(await readFile(slots.paths[slot])));
      return evidence;
    },
    restarted: () => assemble(t, options, disk),
  };
};

/** A gateway whose slot a runs {@link running}; slot b is empty. */
export const aGateway = async (t: TestContext, options: GatewayOptions): Promise<Gateway> => {
  const folder = await aFolder(t);
  const metadataFolder = join(folder, 'metadata');
  if (options.trustedFolder !== undefined) await cp(options.trustedFolder, metadataFolder, { recursive: true });
  return assemble(t, options, { metadataFolder, slots: createFileSlots(folder, slotBytes) });
};

/** The names of what differs between two looks at a gateway. */
export const changesBetween = (before: Evidence, after: Evidence): readonly string[] =>
  [...new Set([...before.keys(), ...after.keys()])].filter((name) => before.get(name) !== after.get(name)).sort();

/** The slot holds this release, verified, and would be handed to the bootloader. */
export const assertInstalled = async (gateway: Gateway, version: string): Promise<void> => {
  const record = await gateway.slots.devices.readRecord('b', never);
  assert.deepEqual({ status: record?.status, version: record?.release.version }, { status: 'verified', version });
};
