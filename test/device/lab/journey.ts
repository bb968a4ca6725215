// The steps that cases are made of: set a gateway on its way, wait until it got somewhere, say what must be true there. What
// is wrong is told with what was seen instead.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { SlotName } from '../../../agent/core/types.ts';
import { planDisk } from '../../../image/partitions.ts';
import { isAcceptedByVeritysetup } from '../../support/veritysetup.ts';
import type { CaseContext } from './case.ts';
import { CutOff } from './control-channel.ts';
import type { Guest } from './guest.ts';
import { limits } from './limits.ts';
import type { PowerOptions } from './machine.ts';
import { extractPartition } from './qcow-disk.ts';
import { type LabChannel, labReleases } from './releases.ts';

export const versionOf = (channel: LabChannel): string => labReleases[channel].version;

const literal = (text: string): string => text.replaceAll('.', '\\.');

/** What the agent says in the journal, which the console shows. */
export const sentences = {
  installing: (version: string) => new RegExp(`The install began \\(version ${literal(version)}`),
  installed: (version: string) => new RegExp(`Installed and verified \\(version ${literal(version)}`),
  activated: (version: string) => new RegExp(`Activated for a trial boot \\(version ${literal(version)}`),
  rebooting: /A reboot was requested/,
  trial: (version: string) => new RegExp(`The trial of a new release began \\(version ${literal(version)}`),
  confirmed: (version: string) => new RegExp(`\\]: Confirmed \\(version ${literal(version)}`),
  rolledBack: /\]: Rolled back[^\n]*/,
} as const;

