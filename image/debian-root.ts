// The Debian part of an image: mmdebstrap with exactly the packages that the layers name, as an archive that is kept and
// used again while packages, lock and build time are the same. Nothing of the machine that builds goes in.

import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../agent/core/errors.ts';
import { readMirror, sourceLine, suite } from './debian-mirror.ts';
import { differences, type PackageLock, pinsOf, readManifest } from './package-lock.ts';
import { runTool, toolEnvironment } from './tool.ts';

export interface DebianRootOptions {
  readonly cacheFolder: string;
  readonly architecture: string;
  readonly packages: readonly string[];
  /** Versions that must be installed, and no others; null: the newest ones. */
  readonly lock: PackageLock | null;
  readonly sourceDateEpochS: number;
  /** Default: the machine's own. */
  readonly mirror?: string | undefined;
  /** Lines of sources.list beside the release itself. */
  readonly moreSources?: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Never read on a gateway; they would be a third of the image. */
export const excludedFolders = [
  ...['man', 'doc', 'info', 'locale', 'i18n', 'lintian', 'bug', 'bash-completion', 'zsh', 'fish'],
].map((name) => `usr/share/${name}`);
const excludedPaths = [...excludedFolders.map((folder) => `/${folder}/*`), '/usr/lib/*/gconv/*'];

/** Where mmdebstrap leaves the names and versions of what it installed. */
export const manifestPath = 'usr/share/gateway/packages';

const writeManifest = [
  'mkdir -p "$1/usr/share/gateway"',
  `chroot "$1" dpkg-query -W -f '\${Package} \${Version} \${Architecture}\\n' | LC_ALL=C sort > "$1/${manifestPath}"`,
].join(' && ');

/** Changes whenever the archive would. */
const keyOf = ({ moreSources = [], ...options }: DebianRootOptions, hooks: readonly string[]): string =>
  createHash('sha256')
    .update(
      JSON.stringify([
        ...[suite, options.architecture, options.packages, options.lock, options.sourceDateEpochS, hooks],
        ...moreSources,
      ]),
    )
    .digest('hex')
    .slice(0, 16);

/** Path of the archive. Throws TOOL_MISSING, TOOL_FAILED. */
export const buildDebianRoot = async (options: DebianRootOptions): Promise<string> => {
  const { cacheFolder, architecture, packages, lock, sourceDateEpochS, signal } = options;
  const hooks = [
    ...['--variant=essential', `--include=${packages.join(',')}`, '--aptopt=APT::Install-Recommends "false"'],
    ...excludedPaths.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...[`--customize-hook=${writeManifest}`],
  ];
  await mkdir(cacheFolder, { recursive: true });
  const base = join(cacheFolder, `root-${architecture}-${keyOf(options, hooks)}`);
  const archive = `${base}.tar`;
  if ((await readFile(`${archive}.ready`, 'utf8').catch(() => '')) !== '') return archive;
  const pins = `${base}.pref`;
  await writeFile(pins, lock === null ? '' : pinsOf(lock));
  const args = [
    ...[`--architectures=${architecture}`, '--format=tar', ...hooks],
    `--setup-hook=mkdir -p "$1/etc/apt/preferences.d" && cp ${pins} "$1/etc/apt/preferences.d/lock"`,
    '--customize-hook=rm "$1/etc/apt/preferences.d/lock"',
    ...[suite, `${archive}.part`, sourceLine(options.mirror ?? (await readMirror()))],
    ...(options.moreSources ?? []),
  ];
  await runTool('mmdebstrap', args, { environment: toolEnvironment(sourceDateEpochS), signal });
  await rename(`${archive}.part`, archive);
  await writeFile(`${archive}.ready`, '1');
  await rm(pins);
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
