import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesById } from '../../image/root-finish.ts';

test('the end of a passwd file is nobody: root keeps its name', () => {
  const names = namesById('root:x:0:0:root:/root:/bin/sh\notad:x:987:987::/:/usr/sbin/nologin\n');
  assert.deepEqual(
    [...names],
    [
      [0, 'root'],
      [987, 'otad'],
    ],
  );
});
