// What a device lives through beside updates: storage that rots or fills up, a database that is lost, a clock that forgot
// the time, a network that goes away.

import assert from 'node:assert/strict';
import type { CaseContext, LabCase } from '../case.ts';
import { expectBootSet, expectConfirmed, flipByte, follow, sentences, untilConfirmed, versionOf } from '../journey.ts';

/** Bytes that were on the line when it broke: they left the server and never came to the disk. */
const inFlightBytesMax = 4 * 1024 * 1024;
const slowBytesPerS = 2 * 1024 * 1024;

/** An update whose download is interrupted at a third, in whichever way. */
const interruptedDownload = async (
  context: CaseContext,
  interrupt: (context: CaseContext) => Promise<void>,
  mend: (context: CaseContext) => Promise<void>,
): Promise<void> => {
  const { machine, site } = context;
  const { receivedBytes } = await context.update();
  const mark = machine.console.mark();
  site.link.setRate(slowBytesPerS);
  await follow(context, 'good');
  await machine.until('a third of the download', () => (site.link.receivedBytes() > receivedBytes / 3 ? true : null));
  await interrupt(context);
  await machine.said(/The install failed|The check for a release failed/, mark, 'word of the interruption');
  const before = site.link.receivedBytes();
  site.link.setRate(null);
  await mend(context);
  await untilConfirmed(context, 'good', mark, 'b');
  const received = site.link.receivedBytes();
  assert.ok(
    received < receivedBytes + inFlightBytesMax,
    `${before} bytes had come before the interruption, ${received} in all; without one it takes ${receivedBytes}`,
  );
};

const networkCases: readonly LabCase[] = [
  {
    name: 'network-cable',
    claim: 'a download goes on where it was when the network cable is pulled out and plugged in again',
    from: 'factory',
    isSmoke: false,
    run: (context) =>
      interruptedDownload(
        context,
        ({ machine }) => machine.setCable(false),
        ({ machine }) => machine.setCable(true),
      ),
  },
  {
    name: 'network-server',
    claim: 'a download goes on where it was when the server goes down and comes back',
    from: 'factory',
    isSmoke: false,
    run: (context) =>
      interruptedDownload(
        context,
        async ({ site }) => site.link.cut(),
        ({ site }) => site.link.mend(),
      ),
  },
];

const database = '/var/lib/otad/state.db';

/** The gateway is off the moment that the database is lost, so no agent can save it. */
const databaseCase = (name: string, claim: string, lose: string): LabCase => ({
  name: `database-${name}`,
  claim,
  from: 'updated',
  isSmoke: false,
  run: async (context) => {
    const { machine, guest } = context;
    await guest.ok(`systemctl stop otad; [ -s ${database} ] && { ${lose}; sync; }`);
    const mark = machine.console.mark();
    const before = machine.boot();
    await machine.reset();
    await machine.nextBoot(before);
    await machine.said(/otad started/, mark, 'the start of the agent');
    await expectConfirmed(context, { version: versionOf('good'), slot: 'b' });
    const status = await guest.status();
    assert.equal(status.wayBack, 'a', 'the slot before is a place to return to');
    assert.ok((await guest.history()).some(({ type }) => type === 'store-rebuilt'));
  },
});

const stagedFiles = '/var/lib/otad/boot-set';

/** A sector of the data partition rots between download and start, while the release waits for somebody to start it. */
const damagedBootFile: LabCase = {
  name: 'boot-file-damaged',
  claim: 'boot files that were damaged before they are placed are not started, and are fetched again',
  from: 'factory',
  isSmoke: false,
  run: async (context) => {
    const { machine, guest, site, releases } = context;
    const mark = machine.console.mark();
    await guest.configure({ baseUrls: [site.url], channel: 'good', autoReboot: false });
    await guest.restartAgent();
    await machine.said(sentences.installed(versionOf('good')), mark, 'the install');
    const initrd = `${stagedFiles}/${releases.images.good.bootSet.initrd}`;
    await guest.ok(`printf damaged | dd of=${initrd} bs=1 seek=4096 conv=notrunc 2> /dev/null && sync`);
    const received = site.link.receivedBytes();
    const refusal = machine.console.mark();
    await guest.ok('otactl reboot --yes');
    await machine.said(/BOOT_SET_INCOMPLETE|boot files of the release are not all there/, refusal, 'the refusal');
    await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
    await expectBootSet(context, 'a', 'factory');
    // What was lost comes again by itself; the start is the technician's.
    await machine.said(sentences.installed(versionOf('good')), refusal, 'the second install');
    assert.ok(site.link.receivedBytes() - received < releases.images.good.bootBytes + inFlightBytesMax);
    const second = machine.console.mark();
    await guest.ok('otactl reboot --yes');
    await untilConfirmed(context, 'good', second, 'b');
    await expectBootSet(context, 'b', 'good');
  },
};

