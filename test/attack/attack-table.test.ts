// The suite is whole: every attack that a row names has cases, every case has its test, every behaviour of a server meets
// every kind of file.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCodes } from '../../agent/core/errors.ts';
import { attackTable } from './attack-table.ts';
import { attackCases } from './attacks.ts';
import { behaviours, kindsOf } from './server/behaviours.ts';
import { kindsByTestFile } from './server/kinds.ts';
import { fileKinds } from './vendor.ts';

const behavioursMin = 40;
const kindsMin = 5;

for (const { row, attacks } of attackTable) {
  for (const attack of attacks) {
    test(`the attack '${attack}' (${row}) has cases, and each is answered with a refusal`, () => {
      const cases = attackCases.filter((one) => one.attack === attack);
      assert.ok(cases.length > 0);
      const refused = cases.filter(({ code }) => code !== 'taken');
      assert.ok(refused.length > 0);
      assert.ok(refused.every(({ code }) => Object.hasOwn(errorCodes, code) || code === 'hardware'));
    });
  }
}

test('no two cases make the same claim', () => {
  const claims = attackCases.map(({ attack, claim }) => `${attack}: ${claim}`);
  assert.equal(new Set(claims).size, claims.length);
});

test('enough behaviours of servers meet at least five kinds of file each, and each kind has its test file', () => {
  const whole = behaviours.filter((behaviour) => kindsOf(behaviour).length >= kindsMin);
  assert.ok(whole.length >= behavioursMin, String(whole.length));
  assert.equal(new Set(behaviours.map(({ name }) => name)).size, behaviours.length);
  assert.deepEqual(Object.values(kindsByTestFile).flat().sort(), [...fileKinds].sort());
});

test('what is tolerated says why', () => {
  const silent = behaviours.filter(
    ({ wanted, except = {}, because }) =>
      because === undefined &&
      [wanted, ...Object.values(except)].some((one) => one === 'up-to-date' || one === 'taken'),
  );
  assert.deepEqual(
    silent.map(({ name }) => name),
    [],
  );
});