/** From now on the gateway is offered what this channel has. It asks as soon as it has started again. */
export const follow = async (
  { guest, site }: CaseContext,
  channel: LabChannel,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<void> => {
  await guest.configure({ baseUrls: [site.url], channel, ...settings });
  await guest.restartAgent();
};

export interface Expected {
  readonly version: string;
  readonly slot: SlotName;
}

/** What runs, by the word of the agent, which has it from the bootloader and the kernel. */
export const expectConfirmed = async ({ guest }: CaseContext, expected: Expected): Promise<void> => {
  const { version, booted, confirmed, primary } = await guest.status();
  assert.deepEqual(
    { version, slot: booted, confirmed, primary },
    { ...expected, confirmed: true, primary: expected.slot },
  );
};

/** The name that the gateway has from its hardware, and nothing else: `gw-` and eight digits of a digest. */
export const expectName = async ({ guest, board }: CaseContext): Promise<void> => {
  const name = `gw-${createHash('sha256').update(`${board.hardwareId}\n`).digest('hex').slice(0, 8)}`;
  assert.equal(await guest.ok('cat /etc/hostname /proc/sys/kernel/hostname'), `${name}\n${name}`);
};

/** systemd calls the boot good, not before a trial was confirmed, and whoever waits for that has got it. */
export const expectGoodBoot = async ({ guest }: CaseContext): Promise<void> => {
  await guest.ok('until systemctl is-active --quiet lab-blessed.service; do sleep 1; done');
  assert.equal(await guest.ok('cat /run/lab-blessed'), 'in time');
  await guest.ok('systemctl is-active otad-gate.service boot-complete.target');
};

/** Until the release of the channel is confirmed; the console since the mark counts. */
export const untilConfirmed = async (
  context: CaseContext,
  channel: LabChannel,
  since: number,
  slot: SlotName,
): Promise<void> => {
  const version = versionOf(channel);
  await context.machine.said(sentences.confirmed(version), since, `${version} is confirmed`);
  await expectConfirmed(context, { version, slot });
};

/** After a power cut: waits for as many boots as it takes until the version runs for good. */
export const untilSettled = async (context: CaseContext, version: string, slot: SlotName): Promise<void> => {
  const { machine, guest } = context;
  const word = new RegExp(`${sentences.confirmed(version).source}|otad started`);
  for (;;) {
    const mark = machine.console.mark();
    try {
      const status = await guest.status();
      const isThere = status.confirmed && status.version === version;
      if (isThere && status.phase === 'idle') break;
      // Once confirmed it asks the server, which is soon over and says nothing here.
      if (isThere) await delay(limits.lookAgainMs);
      else await machine.said(word, mark, `${version} is confirmed`);
    } catch (error) {
      if (!(error instanceof CutOff)) throw error;
      await machine.nextBoot(null);
      await machine.said(/otad started/, mark, 'the next start of the agent');
    }
  }
  await expectConfirmed(context, { version, slot });
};

/** The machine is switched off: the bytes of the slot have the root that was signed, by the word of veritysetup. */
export const expectSlotOnDisk = async (context: CaseContext, slot: SlotName, channel: LabChannel): Promise<void> => {
  const { debian, board, machine, releases } = context;
  await context.keepRecord();
  await machine.powerOff();
  const file = join(machine.folder, `slot-${slot}`);
  await extractPartition(debian, machine.diskPath, planDisk(board.image), `system_${slot}`, file);
  const { rootHex, lengthBytes } = releases.images[channel];
  const isAccepted = isAcceptedByVeritysetup(file, { rootHex, hashOffsetBytes: lengthBytes });
  await rm(file);
  assert.ok(isAccepted, `veritysetup refuses slot ${slot} with the root of ${versionOf(channel)}`);
};

/** The slot starts by this release's kernel and initramfs, byte for byte. */
export const expectBootSet = async (
  { guest, board, releases }: CaseContext,
  slot: SlotName,
  channel: LabChannel,
): Promise<void> => {
  const { bootSet } = releases.images[channel];
  const names = Object.keys(bootSet).sort();
  const lines = (await guest.ok(`cd ${board.bootPlace(slot)} && sha256sum ${names.join(' ')}`)).trim().split('\n');
  assert.deepEqual(
    lines.map((line) => line.split(/\s+/)),
    names.map((name) => [bootSet[name], name]),
    `slot ${slot} starts by other files than ${versionOf(channel)} brings`,
  );
};

/** One byte of a block device becomes another one, on the disk and for every reader; flipped twice it is itself again. */
export const flipByte = async (guest: Guest, device: string, offsetBytes: number): Promise<void> => {
  const lines = [
    ...['const fs = require("node:fs")', `const file = fs.openSync("${device}", "r+")`, 'const byte = Buffer.alloc(1)'],
    ...[
      `fs.readSync(file, byte, 0, 1, ${offsetBytes})`,
      'byte[0] ^= 1',
      `fs.writeSync(file, byte, 0, 1, ${offsetBytes})`,
    ],
    'fs.fsyncSync(file)',
  ];
  await guest.ok(`node -e '${lines.join('; ')}' && echo 3 > /proc/sys/vm/drop_caches`);
};

/** A command that ends the boot: it may be down before it has said that it goes down. */
const goDown = async ({ guest }: CaseContext, command: string): Promise<void> => {
  try {
    await guest.ok(command);
  } catch (error) {
    if (!(error instanceof CutOff)) throw error;
  }
};

/** The restart that the agent has asked for in a stage where nobody heard it. */
export const hearRestart = (context: CaseContext): Promise<void> =>
  goDown(context, 'systemctl --no-block start otad-reboot.path');

/** A restart from inside, as root asks for it. */
export const restart = async (context: CaseContext): Promise<void> => {
  const { machine } = context;
  const before = machine.boot();
  await goDown(context, 'systemctl --no-block start --job-mode=replace-irreversibly reboot.target');
  await machine.nextBoot(before);
};

/** Off, something is done to the disk, on again. Gives the boot before. */
export const withPowerOff = async (
  { machine, guest }: CaseContext,
  work: () => Promise<void>,
  options?: PowerOptions,
): Promise<string | null> => {
  const before = machine.boot();
  await guest.ok('sync');
  await machine.powerOff();
  await work();
  await machine.powerOn(options);
  return before;
};
