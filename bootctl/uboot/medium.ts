// Reads and writes the copies of a U-Boot environment on files and block devices.
// A write goes to one copy only, is synchronised, and is read back from the medium before anybody believes it.
// A copy that cannot be read is as good as a corrupt one: it never keeps the other from being used.

import { constants } from 'node:fs';
import { type FileHandle, open, readFile, realpath, stat, writeFile } from 'node:fs/promises';
import { OtadError } from '../../agent/core/errors.ts';
import { type CopyIndex, decodeCopy, type EnvCopy, encodeCopy, type Variables } from './environment.ts';
import { type EnvLocation, type FwEnvConfig, isRawFlash, rawFlashReason } from './fw-env-config.ts';

export interface CopyReading {
  readonly copy: EnvCopy | null;
  /** The bytes as read, or null when they could not be. */
  readonly image: Uint8Array | null;
  /** For a technician: why `copy` is null, or what is wrong with it. */
  readonly problem: string | null;
}

const blockBytes = 4096;
const wasmPageBytes = 65536;

/** O_DIRECT needs memory on a page boundary, and this is the one kind that Node has. */
const alignedBuffer = (lengthBytes: number): Uint8Array => {
  const { WebAssembly } = globalThis as unknown as {
    WebAssembly: { Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer } };
  };
  const memory = new WebAssembly.Memory({ initial: Math.ceil(lengthBytes / wasmPageBytes) });
  return new Uint8Array(memory.buffer, 0, lengthBytes);
};

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

/** Where a copy is once links and offsets from the end are resolved. */
interface Place {
  readonly offset: number;
  /** The same for every name of the same file or device. */
  readonly medium: string;
}

const locate = async (config: FwEnvConfig, { path, offsetBytes, line }: EnvLocation): Promise<Place> => {
  const facts = await stat(path);
  const refuse = (reason: string): OtadError =>
    new OtadError('BOOT_ENV_UNSUPPORTED', { file: config.file, line, reason });
  // By the real name as well: a link to /dev/mtdblock0 is raw flash without erase blocks or wear levelling of its own.
  if (facts.isCharacterDevice() || isRawFlash(await realpath(path))) throw refuse(rawFlashReason(path));
  if (!facts.isBlockDevice()) {
    if (offsetBytes < 0) throw refuse(`an offset from the end needs a block device, and ${path} is none`);
    return { offset: offsetBytes, medium: `file ${facts.dev}:${facts.ino}` };
  }
  const medium = `device ${facts.rdev}`;
  if (offsetBytes >= 0) return { offset: offsetBytes, medium };
  // Linux packs the device number as glibc's makedev does; minors above 255 reach into the high bits.
  const major = Math.floor(facts.rdev / 256) & 0xfff;
  const minor = (facts.rdev & 0xff) | (Math.floor(facts.rdev / 0x1000) & 0xfff00);
  const sectors = Number(await readFile(`/sys/dev/block/${major}:${minor}/size`, 'latin1'));
  if (sectors * 512 + offsetBytes < 0) throw refuse(`the offset lies before the start of ${path}`);
  return { offset: sectors * 512 + offsetBytes, medium };
};

const readSpan = async (handle: FileHandle, offset: number, length: number): Promise<Uint8Array | null> => {
  const start = Math.floor(offset / blockBytes) * blockBytes;
  const buffer = alignedBuffer(Math.ceil((offset + length - start) / blockBytes) * blockBytes);
  let done = 0;
  while (start + done < offset + length) {
    const { bytesRead } = await handle.read(buffer, done, buffer.length - done, start + done);
    if (bytesRead === 0) return null;
    done += bytesRead;
  }
  return Uint8Array.prototype.slice.call(buffer, offset - start, offset - start + length);
};

/** Past the page cache where the file system allows it, otherwise through a descriptor opened anew. */
export const readImage = async (path: string, offset: number, length: number): Promise<Uint8Array | null> => {
  const attempt = async (flags: number): Promise<Uint8Array | null> => {
    const handle = await open(path, constants.O_RDONLY | flags);
    try {
      return await readSpan(handle, offset, length);
    } finally {
      await handle.close();
    }
  };
  try {
    return await attempt(constants.O_DIRECT);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EINVAL') throw cause;
    return attempt(0);
  }
};

