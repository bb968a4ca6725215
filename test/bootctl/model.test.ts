import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { otherSlot, type SlotName, slotNames } from '../../agent/core/types.ts';
import {
  activate,
  type BootModel,
  boot,
  invalidate,
  lostModel,
  markBad,
  markGood,
  slotState,
  statusOf,
  triesMax,
} from '../../bootctl/model.ts';
import { contractStart, contractVerity } from '../contract/boot-control.ts';
import { createRandom, type Random } from './random.ts';

const verity = contractVerity('b');

const randomModel = (random: Random): BootModel => {
  const slot = (name: SlotName) => ({
    triesLeft: random.below(triesMax + 1),
    isTrial: random.below(2) === 0,
    verity: random.below(2) === 0 ? null : contractVerity(name),
  });
  return {
    order: random.pick<readonly SlotName[]>([['a', 'b'], ['b', 'a'], ['a'], ['b'], []]),
    slots: { a: slot('a'), b: slot('b') },
  };
};

const forRandomModels = (seed: number, check: (model: BootModel) => void): void => {
  const random = createRandom(seed);
  for (let index = 0; index < 2000; index += 1) check(randomModel(random));
};

describe('boot model', () => {
  it('something always boots when both slots can be opened, whatever the records say', () => {
    forRandomModels(1, (model) => assert.notEqual(boot(model).slot, null));
  });

  it('a good slot that opens is never counted', () => {
    forRandomModels(2, (model) => {
      const { slot, model: after } = boot(model);
      if (slot === null || slotState(model, slot) !== 'good') return;
      assert.equal(after.slots[slot].triesLeft, model.slots[slot].triesLeft);
    });
  });

  it('an invalidated slot never boots while the other one has a root, even if it alone could be opened', () => {
    forRandomModels(3, (model) => {
      if (model.slots.a.verity === null) return;
      let current = invalidate(model, 'b', 'a');
      for (let index = 0; index <= 2 * triesMax; index += 1) {
        const result = boot(current, (slot) => slot === 'b' || index % 2 === 0);
        assert.notEqual(result.slot, 'b');
        current = result.model;
      }
    });
  });

  it('a slot that opens is reached within the tries of the other one and a reset', () => {
    forRandomModels(4, (model) => {
      for (const working of slotNames) {
        if (model.slots[working].verity === null) continue;
        let current = model;
        let slot: SlotName | null = null;
        for (let index = 0; index <= 2 * triesMax && slot === null; index += 1) {
          const result = boot(current, (name) => name === working);
          current = result.model;
          slot = result.slot;
        }
        assert.equal(slot, working);
      }
    });
  });

  it('from any state a hanging trial ends at the good slot within its tries and one boot', () => {
    for (let tries = 1; tries <= triesMax; tries += 1) {
      let model = activate(contractStart, 'b', tries, verity);
      let boots = 0;
      for (let slot: SlotName | null = 'b'; slot !== 'a'; boots += 1) {
        const result = boot(model);
        model = result.model;
        slot = result.slot;
      }
      assert.equal(boots, tries + 1);
    }
  });

  it('slots put back after exhaustion are on trial again, not good', () => {
    const exhausted: BootModel = {
      order: ['b', 'a'],
      slots: {
        a: { triesLeft: 0, isTrial: false, verity: contractVerity('a') },
        b: { triesLeft: 0, isTrial: true, verity },
      },
    };
    const { model, slot } = boot(exhausted);
    assert.equal(slot, 'b');
    assert.deepEqual(model.order, ['b', 'a']);
    assert.deepEqual([slotState(model, 'a'), slotState(model, 'b')], ['pending', 'pending']);
  });

  it('a reset leaves an invalidated slot out', () => {
    const { model } = boot({
      order: [],
      slots: { a: { triesLeft: 0, isTrial: false, verity: contractVerity('a') }, b: contractStart.slots.b },
    });
    assert.deepEqual(model.order, ['a']);
    assert.equal(slotState(model, 'b'), 'bad');
  });

  it('operations keep their word from any state', () => {
    forRandomModels(5, (model) => {
      for (const slot of slotNames) {
        const other = otherSlot(slot);
        assert.equal(slotState(markGood(model, slot), slot), 'good');
        assert.equal(boot(markGood(model, slot)).slot, slot);
        const activated = activate(model, slot, 2, verity);
        assert.equal(slotState(activated, slot), 'pending');
        assert.equal(boot(activated).slot, slot);
        assert.equal(slotState(activated, other), slotState(model, other));
        assert.equal(slotState(invalidate(model, slot, other), slot), 'bad');
        if (slotState(model, other) === 'good') {
          assert.equal(slotState(markBad(model, slot), slot), 'bad');
          assert.equal(boot(markBad(model, slot)).slot, other);
        } else {
          assert.throws(() => markBad(model, slot), { code: 'NO_ROLLBACK_TARGET' });
        }
      }
    });
  });

  it('the reported primary is what the next power-on starts', () => {
    forRandomModels(6, (model) => {
      const status = statusOf(model, { slot: 'a', root: null, evidence: [] });
      assert.equal(status.primary, boot(model).slot);
    });
  });

  it('a bootloader without memory reports nothing as confirmed', () => {
    const { slots } = statusOf(lostModel, { slot: 'a', root: null, evidence: [] });
    assert.deepEqual([slots.a.state, slots.b.state], ['pending', 'pending']);
  });

  it('refuses tries that a boot script could misread', () => {
    for (const tries of [0, -1, 1.5, 10, Number.NaN]) {
      assert.throws(() => activate(contractStart, 'b', tries, verity), { code: 'CONFIG_INVALID' });
    }
  });
});
