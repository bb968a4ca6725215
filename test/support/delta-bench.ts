// A gateway whose running slot holds one image and whose server offers another: real slots, the real HTTP client, the real
// pipeline, and a server that counts. What tests of updates by index stand on.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createHttpClient, defaultHttpSettings } from '../../agent/adapters/http.ts';
import { createMirrors } from '../../agent/adapters/mirrors.ts';
import { OtadError } from '../../agent/core/errors.ts';
import type { InstallPorts, ReleaseSource, SlotDevices, SlotHandle } from '../../agent/core/ports.ts';
import { indexOffsetBytes } from '../../agent/core/slot-layout.ts';
import type {
  Artifact,
  OfferedFolder,
  Progress,
  Release,
  SlotName,
  SlotRecord,
  Verified,
} from '../../agent/core/types.ts';
import { createInstall, type Install } from '../../agent/runtime/install.ts';
import { digestOf, encodeIndex } from '../../delta/chunk-index.ts';
import { createIndexing } from '../../delta/indexing.ts';
import { createPatching } from '../../delta/patching.ts';
import { createTreeBuilder, treeLengthBytes } from '../../verity/dm-verity.ts';
import { createSealing } from '../../verity/sealing.ts';
import { encodeRecord } from '../../verity/slot-record.ts';
import { noBootStage, noHeldBootFiles } from './no-boot-stage.ts';
import { noise } from './noise.ts';
import { anArtifact, aRelease, createFileSlots, type FileSlots, sha256Of } from './slot-bench.ts';

export const imagePath = 'images/gw.squashfs';
export const indexPath = 'images/gw.squashfs.index';
const never = new AbortController().signal;

/** Bytes that are each other's neighbours in an image. */
export type Pieces = readonly Buffer[];

/** Pieces of these lengths; equal names give equal bytes. */
export const pieces = (...named: readonly (readonly [string, number])[]): Pieces =>
  named.map(([name, lengthBytes]) => noise(lengthBytes, name));

export const indexOf = (image: Pieces, over: { readonly sha256Hex?: string } = {}): Uint8Array => {
  const whole = Buffer.concat(image);
  return encodeIndex(
    {
      lengthBytes: whole.length,
      sha256Hex: over.sha256Hex ?? sha256Of(whole),
      codec: 'zstd',
      level: 15,
      blockBytes: 131_072,
    },
    image.map((bytes) => ({ lengthBytes: bytes.length, digestHex: digestOf(bytes).toString('hex') })),
  );
};

/** The artifact of an image with this index, and the files that a server needs for it. */
export const aTarget = (image: Uint8Array, index: Uint8Array | null) => {
  const artifact = anArtifact(image, {
    path: imagePath,
    index: index === null ? null : { path: indexPath, lengthBytes: index.length, sha256Hex: sha256Of(index) },
  });
  const files = new Map<string, Uint8Array>([
    [imagePath, image],
    ...(index === null ? [] : [[indexPath, index] as const]),
  ]);
  return { artifact, files };
};

/** Writes image, tree, index and record into a slot, as an install before left them. */
export const fillSlotWith = (
  path: string,
  slotBytes: number,
  image: Uint8Array,
  index: Uint8Array | null,
): SlotRecord => {
  const { lengthBytes, sha256Hex, verity } = anArtifact(image);
  if (verity === null) throw new RangeError('an image without dm-verity');
  const padded = Buffer.alloc(verity.hashOffsetBytes);
  padded.set(image);
  const tree = createTreeBuilder(verity, lengthBytes);
  tree.update(padded);
  const record: SlotRecord = {
    status: 'activated',
    release: { id: 'gw-1.0', version: '1.0', sequence: 10 },
    compatible: 'acme-gw',
    imageLengthBytes: lengthBytes,
    imageSha256Hex: sha256Hex,
    verity,
    writtenBytes: lengthBytes,
    prefixSha256Hex: sha256Hex,
    reason: null,
  };
  const slot = Buffer.alloc(slotBytes);
  slot.set(padded);
  slot.set(tree.finish().bytes, verity.hashOffsetBytes);
  if (index !== null) slot.set(index, indexOffsetBytes(verity.hashOffsetBytes, treeLengthBytes(lengthBytes)));
  slot.set(encodeRecord(record, 0), slotBytes - 8192);
  writeFileSync(path, slot);
  return record;
};

