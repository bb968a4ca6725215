import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { agentVersion } from '../../agent/version.ts';
import { referencePages, treeRoot } from './reference.ts';

for (const page of referencePages()) {
  test(`${page.path} says what the code says`, async () => {
    const found = await readFile(join(treeRoot(), page.path), 'utf8');
    assert.equal(found, page.text, 'write it again: node dist/test/support/reference.js');
  });
}

test('the agent has the version of package.json', async () => {
  const { version } = JSON.parse(await readFile(join(treeRoot(), 'package.json'), 'utf8'));
  assert.equal(agentVersion, version);
});
