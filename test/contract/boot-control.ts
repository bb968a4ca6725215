// What every boot control adapter must do, together with the bootloader that it talks to. Run against the reference
// model and against each real one.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OtadError } from '../../agent/core/errors.ts';
import type { BootControl } from '../../agent/core/ports.ts';
import { type SlotName, slotNames, type VerityParameters } from '../../agent/core/types.ts';
import { type BootModel, boot } from '../../bootctl/model.ts';
import { createModelControl } from '../../bootctl/model-control.ts';
import { createRandom, type Random } from '../bootctl/random.ts';

/** A device: its boot control and its power switch. Starts with `a` booted and good, `b` invalidated. */
export interface BootMachine {
  readonly control: BootControl;
  /** One power-on. The slot it returns is the booted one from then on; null: nothing could be opened. */
  powerOn(isBootable?: (slot: SlotName) => boolean): Promise<SlotName | null>;
  close(): Promise<void>;
}

export interface BootTraits {
  /** Most tries that this bootloader can grant a slot. */
  readonly triesMax: number;
  /** Random walks, and the steps of each. */
  readonly walks: number;
  readonly steps: number;
  /** What a power-on does, where the bootloader's own rules differ from the reference once nothing good is left. */
  readonly boot?: typeof boot;
  /**
   * With nothing selectable that opens, this bootloader opens a slot that is not selectable rather than none. The walks then
   * leave out power-ons in which the reference model opens nothing.
   */
  readonly opensAnything?: boolean;
  /** Who confirms does not say the root here: the helper finds it itself, a unified kernel image carries its own. */
  readonly knowsRoot?: boolean;
}

export const contractVerity = (slot: SlotName, release = 1): VerityParameters => ({
  algorithm: 'sha256',
  blockSizeBytes: 4096,
  saltHex: '00'.repeat(32),
  rootHex: `${slot}${release.toString(16)}`.padEnd(64, slot),
  hashOffsetBytes: 4096 * (1000 + release),
});

/** Slot `a` good with release 1, slot `b` holding nothing. */
export const contractStart: BootModel = {
  order: ['a'],
  slots: {
    a: {
      triesLeft: 3,
      isTrial: false,
      verity: { rootHex: contractVerity('a').rootHex, hashOffsetBytes: contractVerity('a').hashOffsetBytes },
    },
    b: { triesLeft: 0, isTrial: false, verity: null },
  },
};

/** The reference model as a machine, which also tells whether a power-on would open something. */
export const createModelMachine = (
  rule: typeof boot = boot,
): BootMachine & {
  readonly opens: (isBootable: (slot: SlotName) => boolean) => boolean;
} => {
  let model = contractStart;
  let booted: SlotName = 'a';
  let root: string | null = contractVerity('a').rootHex;
  const cell = {
    read: () => model,
    write: (next: BootModel) => {
      model = next;
    },
  };
  return {
    control: createModelControl(cell, () => ({ slot: booted, root, evidence: ['model'] }), rule),
    opens: (isBootable) => rule(model, isBootable).slot !== null,
    powerOn: async (isBootable = () => true) => {
      const result = rule(model, isBootable);
      model = result.model;
      if (result.slot !== null) {
        booted = result.slot;
        root = model.slots[booted].verity?.rootHex ?? null;
      }
      return result.slot;
    },
    close: async () => {},
  };
};

const signal = (): AbortSignal => new AbortController().signal;

const codeOf = async (step: Promise<void>): Promise<string> => {
  try {
    await step;
    return 'done';
  } catch (error) {
    if (error instanceof OtadError) return error.code;
    throw error;
  }
};

type Step = (control: BootControl) => Promise<void>;

const randomStep = (random: Random, traits: BootTraits): Step => {
  const slot = random.pick(slotNames);
  const tries = 1 + random.below(traits.triesMax);
  const verity = contractVerity(slot, random.below(16));
  return random.pick<Step>([
    (control) => control.invalidate(slot, signal()),
    (control) => control.activate(slot, tries, verity, signal()),
    (control) => control.markGood(slot, signal()),
    (control) => control.markBad(slot, signal()),
  ]);
};

const factsOf = async (control: BootControl) => {
  const { booted, primary, slots, bootedRoot } = await control.status(signal());
  return { booted, primary, slots, bootedRoot };
};

