// The codec, and every state that a cut can leave of a redundant write.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type CopyIndex,
  chooseByFlag,
  chooseBySequence,
  decodeCopy,
  encodeCopy,
  nextCopy,
  type Variables,
} from '../../../bootctl/uboot/environment.ts';
import { createRandom } from '../random.ts';

const sizeBytes = 0x1000;
const sectorBytes = 512;

/** Long enough to reach into the third sector, so that tears fall inside the data as well. */
const padding = 'x'.repeat(900);
const variablesWith = (release: string): Variables =>
  new Map([
    ['release', release],
    ['aaa', padding],
  ]);

interface Pair {
  readonly images: readonly [Uint8Array, Uint8Array];
}

const decodePair = ({ images }: Pair) => images.map((image) => decodeCopy(image, true));

const releaseOf = (pair: Pair, choose: typeof chooseByFlag): string | null => {
  const copies = decodePair(pair);
  const index = choose(copies);
  return index === null ? null : (copies[index]?.variables.get('release') ?? null);
};

/** One write as the adapter makes it, without the medium. */
const write = (pair: Pair, release: string): { readonly pair: Pair; readonly index: CopyIndex } => {
  const copies = decodePair(pair);
  const next = nextCopy(copies, chooseBySequence(copies), variablesWith(release));
  const image = encodeCopy(next.variables, sizeBytes, next.flag);
  return { pair: { images: next.index === 0 ? [image, pair.images[1]] : [pair.images[0], image] }, index: next.index };
};

/** After `writes` writes: releases are named by number; the flag has wrapped when there were more than 255. */
const afterWrites = (writes: number): Pair => {
  let pair: Pair = { images: [new Uint8Array(sizeBytes), new Uint8Array(sizeBytes)] };
  for (let index = 1; index <= writes; index += 1) pair = write(pair, `r${index}`).pair;
  return pair;
};

/** The pair with the written copy replaced by a torn one. */
const torn = (pair: Pair, index: CopyIndex, image: Uint8Array): Pair => ({
  images: index === 0 ? [image, pair.images[1]] : [pair.images[0], image],
});

const assertOldOrNew = (pair: Pair, old: string, next: string, what: string): void => {
  for (const choose of [chooseByFlag, chooseBySequence]) {
    const release = releaseOf(pair, choose);
    assert.ok(release === old || release === next, `${what}: ${release}`);
  }
};

// 254 to 258 writes: the flag goes 254, 255, 0, 1 in one copy or the other.
const histories = [1, 2, 3, 254, 255, 256, 257];

const forEachWrite = (
  check: (before: Pair, after: Pair, index: CopyIndex, old: string, next: string) => void,
): void => {
  for (const writes of histories) {
    const before = afterWrites(writes);
    const { pair: after, index } = write(before, `r${writes + 1}`);
    check(before, after, index, `r${writes}`, `r${writes + 1}`);
  }
};

describe('U-Boot environment codec', () => {
  it('decodes what it encoded, in one copy and in two', () => {
    const random = createRandom(21);
    for (let round = 0; round < 300; round += 1) {
      const variables = new Map<string, string>();
      for (let count = 1 + random.below(20); count > 0; count -= 1) {
        const text = (length: number): string =>
          Array.from({ length }, () => String.fromCharCode(33 + random.below(223))).join('');
        variables.set(text(1 + random.below(12)).replaceAll('=', '_'), text(random.below(60)));
      }
      const flag = round % 2 === 0 ? null : random.below(256);
      const copy = decodeCopy(encodeCopy(variables, sizeBytes, flag), flag !== null);
      assert.deepEqual(new Map([...(copy?.variables ?? [])].sort()), new Map([...variables].sort()));
      assert.equal(copy?.flag, flag);
    }
  });

  it('takes no copy with any single bit of checksum or data flipped', () => {
    const image = encodeCopy(variablesWith('r1'), 256 + 900, 7);
    for (let bit = 0; bit < image.length * 8; bit += 1) {
      const byte = bit >> 3;
      if (byte === 4) continue;
      const flipped = Uint8Array.from(image);
      flipped[byte] = (flipped[byte] ?? 0) ^ (1 << (bit & 7));
      assert.equal(decodeCopy(flipped, true), null, `bit ${bit}`);
    }
  });

  it('stores no empty environment and takes none for valid', () => {
    assert.throws(() => encodeCopy(new Map(), sizeBytes, 1), { code: 'BOOT_ENV_UNWRITABLE' });
    assert.equal(decodeCopy(new Uint8Array(sizeBytes), true), null);
    assert.equal(decodeCopy(new Uint8Array(3), true), null);
  });

  it('says when the environment is full instead of cutting it', () => {
    const exact = new Map([['a', 'x'.repeat(64 - 5 - 2 - 1 - 1)]]);
    assert.equal(decodeCopy(encodeCopy(exact, 64, 1), true)?.variables.get('a'), exact.get('a'));
    assert.throws(() => encodeCopy(new Map([['a', `${exact.get('a')}x`]]), 64, 1), { code: 'BOOT_ENV_UNWRITABLE' });
  });

  it('reads a sequence only as plain hex within range', () => {
    const sequenceOf = (text: string) => decodeCopy(encodeCopy(new Map([['otad_seq', text]]), 64, 1), true)?.sequence;
    assert.deepEqual(['0', '1f', 'ffff0000'].map(sequenceOf), [0, 31, 0xffff0000]);
    for (const text of ['', '0x1', 'FF', '-1', 'fffffffff', 'ffff0001', 'x'])
      assert.equal(sequenceOf(text), null, text);
  });
});

