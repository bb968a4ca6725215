import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createBootPlace } from '../../../agent/adapters/boot-place.ts';
import type { BootFile } from '../../../agent/core/boot-set.ts';
import type { HeldBootFiles } from '../../../agent/core/ports.ts';
import { createHeldBootFiles, heldPieceBytes } from '../../../agent/runtime/held-boot-files.ts';
import { createSealing } from '../../../verity/sealing.ts';
import { noise } from '../../support/noise.ts';
import { sha256Of } from '../../support/slot-bench.ts';

const root = await mkdtemp(join(tmpdir(), 'otad-held-'));
after(() => rm(root, { recursive: true, force: true }));
const { signal } = new AbortController();
const kernel = noise(heldPieceBytes + 100_001);

const fileOf = (name: string, bytes: Uint8Array): BootFile => ({
  name,
  lengthBytes: bytes.length,
  sha256Hex: sha256Of(bytes),
});
const linux = fileOf('dtbs/linux', kernel);

const aPlace = async () => {
  const folder = await mkdtemp(join(root, 'p-'));
  const folders = { a: join(folder, 'a'), b: join(folder, 'b') };
  for (const one of Object.values(folders)) await mkdir(join(one, 'dtbs'), { recursive: true });
  await writeFile(join(folders.a, linux.name), kernel);
  const place = (slot: 'a' | 'b') => createBootPlace('uboot', folders, slot);
  return { folders, held: createHeldBootFiles({ a: place('a'), b: place('b') }, createSealing()) };
};

const whole = async (held: HeldBootFiles, file = linux): Promise<readonly number[]> => {
  const lengths: number[] = [];
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < file.lengthBytes; at += lengths.at(-1) ?? 0) {
    const piece = await held.read('a', file, at, signal);
    if (piece === null || piece.length === 0) break;
    lengths.push(piece.length);
    pieces.push(Uint8Array.from(piece));
  }
  assert.equal(sha256Of(Buffer.concat(pieces)), file.sha256Hex);
  return lengths;
};

test('gives a file piece by piece to whoever names its digest, from the place that is asked for', async () => {
  const { held } = await aPlace();
  assert.deepEqual(await whole(held), [heldPieceBytes, 100_001]);
  assert.equal((await held.read('a', linux, 600_000, signal))?.length, linux.lengthBytes - 600_000);
  assert.equal(await held.read('b', linux, 0, signal), null);
  assert.equal(await held.read('a', linux, linux.lengthBytes, signal), null);
});

test('tells nobody anything of what he cannot name: another digest, length or kind of file gives nothing', async () => {
  const { held, folders } = await aPlace();
  const environment = Buffer.from('WIFI=secret');
  await writeFile(join(folders.a, 'uboot.env'), environment);
  await symlink(join(folders.a, linux.name), join(folders.a, 'link'));
  for (const file of [
    { ...linux, sha256Hex: '0'.repeat(64) },
    { ...linux, lengthBytes: linux.lengthBytes - 1 },
    { ...linux, lengthBytes: linux.lengthBytes + 1 },
    { ...linux, name: 'absent' },
    { ...linux, name: 'dtbs' },
    { ...linux, name: 'link' },
    fileOf('uboot.env', environment),
  ]) {
    assert.equal(await held.read('a', file, 0, signal), null, file.name);
    assert.equal(await held.read('a', file, 4096, signal), null, file.name);
  }
  assert.equal(await createHeldBootFiles(null, createSealing()).read('a', linux, 0, signal), null);
});

test('looks again at every file that is begun anew, and ends where a file has become shorter', async () => {
  const { held, folders } = await aPlace();
  assert.equal((await held.read('a', linux, 0, signal))?.length, heldPieceBytes);
  await truncate(join(folders.a, linux.name), heldPieceBytes);
  assert.equal((await held.read('a', linux, heldPieceBytes, signal))?.length, 0);
  assert.equal(await held.read('a', linux, 0, signal), null);
  assert.equal(await held.read('a', linux, heldPieceBytes, signal), null);
});