const describeOperations = (create: () => Promise<BootMachine>, traits: BootTraits): void => {
  const tries = Math.min(3, traits.triesMax);
  let machine: BootMachine;
  const withMachine = (claim: string, body: (control: BootControl) => Promise<void>): void => {
    it(claim, async () => {
      machine = await create();
      try {
        await body(machine.control);
      } finally {
        await machine.close();
      }
    });
  };

  withMachine('starts with slot a booted, good and primary, and slot b bad', async (control) => {
    const status = await control.status(signal());
    assert.deepEqual(
      [status.booted, status.primary, status.slots.a.state, status.slots.b.state],
      ['a', 'a', 'good', 'bad'],
    );
    assert.equal(status.bootedRoot, contractVerity('a').rootHex);
    assert.ok(status.evidence.length > 0);
  });

  withMachine('refuses to invalidate the booted slot', async (control) => {
    assert.equal(await codeOf(control.invalidate('a', signal())), 'SLOT_RUNNING');
    assert.equal((await control.status(signal())).slots.a.state, 'good');
  });

  withMachine('an invalidated slot does not boot', async (control) => {
    await control.activate('b', tries, contractVerity('b'), signal());
    await control.invalidate('b', signal());
    assert.equal((await control.status(signal())).slots.b.state, 'bad');
    assert.equal((await control.status(signal())).primary, 'a');
    assert.equal(await machine.powerOn(), 'a');
  });

  withMachine('an activated slot is pending, primary, and boots with its verity root', async (control) => {
    await control.activate('b', tries, contractVerity('b', 7), signal());
    const before = await control.status(signal());
    assert.deepEqual([before.booted, before.primary], ['a', 'b']);
    assert.deepEqual(before.slots.b, { state: 'pending', triesLeft: tries });
    assert.equal(before.slots.a.state, 'good');
    assert.equal(await machine.powerOn(), 'b');
    assert.equal((await control.status(signal())).bootedRoot, contractVerity('b', 7).rootHex);
  });

  withMachine('a slot that is never confirmed boots exactly as often as it has tries', async (control) => {
    await control.activate('b', tries, contractVerity('b'), signal());
    for (let left = tries - 1; left >= 0; left -= 1) {
      assert.equal(await machine.powerOn(), 'b');
      // On its last try as well: only the boot after it makes it a failure.
      assert.deepEqual((await control.status(signal())).slots.b, { state: 'pending', triesLeft: left });
    }
    assert.equal((await control.status(signal())).primary, 'a');
    assert.equal(await machine.powerOn(), 'a');
    assert.equal((await control.status(signal())).slots.b.state, 'bad');
  });

  withMachine('power cycles on a confirmed slot consume nothing', async (control) => {
    await control.activate('b', tries, contractVerity('b'), signal());
    await machine.powerOn();
    await control.markGood('b', signal());
    const confirmed = await factsOf(control);
    assert.deepEqual(confirmed.slots.b, { state: 'good', triesLeft: null });
    for (let index = 0; index < 20; index += 1) assert.equal(await machine.powerOn(), 'b');
    assert.deepEqual(await factsOf(control), confirmed);
  });

  withMachine('a slot marked bad gives way to the other one, which is good', async (control) => {
    await control.activate('b', tries, contractVerity('b'), signal());
    await machine.powerOn();
    await control.markBad('b', signal());
    assert.equal((await control.status(signal())).slots.b.state, 'bad');
    assert.equal((await control.status(signal())).primary, 'a');
    assert.equal(await machine.powerOn(), 'a');
  });

  withMachine('refuses to mark a slot bad when the other one is not good', async (control) => {
    assert.equal(await codeOf(control.markBad('a', signal())), 'NO_ROLLBACK_TARGET');
    await control.activate('b', tries, contractVerity('b'), signal());
    assert.equal(await codeOf(control.markBad('a', signal())), 'NO_ROLLBACK_TARGET');
    assert.equal((await control.status(signal())).slots.a.state, 'good');
  });

  withMachine('marking good makes primary, whatever was primary before', async (control) => {
    await control.activate('b', tries, contractVerity('b'), signal());
    await control.markGood('a', signal());
    assert.equal((await control.status(signal())).primary, 'a');
    assert.equal(await machine.powerOn(), 'a');
  });

  if (traits.knowsRoot !== true) {
    withMachine('a slot without a root gets that of what is marked good in it, and keeps it', async (control) => {
      const lost = contractVerity('b', 7);
      for (const told of [lost, contractVerity('b', 8)]) {
        await control.markGood('b', signal(), told);
        assert.equal((await control.status(signal())).roots?.b, lost.rootHex);
        assert.equal(await machine.powerOn(), 'b');
        const { bootedRoot, slots } = await control.status(signal());
        assert.deepEqual([bootedRoot, slots.b.state], [lost.rootHex, 'good']);
      }
    });
  }

  withMachine('every operation done twice is as if done once', async (control) => {
    const steps: readonly Step[] = [
      (it) => it.invalidate('b', signal()),
      (it) => it.activate('b', tries, contractVerity('b'), signal()),
      (it) => it.markBad('b', signal()),
      (it) => it.markGood('b', signal()),
      (it) => it.markGood('a', signal()),
    ];
    for (const step of steps) {
      await step(control);
      const once = await factsOf(control);
      await step(control);
      assert.deepEqual(await factsOf(control), once);
    }
  });

  withMachine('a slot that cannot be opened leads back within its tries', async (control) => {
    await control.activate('b', tries, contractVerity('b'), signal());
    let boots = 0;
    let slot: SlotName | null = null;
    while (slot !== 'a' && boots <= tries) {
      slot = await machine.powerOn((name) => name === 'a');
      boots += 1;
    }
    assert.equal(slot, 'a');
    assert.ok(boots <= tries + 1, `${boots} power-ons`);
  });

  withMachine('failures to open a confirmed slot are forgiven once it runs again', async (control) => {
    await control.activate('b', tries, contractVerity('b'), signal());
    await machine.powerOn();
    await control.markGood('b', signal());
    for (let index = 0; index < 10; index += 1) {
      assert.equal(await machine.powerOn((slot) => slot === 'a'), 'a');
      assert.equal(await machine.powerOn(), 'b');
      assert.equal((await control.status(signal())).slots.b.state, 'good');
    }
  });

  withMachine('something boots again after nothing could be opened for long', async (control) => {
    await control.activate('b', tries, contractVerity('b'), signal());
    for (let index = 0; index < 40; index += 1) await machine.powerOn(() => false);
    const seen = new Set<SlotName | null>();
    for (let index = 0; index <= 2 * traits.triesMax; index += 1) seen.add(await machine.powerOn());
    assert.ok(seen.has('a') || seen.has('b'));
    assert.equal(seen.has(null), false);
  });

  withMachine('a cancelled step changes nothing', async (control) => {
    const before = await factsOf(control);
    assert.equal(await codeOf(control.activate('b', tries, contractVerity('b'), AbortSignal.abort())), 'CANCELLED');
    assert.deepEqual(await factsOf(control), before);
  });
};

