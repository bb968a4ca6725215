import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { compareVersions } from '../../../agent/core/version.ts';

const versions = [
  ...[
    '',
    '0',
    '1',
    '01',
    '1.0',
    '1.0.0',
    '1.1',
    '1.10',
    '1.9',
    '2',
    '1.0~rc1',
    '1.0~rc2',
    '1.0-1',
    '1.0-2',
    '1.0^post',
  ],
  ...[
    'a',
    'b',
    'A',
    'ab',
    '1a',
    '1b',
    '1.a',
    '1.0_1',
    '2026.07',
    '2026.7',
    '1..0',
    '1.',
    '~',
    '^',
    '-',
    '1~',
    '1^',
    '10a',
    '9z',
  ],
];

/** systemd's own answers; for those that it calls newer 1, for those that it calls older -1. */
const askSystemd = (pairs: readonly (readonly [string, string])[]): readonly (number | undefined)[] => {
  // One shell for all pairs; still a process each, ten milliseconds long.
  const script = 'while [ $# -gt 0 ]; do systemd-analyze compare-versions "$1" "$2" >/dev/null; echo $?; shift 2; done';
  const oracle = spawnSync('sh', ['-c', script, 'sh', ...pairs.flat()], { encoding: 'utf8' });
  assert.equal(oracle.error, undefined);
  const answers = oracle.stdout.trim().split('\n');
  assert.equal(answers.length, pairs.length);
  // Exit status: 0 equal, 11 left is newer, 12 right is newer.
  return answers.map((answer) =>
    new Map([
      ['0', 0],
      ['11', 1],
      ['12', -1],
    ] as const).get(answer as '0' | '11' | '12'),
  );
};

test('versions sort as systemd-analyze compare-versions sorts them', () => {
  // Each pair one way round; the other way round must be the opposite.
  const pairs = versions.flatMap((left, index) => versions.slice(index).map((right) => [left, right] as const));
  for (const [index, expected] of askSystemd(pairs).entries()) {
    const [left, right] = pairs[index] ?? ['', ''];
    assert.ok(expected !== undefined);
    assert.equal(compareVersions(left, right), expected, `${left} <=> ${right}`);
    assert.equal(compareVersions(right, left), 0 - expected, `${right} <=> ${left}`);
  }
});
