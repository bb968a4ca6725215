// The steps of the lab's cases, where a wrong one would call a gateway wrong that is well.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CaseContext } from './lab/case.ts';
import { untilSettled } from './lab/journey.ts';

test('a gateway that asks its server right after a confirmation is waited for, and not for another word of it', async () => {
  const settled = { version: '1.1.0', booted: 'b', primary: 'b', confirmed: true, phase: 'idle' };
  const answers = [
    { ...settled, confirmed: false, phase: 'assessing' },
    { ...settled, phase: 'checking' },
    settled,
    settled,
  ];
  const heard: string[] = [];
  const context = {
    machine: {
      console: { mark: () => 0 },
      said: async (pattern: RegExp) => {
        assert.match('otad[470]: Confirmed (version 1.1.0, slot b).', pattern);
        heard.push('confirmed');
      },
    },
    guest: { status: async () => answers.shift() },
  };
  await untilSettled(context as unknown as CaseContext, '1.1.0', 'b');
  assert.deepEqual([heard, answers], [['confirmed'], []]);
});
