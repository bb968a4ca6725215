// `npm run image`: builds the reference image of one or more boards. Reads the words of the command line and says what was made.

import { spawnSync } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { constants, setPriority } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorCodes, OtadError, toFailure } from '../agent/core/errors.ts';
import { nameExpectation } from '../agent/core/name.ts';
import { isFile, isFolder, parseWords } from '../publish/commands/command.ts';
import { readLayers } from '../publish/images/layers.ts';
import { compatibleSchema, versionExpectation, versionSchema } from '../publish/images/os-release.ts';
import { releaseIdOf } from '../publish/releases/release-plan.ts';
import { boards, findBoard } from './boards.ts';
import { buildGatewayImage } from './build.ts';
import { newestCommitS } from './commit-time.ts';
import { parseLock } from './package-lock.ts';

const usage = `usage: npm run image -- [options]

Builds the reference image of a gateway: a root image to publish, and a disk image to flash.

  --board NAME             ${boards.map(({ name }) => name).join(', ')} (default ${boards[0]?.name});
                           may be repeated: boards of one architecture share one build of the root
  --layer FOLDER           layer on top, with its bases; may be repeated (default image/layers/product)
  --release-version V      version of the release (default 1.0.0)
  --sequence N             its place in the order of releases (default 1)
  --compatible NAME        product family (default otad-reference-ARCHITECTURE)
  --trust-root FILE        root.json of the repository whose releases count
  --settings FILE          JSON drop-in with settings that belong to the image
  --lock FILE              packages.lock of an earlier build: exactly these versions
  --firmware FOLDER        Raspberry Pi: start4.elf and fixup4.dat (default: Debian's raspi-firmware)
  --u-boot FILE            U-Boot for a board that has it on its disk (test/device/u-boot-build.sh makes one)
  --draft                  least compression: quick to make, larger, for trying things only
  --mirror URL             Debian mirror (default: the one that apt of this machine uses)
  --security-mirror URL    the same of Debian's security updates
  --no-security            an image without security updates
  --output FOLDER          default .image/out/ARCHITECTURE
  --cache FOLDER           default .image/cache
environment:
  SOURCE_DATE_EPOCH        seconds since 1970 that stand for the time of the build (default: the newest of the last
                           commits of this tree and of the layers, and of what was published in Debian's archive)
`;

const projectFolder = fileURLToPath(new URL('../..', import.meta.url));

