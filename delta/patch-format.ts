// The file format of a patch: head and groups, every length declared before it is used, and bounded. Groups stand alone, so
// that applying can begin at any of them, and each has its digest in the head, so that who holds the right head needs to trust
// nothing else. docs/internals/delta-patch.md describes it. Pure: knows no image and no device.

import { createHash } from 'node:crypto';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { OtadError } from '../agent/core/errors.ts';
import type { ByteRange } from '../agent/core/ports.ts';
import { type ByteSource, readRange } from './byte-source.ts';
import { refusePatch } from './number-stream.ts';
import {
  decodeHead,
  encodeHead,
  type GroupBytes,
  type GroupEntry,
  groupDigestBytes,
  groupStreams,
  type PatchHead,
} from './patch-head.ts';
import { checksumOf } from './patch-operations.ts';

const magic = 'OTADPTCH';
const formatVersion = 1;
/** Magic 8, version 4, and of the head: bytes here 4, bytes unpacked 4, CRC-32 of them 4. */
const prefixBytes = 24;
const headBytesMax = 4 * 1024 * 1024;
/** Prefix and head of a patch: what is read of it before anything else. */
export const patchHeadBytesMax = prefixBytes + headBytesMax;

const pack = (bytes: Uint8Array): Buffer =>
  brotliCompressSync(bytes, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: 22,
      [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
    },
  });

/** What packing does not shorten stays as it is: equal lengths say so. */
const packIfShorter = (raw: Buffer): Buffer => {
  const packed = pack(raw);
  return packed.length < raw.length ? packed : raw;
};

/** Exactly `rawBytes`, however much the bytes would grow to. */
const unpack = (bytes: Buffer, rawBytes: number, what: string): Buffer => {
  if (bytes.length === rawBytes) return bytes;
  try {
    const raw = brotliDecompressSync(bytes, { maxOutputLength: Math.max(1, rawBytes) });
    return raw.length === rawBytes ? raw : refusePatch(`${what} has another length than it says`);
  } catch (cause) {
    if (cause instanceof OtadError) throw cause;
    throw new OtadError('PATCH_MALFORMED', { reason: `${what} does not unpack` }, { cause });
  }
};

const digestOf = (bytes: Uint8Array): string =>
  createHash('sha256')
    .update(bytes)
    .digest('hex')
    .slice(0, 2 * groupDigestBytes);

/** The group's bytes in the file and its entry in the head. */
export const packGroup = (newBytes: number, bytes: GroupBytes): { entry: GroupEntry; packed: Buffer } => {
  const pieces = groupStreams.map((name) => {
    const raw = Buffer.from(bytes[name].buffer, bytes[name].byteOffset, bytes[name].byteLength);
    return { packed: packIfShorter(raw), rawBytes: raw.length };
  });
  const packed = Buffer.concat(pieces.map((piece) => piece.packed));
  const streams = pieces.map((piece) => ({ packedBytes: piece.packed.length, rawBytes: piece.rawBytes }));
  return { entry: { newBytes, packedBytes: packed.length, digestHex: digestOf(packed), streams }, packed };
};

export const encodePatch = (head: PatchHead, packedGroups: readonly Uint8Array[]): Buffer => {
  const raw = encodeHead(head);
  const packed = packIfShorter(raw);
  const prefix = Buffer.alloc(prefixBytes);
  prefix.write(magic, 0, 'latin1');
  prefix.writeUInt32LE(formatVersion, 8);
  prefix.writeUInt32LE(packed.length, 12);
  prefix.writeUInt32LE(raw.length, 16);
  prefix.writeUInt32LE(checksumOf(packed), 20);
  return Buffer.concat([prefix, packed, ...packedGroups]);
};

