// Updates on a Pi with the real decision core: staged, cut, tried again, confirmed; and what becomes of a sick release.

import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { HistoryType } from '../../../agent/core/types.ts';
import { createLife, type Life, type Temper } from './life.ts';

const { signal } = new AbortController();
const powerOn = { kind: 'power-on' } as const;

const withLife = (claim: string, body: (life: Life) => Promise<void>): void => {
  it(claim, async () => {
    const life = await createLife();
    try {
      await body(life);
    } finally {
      await life.close();
    }
  });
};

const count = ({ history }: Life, type: HistoryType): number => history.filter((entry) => entry.type === type).length;

const defaultLine = async ({ pi }: Life): Promise<string | undefined> =>
  (await readFile(pi.paths.autoboot, 'latin1')).split('\n')[2];

describe('an update on a Pi', () => {
  withLife('is tried once and confirmed by swapping the partitions', async (life) => {
    life.offer(2, 'well');
    await life.settle();
    assert.equal(life.pi.booted(), 'b');
    assert.deepEqual(life.requests, ['b']);
    assert.equal(count(life, 'confirmed'), 1);
    assert.equal(await defaultLine(life), 'boot_partition=3');
    assert.equal(await life.pi.start(powerOn), 'b');
  });

  withLife('whose argument a power cut took away is rebooted into again', async (life) => {
    life.offer(2, 'well');
    assert.equal(await life.run('reboot'), 'cut');
    assert.equal(await life.pi.start(powerOn), 'a');
    const status = await life.pi.control.status(signal);
    assert.deepEqual([status.primary, status.slots.b], ['b', { state: 'pending', triesLeft: 3 }]);
    assert.ok(status.evidence.some((line) => line.includes('slot b is staged and not armed; 3 tries left')));
    await life.settle();
    assert.equal(life.pi.booted(), 'b');
    assert.equal(count(life, 'confirmed'), 1);
    assert.equal(count(life, 'denied'), 0);
  });

  withLife('cut between the argument and the reboot costs that try and is tried again', async (life) => {
    life.offer(2, 'well');
    assert.equal(await life.run(), 'reboots');
    assert.equal(await life.pi.start(powerOn), 'a');
    const status = await life.pi.control.status(signal);
    assert.deepEqual([status.primary, status.slots.b], ['b', { state: 'pending', triesLeft: 2 }]);
    await life.settle();
    assert.equal(life.pi.booted(), 'b');
    assert.equal(count(life, 'denied'), 0);
  });

  withLife('survives a reboot that somebody else asked for', async (life) => {
    life.offer(2, 'well');
    await life.run('reboot');
    assert.equal(await life.pi.reboot(), 'a');
    assert.equal((await life.pi.control.status(signal)).slots.b.triesLeft, 3);
    await life.settle();
    assert.equal(life.pi.booted(), 'b');
  });

  for (const [temper, trials] of [
    ['unhealthy', 1],
    ['hangs later', 3],
    ['panics', 3],
  ] as const satisfies readonly (readonly [Temper, number])[]) {
    withLife(
      `that ${temper === 'unhealthy' ? 'is unhealthy' : temper} falls back after ${trials} and is denied once`,
      async (life) => {
        life.offer(2, temper);
        await life.settle();
        assert.equal(life.pi.booted(), 'a');
        assert.equal(life.requests.filter((slot) => slot === 'b').length, trials);
        assert.equal(count(life, 'denied'), 1);
        assert.equal(count(life, 'install-started'), 1);
        assert.equal(await defaultLine(life), 'boot_partition=2');
        const status = await life.pi.control.status(signal);
        assert.deepEqual([status.primary, status.slots.a.state, status.slots.b.state], ['a', 'good', 'bad']);
        // The next release goes into the same slot.
        life.offer(3, 'well');
        await life.run();
        await life.pi.reboot();
        await life.settle();
        assert.equal(life.pi.booted(), 'b');
      },
    );
  }

  withLife('that is confirmed survives any number of power cycles and writes nothing', async (life) => {
    life.offer(2, 'well');
    await life.settle();
    const before = await readFile(life.pi.paths.intents[0], 'latin1');
    for (let cycle = 0; cycle < 10; cycle += 1) {
      assert.equal(await life.pi.start(powerOn), 'b');
      assert.deepEqual((await life.pi.control.status(signal)).slots.b, { state: 'good', triesLeft: null });
    }
    assert.equal(await readFile(life.pi.paths.intents[0], 'latin1'), before);
  });

  withLife('is installed again when the data partition is wiped before its trial', async (life) => {
    life.offer(2, 'well');
    await life.run('reboot');
    await life.pi.start(powerOn);
    for (const path of life.pi.paths.intents) await rm(path);
    life.loseDatabase();
    const status = await life.pi.control.status(signal);
    assert.deepEqual(
      [status.booted, status.primary, status.slots.a.state, status.slots.b.state],
      ['a', 'a', 'good', 'bad'],
    );
    await life.settle();
    assert.equal(life.pi.booted(), 'b');
    assert.equal(count(life, 'denied'), 0);
  });

  withLife('is confirmed although the data partition is wiped during its trial', async (life) => {
    life.offer(2, 'well');
    await life.run();
    assert.equal(await life.pi.reboot(), 'b');
    for (const path of life.pi.paths.intents) await rm(path);
    life.loseDatabase();
    assert.deepEqual((await life.pi.control.status(signal)).slots.b, { state: 'pending', triesLeft: 0 });
    await life.settle();
    assert.equal(await life.pi.start(powerOn), 'b');
    assert.equal((await life.pi.control.status(signal)).slots.b.state, 'good');
  });
});