const options = {
  board: { type: 'string', multiple: true },
  layer: { type: 'string', multiple: true },
  'release-version': { type: 'string', default: '1.0.0' },
  sequence: { type: 'string', default: '1' },
  compatible: { type: 'string' },
  'trust-root': { type: 'string' },
  settings: { type: 'string' },
  lock: { type: 'string' },
  firmware: { type: 'string' },
  'u-boot': { type: 'string' },
  draft: { type: 'boolean', default: false },
  mirror: { type: 'string' },
  'security-mirror': { type: 'string' },
  'no-security': { type: 'boolean', default: false },
  output: { type: 'string' },
  cache: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

const refuse = (key: string, expected: string, found: string): OtadError =>
  new OtadError('CONFIG_INVALID', { key, expected, found });

const refuseBoard = (found: string, expected: string): OtadError => refuse('--board', expected, found);

/** Boards that share a root, and that root. */
const chooseBoards = (names: readonly string[]) => {
  const chosen = [...new Set(names)].map((name) => findBoard(name, (known) => refuseBoard(name, `one of ${known}`)));
  const [first, ...others] = chosen;
  if (first === undefined || others.some(({ root }) => root !== first.root)) {
    throw refuseBoard(names.join(', '), 'boards of one architecture');
  }
  return { root: first.root, chosen };
};

const wholeNumber = (key: string, text: string): number => {
  if (/^[0-9]{1,10}$/.test(text)) return Number(text);
  throw refuse(key, 'a whole number', text);
};

/** The absolute path of what is to be read, once it is there. */
const existing = async (key: string, path: string | undefined, kind: 'file' | 'folder'): Promise<string | null> => {
  if (path === undefined) return null;
  if (await (kind === 'file' ? isFile : isFolder)(path)) return resolve(path);
  throw refuse(key, `a ${kind} that is there`, path);
};

/** The packages that a build needs; only once all words are right, because they come by apt. */
const setUp = (): void => {
  const script = join(projectFolder, 'test/support/setup.mjs');
  const { status } = spawnSync(process.execPath, [script, '--for-device'], { stdio: 'inherit' });
  if (status !== 0) throw new OtadError('TOOL_FAILED', { program: script, exitCode: status });
};

/** All that the words name, checked: nothing is made before. */
const readWish = async (args: readonly string[]) => {
  const { values } = parseWords(args, options, { min: 0, max: 0, names: '' });
  if (values.help === true) return null;
  const { root, chosen } = chooseBoards(values.board ?? [boards[0]?.name ?? '']);
  const compatible = values.compatible ?? `otad-reference-${root.architecture}`;
  const version = values['release-version'];
  if (!compatibleSchema.safeParse(compatible).success) throw refuse('--compatible', nameExpectation, compatible);
  if (!versionSchema.safeParse(version).success) throw refuse('--release-version', versionExpectation, version);
  const layers = (values.layer ?? [join(projectFolder, 'image/layers/product')]).map((folder) => resolve(folder));
  await readLayers(layers);
  const lockPath = await existing('--lock', values.lock, 'file');
  const { SOURCE_DATE_EPOCH: epoch } = process.env;
  return {
    root,
    boards: chosen,
    projectFolder,
    cacheFolder: resolve(values.cache ?? join(projectFolder, '.image/cache')),
    outputFolder: resolve(values.output ?? join(projectFolder, '.image/out', root.architecture)),
    identity: {
      releaseId: releaseIdOf(compatible, version),
      compatible,
      version,
      sequence: wholeNumber('--sequence', values.sequence),
    },
    layers,
    lock: lockPath === null ? null : parseLock(await readFile(lockPath, 'utf8')),
    isDraft: values.draft === true,
    firmwareFolder: await existing('--firmware', values.firmware, 'folder'),
    ubootPath: await existing('--u-boot', values['u-boot'], 'file'),
    trustRootPath: await existing('--trust-root', values['trust-root'], 'file'),
    settingsPath: await existing('--settings', values.settings, 'file'),
    sourceDateEpochS: epoch === undefined ? null : wholeNumber('SOURCE_DATE_EPOCH', epoch),
    changedAtS: await newestCommitS([projectFolder, ...layers]),
    mirrorWish: {
      main: values.mirror,
      security: values['security-mirror'],
      isWithoutSecurity: values['no-security'] === true,
    },
  };
};

const run = async (args: readonly string[]): Promise<number> => {
  const wish = await readWish(args);
  if (wish === null) {
    process.stdout.write(usage);
    return 0;
  }
  if (process.getuid?.() !== 0)
    throw new OtadError('BAD_REQUEST', { problem: 'An image is built by root, who owns its files: run it with sudo.' });
  // Other people's work on the machine goes first.
  setPriority(constants.priority.PRIORITY_LOW);
  setUp();
  await mkdir(wish.outputFolder, { recursive: true });
  const startMs = performance.now();
  const atS = (): string => ((performance.now() - startMs) / 1000).toFixed(0).padStart(4);
  const built = await buildGatewayImage({ ...wish, onStep: (line) => console.log(`${atS()} s  ${line}`) });
  console.log(`${atS()} s  done`);
  const { disks, ...files } = built;
  for (const [name, path] of Object.entries(disks)) console.log(`disk of ${name}: ${path}`);
  for (const [name, value] of Object.entries(files)) console.log(`${name}: ${value}`);
  return 0;
};

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  const failure = toFailure(error);
  const isMisuse = error instanceof OtadError && error.code === 'BAD_REQUEST';
  const words = isMisuse ? `${error.details.problem}\nSee: npm run image -- --help` : failure.message;
  console.error(`image: ${isMisuse ? '' : `${failure.code}: `}${words}`);
  if (failure.code === 'INTERNAL' && error instanceof Error) console.error(error.stack);
  process.exitCode = errorCodes[failure.code].exitCode;
}
