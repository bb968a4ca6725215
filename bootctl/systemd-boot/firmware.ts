// A power-on of systemd-boot (257.13) on a real ESP folder: lists, chooses, takes a try by renaming, tells what it did through its
// variables. The virtual gateway's firmware and the tests' link between control and loader; no part of the agent. The device
// lab holds it to the real loader.

import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeVariable, type LoaderVariable, openEfiVariables, variableFile } from './efi-variables.ts';
import { formatEntryName, nextEntryName } from './entry-name.ts';
import { openEsp } from './esp.ts';
import { chooseEntry, idWithoutCounter } from './loader-choice.ts';
import { type ListedEntry, listEntries, readSettings } from './loader-entries.ts';
import { readPeTexts } from './pe-sections.ts';

export interface LoaderBoot {
  readonly entry: ListedEntry;
  /** What the kernel gets. */
  readonly commandLine: string;
}

export interface FirmwareOptions {
  readonly espPath: string;
  /** A folder that stands for efivarfs. */
  readonly efivarsPath: string;
  /** False: the partition cannot be written, so nothing is counted. */
  readonly isWritable?: boolean;
}

const volatileNames: readonly LoaderVariable[] = ['LoaderBootCountPath', 'LoaderEntrySelected', 'LoaderInfo'];

/** The name after the try, or null: the loader goes on uncounted where it cannot rename, as where that name is taken. */
const takeTry = async (entry: ListedEntry, { espPath, isWritable = true }: FirmwareOptions): Promise<string | null> => {
  if (entry.name.counter === null || !isWritable) return null;
  const next = formatEntryName(nextEntryName(entry.name));
  const esp = openEsp(espPath);
  const taken = await esp.list(entry.folder);
  if (taken.some((file) => file.toLowerCase() === next.toLowerCase())) return null;
  await rename(join(espPath, entry.folder, entry.file), join(espPath, entry.folder, next));
  return next;
};

const commandLineOf = async (espPath: string, entry: ListedEntry, image: string): Promise<string> => {
  if (entry.options !== null) return entry.options;
  const texts = await readPeTexts(join(espPath, image), ['.cmdline']);
  return texts?.['.cmdline']?.trim() ?? '';
};

/** null: no entry at all; the firmware goes on with its next boot option. */
export const startLoader = async (options: FirmwareOptions): Promise<LoaderBoot | null> => {
  const { espPath, efivarsPath } = options;
  const variables = openEfiVariables(efivarsPath);
  const set = (name: LoaderVariable, text: string): Promise<void> =>
    writeFile(variableFile(efivarsPath, name), encodeVariable(text, 6));
  for (const name of volatileNames) await rm(variableFile(efivarsPath, name), { force: true });
  const esp = openEsp(espPath);
  const settings = await readSettings(esp, variables);
  await rm(variableFile(efivarsPath, 'LoaderEntryOneShot'), { force: true });
  await set('LoaderInfo', 'systemd-boot 257 (model)');
  const entry = chooseEntry(await listEntries(esp), settings);
  if (entry === null) return null;
  const next = await takeTry(entry, options);
  if (next !== null) await set('LoaderBootCountPath', `\\${entry.folder.replaceAll('/', '\\')}\\${next}`);
  await set('LoaderEntrySelected', idWithoutCounter(entry));
  const isImageRenamed = next !== null && entry.image === `${entry.folder}/${entry.file}`;
  const image = isImageRenamed ? `${entry.folder}/${next}` : entry.image;
  return { entry, commandLine: await commandLineOf(espPath, entry, image) };
};

/** What an initramfs does that cannot open its root: it asks the loader for the other slot, for one boot. */
export const askForOther = (efivarsPath: string, stem: string): Promise<void> =>
  writeFile(variableFile(efivarsPath, 'LoaderEntryOneShot'), encodeVariable(`${stem}*`));
