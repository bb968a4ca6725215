import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findStretches, makeSearchable, type Stretch } from '../../delta/bsdiff.ts';
import { suffixArray } from '../../delta/suffix-array.ts';
import { createRandom } from '../bootctl/random.ts';
import { noise } from '../support/noise.ts';

const never = (): void => undefined;
const stretchesOf = (old: Uint8Array, fresh: Uint8Array): Promise<readonly Stretch[]> =>
  findStretches(makeSearchable(old), fresh, never);

describe('suffix array', () => {
  it('sorts all suffixes, whatever the bytes', () => {
    const random = createRandom(2);
    const texts = Array.from({ length: 400 }, () => {
      const symbols = 1 + random.below(4);
      return Buffer.from(Array.from({ length: random.below(70) }, () => random.below(symbols)));
    });
    for (const text of [...texts, Buffer.alloc(3000), Buffer.alloc(2000, 'ab'), noise(5000), Buffer.from([255])]) {
      const expected = Array.from({ length: text.length }, (_, at) => at).sort((one, two) =>
        Buffer.compare(text.subarray(one), text.subarray(two)),
      );
      assert.deepEqual([...suffixArray(text)], expected);
    }
  });
});

describe('stretches', () => {
  it('lie in order, inside of both, and agree in most bytes', async () => {
    const random = createRandom(3);
    for (let times = 0; times < 40; times += 1) {
      const old = noise(4000, `old ${times}`);
      const pieces = Array.from({ length: 6 }, () => {
        const from = random.below(3500);
        const piece = Buffer.from(old.subarray(from, from + random.below(600)));
        for (let at = random.below(60); at < piece.length; at += 60) piece[at] = random.below(256);
        return random.below(4) === 0 ? noise(random.below(200), `${times}`) : piece;
      });
      const fresh = Buffer.concat(pieces);
      let end = 0;
      for (const { newOffset, oldOffset, lengthBytes } of await stretchesOf(old, fresh)) {
        assert.ok(newOffset >= end && oldOffset >= 0 && lengthBytes > 0);
        assert.ok(oldOffset + lengthBytes <= old.length);
        end = newOffset + lengthBytes;
      }
      assert.ok(end <= fresh.length);
    }
  });

  it('find moved parts, and pass over scattered changes', async () => {
    const old = noise(60_000, 'moved');
    const fresh = Buffer.concat([old.subarray(40_000), noise(100, 'between'), old.subarray(0, 40_000)]);
    for (let at = 50; at < fresh.length; at += 500) fresh[at] = (fresh[at] ?? 0) ^ 0x55;
    const stretches = await stretchesOf(old, fresh);
    const covered = stretches.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
    assert.ok(stretches.length <= 3 && covered > fresh.length - 300, JSON.stringify(stretches));
  });

  it('take bytes that repeat without end', async () => {
    const [stretch, ...others] = await stretchesOf(Buffer.alloc(300_000), Buffer.alloc(200_000));
    assert.deepEqual([stretch?.newOffset, stretch?.lengthBytes, others], [0, 200_000, []]);
    assert.deepEqual(await stretchesOf(Buffer.alloc(0), noise(100)), []);
    assert.deepEqual(await stretchesOf(noise(100), Buffer.alloc(0)), []);
  });
});
