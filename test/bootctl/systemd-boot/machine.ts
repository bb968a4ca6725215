// A device with an ESP in a temporary folder: control and loader model on the same files, and an initramfs that asks for the
// other slot when it cannot open its own.

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { BootControl } from '../../../agent/core/ports.ts';
import { otherSlot, type SlotName, slotNames, type VerityParameters } from '../../../agent/core/types.ts';
import { parseKernelCommandLine } from '../../../bootctl/kernel-command-line.ts';
import type { BootEvidence } from '../../../bootctl/model.ts';
import { createSystemdBootControl, entryStemsDefault } from '../../../bootctl/systemd-boot/control.ts';
import { type Esp, openEsp } from '../../../bootctl/systemd-boot/esp.ts';
import { askForOther, startLoader } from '../../../bootctl/systemd-boot/firmware.ts';
import { listEntries } from '../../../bootctl/systemd-boot/loader-entries.ts';
import { encodeSlotEntry, type SlotEntry } from '../../../bootctl/systemd-boot/slot-entry.ts';
import { type BootMachine, contractVerity } from '../../contract/boot-control.ts';
import { peImage } from './pe-image.ts';

export interface EspFiles {
  readonly espPath: string;
  readonly efivarsPath: string;
  close(): Promise<void>;
}

export const putFile = async (root: string, file: string, content: string | Uint8Array): Promise<void> => {
  const path = join(root, file);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
};

/** What a factory's image holds of a slot, before it says anything about its state. */
export const anEntry = (slot: SlotName, change: Partial<SlotEntry> = {}): SlotEntry => ({
  state: 'live',
  rank: 1,
  boot: { key: 'linux', path: `/otad/${slot}/linux` },
  verity: null,
  rest: [`title Gateway (${slot})`, `initrd /otad/${slot}/initrd`, 'options quiet panic=10'],
  ...change,
});

export const verityOf = (slot: SlotName, release = 1): { rootHex: string; hashOffsetBytes: number } => {
  const { rootHex, hashOffsetBytes } = contractVerity(slot, release);
  return { rootHex, hashOffsetBytes };
};

/** An ESP with kernels for both slots and no entry yet. */
export const createEspFiles = async (): Promise<EspFiles> => {
  // In memory where there is such a place: a flush costs nothing there, and thousands are asked for.
  const folder = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'otad-esp-'));
  const espPath = join(folder, 'esp');
  const efivarsPath = join(folder, 'efivars');
  await mkdir(join(espPath, 'loader/entries'), { recursive: true });
  await mkdir(efivarsPath);
  await putFile(espPath, 'loader/loader.conf', 'timeout 0\neditor no\n');
  for (const slot of slotNames) {
    await putFile(espPath, `otad/${slot}/linux`, 'kernel');
    await putFile(espPath, `otad/${slot}/initrd`, 'initramfs');
  }
  return { espPath, efivarsPath, close: () => rm(folder, { recursive: true, force: true }) };
};

export const putEntry = (espPath: string, file: string, slot: SlotName, entry: SlotEntry): Promise<void> =>
  putFile(espPath, `loader/entries/${file}`, encodeSlotEntry(entry, slot));

/** Slot a good with release 1, slot b parked: how every contract test begins. */
export const putStart = async (espPath: string, boot?: SlotEntry['boot']): Promise<void> => {
  const bootOf = (slot: SlotName) =>
    boot === undefined ? {} : { boot: { ...boot, path: `/otad/${slot}/${boot.path}` } };
  await putEntry(espPath, 'otad-a.conf', 'a', anEntry('a', { rank: 2, verity: verityOf('a'), ...bootOf('a') }));
  await putEntry(espPath, 'otad-b.conf', 'b', anEntry('b', { state: 'parked', rank: 1, ...bootOf('b') }));
};

/**
 * A power-on up to the first slot that opens. The second start is the initramfs's own request for the other slot; where the
 * loader has none it would begin again with the same slot, and that is left to the next power-on.
 */
export const powerOnFiles = async (
  { espPath, efivarsPath }: EspFiles,
  isBootable: (slot: SlotName, root: string | null) => boolean = () => true,
  isWritable = true,
): Promise<BootEvidence | null> => {
  const start = async (): Promise<BootEvidence | null> => {
    const boot = await startLoader({ espPath, efivarsPath, isWritable });
    return boot === null ? null : parseKernelCommandLine(`console=ttyS0 ${boot.commandLine}`);
  };
  const first = await start();
  if (first === null || isBootable(first.slot, first.root)) return first;
  const other = entryStemsDefault[otherSlot(first.slot)];
  const hasOther = (await listEntries(openEsp(espPath))).some(({ name }) => name.stem === other);
  if (!hasOther) return null;
  await askForOther(efivarsPath, other);
  const second = await start();
  return second !== null && isBootable(second.slot, second.root) ? second : null;
};

export interface SystemdBootMachine extends BootMachine {
  readonly files: EspFiles;
}

export const createSystemdBootMachine = async (esp?: (files: EspFiles) => Esp): Promise<SystemdBootMachine> => {
  const files = await createEspFiles();
  await putStart(files.espPath);
  let facts: BootEvidence = { slot: 'a', root: verityOf('a').rootHex, evidence: ['factory'] };
  return {
    files,
    control: createSystemdBootControl({
      ...files,
      evidence: async () => facts,
      ...(esp === undefined ? {} : { esp: esp(files) }),
    }),
    powerOn: async (isBootable) => {
      const booted = await powerOnFiles(files, isBootable);
      if (booted !== null) facts = booted;
      return booted?.slot ?? null;
    },
    close: files.close,
  };
};

const ukiOf = (slot: SlotName, verity: VerityParameters | null): Uint8Array =>
  peImage({
    '.osrel': 'ID=gateway\nVERSION_ID=1\nPRETTY_NAME="Gateway"\n',
    '.cmdline': [
      `quiet otad.slot=${slot}`,
      ...(verity === null ? [] : [`otad.root=${verity.rootHex}`, `otad.hashoffset=${verity.hashOffsetBytes}`]),
    ].join(' '),
  });

/** The same with unified kernel images, which whoever installs puts in place before activation. */
export const createUkiMachine = async (): Promise<SystemdBootMachine> => {
  const files = await createEspFiles();
  await putStart(files.espPath, { key: 'efi', path: 'uki.efi' });
  const put = (slot: SlotName, verity: VerityParameters | null): Promise<void> =>
    putFile(files.espPath, `otad/${slot}/uki.efi`, ukiOf(slot, verity));
  await put('a', contractVerity('a'));
  await put('b', null);
  let facts: BootEvidence = { slot: 'a', root: verityOf('a').rootHex, evidence: ['factory'] };
  const inner = createSystemdBootControl({ ...files, evidence: async () => facts });
  const control: BootControl = {
    ...inner,
    invalidate: async (slot, signal) => {
      await inner.invalidate(slot, signal);
      await put(slot, null);
    },
    activate: async (slot, tries, verity, signal) => {
      if (!signal.aborted) await put(slot, verity);
      await inner.activate(slot, tries, verity, signal);
    },
  };
  return {
    files,
    control,
    powerOn: async (isBootable) => {
      const booted = await powerOnFiles(files, isBootable);
      if (booted !== null) facts = booted;
      return booted?.slot ?? null;
    },
    close: files.close,
  };
};
