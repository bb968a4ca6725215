// The releases that the simulated publisher has: small images with their real dm-verity trees, made by the production sealing.
// Every second chunk is the same in all releases, as with releases that ship; between them the bytes differ in every block, so
// that a mixture of two is never mistaken for either.

import type { Sealing } from '../../agent/core/ports.ts';
import { ceilToBlock } from '../../agent/core/slot-layout.ts';
import type { Artifact, Release, Verified, VerityParameters } from '../../agent/core/types.ts';
import { digestOf, encodeIndex } from '../../delta/chunk-index.ts';
import { createSealing } from '../../verity/sealing.ts';
import { createChance } from './chance.ts';

export interface SealedRelease {
  readonly release: Verified<Release>;
  readonly artifact: Artifact;
  readonly image: Buffer;
  /** Image, padding, superblock and tree: what a slot must hold, from its first byte. */
  readonly sealed: Buffer;
  readonly indexFile: Uint8Array;
  readonly isHealthy: boolean;
}

export const compatible = 'sim-gateway';
/** Healthy and sick releases of one sequence number differ in their bytes: sick ones count from here. */
const sickOffset = 10_000;
/** Small images make many lives a second; larger ones, from this sequence on, show what a resumed download costs. */
export const largeFrom = 100;
/** Not a multiple of a block: the padding must be right as well. */
const imageBytesOf = (sequence: number): number => (sequence % sickOffset >= largeFrom ? 11 : 2) * 4096 + 1000;
/** Room for the larger image, its tree, the record and two blocks that nothing uses. */
export const slotSizeBytes = 18 * 4096;

const noHash = '0'.repeat(64);

/** No multiple of a block, so that chunks begin and end within blocks. */
const chunkBytes = 3000;

const fill = (image: Buffer, seed: number): void => {
  const chance = createChance(seed);
  for (let offset = 0; offset + 4 <= image.length; offset += 4) image.writeUInt32LE(chance.below(0xffffffff), offset);
};

const chunksOf = (image: Buffer): readonly Buffer[] =>
  Array.from({ length: Math.ceil(image.length / chunkBytes) }, (_, chunk) =>
    image.subarray(chunk * chunkBytes, (chunk + 1) * chunkBytes),
  );

const makeImage = (sequence: number): Buffer => {
  const image = Buffer.alloc(imageBytesOf(sequence));
  fill(image, sequence * 7919);
  for (const [chunk, bytes] of chunksOf(image).entries()) {
    if (chunk % 2 === 1) fill(bytes, chunk);
  }
  return image;
};

const makeIndexFile = (image: Buffer, sha256Hex: string): Uint8Array =>
  encodeIndex(
    { lengthBytes: image.length, sha256Hex, codec: 'zstd', level: 15, blockBytes: 131_072 },
    chunksOf(image).map((bytes) => ({ lengthBytes: bytes.length, digestHex: digestOf(bytes).toString('hex') })),
  );

const makeRelease = (sequence: number, isHealthy: boolean, sealing: Sealing): SealedRelease => {
  const image = makeImage(sequence);
  const padded = Buffer.alloc(ceilToBlock(image.length));
  image.copy(padded);
  const unrooted: VerityParameters = {
    algorithm: 'sha256',
    blockSizeBytes: 4096,
    saltHex: sequence.toString(16).padStart(64, '0'),
    rootHex: noHash,
    hashOffsetBytes: padded.length,
  };
  const builder = sealing.createTreeBuilder(unrooted, image.length);
  builder.update(padded);
  const tree = builder.finish();
  const hasher = sealing.createHasher();
  hasher.update(image);
  const indexFile = makeIndexFile(image, hasher.digestHex());
  const indexHasher = sealing.createHasher();
  indexHasher.update(indexFile);
  const artifact: Artifact = {
    role: 'rootfs',
    path: `images/${sequence}.img`,
    lengthBytes: image.length,
    sha256Hex: hasher.digestHex(),
    verity: { ...unrooted, rootHex: tree.rootHex },
    index: {
      path: `images/${sequence}.img.index`,
      lengthBytes: indexFile.length,
      sha256Hex: indexHasher.digestHex(),
    },
  };
  const release: Release = {
    id: `release-${sequence}`,
    version: `1.${sequence}`,
    sequence,
    channel: 'stable',
    compatible,
    hardwareRevisions: [],
    agentVersionMin: null,
    notesUrl: null,
    floorEpoch: 0,
    rollbackFloor: 0,
    waves: [],
    artifacts: [artifact],
    health: { deadlineS: 300, checks: [] },
    dataSchema: { oldest: 1, own: 1 },
    from: [],
    publishedAtS: 1_700_000_000 + sequence,
  };
  // The simulated server stands in for the verifier: only releases of this catalogue pass as signed.
  return {
    release: release as Verified<Release>,
    artifact,
    image,
    sealed: Buffer.concat([padded, tree.bytes]),
    indexFile,
    isHealthy,
  };
};

