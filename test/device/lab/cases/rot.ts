// Damage to what was confirmed: the gateway leaves it by itself, to the other slot, and says why.

import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesSource } from '../../../../delta/byte-source.ts';
import { readContent } from '../../../../delta/image-content.ts';
import { loadZstd } from '../../../../delta/zstd-module.ts';
import { planDisk } from '../../../../image/partitions.ts';
import type { CaseContext, LabCase } from '../case.ts';
import { expectConfirmed, expectGoodBoot, restart, versionOf, withPowerOff } from '../journey.ts';
import { extractPartition, spoilPartition } from '../qcow-disk.ts';

const blockBytes = 4096;
const sectorBytes = 512;
/** Both copies of U-Boot's environment. */
const environmentFiles = '/boot/env/uboot.env /boot/env/uboot-redund.env';

/** Slot a runs for good, and every way of asking says that b did not come up. The console since the mark counts. */
const expectLeft = async ({ machine, guest }: CaseContext, mark: number): Promise<void> => {
  await machine.said(/\]: Rolled back[^\n]*/, mark, 'the way back');
  const { version, booted, confirmed } = await guest.status();
  assert.deepEqual({ version, booted, confirmed }, { version: versionOf('factory'), booted: 'a', confirmed: true });
  const reason = /slot b did not come up/;
  const back = (await guest.history()).find(({ type }) => type === 'rolled-back');
  assert.match(back?.reason ?? 'no rollback in the history', reason);
  const { reasons } = await guest.why();
  assert.ok(
    reasons.some(({ sentence }) => reason.test(sentence)),
    JSON.stringify(reasons),
  );
};

/** One sector in the middle of the first block that a file of the good release lies in, in slot b; the machine is off. */
const rotFile = async ({ debian, board, machine, releases }: CaseContext, path: string): Promise<void> => {
  const plan = planDisk(board.image);
  const file = join(machine.folder, 'slot.img');
  await extractPartition(debian, machine.diskPath, plan, 'system_b', file);
  const bytes = (await readFile(file)).subarray(0, releases.images.good.lengthBytes);
  const image = await readContent(bytesSource(bytes), await loadZstd());
  await rm(file);
  const [slice] = image.contents.find(({ name }) => name === path)?.slices ?? [];
  const unit = slice === undefined ? undefined : image.units[slice.unit];
  if (unit === undefined) throw new Error(`the image has no ${path}`);
  const middle = unit.offsetBytes + Math.floor(unit.lengthBytes / 2);
  const offsetBytes = middle - (middle % sectorBytes);
  await spoilPartition(debian, machine.diskPath, plan, 'system_b', { offsetBytes, lengthBytes: sectorBytes });
};

export const rotCases: readonly LabCase[] = [
  {
    name: 'rotten-confirmed',
    claim: 'a confirmed slot that rots until it cannot be opened is left by itself, and the gateway says why',
    from: 'updated',
    isSmoke: false,
    run: async (context) => {
      const { machine, guest, releases } = context;
      const { lengthBytes } = releases.images.good;
      const mark = machine.console.mark();
      // What runs has read it already, and does not miss it.
      const place = `of=/dev/disk/by-partlabel/system_b bs=${blockBytes} seek=${lengthBytes / blockBytes} count=1`;
      await guest.ok(`dd if=/dev/urandom ${place} conv=notrunc,fsync status=none`);
      await restart(context);
      assert.notEqual(machine.console.find(/otad-initramfs: cannot start slot b: dm-verity refuses/, mark), null);
      await expectLeft(context, mark);
    },
  },
  {
    name: 'rotten-system',
    claim: 'a confirmed slot in which systemd rots costs one lost start, is left by itself, and the gateway says why',
    from: 'updated',
    isSmoke: false,
    run: async (context) => {
      const { machine, guest } = context;
      // A start that has not come to its end is in doubt anyway, and reads the slot before it fails.
      await guest.ok('until [ ! -e /data/starting ]; do sleep 1; done');
      const mark = machine.console.mark();
      await machine.nextBoot(await withPowerOff(context, () => rotFile(context, '/usr/lib/systemd/systemd')));
      const panic = machine.console.find(/Kernel panic - not syncing/, mark);
      const refusal = machine.console.find(
        /otad-initramfs: cannot start slot b: a part of [^\n]* cannot be read/,
        mark,
      );
      assert.ok(panic !== null && refusal !== null, `panic: ${panic?.[0]}, refusal: ${refusal?.[0]}`);
      await expectLeft(context, mark);
      await guest.ok('until [ ! -e /data/starting ]; do sleep 1; done');
    },
  },
  {
    name: 'environment-lost',
    isFor: ({ name }) => name === 'u-boot',
    claim: 'without a byte of its environment U-Boot starts a slot that vouches for itself, and the agent confirms it',
    from: 'updated',
    isSmoke: false,
    run: async (context) => {
      const { machine, guest, site } = context;
      // A trial wants its server; what it offers is not the matter here.
      await guest.configure({ baseUrls: [site.url], channel: 'good', autoInstall: false });
      const mark = machine.console.mark();
      const before = machine.boot();
      await guest.ok(
        `for file in ${environmentFiles}; do dd if=/dev/zero of=$file bs=16k count=1 conv=notrunc; done; sync`,
      );
      await machine.reset();
      await machine.nextBoot(before);
      await machine.said(
        /otad-initramfs: no otad.root=[^\n]* is opened by its own record/,
        mark,
        'the record of the slot',
      );
      await machine.said(/otad started/, mark, 'the start of the agent');
      const slot = (await guest.status()).booted;
      const version = versionOf(slot === 'a' ? 'factory' : 'good');
      await expectGoodBoot(context);
      await expectConfirmed(context, { version, slot });
      // Made whole again by what was confirmed: the bootloader names the root.
      const healed = machine.console.mark();
      await restart(context);
      await expectConfirmed(context, { version, slot });
      assert.equal(machine.console.find(/opened by its own record/, healed), null);
    },
  },
];
