// Debian packages beside the system, for any architecture: what an apt of its own downloads, unpacked without being
// installed. What is there from an earlier time is used while it is what the archive has, or what a lock names.

import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../agent/core/errors.ts';
import { type DebianMirrors, findMirrors } from './debian-mirror.ts';
import type { Manifest } from './package-lock.ts';
import { makePrivateApt } from './private-apt.ts';
import { runTool } from './tool.ts';

/** Where packages come from, and which versions of them. */
export interface PackageSource {
  /** Default: the machine's own. */
  readonly mirrors?: DebianMirrors | undefined;
  /** The state of the archive, as text: newer packages are looked for when it changes. Without: what is there will do. */
  readonly state?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PackageWish extends PackageSource {
  /** All of it lies below. */
  readonly folder: string;
  readonly architecture: string;
  readonly packages: readonly string[];
  /** Names of packages that stand for others, such as `linux-image-amd64` for a certain kernel: those they depend on first. */
  readonly metapackages?: readonly string[];
  readonly hasDependencies: boolean;
  /** Parts of the archive beside `main`. */
  readonly components?: readonly string[];
  /** A lock's lines: these and no others, whatever the archive has; empty: the newest. */
  readonly exactly?: Manifest | undefined;
  /** Told before packages are fetched, which may take minutes. */
  readonly onDownload?: () => void;
}

export interface UnpackedPackages {
  readonly root: string;
  /** Name, version and architecture of each, sorted. */
  readonly packages: Manifest;
}

interface Kept extends UnpackedPackages {
  readonly wish: string;
  readonly state: string;
}

const readyName = 'ready';

/** What is there from an earlier time, whole; null: nothing. */
const readKept = async (folder: string): Promise<Kept | null> => {
  const text = await readFile(join(folder, readyName), 'utf8').catch(() => '');
  const [wish = '', state = '', ...packages] = text.trimEnd().split('\n');
  return text === '' ? null : { root: join(folder, 'root'), wish, state, packages };
};

const keep = async (folder: string, { wish, state, packages }: Kept): Promise<void> => {
  const path = join(folder, readyName);
  await writeFile(`${path}.part`, [wish, state, ...packages, ''].join('\n'));
  await rename(`${path}.part`, path);
};

const isSame = (one: Manifest, other: Manifest): boolean => one.join('\n') === other.join('\n');

/** The package that a metapackage depends on first. */
const standsFor = async (options: readonly string[], name: string): Promise<string> => {
  const text = await runTool('apt-cache', [...options, 'depends', '--important', name]);
  const found = /^\s+Depends:\s+([a-z0-9][a-z0-9.+~-]*)$/m.exec(text)?.[1];
  if (found === undefined)
    throw new OtadError('TOOL_FAILED', { program: 'apt-cache', problem: `${name} stands for nothing` });
  return found;
};

/** Name, version and architecture, from the lines in which apt says what it would download. */
export const offeredIn = (uris: string): Manifest =>
  [...uris.matchAll(/^'[^']*' ([^_ ]+)_([^_ ]+)_([^_ ]+)\.deb /gm)]
    .map(([, ...parts]) => parts.map(decodeURIComponent).join(' '))
    .sort();

interface Download {
  readonly run: (more: readonly string[]) => Promise<string>;
  readonly archives: string;
}

/** Reads the archive's lists; `run` then names or downloads what is wished for. */
const prepareDownload = async (wish: PackageWish, folder: string): Promise<Download> => {
  const { architecture, components, exactly = [], hasDependencies, signal } = wish;
  const mirrors = wish.mirrors ?? (await findMirrors());
  const options = await makePrivateApt({ folder, architecture, mirrors, components, mayBeOld: exactly.length > 0 });
  await runTool('apt-get', [...options, 'update'], { signal });
  const names = exactly.map((line) => line.split(' ').slice(0, 2).join('='));
  if (exactly.length === 0) {
    names.push(...wish.packages);
    for (const name of wish.metapackages ?? []) names.push(await standsFor(options, name));
  }
  const verb = hasDependencies && exactly.length === 0 ? ['-y', '--download-only', 'install'] : ['download'];
  const archives = join(folder, 'cache/archives');
  const run = (more: readonly string[]): Promise<string> =>
    runTool('apt-get', [...options, ...more, ...verb, ...names], { signal, cwd: archives });
  return { run, archives };
};

const unpack = async (archives: string, root: string, signal: AbortSignal | undefined): Promise<void> => {
  for (const name of (await readdir(archives)).sort()) {
    if (name.endsWith('.deb')) await runTool('dpkg-deb', ['-x', join(archives, name), root], { signal });
  }
};

/** Downloads and unpacks what is wished for, unless it is there. Until all of it is, what was there stays. */
export const unpackPackages = async (wish: PackageWish): Promise<UnpackedPackages> => {
  const { folder, exactly = [], state = '' } = wish;
  const text = [wish.architecture, wish.hasDependencies, ...wish.packages, ...(wish.metapackages ?? [])].join(' ');
  const kept = await readKept(folder);
  if (kept !== null && exactly.length > 0 && isSame(kept.packages, exactly)) return kept;
  const isKnown = kept !== null && exactly.length === 0 && kept.wish === text;
  if (isKnown && (state === '' || kept.state === state)) return kept;
  const part = `${folder}.part`;
  await rm(part, { recursive: true, force: true });
  await mkdir(join(part, 'root'), { recursive: true });
  const apt = join(part, 'apt');
  const download = await prepareDownload(wish, apt);
  const packages = offeredIn(await download.run(['--print-uris']));
  const found: Kept = { root: join(folder, 'root'), wish: text, state, packages };
  if (isKnown && isSame(kept.packages, packages)) {
    await rm(part, { recursive: true });
    await keep(folder, found);
    return kept;
  }
  wish.onDownload?.();
  await download.run([]);
  await unpack(download.archives, join(part, 'root'), wish.signal);
  await rm(apt, { recursive: true });
  await keep(part, found);
  await rm(folder, { recursive: true, force: true });
  await rename(part, folder);
  return found;
};
