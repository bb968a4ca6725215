// CPU of our dm-verity tree beside `veritysetup format`, over the same file in the same run. Both read the file, build the
// tree and write it; only the ratio means anything on another machine.

import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTreeBuilder } from '../../verity/dm-verity.ts';
import { noise } from '../support/noise.ts';
import { bashCpuSeconds } from './bash-cpu.ts';
import { median, medianRatio } from './median.ts';

const imageBytes = 128 * 1024 * 1024;
/** Fits into the cache of a small core; larger pieces cost more to copy, not less. */
const pieceBytes = 128 * 1024;
const rounds = 7;
const saltHex = '5a'.repeat(32);

export interface VerityCost {
  /** Ours divided by theirs. */
  readonly ratio: number;
  /** CPU seconds, user and system, for an image of 128 MiB: the median of the rounds. */
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

const measureTheirs = (path: string): number => {
  truncateSync(path, imageBytes);
  const script = 'veritysetup format "$1" "$1" --hash-offset="$2" --data-blocks="$3" --salt="$4" > /dev/null';
  return bashCpuSeconds(script, [path, `${imageBytes}`, `${imageBytes / 4096}`, saltHex]);
};

/** Takes turns, so that what else the machine does falls on both. */
export const measureVerity = async (): Promise<VerityCost> => {
  const folder = mkdtempSync(join(tmpdir(), 'otad-bench-'));
  try {
    const path = join(folder, 'image');
    writeFileSync(path, noise(imageBytes));
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      theirs.push(measureTheirs(path));
      ours.push(measureOurs(path));
    }
    return { ratio: medianRatio(ours, theirs), ours: median(ours), theirs: median(theirs) };
  } finally {
    rmSync(folder, { recursive: true });
  }
};
