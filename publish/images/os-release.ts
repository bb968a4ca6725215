// What an image says of itself in /usr/lib/os-release, so that the running system can name its release. Pure text work
// and the two files it belongs to; knows nothing of squashfs.

import { chmod, lstat, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { OtadError } from '../../agent/core/errors.ts';
import { namePattern } from '../../agent/core/name.ts';

export const vendorPath = 'usr/lib/os-release';
const adminPath = 'etc/os-release';
const linesMax = 1000;

/** The release that an image belongs to. */
export interface ImageIdentity {
  readonly releaseId: string;
  readonly compatible: string;
  readonly version: string;
  readonly sequence: number;
}

/** Lower-case names: they become IMAGE_ID, a file name and a part of URLs. */
export const compatibleSchema = z.string().regex(namePattern);
export const versionSchema = z.string().regex(/^[0-9A-Za-z][0-9A-Za-z.~^+_-]{0,63}$/);
export const versionExpectation = 'letters, digits, . ~ + _ -';
export const sequenceSchema = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);

/** A build time of 0 says nothing: a build that is to be reproducible gives it as SOURCE_DATE_EPOCH. */
const stampLines = (identity: ImageIdentity, buildTimeS: number): ReadonlyMap<string, string> =>
  new Map([
    ...(buildTimeS > 0 ? [['OTAD_BUILD_TIME', String(buildTimeS)] as const] : []),
    ['IMAGE_ID', identity.compatible],
    ['IMAGE_VERSION', identity.version],
    ['OTAD_COMPATIBLE', identity.compatible],
    ['OTAD_RELEASE', identity.releaseId],
    ['OTAD_SEQUENCE', String(identity.sequence)],
  ]);

const unquote = (value: string): string => {
  const quoted = /^(["'])(.*)\1$/.exec(value);
  return quoted?.[2] ?? value;
};

/** Keys and values of an os-release text; lines that are none are left out. */
export const parseOsRelease = (text: string): ReadonlyMap<string, string> => {
  const pairs = new Map<string, string>();
  for (const line of text.split('\n').slice(0, linesMax)) {
    const match = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line.trim());
    if (match?.[1] !== undefined && match[2] !== undefined) pairs.set(match[1], unquote(match[2]));
  }
  return pairs;
};

/** The text with the identity's lines in place of any that were there. */
export const stampOsRelease = (text: string, identity: ImageIdentity, buildTimeS: number): string => {
  const ours = stampLines(identity, buildTimeS);
  const kept = text.split('\n').filter((line) => line.trim() !== '' && !ours.has(line.split('=', 1)[0]?.trim() ?? ''));
  // Quotes, because a version may hold a tilde, which a shell that reads the file would expand.
  return `${[...kept, ...[...ours].map(([key, value]) => `${key}="${value}"`)].join('\n')}\n`;
};

/** The identity that os-release names; null where the image was not built by otapub. */
export const identityOf = (pairs: ReadonlyMap<string, string>): ImageIdentity | null => {
  const version = pairs.get('IMAGE_VERSION');
  const compatible = pairs.get('OTAD_COMPATIBLE');
  const releaseId = pairs.get('OTAD_RELEASE');
  const sequence = Number(pairs.get('OTAD_SEQUENCE'));
  if (version === undefined || compatible === undefined || releaseId === undefined) return null;
  return sequenceSchema.safeParse(sequence).success ? { releaseId, compatible, version, sequence } : null;
};

const fileTextOrNull = async (root: string, path: string): Promise<string | null> => {
  const facts = await lstat(join(root, path)).catch(() => null);
  return facts?.isFile() ? await readFile(join(root, path), 'utf8') : null;
};

const makeInnerFolder = async (root: string, path: string): Promise<void> => {
  for (const folder of path.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'))) {
    const facts = await lstat(join(root, folder)).catch(() => null);
    if (facts === null) {
      await mkdir(join(root, folder));
      // Explicitly: the mode of mkdir depends on the umask, and with it the bytes of the image would.
      await chmod(join(root, folder), 0o755);
    } else if (!facts.isDirectory())
      throw new OtadError('LAYER_INVALID', { path: folder, problem: 'must be a folder' });
  }
};

/** Writes the identity into the tree: /usr/lib/os-release is the file, /etc/os-release the link to it. */
export const writeIdentity = async (root: string, identity: ImageIdentity, buildTimeS: number): Promise<void> => {
  await makeInnerFolder(root, dirname(vendorPath));
  await makeInnerFolder(root, dirname(adminPath));
  const text = (await fileTextOrNull(root, vendorPath)) ?? (await fileTextOrNull(root, adminPath)) ?? '';
  await rm(join(root, vendorPath), { force: true });
  await writeFile(join(root, vendorPath), stampOsRelease(text, identity, buildTimeS), { flag: 'wx' });
  await chmod(join(root, vendorPath), 0o644);
  await rm(join(root, adminPath), { force: true });
  await symlink(`../${vendorPath}`, join(root, adminPath));
};
