import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SqliteStore } from '../../../agent/adapters/store.ts';
import type { OtadError } from '../../../agent/core/errors.ts';
import { reportNotRun } from '../../support/not-run.ts';
import { anEntry, aState, installPhases, phases } from './state-builders.ts';

const childFile = fileURLToPath(new URL('./store-child.js', import.meta.url));

let folder = '';
let path = '';
let damage: OtadError[] = [];
let opened: SqliteStore[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'otad-store-'));
  path = join(folder, 'state.db');
  damage = [];
  opened = [];
});
afterEach(async () => {
  for (const store of opened) await store.close();
  await rm(folder, { recursive: true });
});

const openStore = (over: { path?: string; historyMax?: number } = {}): SqliteStore => {
  const store = new SqliteStore({ path, onDamage: (error) => damage.push(error), ...over });
  opened.push(store);
  return store;
};

/** What a technician's tool says about the closed file. */
const sqlite = (file: string, sql: string): string => execFileSync('sqlite3', [file, sql], { encoding: 'utf8' }).trim();

const written = async (): Promise<void> => {
  const store = openStore();
  await store.commit(aState({ plan: 41 }), [anEntry()]);
  await store.commit(aState({ plan: 42 }), [anEntry({ type: 'started' })]);
  await store.close();
};

describe('a store', () => {
  test('has no state and no history when it is new', async () => {
    const store = openStore();
    assert.equal(await store.load(), null);
    assert.deepEqual(await store.readHistory(10), []);
    assert.deepEqual(damage, []);
  });

  test('gives back every phase exactly as it was committed', async () => {
    const store = openStore();
    for (const phase of phases) {
      await store.commit(aState({ phase }), []);
      assert.deepEqual(await store.load(), aState({ phase }));
    }
  });

  test('gives back an install that was cut short as a check, since its release is no verified one any more', async () => {
    const store = openStore();
    for (const phase of installPhases) {
      await store.commit(aState({ phase }), []);
      assert.deepEqual(await store.load(), aState({ phase: { kind: 'checking', isForced: true, halted: null } }));
    }
  });

  test('keeps state and history over a close, newest entry first', async () => {
    await written();
    const store = openStore();
    assert.equal((await store.load())?.plan, 42);
    assert.deepEqual(await store.readHistory(10), [anEntry({ type: 'started' }), anEntry()]);
    assert.deepEqual(await store.readHistory(1), [anEntry({ type: 'started' })]);
    assert.deepEqual(await store.readHistory(0), []);
    await store.close();
    assert.equal(sqlite(path, 'PRAGMA integrity_check; SELECT type FROM history;'), 'ok\nconfirmed\nstarted');
  });

  test('keeps no more history than its maximum', async () => {
    const store = openStore({ historyMax: 3 });
    for (let n = 0; n < 8; n++) await store.commit(aState(), [anEntry({ version: `${n}` })]);
    assert.deepEqual(
      (await store.readHistory(100)).map((entry) => entry.version),
      ['7', '6', '5'],
    );
  });

  test('writes ahead of the database file', async () => {
    const store = openStore();
    await store.commit(aState(), []);
    assert.ok((await stat(`${path}-wal`)).size > 0);
    await store.close();
    assert.equal(sqlite(path, 'PRAGMA journal_mode;'), 'wal');
  });

  test('lets no second agent in', async () => {
    const first = openStore();
    await first.commit(aState(), []);
    await assert.rejects(openStore().load(), { code: 'STORE_BUSY' });
    assert.equal((await first.load())?.plan, 12);
  });

  test('shows readers whole transactions only', async () => {
    const store = openStore();
    const commits = Array.from({ length: 10 }, (_, n) =>
      store.commit(aState({ plan: n }), [anEntry({ version: `${n}` }), anEntry({ version: `${n}` })]),
    );
    const reads = Array.from({ length: 10 }, () => store.readHistory(100));
    await Promise.all(commits);
    for (const rows of await Promise.all(reads)) assert.equal(rows.length % 2, 0);
  });
});

