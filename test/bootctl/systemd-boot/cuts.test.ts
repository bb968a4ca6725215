import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { BootControl } from '../../../agent/core/ports.ts';
import { otherSlot, type SlotName } from '../../../agent/core/types.ts';
import type { BootEvidence } from '../../../bootctl/model.ts';
import { createSystemdBootControl } from '../../../bootctl/systemd-boot/control.ts';
import { type Esp, openEsp } from '../../../bootctl/systemd-boot/esp.ts';
import { startLoader } from '../../../bootctl/systemd-boot/firmware.ts';
import { encodeSlotEntry } from '../../../bootctl/systemd-boot/slot-entry.ts';
import { contractVerity } from '../../contract/boot-control.ts';
import { systemdBootWrites } from './boot-writes.ts';
import { cutEsp, leaveRename, PowerCut, recordingEsp } from './cut-esp.ts';
import { anEntry, createEspFiles, type EspFiles, powerOnFiles, putFile, putStart, verityOf } from './machine.ts';

const signal = (): AbortSignal => new AbortController().signal;
const tries = 3;
/** Releases that the slots' bytes are: what another root in an entry cannot open. */
const contents = { a: 1, b: 2 };

type Step = (control: BootControl) => Promise<void>;

const invalidate =
  (slot: SlotName): Step =>
  (control) =>
    control.invalidate(slot, signal());
const activate =
  (slot: SlotName, release = contents[slot]): Step =>
  (control) =>
    control.activate(slot, tries, contractVerity(slot, release), signal());
const markGood =
  (slot: SlotName): Step =>
  (control) =>
    control.markGood(slot, signal());
const markBad =
  (slot: SlotName): Step =>
  (control) =>
    control.markBad(slot, signal());

/** A device of its own; `booted` is what the kernel says. */
interface Device {
  readonly files: EspFiles;
  facts: BootEvidence;
  control(esp?: Esp): BootControl;
}

const device = async (): Promise<Device> => {
  const files = await createEspFiles();
  await putStart(files.espPath);
  const self: Device = {
    files,
    facts: { slot: 'a', root: verityOf('a').rootHex, evidence: ['test'] },
    control: (esp) =>
      createSystemdBootControl({ ...files, evidence: async () => self.facts, ...(esp === undefined ? {} : { esp }) }),
  };
  await self.control().status(signal());
  return self;
};

const opens = (slot: SlotName, root: string | null): boolean => root === verityOf(slot, contents[slot]).rootHex;

const start = async (self: Device): Promise<void> => {
  const booted = await powerOnFiles(self.files, opens);
  assert.ok(booted !== null, 'nothing starts');
  self.facts = booted;
};

const bootB = async (self: Device): Promise<void> => {
  await activate('b')(self.control());
  await start(self);
};

/** b was tried three times and never came up; a runs. */
const exhaustB = async (self: Device): Promise<void> => {
  await activate('b')(self.control());
  for (let index = 0; index < tries; index += 1) await startLoader(self.files);
  await start(self);
};

const confirmB = async (self: Device): Promise<void> => {
  await bootB(self);
  await markGood('b')(self.control());
};

const nothing = async (): Promise<void> => {};
const factory = async ({ files }: Device): Promise<void> => {
  await putFile(
    files.espPath,
    'loader/entries/otad-a.conf',
    [
      'title Gateway A',
      'linux /otad/a/linux',
      'initrd /otad/a/initrd',
      `options quiet otad.slot=a otad.root=${verityOf('a').rootHex}`,
      '',
    ].join('\n'),
  );
};

