// Releases that must not stay: sick in six ways, or damaged after they were verified. The gateway falls back by itself, says
// why, and does not try them again.

import assert from 'node:assert/strict';
import type { CaseContext, LabCase } from '../case.ts';
import { expectConfirmed, hearRestart, sentences, versionOf } from '../journey.ts';
import { type LabChannel, labReleases } from '../releases.ts';

/** The factory's release runs again for good, and every way of asking says that the other one was given up, and why. */
const expectGivenUp = async (context: CaseContext, channel: LabChannel, reason: RegExp): Promise<void> => {
  const { guest } = context;
  await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
  const { version } = labReleases[channel];
  assert.deepEqual((await guest.status()).denylist, [version]);
  const history = await guest.history();
  assert.match(history.find(({ type }) => type === 'denied')?.reason ?? 'no denial in the history', reason);
  const back = history.find(({ type }) => type === 'rolled-back');
  assert.match(back?.reason ?? 'no rollback in the history', reason);
  assert.equal(back?.version, version);
  const { reasons } = await guest.why();
  const said = reasons.find(({ topic }) => topic === 'denylist');
  assert.match(said?.sentence ?? 'otactl why says nothing of it', reason);
  const boot = await guest.boot();
  assert.equal(boot.slots.find(({ name }) => name === 'b')?.state, 'bad');
};

const untilGivenUp = async (context: CaseContext, channel: LabChannel, mark: number, reason: RegExp): Promise<void> => {
  await context.machine.said(sentences.rolledBack, mark, 'the way back');
  await context.machine.said(/Put on the denylist/, mark, 'the denial');
  await expectGivenUp(context, channel, reason);
};

/** All that can be known of a slot that died before its agent lived. */
const notUp = /did not come up within its boot attempts|slot b did not come up/;

/** As the lab's layer sets `triesMax`. */
const trialTries = 2;

interface Sickness {
  /** Shell command that the gateway needs before, to be through with it in less time. */
  readonly prepare?: string;
  readonly name: string;
  readonly claim: string;
  readonly isSmoke: boolean;
  readonly reason: RegExp;
  /** What the console must have shown of it. */
  readonly evidence: RegExp;
  /** What else must be true when it is over; the console since the mark counts. */
  readonly check?: (context: CaseContext, mark: number) => Promise<void>;
}

/** The restart that it asks for stops it while it asks. One that is skipped never runs, so that nothing stops it. */
const deadManFired = /Stopped otad-deadman\.service/;

/** A gateway's half hour, shortened before it updates: the drop-in lies on the data partition, and is read by both slots. */
const deadManAfter = (time: string): string =>
  'mkdir -p /etc/systemd/system/otad-deadman.timer.d && ' +
  `printf '[Timer]\\nOnStartupSec=\\nOnStartupSec=${time}\\n' > /etc/systemd/system/otad-deadman.timer.d/60-site.conf`;

/** In the journal of each boot that the timer ended. `lasting`: the unit that was started, and was not done when it came. */
const expectDeadMan = async ({ guest }: CaseContext, lasting: string): Promise<void> => {
  const lines = (await guest.ok('journalctl --no-pager -o json -u otad-deadman.service')).split('\n');
  const entries = lines.map((line) => JSON.parse(line) as Record<string, string>);
  const boots = new Set(
    entries.filter(({ MESSAGE = '' }) => deadManFired.test(MESSAGE)).map((entry) => entry._BOOT_ID),
  );
  assert.equal(boots.size, trialTries, 'each trial was ended by the timer');
  for (const boot of boots) {
    assert.match(
      await guest.ok(`journalctl --no-pager -o cat -b ${boot} _TRANSPORT=kernel | grep -m 1 otad.slot=`),
      /otad\.slot=b/,
    );
    // To the end of the trial nobody could take the boot for a good one.
    const said = await guest.ok(
      `journalctl --no-pager -o cat -b ${boot} -u ${lasting} -u boot-complete.target -u lab-blessed`,
    );
    assert.ok(
      said.split('\n').some((line) => line.startsWith(`Starting ${lasting}`)),
      said,
    );
    assert.doesNotMatch(said, /^(Finished|Reached)/m);
  }
};

