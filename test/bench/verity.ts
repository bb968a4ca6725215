// CPU of our dm-verity tree beside `veritysetup format`, over the same file in the same run. Both read the file, build the
// tree and write it; only the ratio means anything on another machine.

import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTreeBuilder } from '../../verity/dm-verity.ts';
import { noise } from '../support/noise.ts';

const imageBytes = 128 * 1024 * 1024;
/** Fits into the cache of a small core; larger pieces cost more to copy, not less. */
const pieceBytes = 128 * 1024;
const rounds = 3;
const saltHex = '5a'.repeat(32);

export interface VerityCost {
  /** Ours divided by theirs. */
  readonly ratio: number;
  /** CPU seconds, user and system, for an image of 128 MiB: the best of three rounds. */
  readonly ours: number;
  readonly theirs: number;
}

const measureOurs = (path: string): number => {
  const before = process.cpuUsage();
  const file = openSync(path, 'r+');
  const tree = createTreeBuilder({ saltHex }, imageBytes, (offset, bytes) =>
    writeSync(file, bytes, 0, bytes.length, imageBytes + offset),
  );
  const piece = Buffer.alloc(pieceBytes);
  for (let offset = 0; offset < imageBytes; offset += pieceBytes) {
    readSync(file, piece, 0, pieceBytes, offset);
    tree.update(piece);
  }
  const { bytes } = tree.finish();
  writeSync(file, bytes, 0, bytes.length, imageBytes);
  closeSync(file);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
};

/** `times` of bash (milliseconds; other shells count ticks): minutes and seconds of user and system time of its children. */
const childSeconds = (text: string): number => {
  const line = text.trim().split('\n').at(-1) ?? '';
  const parts = [...line.matchAll(/(\d+)m([\d.]+)s/g)];
  if (parts.length !== 2) throw new Error(`times said: ${text}`);
  return parts.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
};

const measureTheirs = (path: string): number => {
  truncateSync(path, imageBytes);
  const script = 'veritysetup format "$1" "$1" --hash-offset="$2" --data-blocks="$3" --salt="$4" >/dev/null && times';
  const args = ['-c', script, 'bash', path, `${imageBytes}`, `${imageBytes / 4096}`, saltHex];
  const result = spawnSync('bash', args, { encoding: 'utf8', timeout: 120_000 });
  if (result.status !== 0) throw new Error(`veritysetup: ${result.stderr}`);
  return childSeconds(result.stdout);
};

/** Takes turns, so that what else the machine does falls on both. */
export const measureVerity = async (): Promise<VerityCost> => {
  const folder = mkdtempSync(join(tmpdir(), 'otad-bench-'));
  try {
    const path = join(folder, 'image');
    writeFileSync(path, noise(imageBytes));
    let ours = Number.POSITIVE_INFINITY;
    let theirs = Number.POSITIVE_INFINITY;
    for (let round = 0; round < rounds; round += 1) {
      theirs = Math.min(theirs, measureTheirs(path));
      ours = Math.min(ours, measureOurs(path));
    }
    return { ratio: ours / theirs, ours, theirs };
  } finally {
    rmSync(folder, { recursive: true });
  }
};