export interface Catalogue {
  /** The production sealing, remembering what it answered. */
  readonly sealing: Sealing;
  get(sequence: number, isHealthy: boolean): SealedRelease;
  /** The release whose sealed bytes `slot` holds, or null where it holds none whole. */
  identify(slot: Buffer): SealedRelease | null;
  byImage(sha256Hex: string): SealedRelease | null;
  indexFile(sha256Hex: string): Uint8Array | null;
  /** Memory for transfers, the same every time: one life runs at once, and it has one slot open at once. */
  scratch(lengthBytes: number): Uint8Array;
}

/** Answers kept at most; then the memory is emptied. */
const answersMax = 4096;

/** `compute` is pure: what it said once it may say again without work. Lives repeat each other's records a thousand times. */
const remember = <A extends readonly unknown[], R>(compute: (...args: A) => R, keyOf: (...args: A) => string) => {
  const answers = new Map<string, R>();
  return (...args: A): R => {
    const key = keyOf(...args);
    const known = answers.get(key);
    if (known !== undefined || answers.has(key)) return known as R;
    if (answers.size >= answersMax) answers.clear();
    const answer = compute(...args);
    answers.set(key, answer);
    return answer;
  };
};

const createRememberingSealing = (): Sealing => {
  const sealing = createSealing();
  return {
    ...sealing,
    encodeRecord: remember(sealing.encodeRecord, (record, serial) => `${serial} ${JSON.stringify(record)}`),
    decodeRecord: remember(sealing.decodeRecord, (blocks) =>
      Buffer.from(blocks.buffer, blocks.byteOffset, blocks.byteLength).toString('latin1'),
    ),
  };
};

export const createCatalogue = (): Catalogue => {
  const sealing = createRememberingSealing();
  const made = new Map<number, SealedRelease>();
  const byFirstWord = new Map<number, SealedRelease>();
  const byImage = new Map<string, SealedRelease>();
  const indexFiles = new Map<string, Uint8Array>();
  let scratch = new Uint8Array(0);
  return {
    sealing,
    get: (sequence, isHealthy) => {
      const key = isHealthy ? sequence : sequence + sickOffset;
      const known = made.get(key);
      if (known !== undefined) return known;
      const base = makeRelease(key, isHealthy, sealing);
      const release = { ...base.release, sequence, version: `1.${sequence}${isHealthy ? '' : '-sick'}` };
      const sealed: SealedRelease = { ...base, release: release as Verified<Release> };
      made.set(key, sealed);
      byFirstWord.set(sealed.image.readUInt32LE(0), sealed);
      byImage.set(sealed.artifact.sha256Hex, sealed);
      indexFiles.set(sealed.artifact.index?.sha256Hex ?? '', sealed.indexFile);
      return sealed;
    },
    identify: (slot) => {
      const candidate = byFirstWord.get(slot.readUInt32LE(0));
      if (candidate === undefined) return null;
      return slot.compare(candidate.sealed, 0, candidate.sealed.length, 0, candidate.sealed.length) === 0
        ? candidate
        : null;
    },
    indexFile: (sha256Hex) => indexFiles.get(sha256Hex) ?? null,
    byImage: (sha256Hex) => byImage.get(sha256Hex) ?? null,
    scratch: (lengthBytes) => {
      if (scratch.length < lengthBytes) scratch = new Uint8Array(lengthBytes);
      return scratch.subarray(0, lengthBytes);
    },
  };
};
