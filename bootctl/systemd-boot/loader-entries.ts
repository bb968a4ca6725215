// Reads an ESP as the loader does: every entry that it would list, and the settings that it goes by.
// Nothing here writes. Entries in an XBOOTLDR partition are not looked at; otad's own stand on the ESP.

import { join } from 'node:path';
import type { EfiVariables } from './efi-variables.ts';
import { parseEntryName } from './entry-name.ts';
import type { Esp } from './esp.ts';
import type { LoaderEntry, LoaderSettings } from './loader-choice.ts';
import { type Line, lastValue, parseLines, textOf } from './loader-file.ts';
import { readPeTexts } from './pe-sections.ts';

export const entriesFolder = 'loader/entries';
export const ukiFolder = 'EFI/Linux';
const loaderConf = 'loader/loader.conf';

export interface ListedEntry extends LoaderEntry {
  readonly folder: string;
  /** The kernel command line as far as the loader gives it; null for an image that has its own. */
  readonly options: string | null;
  /** What is started, from the root of the ESP. */
  readonly image: string;
}

const imageKeys = ['linux', 'efi', 'uki'];

/** Values as the loader takes them from os-release: the part after `=`, without quotes. */
const osRelease = (text: string): readonly Line[] =>
  text.split(/[\n\r]/).flatMap((line) => {
    const match = /^\s*([A-Z][A-Z0-9_]*)=+(.*?)\s*$/.exec(line);
    return match === null ? [] : [{ key: match[1] ?? '', value: (match[2] ?? '').replace(/^(["'])(.*)\1$/, '$2') }];
  });

/** The path from the root of the ESP, without the slashes in front. */
const espPath = (value: string): string => value.replace(/^[/\\]+/, '').replaceAll('\\', '/');

const readType1 = async (esp: Esp, file: string): Promise<ListedEntry | null> => {
  const name = parseEntryName(file);
  if (name === null || name.extension.toLowerCase() !== '.conf') return null;
  const bytes = await esp.read(`${entriesFolder}/${file}`);
  if (bytes === null) return null;
  const lines = parseLines(textOf(bytes));
  const boot = lines.filter(({ key }) => imageKeys.includes(key));
  const image = boot.at(-1);
  // A file with two kinds of images is refused by the loader, and one whose image is missing as well.
  if (image === undefined || boot.some(({ key }) => key !== image.key) || !(await esp.exists(espPath(image.value)))) {
    return null;
  }
  const options = lines.filter(({ key }) => key === 'options').map(({ value }) => value);
  return {
    folder: entriesFolder,
    file,
    name,
    title: lastValue(lines, 'title'),
    sortKey: lastValue(lines, 'sort-key'),
    machineId: lastValue(lines, 'machine-id'),
    version: lastValue(lines, 'version'),
    options: image.key === 'linux' ? options.join(' ') : options.length > 0 ? options.join(' ') : null,
    image: espPath(image.value),
  };
};

const readType2 = async (esp: Esp, file: string): Promise<ListedEntry | null> => {
  const name = parseEntryName(file);
  if (name === null || name.extension.toLowerCase() !== '.efi') return null;
  const texts = await readPeTexts(join(esp.path, ukiFolder, file), ['.osrel']);
  const release = texts?.['.osrel'] ?? null;
  if (release === null) return null;
  const lines = osRelease(release);
  const first = (...keys: readonly string[]): string | null =>
    keys.map((key) => lastValue(lines, key)).find((value) => value !== null) ?? null;
  const title = first('PRETTY_NAME', 'IMAGE_ID', 'NAME', 'ID');
  const sortKey = first('IMAGE_ID', 'ID');
  if (title === null || sortKey === null) return null;
  return {
    folder: ukiFolder,
    file,
    name,
    title,
    sortKey,
    machineId: null,
    version: first('IMAGE_VERSION', 'VERSION', 'VERSION_ID', 'BUILD_ID'),
    options: null,
    image: `${ukiFolder}/${file}`,
  };
};

export const listEntries = async (esp: Esp): Promise<readonly ListedEntry[]> => {
  const found: (ListedEntry | null)[] = [];
  for (const file of await esp.list(ukiFolder)) found.push(await readType2(esp, file));
  for (const file of await esp.list(entriesFolder)) found.push(await readType1(esp, file));
  return found.filter((entry) => entry !== null);
};

export const readSettings = async (esp: Esp, variables: EfiVariables | null): Promise<LoaderSettings> => {
  const bytes = await esp.read(loaderConf);
  return {
    configured: bytes === null ? null : lastValue(parseLines(textOf(bytes)), 'default'),
    entryDefault: (await variables?.read('LoaderEntryDefault')) ?? null,
    oneShot: (await variables?.read('LoaderEntryOneShot')) ?? null,
    lastBooted: (await variables?.read('LoaderEntryLastBooted')) ?? null,
  };
};
