// Makes a patch between two squashfs images: what is unchanged is copied compressed, what changed is told as the
// difference of its unpacked bytes and compressed again by the library that gateways have. For the publisher.

import { OtadError } from '../agent/core/errors.ts';
import { type ByteSource, readRange } from './byte-source.ts';
import { type ImageContent, readContent } from './image-content.ts';
import type { Unit } from './image-tables.ts';
import { spaceStarts } from './old-space.ts';
import { DifferenceWriter } from './patch-difference.ts';
import { encodePatch, packGroup } from './patch-format.ts';
import { type GroupEntry, type OldBlock, oldBlocksMax, type PatchHead } from './patch-head.ts';
import { checksumOf, copyBytesMax, type OperationKind, OperationWriter, tableHeader } from './patch-operations.ts';
import { identify, requireReadable } from './patch-proof.ts';
import { type Origin, type PlanOptions, planStretches } from './stretch-plan.ts';
import { checkCancelled, decideFates, type Fate, headerBytesOf, type MakeOptions } from './unit-fates.ts';
import { selfTestDigest, zstdRelease } from './zstd.ts';

/** Streams of a group before it is closed. Short ones: a gateway fetches one again after a cut. Costs a hundredth of the patch. */
const groupBytesTarget = 1024 * 1024;

export interface PatchReport {
  readonly patchBytes: number;
  readonly copiedBytes: number;
  /** Blocks that are compressed again on the gateway, metadata blocks included. */
  readonly rebuiltBlocks: number;
  /** Unpacked bytes of them. */
  readonly rebuiltBytes: number;
  /** Blocks that another release or level of the library made: they are in the patch as they are. */
  readonly literalBlocks: number;
  readonly literalBytes: number;
  readonly oldBlocks: number;
  readonly groups: number;
}

export interface MadePatch {
  readonly bytes: Uint8Array;
  readonly head: PatchHead;
  readonly report: PatchReport;
}

/** The old units that anything comes from, as blocks of the old space, and where each begins in it. */
const collectOldBlocks = (old: ImageContent, origins: ReadonlyMap<number, readonly Origin[]>) => {
  const used = new Set<number>();
  for (const list of origins.values()) for (const { oldUnit } of list) used.add(oldUnit);
  const numbers = [...used].sort((one, two) => one - two);
  const blocks = numbers.map((number): OldBlock => {
    const { offsetBytes, lengthBytes, rawBytes, isStored } = old.units[number] as Unit;
    return { offsetBytes, lengthBytes, rawBytes, isStored };
  });
  const starts = spaceStarts(blocks);
  return { blocks, startOf: new Map(numbers.map((number, index) => [number, starts[index] as number])) };
};

/** Closes a group when it is full. */
class GroupWriter {
  readonly #groupBytes: number;
  readonly #entries: GroupEntry[] = [];
  readonly #packed: Buffer[] = [];
  #operations = new OperationWriter();
  #difference = new DifferenceWriter();
  #newBytes = 0;

  constructor(groupBytes: number) {
    this.#groupBytes = groupBytes;
  }

  get operations(): OperationWriter {
    return this.#operations;
  }

  get difference(): DifferenceWriter {
    return this.#difference;
  }