describe('after a SIGKILL', () => {
  test('every acknowledged commit is there, and none is half there', async () => {
    const child = spawn(process.execPath, [childFile, path, '100'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let acknowledged = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged = Number(line);
      if (acknowledged === 40) child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    assert.equal(child.signalCode, 'SIGKILL');
    const store = openStore();
    const plan = (await store.load())?.plan ?? 0;
    assert.ok(plan >= acknowledged, `${plan} of ${acknowledged}`);
    const history = await store.readHistory(100_000);
    assert.equal(history.length, plan);
    assert.equal(history[0]?.version, `${plan}`);
    assert.deepEqual(damage, []);
  });
});

describe('a damaged database', () => {
  const harms: readonly (readonly [what: string, harm: () => Promise<void>])[] = [
    ['garbage', () => writeFile(path, 'not a database at all, '.repeat(500))],
    [
      'a header of zeros',
      async () => writeFile(path, Buffer.concat([Buffer.alloc(4096), (await readFile(path)).subarray(4096)])),
    ],
    ['a truncated file', () => truncate(path, 5000)],
    [
      'pages of zeros after the first',
      async () => {
        const bytes = await readFile(path);
        await writeFile(path, bytes.fill(0, 4096));
      },
    ],
    [
      'tables of another program',
      async () => {
        await rm(path);
        sqlite(path, 'CREATE TABLE state (id, other); CREATE TABLE history (id);');
      },
    ],
  ];
  for (const [what, harm] of harms) {
    test(`with ${what} is set aside, and the next commit is kept`, async () => {
      await written();
      await harm();
      const store = openStore();
      assert.equal(await store.load(), null);
      assert.deepEqual(
        damage.map((error) => error.code),
        ['STORE_CORRUPT'],
      );
      assert.equal(damage[0]?.details.keptAs, `${path}.corrupt-1`);
      await store.commit(aState({ plan: 50 }), [anEntry()]);
      assert.equal((await store.load())?.plan, 50);
      assert.ok((await stat(`${path}.corrupt-1`)).size > 0);
    });
  }

  test('is kept three times and no more', async () => {
    for (let n = 1; n <= 5; n++) {
      await writeFile(path, `garbage ${n} `.repeat(500));
      const store = openStore();
      await store.load();
      await store.close();
    }
    const names = (await readdir(folder)).filter((name) => name.includes('corrupt')).sort();
    assert.deepEqual(names, ['state.db.corrupt-1', 'state.db.corrupt-2', 'state.db.corrupt-3']);
    assert.match(await readFile(`${path}.corrupt-1`, 'utf8'), /^garbage 5/);
    assert.match(await readFile(`${path}.corrupt-3`, 'utf8'), /^garbage 3/);
  });

  test('of no bytes is a new one', async () => {
    await writeFile(path, '');
    assert.equal(await openStore().load(), null);
    assert.deepEqual(damage, []);
  });

  test('that loses its bytes while open is replaced by the next commit', async () => {
    const store = openStore({ historyMax: 100_000 });
    await store.commit(
      aState(),
      Array.from({ length: 500 }, () => anEntry({ reason: 'x'.repeat(9000) })),
    );
    const { size } = await stat(path);
    await writeFile(path, Buffer.alloc(size));
    await rm(`${path}-wal`, { force: true });
    const again = openStore();
    await store.close();
    await again.commit(aState({ plan: 77 }), [anEntry()]);
    assert.equal((await again.load())?.plan, 77);
  });

  test('keeps its history when only the state row cannot be believed', async () => {
    for (const change of [
      "UPDATE state SET json = replace(json, 'boot-1', 'boot-9')",
      "UPDATE state SET json = '{}', digest = '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'",
      "UPDATE state SET json = x'00'",
    ]) {
      await written();
      sqlite(path, change);
      const store = openStore();
      assert.equal(await store.load(), null, change);
      assert.ok((await store.readHistory(10)).length > 0);
      assert.equal(damage.at(-1)?.code, 'STORE_CORRUPT');
      await store.close();
    }
  });
});

describe('the release before', () => {
  test('reads what a newer one wrote: more columns, keys, tables, types and codes', async () => {
    const store = openStore();
    const state = { ...aState(), novelty: { x: 1 }, attention: { code: 'NEW_CODE', class: 'device', message: 'new' } };
    await store.commit(state as never, [anEntry(), anEntry({ type: 'new-type' as never })]);
    await store.close();
    sqlite(
      path,
      "ALTER TABLE history ADD COLUMN actor TEXT DEFAULT 'x'; CREATE TABLE novelty (id); PRAGMA user_version = 9;",
    );
    const loaded = await openStore().load();
    assert.deepEqual(loaded, aState({ attention: { code: 'INTERNAL', class: 'device', message: 'new' } }));
    const older = opened.at(-1);
    assert.deepEqual(await older?.readHistory(10), [anEntry()]);
    await older?.close();
    assert.equal(sqlite(path, 'PRAGMA user_version;'), '9');
  });
});

test('a state of a release that kept no sums reads as one without', async () => {
  const store = openStore();
  const { installSpent, ...older } = aState();
  assert.notEqual(installSpent, null);
  await store.commit(older as never, []);
  await store.close();
  const again = openStore();
  assert.deepEqual(await again.load(), aState({ installSpent: null }));
  await again.close();
});

describe('a disk that cannot be written', () => {
  test('is STORE_IO when the folder cannot be made', async () => {
    await writeFile(join(folder, 'file'), '');
    await assert.rejects(openStore({ path: join(folder, 'file/state.db') }).load(), { code: 'STORE_IO' });
  });

  test('is STORE_IO when a folder lies in the place of the file', async () => {
    await mkdir(path);
    await assert.rejects(openStore().commit(aState(), []), { code: 'STORE_IO' });
  });

  test('is a typed error at a file size limit, and what was acknowledged stays', () => {
    const limited = spawnSync(
      'sh',
      ['-c', `ulimit -f 2048; exec "$0" "$@"`, process.execPath, childFile, path, '20000'],
      {
        encoding: 'utf8',
      },
    );
    const lines = limited.stdout.trim().split('\n');
    assert.match(lines.at(-1) ?? '', /^(STORE_IO|DISK_FULL)$/, limited.stderr);
    assert.ok(lines.length > 5, limited.stdout);
    assert.equal(sqlite(path, "SELECT json_extract(json, '$.plan') FROM state"), `${lines.length - 1}`);
  });

  test('leaves no copy behind in the scratch folder', async () => {
    await mkdir(path);
    const store = new SqliteStore({ path, scratchDir: folder });
    await assert.rejects(store.load(), { code: 'STORE_IO' });
    assert.deepEqual(await readdir(folder), ['state.db']);
  });

  test('has a reserve of real bytes to give back', async () => {
    await written();
    const { size, blocks } = await stat(`${path}.reserve`);
    assert.deepEqual([size, blocks * 512 >= size], [512 * 1024, true]);
  });

  // A file system of our own needs a mount: where the kernel grants one without root, full and read-only are real.
  if (spawnSync('unshare', ['-Urm', 'true']).status === 0) {
    const inOwnMount = (script: string, ...parameters: readonly string[]): readonly string[] => {
      const run = spawnSync(
        'unshare',
        ['-Urm', 'sh', '-ec', `mount -t tmpfs -o size=4m tmpfs "$0"; ${script}`, folder, ...parameters],
        {
          encoding: 'utf8',
        },
      );
      assert.equal(run.status, 0, run.stderr);
      return run.stdout.trim().split('\n');
    };

    test('takes more than a hundred commits after it is full, out of the reserve', () => {
      const lines = inOwnMount('"$1" "$2" "$0/state.db" 1000 fill', process.execPath, childFile);
      assert.deepEqual([lines[0], lines.at(-1)], ['free: 0', 'DISK_FULL']);
      assert.ok(lines.length > 102, `${lines.length}`);
    });

    test('still gives its state when it has become read-only', () => {
      const lines = inOwnMount(
        'mkdir "$0/disk"; mount -t tmpfs -o size=4m tmpfs "$0/disk"; "$1" "$2" "$0/disk/state.db" 10 9; mount -o remount,bind,ro "$0/disk"; "$1" "$2" "$0/disk/state.db" 10 load "$0"',
        process.execPath,
        childFile,
      );
      assert.deepEqual(lines.slice(-2), ['state 9', 'STORE_IO']);
    });
  } else {
    reportNotRun('a full and a read-only file system', 'unshare -Urm (user namespaces)');
  }
});