describe('a cut in the middle of a redundant write', () => {
  it('at any byte leaves the old environment or the new one', () => {
    forEachWrite((before, after, index, old, next) => {
      for (let cut = 0; cut <= sizeBytes; cut += 1) {
        // The data end near byte 1000; after that old and new are both zero.
        if (cut > 1100 && cut % sectorBytes !== 0) continue;
        const image = Uint8Array.from(before.images[index]);
        image.set(after.images[index].subarray(0, cut));
        assertOldOrNew(torn(before, index, image), old, next, `cut at ${cut}`);
      }
    });
  });

  it('in any subset of its sectors leaves the old environment or the new one', () => {
    forEachWrite((before, after, index, old, next) => {
      const sectors = sizeBytes / sectorBytes;
      for (let subset = 0; subset < 2 ** sectors; subset += 1) {
        const image = Uint8Array.from(before.images[index]);
        for (let sector = 0; sector < sectors; sector += 1) {
          if ((subset & (1 << sector)) === 0) continue;
          const start = sector * sectorBytes;
          image.set(after.images[index].subarray(start, start + sectorBytes), start);
        }
        assertOldOrNew(torn(before, index, image), old, next, `sectors ${subset.toString(2)}`);
      }
    });
  });

  it('that leaves a tail of zeros, or of erased flash, leaves the old environment or the new one', () => {
    forEachWrite((before, after, index, old, next) => {
      for (const fill of [0, 0xff]) {
        for (let cut = 0; cut <= sizeBytes; cut += 16) {
          const image = Uint8Array.from(after.images[index]).fill(fill, cut);
          assertOldOrNew(torn(before, index, image), old, next, `${fill} from ${cut}`);
        }
      }
    });
  });

  it('a write that ends makes both U-Boot and otad take the new environment, also where the flag wraps', () => {
    forEachWrite((_before, after, _index, _old, next) => {
      assert.equal(releaseOf(after, chooseByFlag), next);
      assert.equal(releaseOf(after, chooseBySequence), next);
    });
  });
});

describe('a flipped bit in a flag', () => {
  it('never makes a stale copy win, and the next write makes U-Boot agree again', () => {
    let disagreements = 0;
    for (const writes of [2, 3, 12, 13, 255, 256, 257, 300]) {
      const pair = afterWrites(writes);
      for (const index of [0, 1] as const) {
        for (let bit = 0; bit < 8; bit += 1) {
          const image = Uint8Array.from(pair.images[index]);
          image[4] = (image[4] ?? 0) ^ (1 << bit);
          const flipped = torn(pair, index, image);
          assert.equal(releaseOf(flipped, chooseBySequence), `r${writes}`);
          if (releaseOf(flipped, chooseByFlag) !== `r${writes}`) disagreements += 1;
          const repaired = write(flipped, 'next').pair;
          assert.equal(releaseOf(repaired, chooseByFlag), 'next');
          assert.equal(releaseOf(repaired, chooseBySequence), 'next');
        }
      }
    }
    // The flag alone is fooled often: without the sequence this would not hold.
    assert.ok(disagreements > 20, `${disagreements}`);
  });

  it('a copy that fw_setenv wrote counts although it carries the same sequence', () => {
    const pair = afterWrites(5);
    const copies = decodePair(pair);
    const current = chooseByFlag(copies) ?? 0;
    const flag = ((copies[current]?.flag ?? 0) + 1) & 0xff;
    const byHand = encodeCopy(new Map([...(copies[current]?.variables ?? []), ['release', 'hand']]), sizeBytes, flag);
    assert.equal(releaseOf(torn(pair, current === 0 ? 1 : 0, byHand), chooseBySequence), 'hand');
  });

  it('a copy without a sequence counts by its flag, as after `env default -a; saveenv`', () => {
    const pair = afterWrites(4);
    const current = chooseByFlag(decodePair(pair)) ?? 0;
    const fresh = encodeCopy(new Map([['release', 'default']]), sizeBytes, 5);
    const reset = torn(pair, current === 0 ? 1 : 0, fresh);
    assert.equal(releaseOf(reset, chooseBySequence), 'default');
    assert.equal(releaseOf(write(reset, 'adopted').pair, chooseBySequence), 'adopted');
  });
});