/** To the last block; the emptiness that is left is none. */
const fillVar = async ({ guest }: CaseContext): Promise<void> => {
  await guest.run('cat /dev/zero >> /var/fill; sync; cat /dev/zero >> /var/fill; sync');
  assert.equal((await guest.ok('df --output=avail /var | tail -n 1')).trim(), '0', '/var is full');
};

/** systemd moves a clock that is older than itself to the day it was built: this puts it back before anybody looks. */
const clockUnit = 'lab-no-clock.service';
const clockUnitText = [
  ...['[Unit]', 'DefaultDependencies=no', 'Before=sysinit.target'],
  ...['[Service]', 'Type=oneshot', 'ExecStart=/usr/bin/date -s @60'],
  ...['[Install]', 'WantedBy=sysinit.target'],
].join('\n');
const yearS = 365 * 24 * 60 * 60;

const expect1970 = async ({ guest }: CaseContext): Promise<void> => {
  const timeS = Number(await guest.ok('date +%s'));
  assert.ok(timeS < yearS, `the clock says ${timeS}`);
};

const storageCases: readonly LabCase[] = [
  databaseCase('deleted', 'a deleted database changes nothing of what boots', `rm -f ${database}*`),
  databaseCase(
    'truncated',
    'a truncated database changes nothing of what boots',
    `rm -f ${database}-*; truncate -s 5000 ${database}`,
  ),
  databaseCase(
    'garbage',
    'a database of garbage changes nothing of what boots',
    `rm -f ${database}-*; dd if=/dev/urandom of=${database} bs=4096 count=8 2> /dev/null`,
  ),
  {
    name: 'flipped-byte',
    claim: 'a flipped byte in the running slot gives I/O errors, never wrong data, and the agent goes on',
    from: 'factory',
    isSmoke: false,
    run: async ({ machine, guest, releases }) => {
      const block = Math.floor(releases.images.factory.lengthBytes / 4096 / 2);
      const read = `dd if=/dev/mapper/root bs=4096 skip=${block} count=1 iflag=direct`;
      const good = await guest.ok(`${read} 2> /dev/null | sha256sum`);
      const mark = machine.console.mark();
      await flipByte(guest, '/dev/disk/by-partlabel/system_a', block * 4096 + 17);
      const { output } = await guest.run(`${read} | sha256sum`);
      assert.match(output, /Input\/output error/);
      assert.ok(!output.includes(good.trim()));
      await machine.said(/device-mapper: verity: [^\n]*data block \d+ is corrupted/, mark, 'the word of dm-verity');
      assert.match(await guest.ok('veritysetup status root'), /status:\s+corrupted/);
      assert.equal((await guest.status()).version, versionOf('factory'));
    },
  },
  {
    name: 'var-full',
    claim: 'with /var full the gateway starts, answers, installs and confirms, and does so again once there is room',
    from: 'factory',
    isSmoke: false,
    run: async (context) => {
      const { machine, guest, site } = context;
      await guest.configure({ baseUrls: [site.url], channel: 'good', autoInstall: false });
      await fillVar(context);
      const before = machine.boot();
      await machine.reset();
      const full = await machine.nextBoot(before);
      await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
      // The journal gives room back at each start.
      await fillVar(context);
      const mark = machine.console.mark();
      await guest.ok('otactl install --json > /dev/null');
      await machine.nextBoot(full);
      await fillVar(context);
      await untilConfirmed(context, 'good', mark, 'b');
      await fillVar(context);
      await guest.ok('rm /var/fill; sync');
      const roomy = machine.console.mark();
      // Healthy, as long as nobody names it a sickness.
      await follow(context, 'sick');
      await untilConfirmed(context, 'sick', roomy, 'a');
    },
  },
  {
    name: 'clock-1970',
    claim: 'a gateway whose clock says 1970 updates as any other',
    from: 'factory',
    isSmoke: false,
    run: async (context) => {
      const { machine, guest } = context;
      const before = machine.boot();
      await guest.write(`/etc/systemd/system/${clockUnit}`, clockUnitText);
      await guest.ok(`systemctl enable ${clockUnit} && systemctl mask systemd-timesyncd && sync`);
      await machine.powerOff();
      await machine.powerOn({ clock: 'base=1970-01-01T00:00:10' });
      await machine.nextBoot(before);
      await guest.status();
      await expect1970(context);
      const mark = machine.console.mark();
      await follow(context, 'good');
      await machine.said(sentences.installed(versionOf('good')), mark, 'the install');
      await machine.said(sentences.trial(versionOf('good')), mark, 'the trial');
      await expect1970(context);
      await untilConfirmed(context, 'good', mark, 'b');
      await expect1970(context);
    },
  },
];

export const troubleCases: readonly LabCase[] = [...networkCases, ...storageCases, damagedBootFile];
