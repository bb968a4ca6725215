// `npm run image`: builds the reference image of one or more boards. Reads the words of the command line and says what was made.

import { mkdir, readFile } from 'node:fs/promises';
import { constants, setPriority } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { OtadError, toFailure } from '../agent/core/errors.ts';
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

const refuseBoard = (found: string, expected: string): OtadError =>
  new OtadError('CONFIG_INVALID', { key: '--board', expected, found });

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
  throw new OtadError('CONFIG_INVALID', { key, expected: 'a whole number', found: text });
};

const run = async (args: readonly string[]): Promise<number> => {
  const { values } = parseArgs({ args: [...args], options, strict: true });
  if (values.help === true) {
    process.stdout.write(usage);
    return 0;
  }
  // Other people's work on the machine goes first.
  setPriority(constants.priority.PRIORITY_LOW);
  const { root, chosen } = chooseBoards(values.board ?? [boards[0]?.name ?? '']);
  const compatible = values.compatible ?? `otad-reference-${root.architecture}`;
  const version = values['release-version'];
  const outputFolder = resolve(values.output ?? join(projectFolder, '.image/out', root.architecture));
  await mkdir(outputFolder, { recursive: true });
  const layers = (values.layer ?? [join(projectFolder, 'image/layers/product')]).map((folder) => resolve(folder));
  const { SOURCE_DATE_EPOCH: epoch } = process.env;
  const startMs = performance.now();
  const atS = (): string => ((performance.now() - startMs) / 1000).toFixed(0).padStart(4);
  const built = await buildGatewayImage({
    root,
    boards: chosen,
    projectFolder,
    cacheFolder: resolve(values.cache ?? join(projectFolder, '.image/cache')),
    outputFolder,
    identity: {
      releaseId: releaseIdOf(compatible, version),
      compatible,
      version,
      sequence: wholeNumber('--sequence', values.sequence),
    },
    layers,
    lock: values.lock === undefined ? null : parseLock(await readFile(values.lock, 'utf8')),
    isDraft: values.draft,
    firmwareFolder: values.firmware ?? null,
    ubootPath: values['u-boot'] ?? null,
    trustRootPath: values['trust-root'] ?? null,
    settingsPath: values.settings ?? null,
    sourceDateEpochS: epoch === undefined ? null : wholeNumber('SOURCE_DATE_EPOCH', epoch),
    changedAtS: await newestCommitS([projectFolder, ...layers]),
    mirrorWish: {
      main: values.mirror,
      security: values['security-mirror'],
      isWithoutSecurity: values['no-security'],
    },
    onStep: (line) => console.log(`${atS()} s  ${line}`),
  });
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
  console.error(`image: ${failure.code}: ${failure.message}`);
  if (failure.code === 'INTERNAL' && error instanceof Error) console.error(error.stack);
  process.exitCode = 1;
}
