import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createStandbyFiles } from '../../../agent/adapters/standby-files.ts';
import { type ErrorCode, OtadError } from '../../../agent/core/errors.ts';
import type { TrustedFiles } from '../../../verity/trusted-store.ts';

/** A disk that takes `room` more changes, and says `code` to any beyond. */
const aDisk = () => {
  const files = new Map<string, string>();
  const changes: string[] = [];
  const disk = { room: 99, code: 'DISK_FULL' as ErrorCode, files, changes };
  const take = (what: string): void => {
    if (disk.room <= 0) throw new OtadError(disk.code);
    disk.room -= 1;
    changes.push(what);
  };
  const port: TrustedFiles = {
    read: async (name) => {
      const text = files.get(name);
      return text === undefined ? null : Buffer.from(text);
    },
    write: async (name, bytes) => {
      take(`write ${name}`);
      files.set(name, Buffer.from(bytes).toString());
    },
    remove: async (name) => {
      take(`remove ${name}`);
      files.delete(name);
    },
  };
  return { disk, port };
};

const aStandby = () => {
  const { disk, port } = aDisk();
  const news: (string | null)[] = [];
  const files = createStandbyFiles(port, (failure) => news.push(failure?.code ?? null));
  const read = async (name: string): Promise<string | null> => {
    const bytes = await files.read(name);
    return bytes === null ? null : Buffer.from(bytes).toString();
  };
  const write = (name: string, text: string) => files.write(name, Buffer.from(text));
  return { disk, files, news, read, write };
};

test('what a full disk does not take is read from memory, the log is told once, and it is written when there is room', async () => {
  const { disk, files, news, read, write } = aStandby();
  await write('timestamp.json', '1');
  await write('snapshot.json', '1');
  disk.room = 0;
  await write('timestamp.json', '2');
  await files.remove('snapshot.json');
  await write('empty', '');
  assert.deepEqual([await read('timestamp.json'), await read('snapshot.json'), await read('empty')], ['2', null, '']);
  assert.deepEqual([...disk.files], Object.entries({ 'timestamp.json': '1', 'snapshot.json': '1' }));
  await files.settle();
  assert.deepEqual(news, ['DISK_FULL']);

  disk.room = 99;
  await files.settle();
  await files.settle();
  assert.deepEqual([...disk.files], Object.entries({ 'timestamp.json': '2', empty: '' }));
  assert.deepEqual(news, ['DISK_FULL', null]);
});

test('nothing overtakes an owed change, so that the disk holds what a power cut would have left', async () => {
  const { disk, files, read, write } = aStandby();
  disk.room = 0;
  await write('history-2.root', 'root 2');
  disk.room = 2;
  await files.remove('snapshot.json');
  await write('root.json', 'root 2');
  await write('timestamp.json', '5');
  await write('timestamp.json', '6');
  assert.deepEqual(disk.changes, []);
  await files.settle();
  assert.deepEqual(disk.changes, ['write history-2.root', 'remove snapshot.json']);
  assert.deepEqual([await read('root.json'), await read('timestamp.json')], ['root 2', '6']);
  disk.room = 99;
  await files.settle();
  assert.deepEqual(disk.changes.slice(2), ['write root.json', 'write timestamp.json']);
});

test('a disk that has become read-only is worked around as well, a mistake of ours is not', async () => {
  const { disk, write } = aStandby();
  disk.room = 0;
  disk.code = 'INTERNAL';
  await assert.rejects(write('root.json', 'x'), { code: 'INTERNAL' });
  disk.code = 'STORE_IO';
  await write('root.json', 'x');
});

test('memory takes only so much', async () => {
  const { disk, files, write } = aStandby();
  disk.room = 0;
  for (let n = 0; n < 64; n += 1) await write(`role-${n}.json`, 'x');
  await assert.rejects(write('one-more.json', 'x'), { code: 'DISK_FULL' });
  await write('role-0.json', 'y');
  await assert.rejects(files.write('role-1.json', Buffer.alloc(9 * 1024 * 1024)), { code: 'DISK_FULL' });
});
