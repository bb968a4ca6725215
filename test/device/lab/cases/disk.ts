// What technicians and years do to disks: leave the old one in, wipe it, copy it to a larger one; let its metadata rot.

import assert from 'node:assert/strict';
import { copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { planDisk } from '../../../../image/partitions.ts';
import { runTool } from '../../../../image/tool.ts';
import type { CaseContext, LabCase } from '../case.ts';
import { expectConfirmed, expectName, follow, restart, untilConfirmed, versionOf, withPowerOff } from '../journey.ts';
import { enlargeDisk, extractPartition, replacePartition, zeroPartition } from '../qcow-disk.ts';
import { createTechnician } from '../technician.ts';

const mebibyte = 1024 * 1024;
const moreBytes = 256 * mebibyte;
/** What a file system keeps for itself of each byte that it gets. */
const usableShare = 0.9;

const dataBytes = async ({ guest }: CaseContext): Promise<number> =>
  Number(await guest.ok('df --block-size=1 --output=size /data | tail -n 1'));

/** With a key that the image brings: the settings, and the keys among them, are gone. */
const expectReachable = async ({ machine, guest, releases }: CaseContext): Promise<void> => {
  const technician = await createTechnician(machine, releases.technicianKeyPath);
  await guest.ok('test ! -s /etc/ssh/authorized_keys.d/root');
  // Any state: what is degraded may be called so.
  await guest.run('systemctl is-system-running --wait');
  // The lab's layer masks it. A restart would bring the mask back, with /etc in RAM.
  await guest.ok('rm /etc/systemd/system/ssh.service && systemctl daemon-reload && systemctl start ssh.service');
  const hostKey = await guest.ok('cat /etc/ssh/ssh_host_ed25519_key.pub');
  assert.equal(await technician.ssh(hostKey, 'cat /run/gateway/degraded'), 'data');
};

const lostFolder = '/var/lib/lab/lost';

/**
 * Takes a folder out of its parent, so that nothing leads to it any more, and leaves the mark of a kernel that has noticed
 * something. e2fsck -p gives up at that: where the folder belongs is for a human to say.
 */
const loseFolder = async ({ debian, board, machine }: CaseContext): Promise<void> => {
  const plan = planDisk(board.image);
  const file = join(machine.folder, 'data.ext4');
  await extractPartition(debian, machine.diskPath, plan, 'data', file);
  // The journal first, or its replay would put the folder back. Exit status 1: it was replayed.
  await runTool('sh', ['-c', 'e2fsck -p "$1" > /dev/null || [ $? = 1 ]', 'sh', file]);
  await runTool('debugfs', ['-w', '-R', `unlink ${lostFolder}`, file]);
  await runTool('debugfs', ['-w', '-R', 'set_super_value state 2', file]);
  await replacePartition(debian, machine.diskPath, plan, 'data', file);
  await rm(file);
};

export const diskCases: readonly LabCase[] = [
  {
    name: 'disk-copy',
    claim: 'with a copy of its disk beside it the gateway starts from neither, names both, and is well without it',
    from: 'factory',
    isSmoke: false,
    run: async (context) => {
      const { machine } = context;
      const secondDiskPath = join(machine.folder, 'second.qcow2');
      const mark = machine.console.mark();
      const before = await withPowerOff(context, () => copyFile(machine.diskPath, secondDiskPath), { secondDiskPath });
      const refusal = /cannot start slot a: several disks are copies of one another: vda vdb; take all but one away/;
      await machine.said(refusal, mark, 'the refusal');
      // Not once by accident: it goes on like that, and wears nothing out.
      await machine.said(new RegExp(`${refusal.source}[^]*${refusal.source}`), mark, 'the second refusal');
      await machine.powerOff();
      await machine.powerOn();
      await machine.nextBoot(before);
      await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
    },
  },
  {
    name: 'data-zeroed',
    claim:
      'with zeros in place of its data the gateway starts under its name, lets in by a key of its image, updates, and keeps settings again once it is formatted',
    from: 'factory',
    isSmoke: false,
    run: async (context) => {
      const { machine, guest, board, debian } = context;
      const mark = machine.console.mark();
      const zero = () => zeroPartition(debian, machine.diskPath, planDisk(board.image), 'data');
      await machine.nextBoot(await withPowerOff(context, zero));
      await machine.said(/no data partition: settings and state are kept in RAM/, mark, 'word of the loss');
      await guest.ok('test -e /run/gateway/degraded');
      // The agent answers late in the start: by then the gateway has its name.
      await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
      await expectName(context);
      await expectReachable(context);
      await follow(context, 'good');
      await untilConfirmed(context, 'good', mark, 'b');
      await guest.ok('mkfs.ext4 -q -L data /dev/disk/by-partlabel/data');
      await restart(context);
      await expectConfirmed(context, { version: versionOf('good'), slot: 'b' });
      await guest.ok('test ! -e /run/gateway/degraded && findmnt --types ext4 /data');
    },
  },
  {
    name: 'data-damaged',
    claim: 'a data partition with damage that asks for a human is mended at the start, and what was not hit is kept',
    from: 'factory',
    isSmoke: false,
    run: async (context) => {
      const { machine, guest } = context;
      const kept = 'cat /etc/machine-id /etc/hostname /etc/ssh/ssh_host_ed25519_key.pub /etc/site';
      await guest.ok(`echo north > /etc/site && mkdir -p ${lostFolder} && echo found > ${lostFolder}/again`);
      const before = await guest.ok(kept);
      const mark = machine.console.mark();
      await machine.nextBoot(await withPowerOff(context, () => loseFolder(context)));
      await machine.said(/otad-initramfs: data partition: mended/, mark, 'word of the mending');
      assert.equal(await guest.ok(kept), before);
      await guest.ok(`test ! -e ${lostFolder} && test ! -e /run/gateway/degraded`);
      assert.equal(await guest.ok('cat /data/lost+found/*/again'), 'found');
      await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
    },
  },
  {
    name: 'disk-enlarged',
    claim: 'on a larger disk the data partition takes all that there is, and keeps what it has',
    from: 'factory',
    isSmoke: false,
    run: async (context) => {
      const { machine, guest, debian } = context;
      const before = await dataBytes(context);
      const identity = await guest.ok('cat /etc/machine-id');
      await machine.nextBoot(await withPowerOff(context, () => enlargeDisk(debian, machine.diskPath, moreBytes)));
      await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
      await guest.ok('systemctl is-system-running --wait');
      const grownBytes = (await dataBytes(context)) - before;
      assert.ok(grownBytes > moreBytes * usableShare, `/data grew by ${grownBytes} of ${moreBytes} bytes`);
      assert.equal(await guest.ok('cat /etc/machine-id'), identity);
    },
  },
];
