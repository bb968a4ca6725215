import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import type { ByteRange, ReleaseSource } from '../../../agent/core/ports.ts';
import { aheadBytesMax, createRangeWindow, requestsInFlightMax } from '../../../agent/runtime/range-window.ts';
import { anArtifact, isCode, streamOnly } from '../../support/slot-bench.ts';

interface Asked {
  readonly range: ByteRange;
  readonly sink: (bytes: Uint8Array, server?: string) => void;
  readonly end: (error?: Error) => void;
}

/** A source whose answers the test gives piece by piece. */
const aBench = () => {
  const asked: Asked[] = [];
  const source: ReleaseSource = {
    ...streamOnly,
    check: () => Promise.reject(new OtadError('INTERNAL')),
    stream: () => Promise.reject(new OtadError('INTERNAL')),
    streamRange: (_artifact, range, sink, signal) =>
      new Promise((resolve, reject) => {
        const end = (error?: Error) => (error === undefined ? resolve() : reject(error));
        signal.addEventListener('abort', () => reject(new OtadError('CANCELLED')));
        asked.push({ range, sink: (bytes, server = 'server') => sink(bytes, server), end });
      }),
  };
  let fetchedBytes = 0;
  let droppedBytes = 0;
  const window = createRangeWindow({
    source,
    file: anArtifact(Buffer.alloc(4096)),
    onFetched: (bytes) => {
      fetchedBytes += bytes;
    },
    onDropped: (bytes) => {
      droppedBytes += bytes;
    },
    signal: new AbortController().signal,
  });
  return { window, asked, fetched: () => fetchedBytes, dropped: () => droppedBytes };
};

test('as many requests as are allowed run at once, and no more', async () => {
  const { window } = aBench();
  for (let count = 0; count < requestsInFlightMax; count += 1) {
    assert.equal(window.hasRoom(10), true);
    window.start({ offsetBytes: count * 10, lengthBytes: 10 });
  }
  assert.equal(window.hasRoom(10), false);
  await window.close();
});

test('memory ahead is bounded, until it is released; a single request always has room', async () => {
  const { window } = aBench();
  assert.equal(window.hasRoom(2 * aheadBytesMax), true);
  const pending = window.start({ offsetBytes: 0, lengthBytes: aheadBytesMax - 10 });
  assert.equal(window.hasRoom(10), true);
  assert.equal(window.hasRoom(11), false);
  pending.release();
  pending.release();
  assert.equal(window.hasRoom(aheadBytesMax), true);
  await window.close();
});

test('bytes are there as soon as they have arrived, and what arrived before an end stays', async () => {
  const { window, asked, fetched } = aBench();
  const pending = window.start({ offsetBytes: 100, lengthBytes: 10 });
  const first = pending.arrived(4);
  asked[0]?.sink(Buffer.from('abcd'));
  await first;
  assert.equal(Buffer.from(pending.bytes.subarray(0, 4)).toString(), 'abcd');
  asked[0]?.end(new OtadError('HTTP_TRUNCATED'));
  await assert.rejects(pending.arrived(5), isCode('HTTP_TRUNCATED'));
  await pending.arrived(4);
  assert.equal(fetched(), 4);
  await window.close();
});

test("the bytes of a request are one server's: from another one they come from the first byte again", async () => {
  const { window, asked, fetched, dropped } = aBench();
  const pending = window.start({ offsetBytes: 0, lengthBytes: 4 });
  asked[0]?.sink(Buffer.from('abc'), 'one');
  await pending.arrived(2);
  const taken = pending.bytes.subarray(0, 2);
  asked[0]?.sink(Buffer.from('AB'), 'two');
  assert.equal(Buffer.from(taken).toString(), 'ab', 'what was taken stays as it is');
  const rest = pending.arrived(3);
  asked[0]?.sink(Buffer.from('CD'), 'two');
  await rest;
  assert.equal(Buffer.from(pending.bytes).toString(), 'ABCD');
  assert.deepEqual([pending.server, fetched(), dropped()], ['two', 7, 3]);
  await window.close();
});

test('a source that sends more than was asked for is refused, one that ends early is noticed', async () => {
  const { window, asked } = aBench();
  const pending = window.start({ offsetBytes: 0, lengthBytes: 3 });
  assert.throws(() => asked[0]?.sink(Buffer.alloc(4)), isCode('FILE_TOO_LARGE'));
  asked[0]?.end();
  await assert.rejects(pending.arrived(3), isCode('HTTP_TRUNCATED'));
  await window.close();
});
