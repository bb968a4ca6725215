// Reads and merges drop-in files. The rules are systemd's: of files with one name the last folder's counts, files apply
// in the order of their names, and a link to /dev/null masks. Objects merge, everything else is replaced whole.
// An empty file is an error and never a mask: a power cut right after a file was created leaves just that.

import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../core/errors.ts';
import { JsonTextError, parseJsonText } from './json-text.ts';

const fileBytesMax = 256 * 1024;
const filesMax = 128;

export type PlainObject = { readonly [key: string]: unknown };

/** Settings as merged so far, and the file that each dotted key came from. */
export interface Merged {
  readonly value: PlainObject;
  readonly origin: ReadonlyMap<string, string>;
}

export const isPlainObject = (value: unknown): value is PlainObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const unreadable = (file: string, problem: string, cause?: unknown): OtadError =>
  new OtadError('CONFIG_UNREADABLE', { file, problem }, cause === undefined ? undefined : { cause });

const errorCode = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

const listJson = async (folder: string): Promise<readonly string[]> => {
  try {
    return (await readdir(folder)).filter((name) => name.endsWith('.json') && !name.startsWith('.'));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw unreadable(folder, errorCode(error), error);
  }
};

const isMasked = async (file: string): Promise<boolean> => {
  try {
    return (await readlink(file)) === '/dev/null';
  } catch {
    return false;
  }
};

/** The files that count, in the order in which they apply. A file that is left out hides none of the same name. */
export const listDropIns = async (
  folders: readonly string[],
  leftOut: ReadonlySet<string> = new Set(),
): Promise<readonly string[]> => {
  const byName = new Map<string, string>();
  for (const folder of folders) {
    for (const name of await listJson(folder)) {
      const file = join(folder, name);
      if (!leftOut.has(file)) byName.set(name, file);
    }
  }
  if (byName.size > filesMax) throw unreadable(folders.join(', '), `more than ${filesMax} files`);
  const names = [...byName.keys()].sort();
  const files: string[] = [];
  for (const name of names) {
    const file = byName.get(name);
    if (file !== undefined && !(await isMasked(file))) files.push(file);
  }
  return files;
};

const readText = async (file: string): Promise<string> => {
  try {
    const { size } = await stat(file);
    if (size > fileBytesMax) throw unreadable(file, `larger than ${fileBytesMax} bytes`);
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file));
  } catch (error) {
    if (error instanceof OtadError) throw error;
    throw unreadable(file, error instanceof TypeError ? 'not UTF-8' : errorCode(error), error);
  }
};

export const readDropIn = async (file: string): Promise<PlainObject> => {
  const text = await readText(file);
  if (text.trim() === '') throw unreadable(file, 'the file is empty; to mask a file, link it to /dev/null');
  try {
    const value = parseJsonText(text);
    if (!isPlainObject(value)) throw unreadable(file, 'expected an object in braces');
    return value;
  } catch (error) {
    if (!(error instanceof JsonTextError)) throw error;
    throw new OtadError(
      'CONFIG_UNREADABLE',
      { file, line: error.line, column: error.column, problem: error.message },
      { cause: error },
    );
  }
};

const dotted = (prefix: string, key: string): string => (prefix === '' ? key : `${prefix}.${key}`);

const forget = (origin: Map<string, string>, key: string): void => {
  for (const known of [...origin.keys()]) {
    if (known === key || known.startsWith(`${key}.`)) origin.delete(known);
  }
};

const mergeInto = (
  base: PlainObject,
  over: PlainObject,
  file: string,
  origin: Map<string, string>,
  prefix: string,
): PlainObject => {
  const result: Record<string, unknown> = Object.assign(Object.create(null), base);
  for (const [name, value] of Object.entries(over)) {
    const key = dotted(prefix, name);
    const before = result[name];
    if (isPlainObject(value)) {
      if (!isPlainObject(before)) forget(origin, key);
      if (Object.keys(value).length === 0) origin.set(key, file);
      result[name] = mergeInto(isPlainObject(before) ? before : {}, value, file, origin, key);
    } else {
      forget(origin, key);
      origin.set(key, file);
      result[name] = value;
    }
  }
  return result;
};

export const emptyMerged: Merged = { value: {}, origin: new Map() };

/** `file`'s settings over those merged before. */
export const merge = (merged: Merged, over: PlainObject, file: string): Merged => {
  const origin = new Map(merged.origin);
  return { value: mergeInto(merged.value, over, file, origin, ''), origin };
};
