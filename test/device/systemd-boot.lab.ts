// The real systemd-boot of Debian 13 under OVMF against its TypeScript model: which entry starts at each power-on, and what
// the entries are called afterwards.

import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { encodeVariable, type LoaderVariable, variableFile } from '../../bootctl/systemd-boot/efi-variables.ts';
import { startLoader } from '../../bootctl/systemd-boot/firmware.ts';
import { loaderFileBytesMax } from '../../bootctl/systemd-boot/loader-file.ts';
import { putFile } from '../bootctl/systemd-boot/machine.ts';
import { peImage } from '../bootctl/systemd-boot/pe-image.ts';
import { prepareDebianRoot } from './debian-root.ts';
import { efiProgram } from './efi-program.ts';
import { fillFat, makeFat, readFatFolder } from './fat-image.ts';
import { restartsLine } from './lab/tally.ts';
import { type LoaderState, loaderStates } from './loader-states.ts';
import { freshVariables, type Machine, runMachine } from './qemu.ts';

const debian = await prepareDebianRoot();
const logs = fileURLToPath(new URL('../../../.device/logs/systemd-boot', import.meta.url));
const work = await mkdtemp(join(tmpdir(), 'otad-lab-'));
after(() => rm(work, { recursive: true }));
/** A start takes about 3 s of CPU; the rest is for a machine that others use as well. */
const startMs = 60_000;
const sizeKiB = 34_000;
let restarts = 0;

const mark = 'STARTED ';
const startsIn = (lines: readonly string[]): readonly string[] =>
  lines.filter((line) => line.startsWith(mark)).map((line) => line.slice(mark.length).trim());

const programsOf = (state: LoaderState): readonly string[] => [
  ...new Set(
    Object.values(state.entries).flatMap((text) =>
      [...text.matchAll(/\/programs\/([a-z0-9]+)\.efi/g)].map(([, name = '']) => name),
    ),
  ),
];

/** The tree of the ESP; the model works on a copy of it. */
const makeTree = async (state: LoaderState, folder: string): Promise<void> => {
  await mkdir(join(folder, 'EFI/BOOT'), { recursive: true });
  await cp(join(debian.root, 'usr/lib/systemd/boot/efi/systemd-bootx64.efi'), join(folder, 'EFI/BOOT/BOOTX64.EFI'));
  await putFile(folder, 'loader/loader.conf', `timeout 0\n${state.settings ?? ''}`);
  for (const [name, text] of Object.entries(state.entries)) await putFile(folder, `loader/entries/${name}`, text);
  for (const name of programsOf(state)) {
    if (name !== 'missing')
      await putFile(folder, `programs/${name}.efi`, efiProgram({ line: `${mark}${name}`, reset: 'cold' }));
  }
  for (const [name, release] of Object.entries(state.images ?? {})) {
    const code = efiProgram({ line: `${mark}${name}`, reset: 'cold' });
    await putFile(folder, `EFI/Linux/${name}`, withSections(code, release));
  }
};

/** A program that the loader takes for a unified kernel image. */
const withSections = (program: Uint8Array, release: string): Uint8Array =>
  peImage({ '.text': program.subarray(512), '.osrel': release, '.cmdline': 'quiet', '.linux': 'x' });

const nameOf = (image: string, state: LoaderState): string =>
  Object.keys(state.images ?? {}).find((name) => image.startsWith(`EFI/Linux/${name.split('+')[0]}`)) ??
  image.replace(/^programs\//, '').replace(/\.efi$/, '');

const byModel = async (state: LoaderState, espPath: string, efivarsPath: string): Promise<readonly string[]> => {
  await mkdir(efivarsPath, { recursive: true });
  for (const [name, value] of Object.entries(state.variables ?? {})) {
    await putFile('/', variableFile(efivarsPath, name as LoaderVariable), encodeVariable(value));
  }
  const starts: string[] = [];
  for (let boot = 0; boot < state.boots; boot += 1) {
    const started = await startLoader({ espPath, efivarsPath, isWritable: state.isReadOnly !== true });
    starts.push(started === null ? 'nothing' : nameOf(started.entry.image, state));
  }
  return starts;
};

/** Sets the variables by a program that starts in the loader's place. */
const setVariables = async (state: LoaderState, machine: Machine, log: string): Promise<void> => {
  const { variables } = state;
  if (variables === undefined) return;
  const folder = join(work, 'setter');
  const disk = join(work, 'setter.img');
  await rm(folder, { recursive: true, force: true });
  await putFile(folder, 'EFI/BOOT/BOOTX64.EFI', efiProgram({ line: `${mark}setter`, reset: 'shutdown', variables }));
  await makeFat(disk, folder, { sizeKiB });
  const fresh = () => freshVariables(debian, machine.variables);
  const run = await runMachine(debian, { ...machine, disk }, log, () => false, startMs, fresh);
  assert.deepEqual(startsIn(run.lines), ['setter']);
  restarts += run.restarts;
};

const byLoader = async (
  state: LoaderState,
  folder: string,
  index: number,
): Promise<{ readonly starts: readonly string[]; readonly disk: string }> => {
  const disk = join(work, `${index}.img`);
  const variables = join(work, `${index}.vars`);
  const log = join(logs, `${state.name.replaceAll(/[^a-z0-9]+/g, '-')}.log`);
  const machine = { disk, variables, isReadOnly: state.isReadOnly ?? false };
  const prepare = async (): Promise<void> => {
    await makeFat(disk, folder, { sizeKiB });
    if (state.isFull === true) await fillFat(disk, work);
    await freshVariables(debian, variables);
    await setVariables(state, { ...machine, isReadOnly: false }, `${log}.setter`);
  };
  const isEnough = (lines: readonly string[]): boolean => startsIn(lines).length >= state.boots;
  const run = await runMachine(debian, machine, log, isEnough, startMs * state.boots, prepare);
  restarts += run.restarts;
  return { starts: startsIn(run.lines).slice(0, state.boots), disk };
};

describe('systemd-boot as it is', { concurrency: 2 }, () => {
  console.log(`device lab: ${debian.versions.replaceAll('\n', ', ')}`);
  loaderStates.forEach((state, index) => {
    it(`${state.name}: the model starts the same entries and leaves the same files`, async () => {
      const folder = join(work, `${index}`);
      await makeTree(state, folder);
      const { starts, disk } = await byLoader(state, folder, index);
      const expected = await byModel(state, folder, join(work, `${index}.efivars`));
      assert.deepEqual(starts, expected);
      const left = await readFatFolder(disk, 'loader/entries');
      await makeFat(disk, folder, { sizeKiB });
      assert.deepEqual([...left.keys()], [...(await readFatFolder(disk, 'loader/entries')).keys()]);
      assert.deepEqual(left, await readFatFolder(disk, 'loader/entries'));
      assert.ok([...left.values()].every((text) => text.length < loaderFileBytesMax));
      await rm(disk);
    });
  });

  after(() => console.log(restartsLine(restarts)));
});
