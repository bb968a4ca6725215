import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import { createExecutors, type ExecutorPorts } from '../../../agent/runtime/executors.ts';
import { type BootModel, type SlotModel, slotState } from '../../../bootctl/model.ts';
import { createModelControl } from '../../../bootctl/model-control.ts';

const verity = { rootHex: 'ab'.repeat(32), hashOffsetBytes: 4096 };
const aSlot = (isTrial: boolean): SlotModel => ({ triesLeft: 3, isTrial, verity });

test('a failed slot is made unselectable and known as tried even when its medium takes no record any more', async () => {
  let model: BootModel = { order: ['b', 'a'], slots: { a: aSlot(false), b: aSlot(true) } };
  const boot = createModelControl(
    {
      read: () => model,
      write: (next) => {
        model = next;
      },
    },
    () => ({ slot: 'a', root: null, evidence: [] }),
  );
  const install = { retire: () => Promise.reject(new OtadError('SLOT_IO', { slot: 'b' })) };
  const executors = createExecutors({ boot, install } as unknown as ExecutorPorts);
  const { signal } = new AbortController();
  const retiring = executors.retire({ kind: 'retire', plan: 1, slot: 'b', reason: 'TEST' }, signal, () => {});
  await assert.rejects(retiring, { code: 'SLOT_IO' });
  assert.equal(slotState(model, 'b'), 'bad');
  assert.deepEqual(model.slots.b.verity, verity);
});
