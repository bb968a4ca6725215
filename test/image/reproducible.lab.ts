// Builds the reference image of both architectures twice and compares every byte: the second time from the lock of the first,
// with a Debian root made anew, from a copy of the tree in another folder, under another umask, time zone, locale, host name and
// resolv.conf. amd64 as it is published; arm64 is squeezed little. Looks into what came out. Takes many minutes and a mirror:
// `npm run test:image`, or of one architecture `npm run test:image -- amd64`; not part of `npm test`.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { boards } from '../../image/boards.ts';
import {
  checkArchitecture,
  checkContents,
  checkIds,
  checkKeptMounts,
  checkLinks,
  checkNobody,
  checkVarRules,
  unpackImage,
} from './built-root.ts';
import { checkPiDisk } from './pi-disk.ts';

const run = promisify(execFile);
const projectFolder = fileURLToPath(new URL('../../..', import.meta.url));
const cacheFolder = join(projectFolder, '.image/cache');
const buildTimeoutMs = 60 * 60_000;

const digestOf = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
};

/** Of every file below the folder, by its path. */
const digestsOf = async (folder: string): Promise<Readonly<Record<string, string>>> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const pairs = paths.sort().map(async (path) => [path.slice(folder.length + 1), await digestOf(path)] as const);
  return Object.fromEntries(await Promise.all(pairs));
};

interface Surroundings {
  /** Where the tree lies. */
  readonly project: string;
  readonly cache: string;
  readonly cwd: string;
  readonly umask: string;
  readonly environment: Readonly<Record<string, string>>;
  /** A folder: as on a machine of another name and with another resolv.conf, which is made there. Null: on this one. */
  readonly place: string | null;
}

/** Of the environment only what leads to programs and to the mirror. */
const wayOut = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    ['PATH', 'HOME', 'http_proxy', 'https_proxy', 'no_proxy'].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );

/** Words after the first two are run where the machine has another name and another resolv.conf, which names the same servers. */
const elsewhere = `set -e
hostname elsewhere
cp /etc/resolv.conf "$1"
chmod 644 "$1"
echo '# elsewhere' >> "$1"
mount --bind "$1" /etc/resolv.conf
shift
exec "$@"`;

/** Seconds since 1970 that the build gave its files. */
const build = async (t: TestContext, words: readonly string[], around: Surroundings): Promise<number> => {
  const { project, cache, cwd, umask, environment, place } = around;
  const program = [process.execPath, join(project, 'dist/image/main.js'), '--cache', cache, ...words];
  const moved = place === null ? [] : ['unshare', '-m', '-u', 'sh', '-c', elsewhere, 'sh', join(place, 'resolv.conf')];
  const { stdout } = await run('/bin/sh', ['-c', 'umask "$1"; shift; exec "$@"', 'sh', umask, ...moved, ...program], {
    cwd,
    env: { ...wayOut(), ...environment },
    timeout: buildTimeoutMs,
  });
  for (const line of stdout.trimEnd().split('\n')) t.diagnostic(line);
  return Date.parse(/time of the build: (\S+)/.exec(stdout)?.[1] ?? '') / 1000;
};

/** As somebody else has checked the tree out: elsewhere, and readable for nobody but the owner. */
const copyProject = async (target: string): Promise<void> => {
  await mkdir(target);
  // All of it: the build sets itself up from there, and a bundle names the packages by where they lie.
  const names = (await readdir(projectFolder)).filter((name) => !name.startsWith('.'));
  for (const name of names) {
    await cp(join(projectFolder, name), join(target, name), { recursive: true, verbatimSymlinks: true });
  }
  await run('chmod', ['-R', 'go-rwx', join(target, 'image'), join(target, 'units')]);
};

const architectures: readonly string[] = ['amd64', 'arm64'];
const wanted = process.argv.slice(2);
const unknown = wanted.find((word) => !architectures.includes(word));
if (unknown !== undefined) throw new Error(`${unknown} is no architecture of the image: ${architectures.join(', ')}`);

for (const architecture of wanted.length === 0 ? architectures : wanted) {
  const chosen = boards.filter(({ root }) => root.architecture === architecture);
  test(`${architecture}: the same inputs give the same bytes, image and disks, and the image is what it should be`, async (t) => {
    await mkdir(cacheFolder, { recursive: true });
    const work = await mkdtemp(join(projectFolder, '.image/twice-'));
    // A Pi's own takes minutes to compile; here it only has to arrive where the firmware looks for it.
    const uboot = join(work, 'u-boot.bin');
    await writeFile(uboot, 'TEST: stands for U-Boot');
    const [first, second] = [join(work, 'first'), join(work, 'second')];
    const words = ['--compatible', 'twice', '--u-boot', uboot, ...chosen.flatMap(({ name }) => ['--board', name])];
    if (architecture !== 'amd64') words.push('--draft');
    const epochS = await build(t, [...words, '--output', first], {
      ...{ project: projectFolder, cache: cacheFolder, cwd: projectFolder, umask: '0022' },
      environment: { TZ: 'UTC', LC_ALL: 'C' },
      place: null,
    });

    // Before anything looks into them: whoever reads a file system may leave a mark in it.
    const digests = await digestsOf(first);

    const root = join(work, 'root');
    await unpackImage(join(first, 'rootfs.squashfs'), root);
    await checkArchitecture(root, architecture);
    await checkIds(root);
    await checkContents(root, epochS);
    await checkLinks(root);
    await checkNobody(root, hostname());
    if (process.arch === { amd64: 'x64', arm64: 'arm64' }[architecture]) {
      await checkVarRules(root);
      await checkKeptMounts(root);
    }
    for (const board of chosen) {
      if (board.start.kind === 'tryboot' || board.start.kind === 'pi-u-boot')
        await checkPiDisk(join(first, `${board.name}.img`), board);
    }
    await rm(root, { recursive: true });

    // What was only downloaded and unpacked is shared, and held against the lock; all that runs or is made is made again.
    const [copy, cache] = [join(work, 'elsewhere'), join(work, 'cache')];
    await copyProject(copy);
    for (const name of ['toolbox', `boot-${architecture}`]) {
      await cp(join(cacheFolder, name), join(cache, name), { recursive: true, verbatimSymlinks: true });
    }
    await build(t, [...words, '--output', second, '--lock', join(first, 'packages.lock')], {
      ...{ project: copy, cache, cwd: '/', umask: '0077' },
      // The copy has no history that would say when it changed.
      environment: {
        ...{ TZ: 'Pacific/Kiritimati', LC_ALL: 'de_DE.UTF-8', LANG: 'de_DE.UTF-8' },
        SOURCE_DATE_EPOCH: String(epochS),
      },
      place: work,
    });
    const digestsAgain = await digestsOf(second);
    for (const name of Object.keys(digests)) {
      if (digests[name] === digestsAgain[name]) continue;
      const { stdout } = await run('/bin/sh', [
        '-c',
        'cmp "$1" "$2" || :',
        'sh',
        join(first, name),
        join(second, name),
      ]);
      t.diagnostic(`kept to be looked at: ${stdout.trim()}`);
    }
    assert.deepEqual(digestsAgain, digests);
    await rm(work, { recursive: true });
  });
}