  /** After each operation: the bytes of the new image that it makes. */
  added(newBytes: number): void {
    this.#newBytes += newBytes;
    if (this.#operations.lengthBytes + this.#difference.lengthBytes >= this.#groupBytes) this.close();
  }

  close(): void {
    if (this.#newBytes === 0) return;
    const { entry, packed } = packGroup(this.#newBytes, { ...this.#operations.finish(), ...this.#difference.finish() });
    this.#entries.push(entry);
    this.#packed.push(packed);
    this.#operations = new OperationWriter();
    this.#difference = new DifferenceWriter();
    this.#newBytes = 0;
  }

  get groups(): { readonly entries: readonly GroupEntry[]; readonly packed: readonly Buffer[] } {
    return { entries: this.#entries, packed: this.#packed };
  }
}

/** Copies that lie one behind another in both images are one run; it is cut into pieces with a checksum each. */
const writeCopy = async (writer: GroupWriter, image: ImageContent, run: CopyRun): Promise<void> => {
  for (let done = 0; done < run.lengthBytes; done += copyBytesMax) {
    const lengthBytes = Math.min(copyBytesMax, run.lengthBytes - done);
    const bytes = await readRange(image.source, run.newOffset + done, lengthBytes, 'a copy');
    writer.operations.add({
      kind: 'copy',
      lengthBytes,
      oldOffset: run.oldOffset + done,
      rawBytes: 0,
      checksum: checksumOf(bytes),
    });
    writer.added(lengthBytes);
  }
};

interface CopyRun {
  readonly newOffset: number;
  readonly oldOffset: number;
  lengthBytes: number;
}

interface Work {
  readonly old: ImageContent;
  readonly image: ImageContent;
  readonly origins: ReadonlyMap<number, readonly Origin[]>;
  readonly startOf: ReadonlyMap<number, number>;
  readonly writer: GroupWriter;
}

/** The unit's unpacked bytes as old stretches with changes and fresh bytes between them. */
const writeDifference = async ({ old, image, origins, startOf, writer }: Work, number: number): Promise<void> => {
  const raw = await image.readRaw(number);
  let at = 0;
  const fresh = (to: number): void => {
    if (to > at) writer.difference.add({ kind: 'fresh', bytes: raw.subarray(at, to) });
    at = Math.max(at, to);
  };
  for (const origin of origins.get(number) ?? []) {
    const passed = Math.max(0, at - origin.at);
    if (passed >= origin.lengthBytes) continue;
    fresh(origin.at);
    const lengthBytes = origin.lengthBytes - passed;
    const oldAt = origin.oldAt + passed;
    const bytes = (await old.readRaw(origin.oldUnit)).subarray(oldAt, oldAt + lengthBytes);
    const start = (startOf.get(origin.oldUnit) ?? 0) + oldAt;
    writer.difference.add({ kind: 'old', oldAt: start, old: bytes, bytes: raw.subarray(at, at + lengthBytes) });
    at += lengthBytes;
  }
  fresh(raw.length);
};

const writeMade = async (work: Work, number: number, kind: Exclude<OperationKind, 'copy'> | 'literal') => {
  const { image, writer } = work;
  const unit = image.units[number] as Unit;
  const packed = await image.readPacked(number);
  if (kind === 'literal') writer.difference.add({ kind: 'fresh', bytes: packed });
  else await writeDifference(work, number);
  const isTable = kind === 'table' || kind === 'stored-table';
  if (isTable && !packed.subarray(0, 2).equals(tableHeader(unit.lengthBytes, unit.isStored)))
    throw new OtadError('INTERNAL', { step: 'patch', problem: 'a metadata block has another header' });
  writer.operations.add({
    kind: kind === 'literal' ? 'raw' : kind,
    lengthBytes: packed.length,
    oldOffset: 0,
    rawBytes: kind === 'literal' ? packed.length : unit.rawBytes,
    checksum: checksumOf(packed),
  });
  writer.added(packed.length);
};

const writeGroups = async (work: Work, fates: readonly Fate[], options: MakeOptions): Promise<void> => {
  const { image, writer } = work;
  let run: CopyRun | null = null;
  const endRun = async (): Promise<void> => {
    if (run !== null) await writeCopy(writer, image, run);
    run = null;
  };
  for (const [number, fate] of fates.entries()) {
    checkCancelled(options.signal);
    if (number % 64 === 0) options.onProgress?.('write', number, fates.length);
    const unit = image.units[number] as Unit;
    const newOffset = unit.offsetBytes - headerBytesOf(unit);
    if (fate.kind !== 'copy') {
      await endRun();
      await writeMade(work, number, fate.kind);
      continue;
    }
    const lengthBytes = unit.lengthBytes + headerBytesOf(unit);
    const current: CopyRun | null = run;
    if (current !== null && current.oldOffset + current.lengthBytes === fate.oldOffset)
      current.lengthBytes += lengthBytes;
    else {
      await endRun();
      run = { newOffset, oldOffset: fate.oldOffset, lengthBytes };
    }
  }
  await endRun();
  writer.close();
};

const reportOf = (fates: readonly Fate[], image: ImageContent, head: PatchHead, patchBytes: number): PatchReport => {
  const sum = (isCounted: (fate: Fate) => boolean, of: (unit: Unit) => number): number =>
    image.units.reduce((total, unit, number) => total + (isCounted(fates[number] as Fate) ? of(unit) : 0), 0);
  const isRebuilt = ({ kind }: Fate): boolean => kind === 'block' || kind === 'table';
  const isLiteral = ({ kind }: Fate): boolean => kind === 'literal';
  return {
    patchBytes,
    copiedBytes: sum(
      ({ kind }) => kind === 'copy',
      (unit) => unit.lengthBytes + headerBytesOf(unit),
    ),
    rebuiltBlocks: sum(isRebuilt, () => 1),
    rebuiltBytes: sum(isRebuilt, ({ rawBytes }) => rawBytes),
    literalBlocks: sum(isLiteral, () => 1),
    literalBytes: sum(isLiteral, ({ lengthBytes }) => lengthBytes),
    oldBlocks: head.oldBlocks.length,
    groups: head.groups.length,
  };
};

/**
 * The patch from the old image to the new one. Throws IMAGE_NOT_PATCHABLE where only the index helps, IMAGE_UNUSABLE,
 * CANCELLED. What it makes is still to be proven: patch-proof.ts.
 */
export const makePatch = async (
  oldSource: ByteSource,
  source: ByteSource,
  options: MakeOptions,
): Promise<MadePatch> => {
  const { zstd, onProgress, signal, windowBytes, groupBytes = groupBytesTarget } = options;
  onProgress?.('read', 0, 2);
  const old = await readContent(oldSource, zstd);
  onProgress?.('read', 1, 2);
  const image = await readContent(source, zstd);
  const fates = await decideFates(old, image, options);
  const isWanted = (unit: number): boolean => !['copy', 'literal'].includes(fates[unit]?.kind ?? 'copy');
  const planOptions: PlanOptions = {
    windowBytes,
    signal,
    onProgress: (done, total) => onProgress?.('search', done, total),
  };
  const origins = await planStretches(old, image, isWanted, planOptions);
  const { blocks, startOf } = collectOldBlocks(old, origins);
  if (blocks.length > oldBlocksMax)
    throw new OtadError('IMAGE_NOT_PATCHABLE', {
      problem: 'it takes more blocks of the old image than a patch may name',
    });
  const writer = new GroupWriter(groupBytes);
  await writeGroups({ old, image, origins, startOf, writer }, fates, options);
  const { entries, packed } = writer.groups;
  const { level, blockBytes } = image;
  const head: PatchHead = {
    base: await identify(oldSource),
    image: await identify(source),
    recompression: {
      codec: 'zstd',
      level,
      // The larger of both: blocks of the old image are unpacked under the same bound.
      blockBytes: Math.max(blockBytes, old.blockBytes),
      library: zstdRelease,
      selfTestHex: selfTestDigest(zstd, level).toString('hex'),
    },
    oldBlocks: blocks,
    groups: entries,
  };
  const bytes = encodePatch(head, packed);
  requireReadable(bytes);
  return { bytes, head, report: reportOf(fates, image, head, bytes.length) };
};
