// An ESP on which the power goes. Fault model: FAT without a journal. A cut in the middle of
//   create     leaves no file, an empty one, zeros, what lay on the medium before, a part, or the whole;
//   overwrite  leaves old, new, or any place of a tear, even within the sector, from either side;
//   remove     leaves the file or not;
//   rename     leaves old, new, both or neither;
//   replace    leaves old, new, or neither.
// Everything before the cut is durable, since each call flushes.

import { copyFile, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Esp } from '../../../bootctl/systemd-boot/esp.ts';

export class PowerCut extends Error {
  readonly what: string;
  constructor(what: string) {
    super(what);
    this.what = what;
  }
}

/** One way to leave a call unfinished. */
interface Outcome {
  readonly name: string;
  apply(): Promise<void>;
}

const tearsMax = 4;

const spread = (places: readonly number[]): readonly number[] =>
  places.length <= tearsMax
    ? places
    : Array.from({ length: tearsMax }, (_, index) => places[Math.floor((index * places.length) / tearsMax)] ?? 0);

const tearsOf = (before: Uint8Array, after: Uint8Array): readonly (readonly [string, Uint8Array])[] => {
  const places = [...after.keys()].filter((index) => before[index] !== after[index]);
  return spread(places).flatMap((place) => [
    [`torn before ${place}`, Buffer.concat([after.subarray(0, place), before.subarray(place)])] as const,
    [`torn after ${place}`, Buffer.concat([before.subarray(0, place + 1), after.subarray(place + 1)])] as const,
  ]);
};

/**
 * The power goes in the `cutAt`-th changing call, which is left as its `outcome`-th outcome; PowerCut says which. An outcome
 * that the call does not have throws RangeError, so that a test knows when it has seen them all.
 */
export const cutEsp = (inner: Esp, cutAt: number, outcome: number, stale: Uint8Array): Esp => {
  let calls = 0;
  const at = (file: string): string => join(inner.path, file);
  const step = async (what: string, whole: () => Promise<void>, outcomes: () => Promise<readonly Outcome[]>) => {
    calls += 1;
    if (calls - 1 !== cutAt) return whole();
    const all = [{ name: 'old', apply: async () => {} }, { name: 'new', apply: whole }, ...(await outcomes())];
    const chosen = all[outcome];
    if (chosen === undefined) throw new RangeError('no such outcome');
    await chosen.apply();
    throw new PowerCut(`${what}: ${chosen.name}`);
  };
  const put = (file: string, name: string, bytes: Uint8Array): Outcome => ({
    name,
    apply: () => writeFile(at(file), bytes),
  });
  return {
    ...inner,
    create: (file, bytes) =>
      step(
        `create ${file}`,
        () => inner.create(file, bytes),
        async () => [
          put(file, 'empty', Buffer.alloc(0)),
          put(file, 'zeros', Buffer.alloc(bytes.length)),
          put(file, 'stale', stale),
          put(file, 'a part', bytes.subarray(0, 100)),
        ],
      ),
    overwrite: (file, bytes) =>
      step(
        `overwrite ${file}`,
        () => inner.overwrite(file, bytes),
        async () => tearsOf(await readFile(at(file)), bytes).map(([name, torn]) => put(file, name, torn)),
      ),
    replace: (file, bytes) =>
      step(
        `replace ${file}`,
        () => inner.replace(file, bytes),
        async () => [
          { name: 'neither', apply: () => rm(at(file), { force: true }) },
          put(`${file}.new`, 'both', bytes),
        ],
      ),
    rename: (from, to) =>
      step(
        `rename ${from}`,
        () => inner.rename(from, to),
        async () => [
          { name: 'both', apply: () => copyFile(at(from), at(to)) },
          { name: 'neither', apply: () => rm(at(from)) },
        ],
      ),
    remove: (file) =>
      step(
        `remove ${file}`,
        () => inner.remove(file),
        async () => [],
      ),
  };
};

/** Writes down what is written. */
export const recordingEsp = (inner: Esp): Esp & { readonly written: readonly string[] } => {
  const written: string[] = [];
  const noted = <T extends readonly unknown[]>(kind: string, call: (file: string, ...rest: T) => Promise<void>) => {
    return (file: string, ...rest: T): Promise<void> => {
      written.push(`${kind} ${file}`);
      return call(file, ...rest);
    };
  };
  return {
    ...inner,
    written,
    create: noted('create', inner.create),
    overwrite: noted('overwrite', inner.overwrite),
    replace: noted('replace', inner.replace),
    rename: noted('rename', inner.rename),
    remove: noted('remove', inner.remove),
  };
};

/** The loader's or systemd-bless-boot's rename, left in the middle. */
export const leaveRename = async (
  root: string,
  from: string,
  to: string,
  outcome: 'old' | 'new' | 'both' | 'neither',
): Promise<void> => {
  const [old, fresh] = [join(root, 'loader/entries', from), join(root, 'loader/entries', to)];
  if (outcome === 'new') await rename(old, fresh);
  if (outcome === 'both') await copyFile(old, fresh);
  if (outcome === 'neither') await rm(old);
};
