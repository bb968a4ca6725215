// Fault model: the process ends at any call to the slot (a write may be torn at any sector), the medium fails any call with
// an error, and memory is counted. What a medium does to unflushed writes is the simulator's.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import type { ReleaseSource, Sealing, SlotDevices, SlotHandle } from '../../../agent/core/ports.ts';
import { checkpointBytesOf } from '../../../agent/runtime/slot-fill.ts';
import { createSealing } from '../../../verity/sealing.ts';
import { noise } from '../../support/noise.ts';
import {
  anArtifact,
  anInstall,
  aRelease,
  createFakeSource,
  createFileSlots,
  isCode,
  rootOf,
  sha256Of,
} from '../../support/slot-bench.ts';

const root = mkdtempSync(join(tmpdir(), 'otad-faults-'));
after(() => rmSync(root, { recursive: true }));
const { signal } = new AbortController();
const mebibyte = 1024 * 1024;
const image = noise(2 * mebibyte + 2 * 4096);
const rootHex = rootOf(image);
const release = aRelease(anArtifact(image));
const quiet = (): void => {};
const newSlots = () => createFileSlots(mkdtempSync(join(root, 'slots-')), 4 * mebibyte);

type Call = 'read' | 'write' | 'flush';
type Fault = 'pass' | 'fail' | 'tear';

/** The slots with every call on a handle judged first. A torn write leaves its first half (of sectors) behind. */
const withFaults = (devices: SlotDevices, judge: (call: Call, offsetBytes: number) => Fault): SlotDevices => ({
  readRecord: devices.readRecord,
  openForReading: devices.openForReading,
  async open(slot, openSignal) {
    const handle = await devices.open(slot, openSignal);
    const check = (call: Call, offsetBytes: number): Fault => {
      const fault = judge(call, offsetBytes);
      if (fault === 'fail') throw new OtadError('SLOT_IO', { call, offsetBytes });
      return fault;
    };
    const faulty: SlotHandle = {
      sizeBytes: handle.sizeBytes,
      async write(offset, bytes, callSignal) {
        if (check('write', offset) === 'pass') return handle.write(offset, bytes, callSignal);
        const sectors = Math.floor(bytes.length / 1024);
        const old = await handle.read(offset, bytes.length, callSignal);
        const torn = Buffer.concat([bytes.subarray(0, sectors * 512), old.subarray(sectors * 512)]);
        await handle.write(offset, torn, callSignal);
        throw new OtadError('SLOT_IO', { call: 'write', offset, reason: 'torn' });
      },
      async flush(callSignal) {
        check('flush', 0);
        return handle.flush(callSignal);
      },
      async read(offset, length, callSignal) {
        check('read', offset);
        return handle.read(offset, length, callSignal);
      },
      requireSamePlace: () => handle.requireSamePlace(),
      close: () => handle.close(),
    };
    return faulty;
  },
});

/** Dead from call number `at` on: that call is torn if it is a write, and nothing after it happens. */
const deathAt = (at: number) => {
  let calls = 0;
  return (): Fault => {
    calls += 1;
    if (calls < at) return 'pass';
    return calls === at ? 'tear' : 'fail';
  };
};

test('a process that ends at any call of an install costs at most one checkpoint of the network', async () => {
  const allowance = checkpointBytesOf(image.length) + 2 * mebibyte; // and what was in the two buffers
  let isDone = false;
  let at = 1;
  for (; !isDone; at += 1) {
    const slots = newSlots();
    const { source, served } = createFakeSource(image);
    const run = async (devices: SlotDevices): Promise<void> => {
      const install = anInstall({ slots: devices, source });
      await install.write({ slot: 'b', release }, signal, quiet);
      await install.verify({ slot: 'b', rootHex }, signal, quiet);
    };
    isDone = await run(withFaults(slots.devices, deathAt(at))).then(
      () => true,
      () => false,
    );
    const record = await slots.devices.readRecord('b', signal);
    if (record !== null && record.writtenBytes > 0) {
      const handle = await slots.devices.open('b', signal);
      const prefix = Buffer.from(await handle.read(0, Math.ceil(record.writtenBytes / 4096) * 4096, signal));
      await handle.close();
      assert.equal(sha256Of(prefix.subarray(0, record.writtenBytes)), record.prefixSha256Hex, `call ${at}: it lies`);
    }
    if (!isDone) assert.notEqual(record?.status, 'activated');
    await run(slots.devices);
    assert.equal((await slots.devices.readRecord('b', signal))?.status, 'verified', `call ${at}`);
    const fetched = served.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
    assert.ok(fetched <= image.length + allowance, `call ${at}: ${fetched} bytes fetched`);
    rmSync(slots.paths.b);
    rmSync(slots.paths.a);
  }
  assert.ok(at > 30, `only ${at} calls were cut`);
});

