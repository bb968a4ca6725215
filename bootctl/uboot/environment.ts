// Codec of the U-Boot environment: one copy in bytes, and which of two copies counts. Pure.
// The flag byte lies outside the CRC, so a single flipped bit can make a stale copy win in U-Boot. `otad_seq` inside
// the data is what decides here; where the two disagree the caller writes again, after which both say the same.

import { crc32 } from 'node:zlib';
import { OtadError } from '../../agent/core/errors.ts';

/** Names and values as bytes (latin1), so that whatever somebody else stored survives unchanged. */
export type Variables = ReadonlyMap<string, string>;

export interface EnvCopy {
  readonly variables: Variables;
  /** null in an environment of a single copy. */
  readonly flag: number | null;
  /** `otad_seq`; null in a copy that otad has not adopted. */
  readonly sequence: number | null;
  /**
   * Why U-Boot, which goes by the checksum alone, would not boot from this copy. `empty`: it takes it and has no `bootcmd`.
   * `nameless`: a value without a name makes it refuse the whole import and go by its compiled-in defaults.
   */
  readonly fault: 'empty' | 'nameless' | null;
}

/** Index of a copy: the line of fw_env.config it stands on. */
export type CopyIndex = 0 | 1;

export const sequenceName = 'otad_seq';
/** Fits the 32 bits of `setexpr` on small machines and is out of reach of any flash. */
const sequenceMax = 0xffff_0000;

const headerBytes = (isRedundant: boolean): number => (isRedundant ? 5 : 4);

/** Hex without prefix: the form that `setexpr` in the boot script reads and writes. */
const parseSequence = (text: string | undefined): number | null => {
  if (text === undefined || !/^[0-9a-f]{1,8}$/.test(text)) return null;
  const sequence = Number.parseInt(text, 16);
  return sequence <= sequenceMax ? sequence : null;
};

/** The last value of a name counts. A list that fills the copy to its last byte ends there, as U-Boot has it. */
const decodeVariables = (data: Buffer): Variables => {
  const variables = new Map<string, string>();
  let start = 0;
  while (start < data.length && data[start] !== 0) {
    const zero = data.indexOf(0, start);
    const end = zero < 0 ? data.length : zero;
    const entry = data.toString('latin1', start, end);
    const equals = entry.indexOf('=');
    if (equals >= 0) variables.set(entry.slice(0, equals), entry.slice(equals + 1));
    start = end + 1;
  }
  return variables;
};

const faultOf = (variables: Variables): EnvCopy['fault'] => {
  if (variables.size === 0) return 'empty';
  return (variables.get('') ?? '') === '' ? null : 'nameless';
};

/** null: too short, or the checksum is wrong. */
export const decodeCopy = (image: Uint8Array, isRedundant: boolean): EnvCopy | null => {
  const bytes = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  const header = headerBytes(isRedundant);
  if (bytes.length <= header) return null;
  const data = bytes.subarray(header);
  if (bytes.readUInt32LE(0) !== crc32(data)) return null;
  const variables = decodeVariables(data);
  return {
    variables,
    flag: isRedundant ? bytes.readUInt8(4) : null,
    sequence: parseSequence(variables.get(sequenceName)),
    fault: faultOf(variables),
  };
};

/**
 * Sorted, with `.flags` last, as fw_setenv writes it, but the sequence first: then the sector that holds checksum and flag
 * differs in its data as well, and no tear inside it can leave a new flag beside an old checksum that is right.
 * Throws BOOT_ENV_UNWRITABLE when it does not fit or is empty.
 */
export const encodeCopy = (variables: Variables, sizeBytes: number, flag: number | null): Uint8Array => {
  const header = headerBytes(flag !== null);
  const rank = (name: string): string => (name === sequenceName ? '' : name === '.flags' ? '\u{ffff}' : name);
  const names = [...variables.keys()].sort((one, two) => (rank(one) < rank(two) ? -1 : 1));
  const text = names.map((name) => `${name}=${variables.get(name)}\0`).join('');
  if (names.length === 0)
    throw new OtadError('BOOT_ENV_UNWRITABLE', { reason: 'an empty environment is never stored' });
  // The list ends with an empty string; without it some readers run past the end.
  if (header + text.length + 1 > sizeBytes) {
    throw new OtadError('BOOT_ENV_UNWRITABLE', {
      reason: 'the environment is full: delete variables that nobody uses',
      neededBytes: header + text.length + 1,
      sizeBytes,
    });
  }
  const bytes = Buffer.alloc(sizeBytes);
  bytes.write(text, header, 'latin1');
  bytes.writeUInt32LE(crc32(bytes.subarray(header)), 0);
  if (flag !== null) bytes.writeUInt8(flag, 4);
  return bytes;
};

/** The copy that U-Boot and fw_printenv use: the newer flag, one step past 255 being 0. null: no checksum is right. */
export const chooseByFlag = (copies: readonly (EnvCopy | null)[]): CopyIndex | null => {
  const [first = null, second = null] = copies;
  if (first === null || second === null) return first !== null ? 0 : second !== null ? 1 : null;
  const one = first.flag ?? 0;
  const two = second.flag ?? 0;
  if (one === 255 && two === 0) return 1;
  if (two === 255 && one === 0) return 0;
  return two > one ? 1 : 0;
};

/**
 * The copy that was really written last, among those that hold variables. Every writer of ours raises the sequence by
 * one, so between neighbours it decides. Equal (fw_setenv does not raise it), missing, or further apart (a technician
 * restored a backup with fw_setenv): the flag does, or the technician's change would be undone behind his back.
 */
export const chooseBySequence = (copies: readonly (EnvCopy | null)[]): CopyIndex | null => {
  const filled = copies.map((copy) => (copy?.fault === 'empty' ? null : copy));
  const one = filled[0]?.sequence ?? null;
  const two = filled[1]?.sequence ?? null;
  if (one === null || two === null || Math.abs(one - two) !== 1) return chooseByFlag(filled);
  return two > one ? 1 : 0;
};

/** What the next write is: into the copy that does not count, newer in both flag and sequence than all that is there. */
export const nextCopy = (
  copies: readonly (EnvCopy | null)[],
  current: CopyIndex | null,
  variables: Variables,
): { readonly index: CopyIndex; readonly flag: number | null; readonly variables: Variables } => {
  const isRedundant = copies.length === 2;
  const newest = Math.max(0, ...copies.map((copy) => copy?.sequence ?? 0));
  // Where none holds variables U-Boot may still go by the flag of an empty one.
  const base = current ?? chooseByFlag(copies);
  const flag = base === null ? 0 : (copies[base]?.flag ?? 0);
  const next = new Map(variables).set(sequenceName, (newest + 1).toString(16));
  next.delete('');
  return {
    index: isRedundant && base === 0 ? 1 : 0,
    flag: isRedundant ? (flag + 1) & 0xff : null,
    variables: next,
  };
};