const readCopy = async (
  config: FwEnvConfig,
  location: EnvLocation,
): Promise<CopyReading & { readonly place: Place | null }> => {
  let place: Place | null = null;
  try {
    place = await locate(config, location);
    const image = await readImage(location.path, place.offset, config.sizeBytes);
    if (image === null) return { place, copy: null, image, problem: 'the file ends before the copy does' };
    const copy = decodeCopy(image, config.copies.length === 2);
    return { place, copy, image, problem: copy === null ? 'the checksum is wrong' : faultSentence(copy) };
  } catch (cause) {
    if (cause instanceof OtadError) throw cause;
    return { place, copy: null, image: null, problem: reasonOf(cause) };
  }
};

const faultSentence = ({ fault }: EnvCopy): string | null => {
  if (fault === null) return null;
  return fault === 'empty' ? 'it holds no variable' : 'a variable has no name, so U-Boot goes by its defaults';
};

/** All copies. Throws BOOT_ENV_UNREADABLE when not one could even be read, BOOT_ENV_UNSUPPORTED when they overlap. */
export const readCopies = async (config: FwEnvConfig): Promise<readonly CopyReading[]> => {
  const readings: Awaited<ReturnType<typeof readCopy>>[] = [];
  for (const location of config.copies) readings.push(await readCopy(config, location));
  const [one, two] = readings.map(({ place }) => place);
  if (one && two && one.medium === two.medium && Math.abs(one.offset - two.offset) < config.sizeBytes) {
    // Before any write: it would destroy the copy that it is meant to leave alone.
    throw new OtadError('BOOT_ENV_UNSUPPORTED', {
      file: config.file,
      line: config.copies[1]?.line,
      reason: 'both lines name the same place, so there is only one copy: give each copy its own',
    });
  }
  if (readings.every(({ image }) => image === null)) {
    throw new OtadError('BOOT_ENV_UNREADABLE', {
      file: config.file,
      reason: readings.map(({ problem }, index) => `${config.copies[index]?.path}: ${problem}`).join('; '),
    });
  }
  return readings;
};

/** eMMC boot areas are write-protected by a switch in sysfs; null for every other device. */
export const writeProtectSwitch = (devicePath: string): string | null => {
  const name = /^\/dev\/(?:block\/)?(mmcblk[0-9]boot[0-9])$/.exec(devicePath)?.[1];
  return name === undefined ? null : `/sys/class/block/${name}/force_ro`;
};

const writeImage = async (path: string, offset: number, image: Uint8Array): Promise<void> => {
  const handle = await open(path, constants.O_RDWR);
  try {
    let done = 0;
    while (done < image.length) {
      done += (await handle.write(image, done, image.length - done, offset + done)).bytesWritten;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/**
 * Runs `write` with the switch at 0 and puts it back. One that says 0 already is left alone: a udev rule may have opened
 * the area for a service to which sysfs is read-only.
 */
export const whileUnprotected = async (switchPath: string, write: () => Promise<void>): Promise<void> => {
  if ((await readFile(switchPath, 'latin1')).trim() === '0') return write();
  await writeFile(switchPath, '0');
  try {
    await write();
  } finally {
    await writeFile(switchPath, '1');
  }
};

const writeUnprotected = async (path: string, offset: number, image: Uint8Array): Promise<void> => {
  const protection = writeProtectSwitch(await realpath(path));
  const write = () => writeImage(path, offset, image);
  return protection === null ? write() : whileUnprotected(protection, write);
};

/** One copy, durably, and compared with what the medium gives back. Throws BOOT_ENV_UNWRITABLE or BOOT_WRITE_LOST. */
export const writeCopy = async (
  config: FwEnvConfig,
  index: CopyIndex,
  variables: Variables,
  flag: number | null,
): Promise<void> => {
  const location = config.copies[index];
  if (location === undefined) throw new OtadError('INTERNAL', { copy: index, copies: config.copies.length });
  const image = encodeCopy(variables, config.sizeBytes, flag);
  const { path, line } = location;
  let actual: Uint8Array | null;
  try {
    const { offset } = await locate(config, location);
    await writeUnprotected(path, offset, image);
    actual = await readImage(path, offset, image.length);
  } catch (cause) {
    if (cause instanceof OtadError) throw cause;
    throw new OtadError('BOOT_ENV_UNWRITABLE', { path, line, reason: reasonOf(cause) }, { cause });
  }
  if (actual === null || Buffer.compare(actual, image) !== 0) throw new OtadError('BOOT_WRITE_LOST', { path, line });
};

/** Makes a new environment: every copy valid, the first one current. For factories, image builds and tests. */
export const formatEnvironment = async (config: FwEnvConfig, variables: Variables): Promise<void> => {
  const isRedundant = config.copies.length === 2;
  if (isRedundant) await writeCopy(config, 1, variables, 0);
  await writeCopy(config, 0, variables, isRedundant ? 1 : null);
};
