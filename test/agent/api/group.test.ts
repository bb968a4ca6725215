import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readGroupId } from '../../../agent/api/group.ts';
import { temporaryDirectory } from './open-api.ts';

test('a group is found by its whole name only, and a missing group or file is null', async (t) => {
  const path = join(await temporaryDirectory(t), 'group');
  await writeFile(path, 'root:x:0:\notad-admin-old:x:7:\notad-admin:x:991:ann,bob\nbroken\nodd:x:y:\n');
  assert.equal(await readGroupId('otad-admin', path), 991);
  assert.equal(await readGroupId('otad', path), null);
  assert.equal(await readGroupId('odd', path), null);
  assert.equal(await readGroupId('otad-admin', `${path}.none`), null);
});

test('the system group root is 0', async () => {
  assert.equal(await readGroupId('root'), 0);
});
