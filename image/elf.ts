// What a program says it needs to start: its loader and its libraries. Pure; 64-bit little-endian ELF only, as both of our
// architectures are.

import { OtadError } from '../agent/core/errors.ts';

export interface ElfNeeds {
  /** Absolute path, as the program has it. */
  readonly loader: string | null;
  readonly libraries: readonly string[];
}

const segmentLoad = 1;
const segmentDynamic = 2;
const segmentInterpreter = 3;
const tagNeeded = 1;
const tagStringTable = 5;
const dynamicEntryBytes = 16;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly lengthBytes: number;
}

const segmentsOf = (file: Buffer): readonly Segment[] => {
  const start = Number(file.readBigUInt64LE(32));
  const size = file.readUInt16LE(54);
  return Array.from({ length: file.readUInt16LE(56) }, (_, index) => {
    const at = start + index * size;
    return {
      type: file.readUInt32LE(at),
      offset: Number(file.readBigUInt64LE(at + 8)),
      address: Number(file.readBigUInt64LE(at + 16)),
      lengthBytes: Number(file.readBigUInt64LE(at + 32)),
    };
  });
};

const textAt = (file: Buffer, offset: number): string => file.toString('latin1', offset, file.indexOf(0, offset));

/** Throws IMAGE_UNUSABLE where the file is no such program. */
export const readElfNeeds = (bytes: Uint8Array, path: string): ElfNeeds => {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) {
    throw new OtadError('IMAGE_UNUSABLE', { path, problem: 'not a 64-bit ELF program' });
  }
  const segments = segmentsOf(file);
  const interpreter = segments.find(({ type }) => type === segmentInterpreter);
  const loader = interpreter === undefined ? null : textAt(file, interpreter.offset);
  const dynamic = segments.find(({ type }) => type === segmentDynamic);
  if (dynamic === undefined) return { loader, libraries: [] };
  const entries = Array.from({ length: Math.floor(dynamic.lengthBytes / dynamicEntryBytes) }, (_, index) => {
    const at = dynamic.offset + index * dynamicEntryBytes;
    return { tag: Number(file.readBigInt64LE(at)), value: Number(file.readBigUInt64LE(at + 8)) };
  });
  const address = entries.find(({ tag }) => tag === tagStringTable)?.value ?? 0;
  const holder = segments.find(
    (segment) =>
      segment.type === segmentLoad && address >= segment.address && address < segment.address + segment.lengthBytes,
  );
  const strings = address - (holder?.address ?? 0) + (holder?.offset ?? 0);
  const libraries = entries.filter(({ tag }) => tag === tagNeeded).map(({ value }) => textAt(file, strings + value));
  return { loader, libraries };
};