test('one call that fails anywhere is a typed error, and the next attempt succeeds', async () => {
  let isDone = false;
  for (let at = 1; !isDone; at += 1) {
    const slots = newSlots();
    const { source } = createFakeSource(image);
    let calls = 0;
    const devices = withFaults(slots.devices, () => {
      calls += 1;
      return calls === at ? 'fail' : 'pass';
    });
    const install = anInstall({ slots: devices, source });
    const run = async (): Promise<void> => {
      await install.write({ slot: 'b', release }, signal, quiet);
      await install.verify({ slot: 'b', rootHex }, signal, quiet);
    };
    try {
      await run();
      isDone = calls < at;
    } catch (error) {
      assert.ok(error instanceof OtadError && error.class === 'device', `call ${at}: ${error}`);
      await run();
    }
    assert.equal((await slots.devices.readRecord('b', signal))?.status, 'verified');
    rmSync(slots.paths.b);
    rmSync(slots.paths.a);
  }
});

test('the record says writing before the first byte of another image is written', async () => {
  const slots = newSlots();
  const first = anInstall({
    slots: slots.devices,
    source: createFakeSource(image).source,
    sealing: createSealing(),
  });
  await first.write({ slot: 'b', release }, signal, quiet);
  await first.verify({ slot: 'b', rootHex }, signal, quiet);
  const next = noise(mebibyte, 'next');
  const devices = withFaults(slots.devices, (call, offset) =>
    call === 'write' && offset < 3 * mebibyte ? 'fail' : 'pass',
  );
  const install = anInstall({ slots: devices, source: createFakeSource(next).source });
  const writing = install.write({ slot: 'b', release: aRelease(anArtifact(next), { version: '2' }) }, signal, quiet);
  await assert.rejects(writing, isCode('SLOT_IO'));
  const record = await slots.devices.readRecord('b', signal);
  assert.equal(record?.status, 'writing');
  assert.equal(record?.release.version, '2');
});

test('every record is written between two flushes: after what it claims, and before it is relied on', async () => {
  const slots = newSlots();
  const area = 4 * mebibyte - 8192;
  const calls: string[] = [];
  const devices = withFaults(slots.devices, (call, offset) => {
    if (call === 'flush') calls.push('flush');
    if (call === 'write') calls.push(offset >= area ? 'record' : 'data');
    return 'pass';
  });
  const install = anInstall({ slots: devices, source: createFakeSource(image).source });
  await install.write({ slot: 'b', release }, signal, quiet);
  await install.verify({ slot: 'b', rootHex }, signal, quiet);
  await install.markActivated('b', signal);
  await install.retire('b', 'health', signal);
  const records = calls.flatMap((call, index) => (call === 'record' ? [index] : []));
  assert.ok(records.length >= 7, `${records.length} records: start, checkpoints, end, verified, activated, denied`);
  for (const index of records) assert.deepEqual([calls[index - 1], calls[index + 1]], ['flush', 'flush']);
});

