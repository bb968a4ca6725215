// The codec, and which of two copies counts after bits have flipped or other programs have written.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  chooseByFlag,
  chooseBySequence,
  decodeCopy,
  encodeCopy,
  nextCopy,
} from '../../../bootctl/uboot/environment.ts';
import { createRandom } from '../random.ts';
import { afterWrites, decodePair, releaseOf, sizeBytes, variablesWith, withCopy, write } from './written-pair.ts';

/** A copy of 64 bytes with a right checksum, whatever stands in it. */
const seal = (text: string, flag: number): Buffer => {
  const bytes = Buffer.alloc(64);
  bytes.write(text, 5, 'latin1');
  bytes.writeUInt32LE(crc32(bytes.subarray(5)), 0);
  bytes.writeUInt8(flag, 4);
  return bytes;
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

  it('stores no empty environment, takes none, and knows that U-Boot would', () => {
    assert.throws(() => encodeCopy(new Map(), sizeBytes, 1), { code: 'BOOT_ENV_UNWRITABLE' });
    assert.equal(decodeCopy(new Uint8Array(sizeBytes), true), null);
    assert.equal(decodeCopy(new Uint8Array(3), true), null);
    const empty = decodeCopy(seal('', 9), true);
    assert.equal(empty?.fault, 'empty');
    const full = decodeCopy(seal('a=1\0', 1), true);
    assert.equal(chooseByFlag([empty ?? null, full ?? null]), 0);
    assert.equal(chooseBySequence([empty ?? null, full ?? null]), 1);
    // Into the empty one, and with a flag that U-Boot takes for newer.
    assert.deepEqual(nextCopy([empty ?? null, full ?? null], 1, new Map()).index, 0);
    const fresh = nextCopy([empty ?? null, empty ?? null], null, new Map([['a', '1']]));
    assert.deepEqual([fresh.index, fresh.flag], [1, 10]);
  });

  it('reads the list as U-Boot does: the last value counts, and a list may fill its copy to the last byte', () => {
    const read = (text: string) => [...(decodeCopy(seal(text, 1), true)?.variables ?? [])];
    assert.deepEqual(read('a=1\0b=2\0a=3\0'), [
      ['a', '3'],
      ['b', '2'],
    ]);
    assert.deepEqual(read('a=1\0\0hidden=1\0'), [['a', '1']]);
    assert.deepEqual(read('noequals\0a=\0'), [['a', '']]);
    assert.deepEqual(read(`a=${'x'.repeat(57)}`), [['a', 'x'.repeat(57)]]);
    assert.equal(decodeCopy(seal('=x\0a=1\0', 1), true)?.fault, 'nameless');
    assert.equal(nextCopy([], null, new Map([['', 'x']])).variables.has(''), false);
  });

  it('writes zeros after the list, the same bytes for the same variables', () => {
    const image = encodeCopy(
      new Map([
        ['b', '1'],
        ['a', '2'],
      ]),
      64,
      3,
    );
    assert.equal(Buffer.from(image).toString('latin1', 5), `a=2\0b=1${'\0'.repeat(52)}`);
    assert.deepEqual(
      image,
      encodeCopy(
        new Map([
          ['a', '2'],
          ['b', '1'],
        ]),
        64,
        3,
      ),
    );
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

describe('a flipped bit in a flag', () => {
  it('never makes a stale copy win, and the next write makes U-Boot agree again', () => {
    let disagreements = 0;
    for (const writes of [2, 3, 12, 13, 255, 256, 257, 300]) {
      const pair = afterWrites(writes);
      for (const index of [0, 1] as const) {
        for (let bit = 0; bit < 8; bit += 1) {
          const image = Uint8Array.from(pair[index]);
          image[4] = (image[4] ?? 0) ^ (1 << bit);
          const flipped = withCopy(pair, index, image);
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
    assert.equal(releaseOf(withCopy(pair, current === 0 ? 1 : 0, byHand), chooseBySequence), 'hand');
  });

  it('a copy without a sequence counts by its flag, as after `env default -a; saveenv`', () => {
    const pair = afterWrites(4);
    const current = chooseByFlag(decodePair(pair)) ?? 0;
    const fresh = encodeCopy(new Map([['release', 'default']]), sizeBytes, 5);
    const reset = withCopy(pair, current === 0 ? 1 : 0, fresh);
    assert.equal(releaseOf(reset, chooseBySequence), 'default');
    assert.equal(releaseOf(write(reset, 'adopted').pair, chooseBySequence), 'adopted');
  });

  it('a backup that fw_setenv restored with an old sequence counts, and the write after it is newer than both', () => {
    const pair = afterWrites(9);
    const copies = decodePair(pair);
    const current = chooseByFlag(copies) ?? 0;
    const flag = ((copies[current]?.flag ?? 0) + 1) & 0xff;
    const restored = encodeCopy(
      new Map([
        ['release', 'restored'],
        ['otad_seq', '3'],
      ]),
      sizeBytes,
      flag,
    );
    const after = withCopy(pair, current === 0 ? 1 : 0, restored);
    assert.equal(releaseOf(after, chooseBySequence), 'restored');
    const { pair: next } = write(after, 'next');
    assert.deepEqual([releaseOf(next, chooseBySequence), releaseOf(next, chooseByFlag)], ['next', 'next']);
  });
});
