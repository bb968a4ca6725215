import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CpioEntry, makeCpio } from '../../image/cpio.ts';

const entries: readonly CpioEntry[] = [
  { kind: 'file', path: 'init', bytes: Buffer.from('#!/bin/sh\n'), isExecutable: true },
  { kind: 'link', path: 'bin/sh', target: 'busybox' },
  { kind: 'device', path: 'dev/console', major: 5, minor: 1 },
];

interface Read {
  readonly path: string;
  readonly mode: string;
  readonly bytes: string;
  readonly device: readonly number[];
}

/** The archive as the kernel's unpacker reads it: headers of 110 bytes, names and contents on four bytes. */
const read = (archive: Buffer): readonly Read[] => {
  const found: Read[] = [];
  for (let at = 0; ; ) {
    assert.equal(archive.toString('latin1', at, at + 6), '070701');
    const field = (index: number): number =>
      Number.parseInt(archive.toString('latin1', at + 6 + 8 * index, at + 14 + 8 * index), 16);
    const path = archive.toString('latin1', at + 110, at + 110 + field(11) - 1);
    const start = at + Math.ceil((110 + field(11)) / 4) * 4;
    if (path === 'TRAILER!!!') return found;
    const bytes = archive.toString('latin1', start, start + field(6));
    found.push({ path, mode: field(1).toString(8), bytes, device: [field(9), field(10)] });
    at = start + Math.ceil(field(6) / 4) * 4;
  }
};

test('an archive holds its entries in order, each after the folders that it lies in', () => {
  assert.deepEqual(read(Buffer.from(makeCpio(entries))), [
    { path: 'bin', mode: '40755', bytes: '', device: [0, 0] },
    { path: 'bin/sh', mode: '120777', bytes: 'busybox', device: [0, 0] },
    { path: 'dev', mode: '40755', bytes: '', device: [0, 0] },
    { path: 'dev/console', mode: '20600', bytes: '', device: [5, 1] },
    { path: 'init', mode: '100755', bytes: '#!/bin/sh\n', device: [0, 0] },
  ]);
});

test('the same entries in another order give the same bytes', () => {
  assert.deepEqual(makeCpio([...entries].reverse()), makeCpio(entries));
});
