import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fixedIdsIn } from '../../image/user-ids.ts';

test('the tables of the layers and the units fix no number twice', async () => {
  const files = [
    'image/layers/base/files/usr/lib/gateway/ids.d/10-base.conf',
    'image/layers/gateway/files/usr/lib/gateway/ids.d/20-gateway.conf',
    'units/otad.sysusers',
  ];
  const { users, groups } = fixedIdsIn(await Promise.all(files.map((file) => readFile(file, 'utf8'))));
  for (const ids of [users, groups]) assert.equal(new Set(ids.values()).size, ids.size);
  assert.equal(users.get('otad'), 591);
});