const describeWalks = (create: () => Promise<BootMachine>, traits: BootTraits): void => {
  for (let seed = 1; seed <= traits.walks; seed += 1) {
    it(`agrees with the reference model after every step of a random walk (seed ${seed})`, async () => {
      const random = createRandom(seed);
      const machine = await create();
      const reference = createModelMachine(traits.boot);
      try {
        for (let index = 0; index < traits.steps; index += 1) {
          if (random.below(3) === 0) {
            const broken = random.below(4) === 0 ? random.pick(slotNames) : null;
            const isIntact = (slot: SlotName): boolean => slot !== broken;
            const isLeftOut = traits.opensAnything === true && !reference.opens(isIntact);
            const isBootable = isLeftOut ? () => true : isIntact;
            assert.equal(await machine.powerOn(isBootable), await reference.powerOn(isBootable), `step ${index}`);
          } else {
            const step = randomStep(random, traits);
            assert.equal(await codeOf(step(machine.control)), await codeOf(step(reference.control)), `step ${index}`);
          }
          assert.deepEqual(await factsOf(machine.control), await factsOf(reference.control), `step ${index}`);
        }
      } finally {
        await machine.close();
      }
    });
  }
};

/** Registers the suite. `create` makes a fresh machine for each test. */
export const describeBootControl = (name: string, create: () => Promise<BootMachine>, traits: BootTraits): void => {
  describe(`boot control: ${name}`, () => {
    describeOperations(create, traits);
    describeWalks(create, traits);
  });
};
