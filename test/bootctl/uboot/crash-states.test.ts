// Every state that a cut can leave of a redundant write: whoever reads it next finds the old environment or the new one.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CopyIndex } from '../../../bootctl/uboot/environment.ts';
import { createRandom } from '../random.ts';
import {
  afterWrites,
  chooseAsOtad,
  decodePair,
  type Pair,
  readers,
  releaseOf,
  sectorBytes,
  sizeBytes,
  withCopy,
  write,
} from './written-pair.ts';

let states = 0;

/** A write about to happen, and what is in the copy that it goes to. */
interface Cut {
  readonly before: Pair;
  /** The copy that is being written. */
  readonly index: CopyIndex;
  readonly next: Uint8Array;
  readonly old: Uint8Array;
  readonly releases: readonly [old: string, next: string];
}

const cutAfter = (writes: number): Cut => {
  const before = afterWrites(writes);
  const { pair, index } = write(before, `r${writes + 1}`);
  return { before, index, next: pair[index], old: before[index], releases: [`r${writes}`, `r${writes + 1}`] };
};

// The flag of the write is 2, 3, 4, and then 255, 0, 1, 2: once over the wrap in either copy.
const histories = [1, 2, 3, 254, 255, 256, 257, 511, 512];
const cuts: readonly Cut[] = histories.map(cutAfter);

const assertOldOrNew = ({ before, index, releases }: Cut, image: Uint8Array, what: () => string): void => {
  states += 1;
  const copies = decodePair(withCopy(before, index, image));
  for (const [name, choose] of readers) {
    const chosen = choose(copies);
    const release = chosen === null ? null : (copies[chosen]?.variables.get('release') ?? null);
    assert.ok(release !== null && releases.includes(release), `${name} reads ${release} of ${releases}: ${what()}`);
  }
};

describe('a cut in the middle of a redundant write leaves the old environment or the new one', () => {
  it('after any number of bytes', () => {
    for (const cut of cuts) {
      for (let length = 0; length <= sizeBytes; length += 1) {
        // The data end near byte 1000; after that old and new are both zero.
        if (length > 1100 && length % sectorBytes !== 0) continue;
        const image = Uint8Array.from(cut.old);
        image.set(cut.next.subarray(0, length));
        assertOldOrNew(cut, image, () => `${length} bytes`);
      }
    }
  });

  it('in any subset of its sectors, over what stood there, over garbage, and over zeros', () => {
    const random = createRandom(51);
    const garbage = Uint8Array.from({ length: sizeBytes }, () => random.below(256));
    for (const cut of cuts) {
      for (const stale of [cut.old, garbage, new Uint8Array(sizeBytes), new Uint8Array(sizeBytes).fill(0xff)]) {
        for (let subset = 0; subset < 2 ** (sizeBytes / sectorBytes); subset += 1) {
          const image = Uint8Array.from(stale);
          for (let start = 0, bit = 1; start < sizeBytes; start += sectorBytes, bit *= 2) {
            if ((subset & bit) !== 0) image.set(cut.next.subarray(start, start + sectorBytes), start);
          }
          assertOldOrNew(cut, image, () => `sectors ${subset.toString(2)}`);
        }
      }
    }
  });

  it('with a tear inside a sector, anywhere in it, whichever sectors around it arrived', () => {
    const random = createRandom(52);
    for (const cut of cuts) {
      for (let round = 0; round < 2_000; round += 1) {
        const image = Uint8Array.from(cut.old);
        const subset = random.below(2 ** (sizeBytes / sectorBytes));
        for (let start = 0, bit = 1; start < sizeBytes; start += sectorBytes, bit *= 2) {
          if ((subset & bit) !== 0) image.set(cut.next.subarray(start, start + sectorBytes), start);
        }
        // Mostly where something stands; the beginning or the end of the sector is what arrived.
        const sector = random.below(3) * sectorBytes;
        const middle = sector + random.below(sectorBytes + 1);
        const [from, to] = random.below(2) === 0 ? [sector, middle] : [middle, sector + sectorBytes];
        const source = random.below(2) === 0 ? cut.next : cut.old;
        image.set(source.subarray(from, to), from);
        assertOldOrNew(cut, image, () => `sectors ${subset.toString(2)}, ${from} to ${to}`);
      }
    }
  });

  it('with a tail of zeros or of erased flash, wherever it begins', () => {
    for (const cut of cuts) {
      for (const fill of [0, 0xff]) {
        for (let length = 0; length <= sizeBytes; length += length < 1100 ? 1 : 64) {
          const image = Uint8Array.from(cut.next).fill(fill, length);
          assertOldOrNew(cut, image, () => `${fill} from ${length}`);
        }
      }
    }
  });

  it('with all but the flag byte arrived', () => {
    for (const cut of cuts) {
      const image = Uint8Array.from(cut.next);
      image[4] = cut.old[4] ?? 0;
      assertOldOrNew(cut, image, () => 'all but the flag');
    }
  });

  it('even with the flag byte arrived alone, for otad, whose sequence lies inside the data', () => {
    for (const cut of cuts.filter(({ releases }) => releases[0] !== 'r1')) {
      const image = Uint8Array.from(cut.old);
      image[4] = cut.next[4] ?? 0;
      assert.equal(releaseOf(withCopy(cut.before, cut.index, image), chooseAsOtad), cut.releases[0]);
    }
  });

  it('and a write that ends makes every reader take the new environment, also where the flag wraps', () => {
    for (const cut of cuts) {
      for (const [name, choose] of readers) {
        assert.equal(releaseOf(withCopy(cut.before, cut.index, cut.next), choose), cut.releases[1], name);
      }
    }
  });

  it('and the write after a cut succeeds from every torn state and is again taken by every reader', () => {
    const random = createRandom(53);
    for (const cut of cuts) {
      for (let round = 0; round < 200; round += 1) {
        const image = Uint8Array.from(cut.next);
        image.set(cut.old.subarray(random.below(sizeBytes)), 0);
        const torn = withCopy(cut.before, cut.index, image.fill(0, random.below(sizeBytes)));
        const { pair } = write(torn, 'next');
        for (const [name, choose] of readers) assert.equal(releaseOf(pair, choose), 'next', name);
      }
    }
  });

  it('in more states than anybody would try by hand', (context) => {
    context.diagnostic(`${states} states, each read by ${readers.length} readers`);
    assert.ok(states > 50_000);
  });
});