/** Where a patch of this prefix has its groups: behind prefix and head. */
const headEndOf = (prefix: Buffer): number => {
  if (prefix.length < prefixBytes) return refusePatch('it ends too early');
  if (prefix.toString('latin1', 0, 8) !== magic) return refusePatch('no patch');
  if (prefix.readUInt32LE(8) !== formatVersion) return refusePatch(`format ${prefix.readUInt32LE(8)} is not known`);
  const [packedBytes, rawBytes] = [prefix.readUInt32LE(12), prefix.readUInt32LE(16)];
  if (packedBytes > headBytesMax || rawBytes > headBytesMax) return refusePatch('its head is too long');
  return prefixBytes + packedBytes;
};

/** Prefix and head, of all of the patch: what its publisher signs, so that gateways can trust them before the rest is there. */
export const headBytesOf = (patch: Uint8Array): Buffer => {
  const bytes = Buffer.from(patch.buffer, patch.byteOffset, patch.byteLength);
  const end = headEndOf(bytes);
  return end > bytes.length ? refusePatch('it ends too early') : bytes.subarray(0, end);
};

/** What the head tells: where the groups lie, and what they hold when they are what it names. */
export interface PatchPlan {
  readonly head: PatchHead;
  rangeOf(index: number): ByteRange;
  /** Of the file. */
  readonly lengthBytes: number;
  isGroup(index: number, packed: Uint8Array): boolean;
  /** Throws PATCH_MALFORMED unless it is the group that the head names. */
  unpackGroup(index: number, packed: Uint8Array): GroupBytes;
}

/** Prefix and head, exactly. Throws PATCH_MALFORMED on anything but the documented form. */
export const readPatchHead = (bytes: Uint8Array): PatchPlan => {
  const headBytes = headBytesOf(bytes);
  if (headBytes.length !== bytes.length) return refusePatch('its head has another length');
  const packedHead = headBytes.subarray(prefixBytes);
  if (checksumOf(packedHead) !== headBytes.readUInt32LE(20)) return refusePatch('its head is damaged');
  const head = decodeHead(unpack(packedHead, headBytes.readUInt32LE(16), 'the head'));
  const offsets: number[] = [];
  let end = headBytes.length;
  for (const group of head.groups) {
    offsets.push(end);
    end += group.packedBytes;
  }
  const entryOf = (index: number): GroupEntry => head.groups[index] ?? refusePatch('there is no such group');
  const isGroup = (index: number, packed: Uint8Array): boolean =>
    packed.length === entryOf(index).packedBytes && digestOf(packed) === entryOf(index).digestHex;
  return {
    head,
    lengthBytes: end,
    isGroup,
    rangeOf: (index) => ({ offsetBytes: offsets[index] ?? 0, lengthBytes: entryOf(index).packedBytes }),
    unpackGroup: (index, packed) => {
      if (!isGroup(index, packed)) return refusePatch('a group is damaged');
      const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.byteLength);
      let at = 0;
      const streams = groupStreams.map((name, place) => {
        const { packedBytes: length = 0, rawBytes: raw = 0 } = entryOf(index).streams[place] ?? {};
        at += length;
        return [name, unpack(bytes.subarray(at - length, at), raw, `the stream ${name}`)] as const;
      });
      return Object.fromEntries(streams) as unknown as GroupBytes;
    },
  };
};

/** A patch whose head is read and checked. */
export interface OpenPatch {
  readonly head: PatchHead;
  /** Throws PATCH_MALFORMED, and what the source throws. */
  readGroup(index: number): Promise<GroupBytes>;
}

/** Throws PATCH_MALFORMED on anything but a whole patch of the documented form. */
export const openPatch = async (source: ByteSource): Promise<OpenPatch> => {
  const read = async (offset: number, length: number): Promise<Buffer> =>
    offset + length > source.lengthBytes
      ? refusePatch('it ends too early')
      : readRange(source, offset, length, 'a patch');
  const plan = readPatchHead(await read(0, headEndOf(await read(0, prefixBytes))));
  if (plan.lengthBytes !== source.lengthBytes) return refusePatch('another length than its groups take');
  return {
    head: plan.head,
    readGroup: async (index) => {
      const { offsetBytes, lengthBytes } = plan.rangeOf(index);
      return plan.unpackGroup(index, await read(offsetBytes, lengthBytes));
    },
  };
};
