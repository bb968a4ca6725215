// Debian packages beside the system: an apt of its own in a folder, for any architecture, and what it downloads unpacked
// without being installed. Never touches the packages of the machine.

import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../agent/core/errors.ts';
import { readMirror, sourceLine } from './debian-mirror.ts';
import { runTool } from './tool.ts';

export interface PackageWish {
  /** The packages and their mirror's lists lie below it. */
  readonly folder: string;
  readonly architecture: string;
  readonly packages: readonly string[];
  /** Names of packages that stand for others, such as `linux-image-amd64` for a certain kernel: those they depend on first. */
  readonly metapackages?: readonly string[];
  readonly hasDependencies: boolean;
  /** Parts of the archive beside `main`. */
  readonly components?: readonly string[];
  /** Default: the machine's own. */
  readonly mirror?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface UnpackedPackages {
  readonly root: string;
  /** Name, version and architecture of each, sorted. */
  readonly packages: readonly string[];
}

/** dpkg's own placeholders. */
const shownFields = ['Package', 'Version', 'Architecture'].map((name) => `$\{${name}}`).join(' ');

const stampOf = ({ architecture, packages, metapackages = [], hasDependencies }: PackageWish): string =>
  `${architecture} ${hasDependencies} ${[...packages, ...metapackages].join(' ')}`;

const aptOptions = async (
  folder: string,
  { architecture, mirror, components = [] }: PackageWish,
): Promise<readonly string[]> => {
  const apt = join(folder, 'apt');
  for (const part of ['state/lists/partial', 'cache/archives/partial'])
    await mkdir(join(apt, part), { recursive: true });
  await writeFile(
    join(apt, 'sources.list'),
    `${[sourceLine(mirror ?? (await readMirror())), ...components].join(' ')}\n`,
  );
  await writeFile(join(apt, 'status'), '');
  const settings = {
    'Dir::State': join(apt, 'state'),
    'Dir::State::status': join(apt, 'status'),
    'Dir::Cache': join(apt, 'cache'),
    'Dir::Etc::sourcelist': join(apt, 'sources.list'),
    'Dir::Etc::sourceparts': '-',
    'APT::Architecture': architecture,
    'APT::Architectures': architecture,
    'APT::Install-Recommends': 'false',
    'Debug::NoLocking': '1',
    'APT::Sandbox::User': 'root',
  };
  return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
};

/** The package that a metapackage depends on first. */
const standsFor = async (options: readonly string[], name: string): Promise<string> => {
  const text = await runTool('apt-cache', [...options, 'depends', '--important', name]);
  const found = /^\s+Depends:\s+([a-z0-9][a-z0-9.+~-]*)$/m.exec(text)?.[1];
  if (found === undefined)
    throw new OtadError('TOOL_FAILED', { program: 'apt-cache', problem: `${name} stands for nothing` });
  return found;
};

const download = async (wish: PackageWish, target: string): Promise<readonly string[]> => {
  const { packages, metapackages = [], hasDependencies, signal } = wish;
  const options = await aptOptions(target, wish);
  await runTool('apt-get', [...options, 'update'], { signal });
  const names = [...packages];
  for (const name of metapackages) names.push(await standsFor(options, name));
  const archives = join(target, 'apt/cache/archives');
  if (hasDependencies) await runTool('apt-get', [...options, '-y', '--download-only', 'install', ...names], { signal });
  else await runTool('apt-get', [...options, 'download', ...names], { signal, cwd: archives });
  return (await readdir(archives))
    .filter((name) => name.endsWith('.deb'))
    .sort()
    .map((name) => join(archives, name));
};

/** Downloads and unpacks what is wished for; what is there from an earlier time is used. */
export const unpackPackages = async (wish: PackageWish): Promise<UnpackedPackages> => {
  const { folder } = wish;
  const root = join(folder, 'root');
  const stampPath = join(folder, 'ready');
  const stamp = stampOf(wish);
  const [known, ...packages] = (await readFile(stampPath, 'utf8').catch(() => '')).trimEnd().split('\n');
  if (known === stamp) return { root, packages };
  await rm(folder, { recursive: true, force: true });
  await mkdir(root, { recursive: true });
  const files = await download(wish, folder);
  const found: string[] = [];
  for (const file of files) {
    await runTool('dpkg-deb', ['-x', file, root], { signal: wish.signal });
    found.push((await runTool('dpkg-deb', [`--showformat=${shownFields}`, '-W', file])).trim());
  }
  await rm(join(folder, 'apt'), { recursive: true });
  await writeFile(`${stampPath}.part`, [stamp, ...found.sort(), ''].join('\n'));
  await rename(`${stampPath}.part`, stampPath);
  return { root, packages: found };
};