/** Files by their path below any of these servers, without TUF. */
export const aMirrorSource = (t: TestContext, baseUrls: readonly string[]): ReleaseSource => {
  const http = createHttpClient({ ...defaultHttpSettings, headersTimeoutMs: 60_000, idleTimeoutMs: 60_000 });
  t.after(() => http.close());
  const mirrors = createMirrors(http, baseUrls);
  return {
    check: () => Promise.reject(new OtadError('INTERNAL')),
    stream: ({ path, lengthBytes }, offset, sink, signal, onSkipped) =>
      mirrors.stream(path, offset, lengthBytes, sink, signal, onSkipped),
    streamRange: ({ path, lengthBytes: lengthTotal }, { offsetBytes: offset, lengthBytes }, sink, signal) =>
      mirrors.streamRange(path, { offset, end: offset + lengthBytes, lengthTotal }, sink, signal),
    serverCount: baseUrls.length,
    distrust: (server) => mirrors.demote(server),
  };
};

/** From its n-th write on the process is gone: nothing more reaches the slot, not even a record. */
export const dyingAt =
  (writes: number) =>
  (devices: SlotDevices): SlotDevices => {
    let left = writes;
    return {
      ...devices,
      open: async (slot, signal): Promise<SlotHandle> => {
        const handle = await devices.open(slot, signal);
        return {
          sizeBytes: handle.sizeBytes,
          read: (...args) => handle.read(...args),
          flush: (...args) => handle.flush(...args),
          allocate: (length) => handle.allocate?.(length) ?? new Uint8Array(length),
          requireSamePlace: () => handle.requireSamePlace(),
          close: () => handle.close(),
          write: async (...args) => {
            left -= 1;
            if (left < 0) throw new OtadError('SLOT_IO', { reason: 'the process is dead' });
            return handle.write(...args);
          },
        };
      },
    };
  };

export interface DeltaBench {
  readonly slots: FileSlots;
  readonly release: Verified<Release>;
  readonly log: { readonly message: string; readonly fields: Readonly<Record<string, unknown>> }[];
  readonly progress: Progress[];
  /** A process of its own: nothing is remembered from one to the next. */
  start(over?: Partial<InstallPorts>): {
    write(signal?: AbortSignal, folder?: OfferedFolder): Promise<SlotRecord>;
    verify(): Promise<SlotRecord>;
  };
  /** Why a way was left, in order. */
  reasons(): readonly string[];
}

export interface DeltaBenchOptions {
  readonly slotBytes: number;
  /** What the running slot holds; null: nothing with a record. */
  readonly running: { readonly image: Uint8Array; readonly index: Uint8Array | null } | null;
  readonly artifact: Artifact;
  readonly source: ReleaseSource;
  readonly devices?: (devices: SlotDevices) => SlotDevices;
}

/** Where the slots of this process lie: made once, and removed when it ends. */
const slotsRoot = (() => {
  let root: string | null = null;
  return (): string => {
    if (root !== null) return root;
    const made = mkdtempSync(join(tmpdir(), 'otad-delta-'));
    process.once('exit', () => rmSync(made, { recursive: true, force: true }));
    root = made;
    return made;
  };
})();

export const aDeltaBench = (options: DeltaBenchOptions): DeltaBench => {
  const { slotBytes, running, artifact, source } = options;
  const slots = createFileSlots(mkdtempSync(join(slotsRoot(), 'slots-')), slotBytes);
  if (running !== null) fillSlotWith(slots.paths.a, slotBytes, running.image, running.index);
  const release = aRelease(artifact);
  const log: DeltaBench['log'] = [];
  const progress: Progress[] = [];
  const note = (message: string, fields: Readonly<Record<string, unknown>>) => void log.push({ message, fields });
  const slot: SlotName = 'b';
  return {
    slots,
    release,
    log,
    progress,
    start: (over = {}) => {
      const install: Install = createInstall({
        slots: options.devices?.(slots.devices) ?? slots.devices,
        source,
        sealing: createSealing(),
        indexing: createIndexing(),
        bootStage: noBootStage,
        heldBootFiles: noHeldBootFiles,
        patching: createPatching(),
        monoMs: () => performance.now(),
        openBudget: () => (signal, work) => work(signal),
        log: { info: note, warn: note },
        ...over,
      });
      return {
        write: (signal = never, folder = undefined) =>
          install.write({ slot, release, ...(folder === undefined ? {} : { folder }) }, signal, (one) =>
            progress.push(one),
          ),
        verify: () => install.verify({ slot, rootHex: artifact.verity?.rootHex ?? '' }, never, () => undefined),
      };
    },
    reasons: () => log.flatMap(({ fields }) => (typeof fields.reason === 'string' ? [fields.reason] : [])),
  };
};
