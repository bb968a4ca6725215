// A bug that cannot be planted any more is a rule that nobody guards: said here at once, not when the mutants are hunted.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tables } from './tables.ts';

const dist = fileURLToPath(new URL('../..', import.meta.url));

for (const [table, mutants] of Object.entries(tables)) {
  test(`each bug of the table ${table} has one place in the code, and a suite that is there`, async () => {
    const wrong: string[] = [];
    for (const mutant of mutants) {
      for (const { file, find } of mutant.edits) {
        const places = (await readFile(join(dist, file), 'utf8')).split(find).length - 1;
        if (places !== 1) wrong.push(`${mutant.name}: ${places} places in ${file}`);
      }
      for (const suite of 'suite' in mutant ? mutant.suite : []) {
        await access(join(dist, 'test', suite)).catch(() => wrong.push(`${mutant.name}: no ${suite}`));
      }
    }
    assert.deepEqual(wrong, []);
  });
}

test('a word that names no mutant is answered with the nearest and the tables, not with a wall of names', () => {
  const words = [join(dist, 'test/mutants/main.js'), 'bogus', 'cores'];
  const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', timeout: 30_000 });
  assert.equal(status, 64);
  assert.match(
    stderr,
    /^There is no mutant or table 'bogus'\.\nThere is no mutant or table 'cores'\. Did you mean 'core'\?\nTables: /,
  );
  assert.ok(stderr.length < 1000, stderr);
});