const scenarios: readonly (readonly [claim: string, prepare: (self: Device) => Promise<void>, step: Step])[] = [
  ['activating a slot that was written', nothing, activate('b')],
  ['invalidating a slot that is parked', nothing, invalidate('b')],
  ["activating for the first time on a factory's entries", factory, activate('b')],
  ['invalidating a slot that was activated', (self) => activate('b')(self.control()), invalidate('b')],
  ['activating with another root', (self) => activate('b', 9)(self.control()), activate('b')],
  ['marking the running one good beside a pending one', (self) => activate('b')(self.control()), markGood('a')],
  ['marking a pending one bad', (self) => activate('b')(self.control()), markBad('b')],
  ['confirming a trial', bootB, markGood('b')],
  ['giving a trial up', bootB, markBad('b')],
  ['activating a slot on trial again', bootB, activate('b')],
  ['going back from a confirmed slot', confirmB, markBad('b')],
  ['invalidating the way back', confirmB, invalidate('a')],
  ['activating the other slot from a confirmed one', confirmB, activate('a')],
  ['activating a slot whose tries are exhausted', exhaustB, activate('b')],
  ['invalidating a slot whose tries are exhausted', exhaustB, invalidate('b')],
];

const factsOf = async (self: Device) => {
  const { primary, slots, roots } = await self.control().status(signal());
  return { primary, slots, roots };
};

const entriesOf = async ({ files }: Device): Promise<readonly string[]> =>
  (await readdir(`${files.espPath}/loader/entries`)).filter((file) => file.endsWith('.conf')).sort();

/** Starts of the loader alone, as when every system hangs, until `slot` is started. */
const startsUntil = async ({ files }: Device, slot: SlotName): Promise<number> => {
  for (let starts = 1; starts <= 20; starts += 1) {
    const boot = await startLoader(files);
    if (boot?.commandLine.includes(`otad.slot=${slot}`)) return starts;
  }
  return Number.POSITIVE_INFINITY;
};

interface Cut {
  readonly self: Device;
  readonly what: string;
}

/** Every device that a cut in `step` can leave. */
const cutsOf = async function* (prepare: (self: Device) => Promise<void>, step: Step): AsyncGenerator<Cut> {
  const stale = Buffer.from(
    encodeSlotEntry(anEntry('b', { state: 'parked', rank: 1, verity: verityOf('b', 15) }), 'b'),
  );
  for (let cutAt = 0; ; cutAt += 1) {
    for (let outcome = 0; ; outcome += 1) {
      const self = await device();
      await prepare(self);
      const esp = cutEsp(openEsp(self.files.espPath), cutAt, outcome, stale);
      try {
        await step(self.control(esp));
        await self.files.close();
        return;
      } catch (cause) {
        if (cause instanceof RangeError) {
          await self.files.close();
          break;
        }
        if (!(cause instanceof PowerCut)) throw cause;
        yield { self, what: `cut ${cutAt}, ${cause.what}` };
        await self.files.close();
      }
    }
  }
};

const sides = async (prepare: (self: Device) => Promise<void>, step: Step) => {
  const self = await device();
  await prepare(self);
  const before = await factsOf(self);
  await step(self.control());
  const after = await factsOf(self);
  const files = await entriesOf(self);
  await self.files.close();
  return { before, after, files };
};

describe('a power cut in the middle of a change of systemd-boot', () => {
  for (const [claim, prepare, step] of scenarios) {
    it(`${claim}: the old or the new system starts, and one that hangs gives way`, async () => {
      const { before, after } = await sides(prepare, step);
      // Where the primary's root opens nothing, the initramfs has the other one started.
      const allowed = new Set(
        [before, after].map(({ primary, roots }) =>
          opens(primary, roots?.[primary] ?? null) ? primary : otherSlot(primary),
        ),
      );
      let cuts = 0;
      for await (const { self, what } of cutsOf(prepare, step)) {
        const booted = await powerOnFiles(self.files, opens);
        assert.ok(booted !== null, `${what}: nothing starts`);
        assert.ok(allowed.has(booted.slot), `${what}: ${booted.slot} starts`);
        assert.ok(opens(booted.slot, booted.root), what);
        // No otad in between: the loader alone has to find the way back, over what is left of an older trial as well.
        const back = otherSlot(after.primary);
        if (after.slots[after.primary].state === 'pending' && after.slots[back].state === 'good') {
          assert.ok((await startsUntil(self, back)) <= 2 * tries + 1, what);
        }
        cuts += 1;
      }
      assert.ok(cuts > 0 || JSON.stringify(before) === JSON.stringify(after));
    });

    it(`${claim}: what is read is old or new, and doing it again ends at the new`, async () => {
      const { before, after, files } = await sides(prepare, step);
      for await (const { self, what } of cutsOf(prepare, step)) {
        const seen = await factsOf(self);
        // A tear within the root itself shows a root that opens nothing; the sector as a whole would be old or new.
        if (!what.includes('torn')) {
          assert.ok(
            [before, after].some((side) => JSON.stringify(side) === JSON.stringify(seen)),
            `${what}: ${JSON.stringify(seen)}`,
          );
        }
        await step(self.control());
        assert.deepEqual(await factsOf(self), after, what);
        assert.equal((await entriesOf(self)).length, files.length, what);
      }
    });
  }
});