const expectWatchdog = async ({ machine }: CaseContext, mark: number): Promise<void> => {
  const resets = machine.events().filter((event) => event === 'WATCHDOG').length;
  assert.equal(resets, trialTries, `the watchdog reset the machine ${resets} times, in ${trialTries} trials`);
  assert.equal(machine.console.find(/Kernel panic/, mark), null, 'the kernel did not panic');
};

const sicknesses: readonly Sickness[] = [
  {
    name: 'service',
    claim: 'a release whose application does not start is left again',
    isSmoke: true,
    reason: /gateway-meter\.service|meter|systemd-units-active/,
    evidence: /Health checks failed/,
  },
  {
    name: 'health-hangs',
    claim: 'a release whose health check never ends is left again',
    isSmoke: false,
    reason: /50-sick: no answer within/,
    evidence: /Health checks failed/,
  },
  {
    name: 'panic',
    claim: 'a release whose kernel panics is left again by the bootloader',
    isSmoke: true,
    reason: notUp,
    evidence: /Kernel panic - not syncing/,
  },
  {
    name: 'hang',
    claim: 'a release in which systemd hangs is reset by the watchdog, and left again by the bootloader',
    isSmoke: false,
    reason: notUp,
    evidence: /systemd hangs now/,
    check: expectWatchdog,
  },
  {
    name: 'agent',
    claim: 'a release in which the agent does not start is left again by the dead-man timer',
    isSmoke: false,
    prepare: deadManAfter('4min'),
    reason: notUp,
    evidence: deadManFired,
    check: (context) => expectDeadMan(context, 'otad-gate.service'),
  },
  {
    name: 'early',
    claim: 'a release whose start never ends, long before the agent, is left again by the dead-man timer',
    isSmoke: false,
    prepare: deadManAfter('2min'),
    reason: notUp,
    evidence: deadManFired,
    check: (context) => expectDeadMan(context, 'lab-sickness.service'),
  },
];

const sickCase = ({ name, claim, isSmoke, prepare = 'true', reason, evidence, check }: Sickness): LabCase => ({
  name: `sick-${name}`,
  claim,
  from: 'sick-activated',
  isSmoke,
  run: async (context) => {
    const { machine, guest } = context;
    await guest.ok(`mkdir -p /var/lib/lab && echo ${name} > /var/lib/lab/sickness && ${prepare} && sync`);
    const mark = machine.console.mark();
    await hearRestart(context);
    await machine.said(evidence, mark, 'the sickness');
    await untilGivenUp(context, 'sick', mark, reason);
    // The gate was shut to the end, and that is no failure of it.
    assert.doesNotMatch(await guest.ok('journalctl --no-pager -o cat -u otad-gate.service'), /Failed with result/);
    await check?.(context, mark);
  },
});

/** Verified, activated, and then damaged before it is booted. `word`: what the console must have shown of it. */
const damageCase = (name: string, claim: string, word: RegExp, damage: (context: CaseContext) => string): LabCase => ({
  name,
  claim,
  from: 'activated',
  isSmoke: false,
  run: async (context) => {
    const { machine, guest } = context;
    const mark = machine.console.mark();
    await guest.ok(damage(context));
    await guest.ok('sync; echo 3 > /proc/sys/vm/drop_caches');
    await machine.reset();
    await machine.said(word, mark, 'word of the damage');
    await untilGivenUp(context, 'good', mark, notUp);
  },
});

/** By the initramfs, which alone can find it out. */
const refusedBySlot = /otad-initramfs: cannot start slot b/;

export const sickCases: readonly LabCase[] = [
  ...sicknesses.map(sickCase),
  damageCase(
    'sick-root-hash',
    'a slot that has not the root of its command line is refused in the initramfs and left again',
    refusedBySlot,
    ({ board }) => board.spoilRoot('b'),
  ),
  damageCase(
    'sick-slot-byte',
    'a slot with one wrong byte is refused in the initramfs and left again',
    refusedBySlot,
    () => "printf '\\377' | dd of=/dev/disk/by-partlabel/system_b bs=1 seek=100 conv=notrunc 2> /dev/null",
  ),
  damageCase(
    'sick-boot-file',
    'a slot whose initramfs is cut short panics, starts again by itself, and is left again by the bootloader',
    /Kernel panic - not syncing/,
    ({ board }) => `truncate -s 4096 ${board.bootPlace('b')}/initrd`,
  ),
];
