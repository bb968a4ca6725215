import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Circumstances, isAnswer, NoAnswer, noEvidence, WrongAnswer } from './lab/verdict.ts';

const pauseMsMax = 20_000;
const calm: Circumstances = { lastWords: null, console: '', hostPauseMs: 300 };
const verdictOf = (seen: Partial<Circumstances>): string | null => noEvidence({ ...calm, ...seen }, pauseMsMax);

test('a gateway that hangs or panics is judged by what it did', () => {
  assert.equal(verdictOf({}), null);
  assert.equal(verdictOf({ console: 'Kernel panic - not syncing: sysrq triggered crash\n' }), null);
  assert.equal(verdictOf({ console: 'kernel BUG at arch/x86/mm/fault.c:1\n' }), null);
});

test('an emulator that ended by itself is no evidence', () => {
  assert.equal(verdictOf({ lastWords: 'exit status 1' }), 'the emulator ended: exit status 1');
  assert.equal(verdictOf({ lastWords: '' }), 'the emulator ended: ');
});

test('a double fault of the kernel is no evidence', () => {
  assert.match(verdictOf({ console: '[  1.0] traps: PANIC: double fault, error_code: 0x0\n' }) ?? '', /double fault/);
});

test('a host that stood still longer than a watchdog waits is no evidence', () => {
  assert.equal(verdictOf({ hostPauseMs: pauseMsMax }), null);
  assert.equal(verdictOf({ hostPauseMs: pauseMsMax + 1 }), 'the host stood still for 20 s');
});

test('an answer counts, also of an emulator that died or on a host that stood still; silence does not', () => {
  const comparison = (): Error => {
    try {
      assert.equal('a', 'b');
    } catch (error) {
      return error as Error;
    }
    return new Error('nothing was compared');
  };
  assert.deepEqual([new WrongAnswer('exit status 1'), comparison()].map(isAnswer), [true, true]);
  assert.deepEqual([new NoAnswer('not a word'), new Error('the channel closed')].map(isAnswer), [false, false]);
});
