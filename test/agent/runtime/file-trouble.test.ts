// When a file that shortens an update is done without at once, and when it is asked for again first.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import { asReason, noTrouble } from '../../../agent/runtime/file-trouble.ts';

const answered = (status: number) => new OtadError('HTTP_STATUS', { status });
const reasons = (status: number): readonly (string | null)[] => {
  const trouble = noTrouble(() => 0);
  return [1, 2, 3].map(() => {
    try {
      return asReason(answered(status), 'its patch', 'targets/p', trouble).slice(0, 24);
    } catch (error) {
      assert.equal((error as OtadError).code, 'HTTP_STATUS');
      return null;
    }
  });
};

test('a server that is busy, or asks to be asked again, costs the short way at its third refusal only', () => {
  for (const status of [408, 421, 425, 429, 500, 502, 503, 504]) {
    assert.deepEqual(reasons(status), [null, null, 'its patch cannot be had:'], String(status));
  }
});

test('a file that is not there, or may not be had, is done without at once', () => {
  for (const status of [400, 401, 403, 404, 410, 451]) {
    assert.deepEqual(reasons(status), Array(3).fill('its patch cannot be had:'), String(status));
  }
});
