import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeIntent,
  encodeIntent,
  type Intent,
  intentBytesMax,
  newestIntent,
} from '../../../bootctl/tryboot/intent.ts';
import { contractStart } from '../../contract/boot-control.ts';

const anIntent = (over: Partial<Intent> = {}): Intent => ({
  sequence: 7,
  default: 'a',
  model: contractStart,
  armed: { slot: 'b', bootId: 'boot-3', state: 'armed' },
  seenBootId: 'boot-3',
  outcome: null,
  ...over,
});

test('an intent reads back as it was written', () => {
  for (const intent of [anIntent(), anIntent({ armed: null, outcome: { slot: 'b', kind: 'fell-back' } })]) {
    assert.deepEqual(decodeIntent(encodeIntent(intent)), intent);
  }
});

test('a flipped bit, a missing end, a zeroed tail and a doubled file are not an intent', () => {
  const whole = encodeIntent(anIntent());
  for (let index = 0; index < whole.length; index += 1) {
    const flipped = Uint8Array.from(whole);
    flipped[index] = (flipped[index] ?? 0) ^ 0x10;
    assert.equal(decodeIntent(flipped), null, `byte ${index}`);
    assert.equal(decodeIntent(whole.subarray(0, index)), null, `${index} bytes`);
    const zeroed = Uint8Array.from(whole).fill(0, index);
    assert.equal(decodeIntent(zeroed), null, `zeros from ${index}`);
  }
  assert.equal(decodeIntent(Buffer.concat([whole, whole])), null);
  assert.equal(decodeIntent(Buffer.alloc(intentBytesMax + 1, ' ')), null);
});

test('a whole file of another form is not an intent', () => {
  const other = encodeIntent({ ...anIntent(), extra: 1 } as unknown as Intent);
  assert.equal(decodeIntent(other), null);
  assert.equal(decodeIntent(encodeIntent(anIntent({ sequence: -1 }))), null);
});

test('the copy written last counts, and a broken one leaves the other', () => {
  const [old, young] = [anIntent({ sequence: 7 }), anIntent({ sequence: 8 })];
  assert.equal(newestIntent([old, young]), young);
  assert.equal(newestIntent([young, old]), young);
  assert.equal(newestIntent([null, old]), old);
  assert.equal(newestIntent([null, null]), null);
});
