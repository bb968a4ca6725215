// The slot adapter on real block devices: loop devices, where this process may make them (root, with loop-control).
// Partitions are tried on a made-up /sys only, in slot-device.test.ts: many kernels give loop devices none.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readStack } from '../../../agent/adapters/block-device.ts';
import { createSlotDevices } from '../../../agent/adapters/slot-device.ts';
import { identify, kernelViews } from '../../../agent/adapters/slot-identity.ts';
import { noise } from '../../support/noise.ts';
import { reportNotRun } from '../../support/not-run.ts';
import {
  anArtifact,
  anInstall,
  aRelease,
  createFakeSource,
  createFileSlots,
  isCode,
  rootOf,
} from '../../support/slot-bench.ts';
import { isAcceptedByVeritysetup } from '../../support/veritysetup.ts';

const root = mkdtempSync(join(tmpdir(), 'otad-block-'));
const { signal } = new AbortController();
const sizeBytes = 4 * 1024 * 1024;
const files = createFileSlots(root, sizeBytes);
const run = (command: string, ...args: readonly string[]) => spawnSync(command, args, { encoding: 'utf8' });

const attach = (path: string): string | null => {
  const made = run('losetup', '--find', '--show', path);
  return made.status === 0 ? made.stdout.trim() : null;
};
const a = attach(files.paths.a);
const b = a === null ? null : attach(files.paths.b);
after(() => {
  for (const device of [a, b]) if (device !== null) run('losetup', '--detach', device);
  rmSync(root, { recursive: true });
});

if (a !== null && b !== null) {
  const devices = createSlotDevices({ paths: { a, b }, bootedSlot: () => 'a' });

  test('an install on a block device is verified by veritysetup and survives in the medium', async () => {
    const image = noise(1024 * 1024);
    const { source } = createFakeSource(image);
    const install = anInstall({ slots: devices, source });
    const record = await install.write({ slot: 'b', release: aRelease(anArtifact(image)) }, signal, () => {});
    await install.verify({ slot: 'b', rootHex: rootOf(image) }, signal, () => {});
    assert.equal(isAcceptedByVeritysetup(b, record.verity), true);
    assert.ok(readFileSync(files.paths.b).subarray(0, image.length).equals(image), 'the backing file has it');
    assert.equal((await devices.readRecord('b', signal))?.status, 'verified');
  });

  test('a block device has its whole size, and reads come from the medium, not from the page cache', async () => {
    const readBytes = (): number => Number(/^read_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
    const handle = await devices.open('b', signal);
    assert.equal(handle.sizeBytes, sizeBytes);
    readFileSync(b); // now all of it is in the page cache
    const before = readBytes();
    await handle.read(0, 1024 * 1024, signal);
    assert.equal(readBytes() - before, 1024 * 1024);
    await handle.close();
  });

  test('the device under the root file system is not opened, whatever the evidence says of the slots', async () => {
    const { device } = await identify('b', b);
    const stack = await readStack(device ?? '', kernelViews);
    assert.equal(stack[0]?.number, device);
    const blind = createSlotDevices({ paths: { a, b }, bootedSlot: () => 'a', rootStack: async () => stack });
    await assert.rejects(blind.open('b', signal), isCode('SLOT_RUNNING'));
  });

  test('a held or mounted device is refused, and so is the file beneath it', async (context) => {
    const handle = await devices.open('b', signal);
    await assert.rejects(devices.open('b', signal), isCode('SLOT_BUSY'));
    await assert.rejects(files.devices.open('b', signal), isCode('SLOT_BUSY'));
    const tree = join(root, 'tree');
    const mountPoint = join(root, 'mount');
    mkdirSync(tree);
    mkdirSync(mountPoint);
    writeFileSync(join(tree, 'file'), 'content');
    assert.equal(run('mksquashfs', tree, join(root, 'image'), '-quiet', '-no-progress').status, 0);
    await handle.write(0, readFileSync(join(root, 'image')), signal);
    await handle.close();
    const mounted = run('mount', '-t', 'squashfs', '-o', 'ro', b, mountPoint);
    // A kernel without squashfs says so; everything above has been asserted by then.
    if (mounted.status !== 0) return context.diagnostic(`not mounted: ${mounted.stderr.trim()}`);
    try {
      await assert.rejects(devices.open('b', signal), (error: Error) => error.message.includes(mountPoint));
      await devices.readRecord('b', signal);
    } finally {
      run('umount', mountPoint);
    }
  });

  test('one block device under two names is refused', async () => {
    const twins = createSlotDevices({ paths: { a: b, b }, bootedSlot: () => 'a' });
    await assert.rejects(twins.open('b', signal), isCode('CONFIG_INVALID'));
  });
} else {
  reportNotRun('slots on block devices', 'two loop devices (root and loop-control)');
}