test('a prefix block that cannot be read is written again', async () => {
  const slots = newSlots();
  const cut = createFakeSource(image, () => ({ cutAfterBytes: mebibyte + 500_000 }));
  const first = anInstall({ slots: slots.devices, source: cut.source });
  await assert.rejects(first.write({ slot: 'b', release }, signal, quiet), isCode('HTTP_TRUNCATED'));
  let isRewritten = false;
  const devices = withFaults(slots.devices, (call, offset) => {
    if (call === 'write' && offset === mebibyte) isRewritten = true;
    return call === 'read' && offset === mebibyte && !isRewritten ? 'fail' : 'pass';
  });
  const install = anInstall({ slots: devices, source: createFakeSource(image).source });
  await install.write({ slot: 'b', release }, signal, quiet);
  assert.equal((await install.verify({ slot: 'b', rootHex }, signal, quiet)).status, 'verified');
});

test('a worn-out place of the record does not hide the other, nor end all installs', async () => {
  const area = 4 * mebibyte - 8192;
  for (const [place, broken] of [
    [area, 'read'],
    [area + 4096, 'read'],
    [area, 'write'],
    [area + 4096, 'write'],
  ] as const) {
    const slots = newSlots();
    const { source, served } = createFakeSource(image);
    const devices = withFaults(slots.devices, (call, offset) =>
      call === broken && offset === place ? 'fail' : 'pass',
    );
    const install = anInstall({ slots: devices, source });
    await install.write({ slot: 'b', release }, signal, quiet);
    await install.write({ slot: 'b', release }, signal, quiet);
    assert.equal(served.length, 1, 'what was written is known');
    assert.equal((await install.verify({ slot: 'b', rootHex }, signal, quiet)).status, 'verified');
    assert.equal((await install.markActivated('b', signal))?.status, 'activated');
  }
});

test('a record that no place gives back is an error, not a claim', async () => {
  const area = 4 * mebibyte - 8192;
  const devices = withFaults(newSlots().devices, (call, offset) =>
    call === 'read' && offset >= area ? 'fail' : 'pass',
  );
  const install = anInstall({ slots: devices, source: createFakeSource(image).source });
  await assert.rejects(install.write({ slot: 'b', release }, signal, quiet), isCode('SLOT_READBACK_MISMATCH'));
});

test('a stream that breaks while the slot is still writing loses nothing and mixes nothing up', async () => {
  const slots = newSlots();
  let offsetAsked = -1;
  const rude: ReleaseSource = {
    ...createFakeSource(image).source,
    async stream(_artifact, offset, sink) {
      offsetAsked = offset;
      const piece = image.subarray(offset, offset + 1_500_000);
      for (let sent = 0; sent < piece.length; sent += 60_000) {
        const held = sink(Buffer.from(piece.subarray(sent, sent + 60_000)), 'server');
        // Gives up while it is held back, and does not wait.
        if (held instanceof Promise && sent > mebibyte - 60_000) throw new OtadError('HTTP_UNREACHABLE');
        await held;
      }
    },
  };
  const install = anInstall({ slots: slots.devices, source: rude });
  const offsets: number[] = [];
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const outcome = await install.write({ slot: 'b', release }, signal, quiet).then(
      () => 'done',
      (error: unknown) => (error instanceof OtadError ? error.code : String(error)),
    );
    offsets.push(offsetAsked);
    if (outcome === 'done') break;
    assert.ok(outcome === 'HTTP_UNREACHABLE' || outcome === 'HTTP_TRUNCATED', outcome);
  }
  assert.deepEqual(offsets, [...new Set(offsets)], 'every attempt begins further on');
  assert.equal((await install.verify({ slot: 'b', rootHex }, signal, quiet)).status, 'verified');
});

