// Real squashfs images of small trees, made by mksquashfs: a tree, and the same one after a change of a few files.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRandom } from '../bootctl/random.ts';

/** By name, in the order in which mksquashfs lays them out. */
export type Tree = Readonly<Record<string, Buffer>>;

/** Compresses to about half; the same for the same seed. */
export const halfNoise = (lengthBytes: number, seed: number): Buffer => {
  const random = createRandom(seed);
  return Buffer.from(Array.from({ length: lengthBytes }, (_, index) => (index % 2 === 0 ? 0x41 : random.below(256))));
};

const small = (count: number): Tree =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`etc-${index}`, halfNoise(300 + 37 * (index % 50), 1000 + index)]),
  );

const base: Tree = {
  ...small(120),
  'lib-1': halfNoise(150_000, 1),
  'lib-2': halfNoise(400_000, 2),
  'lib-3': halfNoise(90_000, 3),
  program: halfNoise(350_000, 4),
  'program-data': halfNoise(220_000, 5),
};

const trees = {
  base,
  /** A file more at the front, one that changed, and one that is gone. */
  grown: Object.fromEntries(
    Object.entries({ ...base, 'aaa-first': halfNoise(60_000, 6), program: halfNoise(351_000, 7) }).filter(
      ([name]) => name !== 'lib-3',
    ),
  ),
} as const satisfies Record<string, Tree>;

export const withTree = (name: keyof typeof trees): Tree => trees[name];

export const squashfsBlockBytes = 16_384;

/** An image of the tree, the same bytes for the same tree and arguments. */
export const squashfsOf = (name: string, tree: Tree, args: readonly string[]): Buffer => {
  const folder = mkdtempSync(join(tmpdir(), 'otad-tree-'));
  try {
    const root = join(folder, 'root');
    const path = join(folder, name);
    mkdirSync(root);
    for (const [file, bytes] of Object.entries(tree)) writeFileSync(join(root, file), bytes);
    const fixed = ['-noappend', '-quiet', '-no-progress', '-all-root', '-mkfs-time', '0', '-all-time', '0'];
    execFileSync('mksquashfs', [root, path, ...fixed, '-b', `${squashfsBlockBytes}`, ...args], { stdio: 'pipe' });
    return readFileSync(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
};
