// The Debian part of an image: mmdebstrap with exactly the packages that the layers name, as an archive that is kept and
// used again while packages, lock and build time are the same. Nothing of the machine that builds goes in.

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../agent/core/errors.ts';
import { type DebianMirrors, findMirrors, sourceLines, suite } from './debian-mirror.ts';
import { differences, type PackageLock, readManifest } from './package-lock.ts';
import { runTool, toolEnvironment } from './tool.ts';

export interface DebianRootOptions {
  readonly cacheFolder: string;
  readonly architecture: string;
  readonly packages: readonly string[];
  /** apt preferences that leave no choice of versions; empty: the newest ones. */
  readonly pins: string;
  /** The state of the archive, as text; a root without pins is made anew when it changes. */
  readonly state: string;
  /** Seconds since 1970; depends on the archive alone, so that a root is used again for as long as its packages are. */
  readonly sourceDateEpochS: number;
  /** Default: the machine's own. */
  readonly mirrors?: DebianMirrors | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Never read on a gateway; they would be a third of the image. */
export const excludedFolders = [
  ...['man', 'doc', 'info', 'locale', 'i18n', 'lintian', 'bug', 'bash-completion', 'zsh', 'fish'],
].map((name) => `usr/share/${name}`);
/** Of the character sets only that of FAT, which fsck.fat asks for at each start, with the list by which it is found. */
export const keptCharacterSets = ['IBM850.so', 'gconv-modules.cache'];
const excludedPaths = [...excludedFolders.map((folder) => `/${folder}/*`), '/usr/lib/*/gconv/*'];
const includedPaths = keptCharacterSets.map((name) => `/usr/lib/*/gconv/${name}`);

/** Where mmdebstrap leaves the names and versions of what it installed. */
export const manifestPath = 'usr/share/gateway/packages';

const writeManifest = [
  'mkdir -p "$1/usr/share/gateway"',
  `chroot "$1" dpkg-query -W -f '\${Package} \${Version} \${Architecture}\\n' | LC_ALL=C sort > "$1/${manifestPath}"`,
].join(' && ');

/** Changes whenever the archive would. */
const keyOf = (options: DebianRootOptions, mirrors: DebianMirrors, hooks: readonly string[]): string => {
  const { architecture, packages, pins, sourceDateEpochS } = options;
  const state = pins === '' ? options.state : pins;
  const hasSecurity = mirrors.security !== null;
  return createHash('sha256')
    .update(JSON.stringify([suite, architecture, packages, state, hasSecurity, sourceDateEpochS, hooks]))
    .digest('hex')
    .slice(0, 16);
};

/** Where mmdebstrap may not mount it goes on without, and what the packages' scripts make by way of /proc is not there. */
const proveMounts =
  'test -L "$1/etc/mtab" || { echo "packages were set up without /proc: the build needs the right to mount (CAP_SYS_ADMIN)" >&2; exit 1; }';

/** Of 250 MB each: for builds with and without a lock, of an image and of the device lab. */
const archivesMax = 4;
const readySuffix = '.tar.ready';

/** Marks an archive as the one used last, and removes those that were not used for longest. */
const useArchive = async (cacheFolder: string, archive: string, nowS: number): Promise<void> => {
  await utimes(`${archive}.ready`, nowS, nowS);
  const names = (await readdir(cacheFolder)).filter((name) => name.startsWith('root-') && name.endsWith(readySuffix));
  const dated = await Promise.all(
    names.map(async (name) => ({ name, timeMs: (await stat(join(cacheFolder, name))).mtimeMs })),
  );
  for (const { name } of dated.sort((one, two) => two.timeMs - one.timeMs).slice(archivesMax)) {
    const base = join(cacheFolder, name.slice(0, -readySuffix.length));
    for (const suffix of [readySuffix, '.tar']) await rm(base + suffix, { force: true });
  }
};

/** Path of the archive. Throws TOOL_MISSING, TOOL_FAILED. */
export const buildDebianRoot = async (options: DebianRootOptions): Promise<string> => {
  const { cacheFolder, architecture, packages, pins, sourceDateEpochS, signal } = options;
  const hooks = [
    ...['--variant=essential', `--include=${packages.join(',')}`, '--aptopt=APT::Install-Recommends "false"'],
    ...excludedPaths.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...includedPaths.map((path) => `--dpkgopt=path-include=${path}`),
    ...[`--customize-hook=${writeManifest}`, `--customize-hook=${proveMounts}`],
  ];
  await mkdir(cacheFolder, { recursive: true });
  const mirrors = options.mirrors ?? (await findMirrors());
  const base = join(cacheFolder, `root-${architecture}-${keyOf(options, mirrors, hooks)}`);
  const archive = `${base}.tar`;
  if ((await readFile(`${archive}.ready`, 'utf8').catch(() => '')) === '') {
    const pinsPath = `${base}.pref`;
    await writeFile(pinsPath, pins);
    const args = [
      ...[`--architectures=${architecture}`, '--format=tar', ...hooks],
      // With a lock the versions say what is installed; the state of the archive may be as old as they are.
      ...(pins === '' ? [] : ['--aptopt=Acquire::Check-Valid-Until "false"']),
      `--setup-hook=mkdir -p "$1/etc/apt/preferences.d" && cp ${pinsPath} "$1/etc/apt/preferences.d/lock"`,
      '--customize-hook=rm "$1/etc/apt/preferences.d/lock"',
      ...[suite, `${archive}.part`, ...sourceLines(mirrors)],
    ];
    await runTool('mmdebstrap', args, { environment: toolEnvironment(sourceDateEpochS), signal });
    await rename(`${archive}.part`, archive);
    await writeFile(`${archive}.ready`, '1');
    await rm(pinsPath);
  }
  await useArchive(cacheFolder, archive, Date.now() / 1000);
  return archive;
};

/** Unpacks the archive into an empty folder, and holds it against the lock. Throws LAYER_INVALID. */
export const unpackDebianRoot = async (archive: string, root: string, lock: PackageLock | null): Promise<void> => {
  await runTool('tar', ['-xf', archive, '-C', root, '--numeric-owner', '--preserve-permissions', '--exclude=./dev/*']);
  if (lock === null) return;
  const found = readManifest(await readFile(join(root, manifestPath), 'utf8'));
  const [first, ...others] = differences(lock.packages, found);
  if (first === undefined) return;
  const problem = `${first}${others.length === 0 ? '' : `, and ${others.length} more`}`;
  throw new OtadError('LAYER_INVALID', { layer: 'the lock of the packages', problem });
};
