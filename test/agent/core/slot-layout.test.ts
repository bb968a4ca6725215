import assert from 'node:assert/strict';
import { test } from 'node:test';
import { indexOffsetBytes, isIndexRoom, recordAreaOffsetBytes } from '../../../agent/core/slot-layout.ts';

test('an index stands in the block behind the tree, and never reaches into the record', () => {
  const slotBytes = 64 * 4096;
  const offset = indexOffsetBytes(40 * 4096, 3 * 4096);
  assert.equal(offset, 43 * 4096);
  const roomBytes = recordAreaOffsetBytes(slotBytes) - offset;
  assert.equal(isIndexRoom(offset, roomBytes, slotBytes), true);
  assert.equal(isIndexRoom(offset, roomBytes + 1, slotBytes), false);
  assert.equal(isIndexRoom(recordAreaOffsetBytes(slotBytes), 1, slotBytes), false);
});
