// Power goes at each write of each operation, in every way a medium may leave it. Afterwards the device starts a system that
// is known to be good, says what is true, and takes the next update.

import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { describe, it } from 'node:test';
import type { BootControl } from '../../../agent/core/ports.ts';
import { otherSlot, type SlotName } from '../../../agent/core/types.ts';
import { formatAutoboot } from '../../../bootctl/tryboot/autoboot-txt.ts';
import { contractVerity } from '../../contract/boot-control.ts';
import { trybootWrites } from './boot-writes.ts';
import { type Cut, cutFiles, cutsOf, isPowerCut, type Write } from './cut-files.ts';
import { activateB, confirmB, createTrybootMachine, type Pi, startTrial } from './machine.ts';

const { signal } = new AbortController();
const powerOn = { kind: 'power-on' } as const;

interface Scene {
  readonly name: string;
  /** Slots that a power cut during the operation may end on. */
  readonly mayStart: readonly SlotName[];
  prepare(pi: Pi): Promise<void>;
  operate(control: BootControl): Promise<unknown>;
}

const stage = async (pi: Pi): Promise<void> => {
  await pi.control.invalidate('b', signal);
  await activateB(pi);
};

const nothing = async (): Promise<void> => {};

const scenes: readonly Scene[] = [
  { name: 'invalidate at first', mayStart: ['a'], prepare: nothing, operate: (it) => it.invalidate('b', signal) },
  {
    name: 'invalidate',
    // Until the default is put right, what stands there starts; it was somebody's wish.
    mayStart: ['a', 'b'],
    prepare: async (pi) => {
      await stage(pi);
      await writeFile(pi.paths.autoboot, formatAutoboot(null, { default: 3, trial: 2 }));
    },
    operate: (it) => it.invalidate('b', signal),
  },
  {
    name: 'activate',
    mayStart: ['a'],
    prepare: (pi) => pi.control.invalidate('b', signal),
    operate: (it) => it.activate('b', 3, contractVerity('b'), signal),
  },
  { name: 'prepareReboot', mayStart: ['a'], prepare: stage, operate: (it) => it.prepareReboot(signal) },
  { name: 'status repair', mayStart: ['a'], prepare: startTrial, operate: (it) => it.status(signal) },
  {
    name: 'mark good',
    mayStart: ['a', 'b'],
    prepare: async (pi) => {
      await startTrial(pi);
      await pi.control.status(signal);
    },
    operate: (it) => it.markGood('b', signal),
  },
  { name: 'mark bad on trial', mayStart: ['a'], prepare: startTrial, operate: (it) => it.markBad('b', signal) },
  { name: 'mark bad', mayStart: ['a', 'b'], prepare: confirmB, operate: (it) => it.markBad('b', signal) },
  {
    name: 'status after a fall back',
    mayStart: ['a'],
    prepare: async (pi) => {
      await startTrial(pi);
      await pi.control.status(signal);
      await pi.start({ kind: 'watchdog' });
    },
    operate: (it) => it.status(signal),
  },
  {
    name: 'status without autoboot.txt',
    mayStart: ['a'],
    prepare: async (pi) => {
      await rm(pi.paths.autoboot);
      await pi.start(powerOn);
    },
    operate: (it) => it.status(signal),
  },
];

const withPi = async (body: (pi: Pi) => Promise<void>): Promise<void> => {
  const pi = await createTrybootMachine();
  try {
    await body(pi);
  } finally {
    await pi.close();
  }
};

/** What the operation writes when nothing cuts it. */
const record = async ({ prepare, operate }: Scene): Promise<readonly Write[]> => {
  let writes: readonly Write[] = [];
  await withPi(async (pi) => {
    await prepare(pi);
    const cut = cutFiles(Number.POSITIVE_INFINITY, 'after');
    await operate(pi.controlWith({ files: cut.files }));
    writes = cut.writes;
  });
  return writes;
};

/** The next update goes through, whatever the cut left. */
const takeUpdate = async (pi: Pi): Promise<void> => {
  const slot = otherSlot(pi.booted());
  await pi.control.invalidate(slot, signal);
  assert.equal(await pi.start(powerOn), otherSlot(slot), 'an invalidated slot does not start');
  await pi.control.activate(slot, 3, contractVerity(slot, 5), signal);
  await pi.control.prepareReboot(signal);
  assert.equal(await pi.reboot(), slot, 'the trial starts');
  const status = await pi.control.status(signal);
  assert.deepEqual([status.slots[slot].state, status.bootedRoot], ['pending', contractVerity(slot, 5).rootHex]);
  await pi.control.markGood(slot, signal);
  assert.equal(await pi.start(powerOn), slot, 'what is confirmed stays');
};

const cutOnce = (scene: Scene, at: number, cut: Cut): Promise<void> =>
  withPi(async (pi) => {
    await scene.prepare(pi);
    const control = pi.controlWith({ files: cutFiles(at, cut).files });
    await scene.operate(control).catch((error: unknown) => {
      if (!isPowerCut(error)) throw error;
    });
    const slot = await pi.start(powerOn);
    assert.ok(slot !== null && scene.mayStart.includes(slot), `${slot} started`);
    const status = await pi.control.status(signal);
    assert.deepEqual([status.booted, status.slots[slot].state], [slot, 'good']);
    // Looking twice changes nothing, and nor does another power cycle.
    assert.deepEqual((await pi.control.status(signal)).slots, status.slots);
    const again = await pi.start(powerOn);
    // A sector of zeros starts the first slot there is; once it is written anew, the default of before is back.
    if (cut !== 'wiped') assert.equal(again, slot);
    assert.ok(again !== null && scene.mayStart.includes(again));
    assert.equal((await pi.control.status(signal)).slots[again].state, 'good');
    await takeUpdate(pi);
  });

const placeOf = ({ kind, path }: Write): string =>
  basename(path).startsWith('cmdline')
    ? `${kind} ${basename(dirname(path))}/${basename(path)}`
    : `${kind} ${basename(path)}`;

describe('power cuts in tryboot boot control', () => {
  for (const scene of scenes) {
    it(`every cut of '${scene.name}' leaves a device that starts a good system and takes the next update`, async () => {
      const writes = await record(scene);
      assert.ok(writes.length > 0);
      for (const [at, { kind }] of writes.entries()) {
        // Before a write is after the one before it.
        for (const cut of cutsOf[kind].filter((name) => at === 0 || name !== 'before')) {
          await cutOnce(scene, at, cut).catch((cause: unknown) => {
            throw new Error(`cut '${cut}' at write ${at} of ${writes.length}`, { cause });
          });
        }
      }
    });
  }

  for (const { operation, steps } of trybootWrites) {
    it(`'${operation}' writes what the reference page says, in that order`, async () => {
      const scene = scenes.find(({ name }) => name === operation);
      assert.ok(scene);
      assert.deepEqual((await record(scene)).map(placeOf), steps);
    });
  }
});
