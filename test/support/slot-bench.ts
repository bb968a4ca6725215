// Two file slots with the real adapter, releases made from bytes, and a server that can lie: what install tests stand on.

import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { createSlotDevices } from '../../agent/adapters/slot-device.ts';
import { OtadError } from '../../agent/core/errors.ts';
import type { InstallPorts, ReleaseSource, ServedSink, SlotDevices } from '../../agent/core/ports.ts';
import { ceilToBlock } from '../../agent/core/slot-layout.ts';
import type { Artifact, Release, SlotName, Verified } from '../../agent/core/types.ts';
import { createInstall, type Install } from '../../agent/runtime/install.ts';
import { createIndexing } from '../../delta/indexing.ts';
import { createPatching } from '../../delta/patching.ts';
import { createTreeBuilder } from '../../verity/dm-verity.ts';
import { createSealing } from '../../verity/sealing.ts';
import { noBootStage, noHeldBootFiles } from './no-boot-stage.ts';

const aSaltHex = '5a'.repeat(32);

/** The dm-verity root of bytes, padded to blocks. */
export const rootOf = (image: Uint8Array, saltHex = aSaltHex): string => {
  const padded = new Uint8Array(ceilToBlock(image.length));
  padded.set(image);
  const tree = createTreeBuilder({ saltHex }, image.length);
  tree.update(padded);
  return tree.finish().rootHex;
};

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export const anArtifact = (image: Uint8Array, over: Partial<Artifact> = {}): Artifact => ({
  role: 'rootfs',
  path: 'images/gw.squashfs',
  lengthBytes: image.length,
  sha256Hex: sha256Of(image),
  verity: {
    algorithm: 'sha256',
    blockSizeBytes: 4096,
    saltHex: aSaltHex,
    rootHex: rootOf(image),
    hashOffsetBytes: ceilToBlock(image.length),
  },
  index: null,
  ...over,
});

/** A release as the verifier would have let it through. */
export const aRelease = (artifact: Artifact, over: Partial<Release> = {}): Verified<Release> =>
  ({
    id: 'gw-1.1',
    version: '1.1',
    sequence: 11,
    channel: 'stable',
    compatible: 'acme-gw',
    hardwareRevisions: [],
    agentVersionMin: null,
    notesUrl: null,
    floorEpoch: 0,
    rollbackFloor: 0,
    waves: [],
    artifacts: [artifact],
    health: { deadlineS: 60, checks: [] },
    dataSchema: { oldest: 1, own: 1 },
    from: [],
    publishedAtS: 1_700_000_000,
    ...over,
  }) as Release as Verified<Release>;

export interface FileSlots {
  readonly paths: Readonly<Record<SlotName, string>>;
  readonly devices: SlotDevices;
}

/** Two new empty slots of this size in `folder`; slot `a` runs. */
export const createFileSlots = (folder: string, sizeBytes: number): FileSlots => {
  const paths = { a: join(folder, 'slot-a.img'), b: join(folder, 'slot-b.img') };
  for (const path of Object.values(paths)) {
    const file = openSync(path, 'w');
    ftruncateSync(file, sizeBytes);
    closeSync(file);
  }
  return { paths, devices: createSlotDevices({ paths, bootedSlot: () => 'a' }) };
};

export interface Served {
  readonly offsetBytes: number;
  readonly sentBytes: number;
}

/** What a test wants the server to do instead of sending `bytes` to their end. */
export interface Misbehaviour {
  /** Ends after this many bytes of the answer, with an error or (a lie) without one. */
  readonly cutAfterBytes?: number;
  readonly isSilentCut?: boolean;
  readonly extraBytes?: number;
  readonly chunkBytes?: number;
  readonly onChunk?: (sentBytes: number) => void;
}

/** The install pipeline with everything that a test does not bring itself. */
export const anInstall = (ports: Pick<InstallPorts, 'slots' | 'source'> & Partial<InstallPorts>): Install =>
  createInstall({
    sealing: createSealing(),
    indexing: createIndexing(),
    bootStage: noBootStage,
    heldBootFiles: noHeldBootFiles,
    patching: createPatching(),
    monoMs: () => 0,
    openBudget: () => (signal, work) => work(signal),
    log: { info: () => undefined, warn: () => undefined },
    ...ports,
  });

/** The rest of a source that has one stream and nothing else. */
export const streamOnly: Pick<ReleaseSource, 'streamRange' | 'serverCount' | 'distrust'> = {
  streamRange: () => Promise.reject(new OtadError('HTTP_RANGE_MISMATCH')),
  serverCount: 1,
  distrust: () => undefined,
};

/** Sends `bytes`, in pieces, from the offset asked for; writes down what it sent. */
export const createFakeSource = (bytes: Uint8Array, misbehaviour: () => Misbehaviour = () => ({})) => {
  const served: Served[] = [];
  const stream = async (_artifact: Artifact, offsetBytes: number, sink: ServedSink, signal: AbortSignal) => {
    const { cutAfterBytes, isSilentCut, extraBytes = 0, chunkBytes = 48_000, onChunk } = misbehaviour();
    const body = Buffer.concat([bytes.subarray(offsetBytes), Buffer.alloc(extraBytes, 0xee)]);
    const end = Math.min(body.length, cutAfterBytes ?? body.length);
    const place = served.push({ offsetBytes, sentBytes: 0 }) - 1;
    for (let sent = 0; sent < end; sent += chunkBytes) {
      if (signal.aborted) throw new OtadError('CANCELLED');
      const chunk = Buffer.from(body.subarray(sent, Math.min(end, sent + chunkBytes)));
      const held = sink(chunk, 'server');
      served[place] = { offsetBytes, sentBytes: sent + chunk.length };
      onChunk?.(sent + chunk.length);
      await held;
      chunk.fill(0xdd); // the bytes belong to the sink only until then
    }
    if (end < body.length && isSilentCut !== true) throw new OtadError('HTTP_TRUNCATED');
  };
  const source: ReleaseSource = {
    ...streamOnly,
    stream,
    check: async () => ({ kind: 'failed', failure: { code: 'HTTP_UNREACHABLE', class: 'transient', message: '' } }),
  };
  return { source, served };
};

export const isCode = (code: string) => (error: unknown) => error instanceof OtadError && error.code === code;
