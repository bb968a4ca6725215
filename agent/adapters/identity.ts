// Who this gateway is: device id, boot id, os-release, and its place in a rollout. Ids are derived; the machine id
// itself must never leave this file. Reads only.

import { createHash, createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { OtadError } from '../core/errors.ts';
import type { ReleaseRef } from '../core/types.ts';

/** otad's own id: whoever knows the device id of otad does not know the machine id, nor the id of another program. */
const applicationId = Buffer.from('5f1c2a7e9d0b4c638e44f0b8a1d36c97', 'hex');
const sourceBytesMax = 4096;

const readShort = async (path: string): Promise<string> => {
  try {
    const text = (await readFile(path, 'utf8')).trim();
    if (text !== '' && text.length <= sourceBytesMax) return text;
  } catch (error) {
    throw new OtadError(
      'CONFIG_UNREADABLE',
      { file: path, problem: (error as NodeJS.ErrnoException).code },
      { cause: error },
    );
  }
  throw new OtadError('CONFIG_UNREADABLE', { file: path, problem: `expected 1 to ${sourceBytesMax} characters` });
};

/**
 * The device id of a machine id (32 hex digits) or of any other text that is this gateway's alone, such as a serial
 * number: HMAC-SHA256 over otad's id, cut and marked as a version 4 UUID, as systemd derives its application ids.
 */
export const deviceIdOf = (source: string): string => {
  const key = /^[0-9a-f]{32}$/.test(source) ? Buffer.from(source, 'hex') : Buffer.from(source, 'utf8');
  const id = createHmac('sha256', key).update(applicationId).digest().subarray(0, 16);
  id.writeUInt8((id.readUInt8(6) & 0x0f) | 0x40, 6);
  id.writeUInt8((id.readUInt8(8) & 0x3f) | 0x80, 8);
  return id.toString('hex');
};

/** Reads `path` (deviceIdPath). CONFIG_UNREADABLE when it is missing, empty or not yet initialised. */
export const readDeviceId = async (path: string): Promise<string> => {
  const source = await readShort(path);
  if (source === 'uninitialized') {
    throw new OtadError('CONFIG_UNREADABLE', { file: path, problem: 'the machine id is not initialised yet' });
  }
  return deviceIdOf(source);
};

/** Differs after every boot of the kernel. */
export const readBootId = (path = '/proc/sys/kernel/random/boot_id'): Promise<string> => readShort(path);

const waveBits = 48;

/** Uniform in [0, 100); another place for each release, so that no device is always first. */
export const wavePercent = (deviceId: string, releaseId: string): number => {
  const digest = createHash('sha256').update(`${deviceId}\n${releaseId}`).digest();
  return (digest.readUIntBE(0, waveBits / 8) / 2 ** waveBits) * 100;
};

/** A value as a shell would read it, which is what os-release(5) asks for. */
const unquote = (raw: string): string => {
  const value = raw.trim();
  if (value.startsWith("'")) return value.slice(1, value.endsWith("'") && value.length > 1 ? -1 : undefined);
  if (!value.startsWith('"')) return value.replace(/\\(.)/g, '$1');
  return value.slice(1, value.endsWith('"') && value.length > 1 ? -1 : undefined).replace(/\\(["$`\\])/g, '$1');
};

export const parseOsRelease = (text: string): ReadonlyMap<string, string> =>
  new Map(
    text.split('\n').flatMap((line) => {
      const match = /^\s*([A-Z][A-Z0-9_]*)=(.*)$/.exec(line);
      return match === null ? [] : [[match[1] ?? '', unquote(match[2] ?? '')] as const];
    }),
  );

export interface OsRelease {
  readonly imageId: string | null;
  readonly imageVersion: string | null;
  /** OTAD_COMPATIBLE and OTAD_HARDWARE_REVISION: the image's word where no setting says otherwise. */
  readonly compatible: string | null;
  readonly hardwareRevision: string | null;
  /** OTAD_BUILD_TIME: when the image was built, seconds since 1970; 0 where it does not say. */
  readonly buildTimeS: number;
  /** The release that otapub built this image as; null where it was built by something else. */
  readonly release: ReleaseRef | null;
}

const releaseOf = (field: (name: string) => string | null): ReleaseRef | null => {
  const [id, version, sequence] = [field('OTAD_RELEASE'), field('IMAGE_VERSION'), Number(field('OTAD_SEQUENCE'))];
  if (id === null || version === null || !Number.isSafeInteger(sequence) || sequence < 1) return null;
  return { id, version, sequence };
};

/** The first of `paths` that can be read; empty where none can. */
export const readOsRelease = async (
  paths: readonly string[] = ['/etc/os-release', '/usr/lib/os-release'],
): Promise<OsRelease> => {
  let fields: ReadonlyMap<string, string> = new Map();
  for (const path of paths) {
    const text = await readFile(path, 'utf8').catch(() => null);
    if (text === null) continue;
    fields = parseOsRelease(text);
    break;
  }
  const field = (name: string): string | null => fields.get(name) ?? null;
  return {
    imageId: field('IMAGE_ID'),
    imageVersion: field('IMAGE_VERSION'),
    compatible: field('OTAD_COMPATIBLE'),
    hardwareRevision: field('OTAD_HARDWARE_REVISION'),
    release: releaseOf(field),
    buildTimeS: /^\d{1,11}$/.test(field('OTAD_BUILD_TIME') ?? '') ? Number(field('OTAD_BUILD_TIME')) : 0,
  };
};