describe('a rename of somebody else that was cut', () => {
  const outcomes = ['old', 'new', 'both', 'neither'] as const;
  for (const outcome of outcomes) {
    it(`the loader's own, ${outcome}: a system starts and the trial ends`, async () => {
      const self = await device();
      await activate('b')(self.control());
      await leaveRename(self.files.espPath, 'otad-b+3-0.conf', 'otad-b+2-1.conf', outcome);
      await start(self);
      const status = await self.control().status(signal());
      assert.equal(status.slots.a.state, 'good');
      assert.equal((await entriesOf(self)).length, 2);
      assert.equal(status.slots.b.state, outcome === 'neither' ? 'bad' : 'pending');
      assert.ok((await startsUntil(self, 'a')) <= tries + 1);
      await self.files.close();
    });

    it(`systemd-bless-boot's, ${outcome}: confirming ends in one good entry`, async () => {
      const self = await device();
      await bootB(self);
      await leaveRename(self.files.espPath, 'otad-b+2-1.conf', 'otad-b.conf', outcome);
      await self.control().status(signal());
      await markGood('b')(self.control());
      const status = await self.control().status(signal());
      assert.deepEqual([status.primary, status.slots.b.state, status.slots.a.state], ['b', 'good', 'good']);
      assert.deepEqual(await entriesOf(self), ['otad-a.conf', 'otad-b.conf']);
      const entry = await readFile(`${self.files.espPath}/loader/entries/otad-b.conf`, 'utf8');
      assert.match(entry, new RegExp(`otad.root=${verityOf('b', contents.b).rootHex}`));
      await self.files.close();
    });
  }
});

describe('the table of writes', () => {
  const blessedTwice = async (self: Device): Promise<void> => {
    await bootB(self);
    await leaveRename(self.files.espPath, 'otad-b+2-1.conf', 'otad-b.conf', 'both');
  };
  const status: Step = async (control) => void (await control.status(signal()));
  const scenes: Readonly<Record<string, readonly [(self: Device) => Promise<void>, Step]>> = {
    'status repair': [blessedTwice, status],
    invalidate: [(self) => activate('b')(self.control()), invalidate('b')],
    activate: [exhaustB, activate('b')],
    'mark good': [bootB, markGood('b')],
    'mark bad': [bootB, markBad('b')],
    prepareReboot: [nothing, (control) => control.prepareReboot(signal())],
  };
  for (const { operation, steps } of systemdBootWrites) {
    it(`says what ${operation} really writes, in order`, async () => {
      const [prepare, step] = scenes[operation] ?? [nothing, nothing];
      const self = await device();
      await prepare(self);
      const esp = recordingEsp(openEsp(self.files.espPath));
      await step(self.control(esp));
      // The copies of the entries are no part of what the loader goes by.
      const written = esp.written.filter((what) => !what.includes('loader/otad/'));
      assert.deepEqual(
        written.map((what) => what.replace('loader/entries/', '')),
        steps,
      );
      await self.files.close();
    });
  }
});