test('of a piece that was held back when the stream broke, only what was taken counts', async () => {
  const slots = newSlots();
  let openGate = (): void => {};
  const gate = new Promise<void>((resolve) => {
    openGate = resolve;
  });
  const slow: SlotDevices = {
    ...slots.devices,
    async open(slot, openSignal) {
      const handle = await slots.devices.open(slot, openSignal);
      return {
        sizeBytes: handle.sizeBytes,
        read: (offset, length, callSignal) => handle.read(offset, length, callSignal),
        flush: (callSignal) => handle.flush(callSignal),
        requireSamePlace: () => handle.requireSamePlace(),
        close: () => handle.close(),
        async write(offset, bytes, callSignal) {
          if (offset === 0) await gate; // the first transfer takes until the stream has broken
          return handle.write(offset, bytes, callSignal);
        },
      };
    },
  };
  const { source } = createFakeSource(image);
  const breaking: ReleaseSource = {
    ...source,
    async stream(_artifact, _offset, sink) {
      const first = Buffer.from(image.subarray(0, 1_200_000));
      await sink(first, 'server');
      const second = Buffer.from(image.subarray(first.length, image.length));
      void sink(second, 'server'); // one buffer is being written, the other one gets full: held back
      second.fill(0xdd); // the call is over as far as this source is concerned
      setImmediate(openGate);
      throw new OtadError('HTTP_UNREACHABLE');
    },
  };
  const install = anInstall({ slots: slow, source: breaking });
  await assert.rejects(install.write({ slot: 'b', release }, signal, quiet), isCode('HTTP_UNREACHABLE'));
  assert.equal((await slots.devices.readRecord('b', signal))?.writtenBytes, 2 * mebibyte);
  const next = anInstall({ slots: slots.devices, source });
  await next.write({ slot: 'b', release }, signal, quiet);
  assert.equal((await next.verify({ slot: 'b', rootHex }, signal, quiet)).status, 'verified');
});

test('a source that ignores being held back is a bug that is caught, not a mixed-up slot', async () => {
  const slots = newSlots();
  const deaf: ReleaseSource = {
    ...createFakeSource(image).source,
    async stream(_artifact, _offset, sink) {
      for (let sent = 0; sent < image.length; sent += 60_000) void sink(image.subarray(sent, sent + 60_000), 'server');
    },
  };
  const install = anInstall({ slots: slots.devices, source: deaf });
  await assert.rejects(install.write({ slot: 'b', release }, signal, quiet), isCode('INTERNAL'));
});

test('memory does not grow with the image', async () => {
  const peakOf = async (lengthBytes: number): Promise<number> => {
    const big = noise(lengthBytes);
    const bigRelease = aRelease(anArtifact(big));
    const slots = createFileSlots(mkdtempSync(join(root, 'big-')), lengthBytes + 4 * mebibyte);
    const sizes: number[] = [];
    let allocated = 0;
    const devices: SlotDevices = {
      readRecord: slots.devices.readRecord,
      openForReading: slots.devices.openForReading,
      async open(slot, openSignal) {
        const handle = await slots.devices.open(slot, openSignal);
        return {
          sizeBytes: handle.sizeBytes,
          allocate(length) {
            allocated += length;
            return handle.allocate?.(length) ?? new Uint8Array(length);
          },
          write: (offset, bytes, callSignal) => {
            sizes.push(bytes.length);
            return handle.write(offset, bytes, callSignal);
          },
          read: (offset, length, callSignal) => {
            sizes.push(length);
            return handle.read(offset, length, callSignal);
          },
          flush: (callSignal) => handle.flush(callSignal),
          requireSamePlace: () => handle.requireSamePlace(),
          close: () => handle.close(),
        };
      },
    };
    const sealing: Sealing = {
      ...createSealing(),
      createTreeBuilder(verity, imageLength, sink) {
        const tree = createSealing().createTreeBuilder(verity, imageLength, (offset, bytes) => {
          sizes.push(bytes.length);
          sink?.(offset, bytes);
        });
        const finish = () => {
          const end = tree.finish();
          sizes.push(end.bytes.length);
          return end;
        };
        return { update: (bytes) => tree.update(bytes), finish };
      },
    };
    const install = anInstall({ slots: devices, source: createFakeSource(big).source, sealing });
    await install.write({ slot: 'b', release: bigRelease }, signal, quiet);
    const verity = bigRelease.artifacts[0]?.verity;
    await install.verify({ slot: 'b', rootHex: verity?.rootHex ?? '' }, signal, quiet);
    rmSync(slots.paths.b);
    return allocated + Math.max(...sizes);
  };
  const small = await peakOf(8 * mebibyte);
  const large = await peakOf(40 * mebibyte);
  assert.ok(small <= 3 * mebibyte, `${small}`);
  assert.equal(large, small);
});
