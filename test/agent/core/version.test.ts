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

test('versions sort as systemd-analyze compare-versions sorts them', () => {
  const pairs = versions.flatMap((left) => versions.map((right) => [left, right] as const));
  // One shell for all pairs: a process each would take longer than the rest of the suite.
  const script = 'while [ $# -gt 0 ]; do systemd-analyze compare-versions "$1" "$2" >/dev/null; echo $?; shift 2; done';
  const oracle = spawnSync('sh', ['-c', script, 'sh', ...pairs.flat()], { encoding: 'utf8' });
  assert.equal(oracle.error, undefined);
  const answers = oracle.stdout.trim().split('\n');
  assert.equal(answers.length, pairs.length);
  for (const [index, [left, right]] of pairs.entries()) {
    // Exit status: 0 equal, 11 left is newer, 12 right is newer.
    const expected = { 0: 0, 11: 1, 12: -1 }[answers[index] ?? ''];
    assert.equal(compareVersions(left, right), expected, `${left} <=> ${right}`);
  }
});
