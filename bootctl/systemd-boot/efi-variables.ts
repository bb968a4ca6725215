// The variables through which systemd-boot and the running system speak, in the files of efivarfs: four bytes of
// attributes, then UTF-16 with a NUL at the end. Read only, but for one: a one-shot choice can be taken back.

import { spawn } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';

export const efivarsPathDefault = '/sys/firmware/efi/efivars';
const vendor = '4a67b082-0a4c-41cf-b6c7-440b29bb8c4f';
const variableBytesMax = 65536;
const chattrMs = 10_000;

export type LoaderVariable =
  | 'LoaderBootCountPath'
  | 'LoaderDevicePartUUID'
  | 'LoaderEntryDefault'
  | 'LoaderEntryLastBooted'
  | 'LoaderEntryOneShot'
  | 'LoaderEntrySelected'
  | 'LoaderInfo';

export interface EfiVariables {
  /** null: not set, or no text. */
  read(name: LoaderVariable): Promise<string | null>;
  remove(name: LoaderVariable): Promise<void>;
}

export const variableFile = (folder: string, name: LoaderVariable): string => join(folder, `${name}-${vendor}`);

/** A variable's file as efivarfs shows it; `attributes` 7: kept over a reset. */
export const encodeVariable = (text: string, attributes = 7): Uint8Array => {
  const value = Buffer.from(`${text}\0`, 'utf16le');
  const bytes = Buffer.alloc(4 + value.length);
  bytes.writeUInt32LE(attributes, 0);
  value.copy(bytes, 4);
  return bytes;
};

export const decodeVariable = (bytes: Uint8Array): string | null => {
  if (bytes.length < 6 || bytes.length % 2 !== 0) return null;
  return Buffer.from(bytes.subarray(4)).toString('utf16le').replace(/\0.*$/s, '');
};

/** efivarfs marks its files immutable; Node cannot take that mark away, chattr can. Elsewhere it fails, which is well. */
const makeMutable = (path: string): Promise<void> =>
  new Promise((resolve) => {
    const child = spawn('chattr', ['-i', path], { stdio: 'ignore', timeout: chattrMs });
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });

/** A folder that is missing is a machine without such variables: all of them are unset. */
export const openEfiVariables = (folder: string): EfiVariables => ({
  read: async (name) => {
    try {
      const handle = await open(variableFile(folder, name), 'r');
      try {
        // efivarfs wants a variable read at once.
        const buffer = Buffer.alloc(variableBytesMax);
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
        return decodeVariable(buffer.subarray(0, bytesRead));
      } finally {
        await handle.close();
      }
    } catch {
      return null;
    }
  },
  remove: async (name) => {
    const path = variableFile(folder, name);
    try {
      await makeMutable(path);
      await rm(path, { force: true });
    } catch (cause) {
      throw new OtadError('BOOT_ENV_UNWRITABLE', { path, reason: (cause as Error).message }, { cause });
    }
  },
});
