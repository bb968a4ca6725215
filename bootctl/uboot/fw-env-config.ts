// Parses /etc/fw_env.config as libubootenv reads it, for environments in plain files and on block devices. Pure.
// What cannot be handled safely is refused with file, line and the way out; a line is never skipped silently, because a
// mistyped second line would turn a redundant environment into a single one.

import { OtadError } from '../../agent/core/errors.ts';

export interface EnvLocation {
  readonly path: string;
  /** Negative: from the end of the block device. */
  readonly offsetBytes: number;
  readonly line: number;
}

export interface FwEnvConfig {
  /** Name of the parsed file, for messages. */
  readonly file: string;
  /** The same for each copy, header included. */
  readonly sizeBytes: number;
  /** One, or two for a redundant environment. */
  readonly copies: readonly EnvLocation[];
}

const configBytesMax = 65536;
const sizeBytesMin = 64;
/** U-Boot's own are 4 to 256 KiB. */
const sizeBytesMax = 1024 * 1024;

const offsetPattern = /^[+-]?(?:0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)$/i;
/** Sizes are hex with or without the prefix, as scanf's %zx has it. */
const sizePattern = /^(?:0x)?[0-9a-f]+$/i;

const parseOffset = (text: string): number => {
  const sign = text.startsWith('-') ? -1 : 1;
  const digits = text.replace(/^[+-]/, '');
  const base = /^0x/i.test(digits) ? 16 : digits.startsWith('0') ? 8 : 10;
  return sign * Number.parseInt(digits, base) || 0;
};

/** MTD and UBI, their block device emulations included: erase blocks and bad blocks need what only U-Boot's tools do. */
export const isRawFlash = (path: string): boolean => /^\/dev\/(?:mtd|ubi)/.test(path);

export const rawFlashReason = (path: string): string =>
  `${path} is raw flash (MTD or UBI): keep the environment in a file or on a block device (eMMC, SD, disk)`;

/** What libubootenv 0.3.4 and newer also reads, as a whole file in YAML. */
const yamlPattern = /^\s*(?:---|%YAML|-\s|[\w-]+\s*:(?:\s|$))/;
/** As scanf has it. Not `\s`, which would take a byte order mark or a no-break space for a blank. */
const blanks = /[ \t\r\v\f]+/;

interface Entry extends EnvLocation {
  readonly sizeBytes: number;
}

const parseLine = (content: string, words: readonly string[], file: string, line: number): Entry => {
  const refuse = (reason: string): OtadError => new OtadError('BOOT_ENV_UNSUPPORTED', { file, line, reason });
  const [path = '', offset = '', size = ''] = words;
  if (yamlPattern.test(content)) {
    throw refuse('this is the YAML form: write one line per copy instead: device, offset, size');
  }
  if (isRawFlash(path)) throw refuse(rawFlashReason(path));
  if (path.includes(':')) {
    throw refuse(`${path} has a colon, which fw_setenv takes for a UBI volume: use another link to the device`);
  }
  if (!path.startsWith('/')) throw refuse(`${path} is not an absolute path`);
  if (!offsetPattern.test(offset)) throw refuse(`the offset (second field) must be a number, not '${offset}'`);
  if (!sizePattern.test(size)) throw refuse(`the size (third field) must be a hex number, not '${size}'`);
  const offsetBytes = parseOffset(offset);
  const sizeBytes = Number.parseInt(size.replace(/^0x/i, ''), 16);
  if (!Number.isSafeInteger(offsetBytes)) throw refuse(`the offset ${offset} is out of range`);
  if (sizeBytes < sizeBytesMin || sizeBytes > sizeBytesMax) {
    throw refuse(`the size is hex and must be ${sizeBytesMin} to ${sizeBytesMax} bytes, not ${size}`);
  }
  return { path, offsetBytes, sizeBytes, line };
};

/** Throws BOOT_ENV_UNSUPPORTED. `file` is only named in messages. Entries after the second are not read, as fw_setenv does. */
export const parseFwEnvConfig = (text: string, file: string): FwEnvConfig => {
  if (text.length > configBytesMax) throw new OtadError('BOOT_ENV_UNSUPPORTED', { file, reason: 'file too long' });
  const entries: Entry[] = [];
  for (const [index, content] of text.split('\n').entries()) {
    const words = content.split(blanks).filter((word) => word !== '');
    if (words[0] === undefined || words[0].startsWith('#')) continue;
    entries.push(parseLine(content, words, file, index + 1));
    if (entries.length === 2) break;
  }
  const [first, second] = entries;
  if (first === undefined) {
    throw new OtadError('BOOT_ENV_UNSUPPORTED', { file, reason: 'no line names a device: device, offset, size' });
  }
  if (second !== undefined) {
    const refuse = (reason: string): OtadError =>
      new OtadError('BOOT_ENV_UNSUPPORTED', { file, line: second.line, reason });
    if (second.sizeBytes !== first.sizeBytes) throw refuse(`both copies must have the same size (line ${first.line})`);
    const isSameEnd = Math.sign(first.offsetBytes + 0.5) === Math.sign(second.offsetBytes + 0.5);
    const distance = Math.abs(first.offsetBytes - second.offsetBytes);
    if (first.path === second.path && isSameEnd && distance < first.sizeBytes) {
      throw refuse(`the copies overlap (line ${first.line}): a write of one would destroy the other`);
    }
  }
  return {
    file,
    sizeBytes: first.sizeBytes,
    copies: entries.map(({ path, offsetBytes, line }) => ({ path, offsetBytes, line })),
  };
};
