import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createStandbyStore } from '../../../agent/adapters/standby-store.ts';
import { SqliteStore } from '../../../agent/adapters/store.ts';
import type { Failure } from '../../../agent/core/errors.ts';
import { anEntry, aState } from './state-builders.ts';

let folder = '';
let path = '';
let news: (string | null)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'otad-standby-'));
  path = join(folder, 'state.db');
  news = [];
});
afterEach(() => rm(folder, { recursive: true }));

const onChange = (failure: Failure | null): void => {
  news.push(failure?.code ?? null);
};

describe('while the disk fails', () => {
  test('state and history are kept in memory, and paid back when it has recovered', async () => {
    await mkdir(path);
    const disk = new SqliteStore({ path });
    const store = createStandbyStore(disk, { onChange });
    assert.equal(await store.load(), null);
    await store.commit(aState({ plan: 1 }), [anEntry({ version: '1' })]);
    await store.commit(aState({ plan: 2 }), [anEntry({ version: '2' })]);
    assert.equal((await store.load())?.plan, 2);
    assert.deepEqual(
      (await store.readHistory(1)).map((entry) => entry.version),
      ['2'],
    );
    assert.equal(store.failure?.code, 'STORE_IO');
    assert.deepEqual(news, ['STORE_IO']);

    await rm(path, { recursive: true });
    await store.commit(aState({ plan: 3 }), [anEntry({ version: '3' })]);
    assert.equal(store.failure, null);
    assert.deepEqual(news, ['STORE_IO', null]);
    await disk.close();

    const after = new SqliteStore({ path });
    assert.equal((await after.load())?.plan, 3);
    assert.deepEqual(
      (await after.readHistory(9)).map((entry) => entry.version),
      ['3', '2', '1'],
    );
    await after.close();
  });

  test('no more history is kept than its maximum', async () => {
    await mkdir(path);
    const store = createStandbyStore(new SqliteStore({ path }), { owedMax: 2 });
    for (let n = 0; n < 5; n++) await store.commit(aState(), [anEntry({ version: `${n}` })]);
    assert.deepEqual(
      (await store.readHistory(9)).map((entry) => entry.version),
      ['4', '3'],
    );
  });
});

test('a second running agent is not worked around', async () => {
  const first = new SqliteStore({ path });
  await first.commit(aState(), []);
  const second = createStandbyStore(new SqliteStore({ path }), { onChange });
  await assert.rejects(second.load(), { code: 'STORE_BUSY' });
  await assert.rejects(second.commit(aState(), []), { code: 'STORE_BUSY' });
  assert.deepEqual(news, []);
  await first.close();
});

test('a disk in order is all there is', async () => {
  const disk = new SqliteStore({ path });
  const store = createStandbyStore(disk, { onChange });
  await store.commit(aState(), [anEntry()]);
  assert.deepEqual(await store.load(), aState());
  assert.deepEqual(await store.readHistory(5), [anEntry()]);
  assert.deepEqual(news, []);
  await disk.close();
});
