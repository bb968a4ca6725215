// The boot set of a release: kernel, initrd, device trees, a unified image; the files that the bootloader reads before there is
// a root. Names and bounds, and the manifest: the one text that says which files a set has, so that one digest stands for all
// of them. Pure.

import type { Artifact, Release } from './types.ts';

/** A file of the set, by the name that it has in the slot's boot place. */
export interface BootFile {
  readonly name: string;
  readonly lengthBytes: number;
  readonly sha256Hex: string;
}

export type BootArtifact = Artifact & BootFile;

export const bootFilesMax = 128;
export const bootFileBytesMax = 2 ** 28;
export const bootSetBytesMax = 2 ** 30;

/**
 * A file, or one in one folder. FAT knows neither case nor a dot at the end, and makes short names with "~": what is allowed here
 * means the same file everywhere.
 */
export const bootNamePattern =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,62}[A-Za-z0-9_+-])?\/)?[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,62}[A-Za-z0-9_+-])?$/;
export const bootNameExpectation =
  'letters, digits, ".", "_", "+" or "-", at most 64, perhaps behind the name of one folder; no dot at the end';

/** Where otad says in a slot's boot place which set lies there. No file of a set has this name. */
export const bootManifestName = 'otad-set';

const isOneOf = (files: readonly BootFile[], name: string): boolean =>
  files.some((file) => file.name.toLowerCase() === name.toLowerCase());

/** What keeps these files from being a set; null: nothing. */
export const bootSetFault = (files: readonly BootFile[]): string | null => {
  if (files.length > bootFilesMax) return `more than ${bootFilesMax} boot files`;
  const seen = new Set<string>();
  for (const { name, lengthBytes } of files) {
    const key = name.toLowerCase();
    const [folder = '', inFolder] = key.split('/');
    if (!bootNamePattern.test(name)) return `not the name of a boot file: ${bootNameExpectation}`;
    if (lengthBytes < 1 || lengthBytes > bootFileBytesMax)
      return `a boot file that is empty, or over ${bootFileBytesMax} bytes`;
    if (folder === bootManifestName) return `a boot file named ${bootManifestName}, which is otad's own`;
    if (seen.has(key)) return 'two boot files whose names differ in case only';
    if (inFolder !== undefined && isOneOf(files, folder)) return 'a boot file with the name of a folder';
    seen.add(key);
  }
  const totalBytes = files.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  return totalBytes > bootSetBytesMax ? `more than ${bootSetBytesMax} bytes of boot files` : null;
};

const byName = (one: BootFile, two: BootFile): number => (one.name < two.name ? -1 : 1);

const isBootArtifact = (artifact: Artifact): artifact is BootArtifact =>
  artifact.role === 'boot' && artifact.name !== undefined;

/** In the order of the manifest. Empty: the slot's boot place stays as it is. */
export const bootArtifactsOf = ({ artifacts }: Pick<Release, 'artifacts'>): readonly BootArtifact[] =>
  artifacts.filter(isBootArtifact).sort(byName);

/** One line a file: digest, length, name. */
export const encodeBootManifest = (files: readonly BootFile[]): string =>
  [...files]
    .sort(byName)
    .map(({ name, lengthBytes, sha256Hex }) => `${sha256Hex} ${lengthBytes} ${name}\n`)
    .join('');

/** Longer than any manifest. */
export const bootManifestBytesMax = 64 * 1024;

/** null: not a whole manifest. */
export const decodeBootManifest = (text: string): readonly BootFile[] | null => {
  const files: BootFile[] = [];
  for (const line of text.split('\n').slice(0, -1)) {
    const [, sha256Hex, length, name] = /^([0-9a-f]{64}) ([1-9][0-9]{0,15}) ([!-~]+)$/.exec(line) ?? [];
    if (sha256Hex === undefined || length === undefined || name === undefined) return null;
    files.push({ name, lengthBytes: Number(length), sha256Hex });
  }
  const isWhole = files.length > 0 && bootSetFault(files) === null && encodeBootManifest(files) === text;
  return isWhole ? files : null;
};
