// Known bugs of updates by chunk index: what is copied, fetched, kept and believed.

import { one, type SuiteMutant } from './mutant.ts';

const install = ['agent/runtime/install-index.test.js'];
const fetching = ['agent/runtime/index-fetch.test.js'];
const resume = ['agent/runtime/install-resume.test.js'];
const slow = ['agent/runtime/slow-cut.test.js'];
const format = ['delta/chunk-index.test.js'];
const squashfs = ['delta/squashfs.test.js'];

export const indexMutants: readonly SuiteMutant[] = [
  {
    name: 'index-copied-chunk-unchecked',
    edits: one(
      'agent/runtime/index-way.js',
      'if (piece !== null && table.isChunk(chunk, piece)) {',
      'if (piece !== null) {',
    ),
    suite: install,
  },
  {
    name: 'index-fetched-chunk-unchecked',
    edits: one('agent/runtime/index-way.js', 'if (!table.isChunk(chunk, bytes)) {', 'if (false) {'),
    suite: install,
  },
  {
    name: 'index-stream-unchecked',
    edits: one(
      'agent/runtime/full-way.js',
      "const isChecked = typeof index !== 'string' && !doubt.isFullOnly;",
      'const isChecked = false;',
    ),
    suite: ['agent/runtime/install-stream.test.js'],
  },
  {
    name: 'index-stream-link-too-short-for-a-chunk',
    edits: one('agent/runtime/full-way.js', 'if (isCut && noteCut(sender, chunk) >= chunkCutsMax)', 'if (false)'),
    suite: ['agent/runtime/install-stream.test.js'],
  },
  {
    name: 'index-left-after-one-early-cut',
    edits: one('agent/runtime/full-way.js', 'noteCut(sender, chunk) >= chunkCutsMax', 'noteCut(sender, chunk) > 0'),
    suite: ['agent/runtime/install-stream.test.js'],
  },
  {
    name: 'index-bytes-on-their-way-thrown-away',
    edits: one(
      'agent/runtime/index-way.js',
      "return isComing() ? bringAnew(outcome.staleFrom, step.end) : 'outdated';",
      "return 'outdated';",
    ),
    suite: install,
  },
  {
    name: 'index-bytes-on-their-way-not-counted',
    edits: one('agent/runtime/index-way.js', 'onDropped(unusedBytes);', ''),
    suite: install,
  },
  {
    name: 'index-of-another-image-believed',
    edits: one(
      'agent/runtime/slot-index.js',
      'if (table.imageSha256Hex !== artifact.sha256Hex || table.imageLengthBytes !== artifact.lengthBytes) {',
      'if (false) {',
    ),
    suite: install,
  },
  {
    name: 'index-pieces-that-are-not-the-image-fail-for-ever',
    edits: one(
      'agent/runtime/image-bringing.js',
      'for (let fullTries = 0; isDigestWrong(attempt);) {',
      'for (let fullTries = 0; false;) {',
    ),
    suite: install,
  },
  {
    name: 'index-not-kept-in-the-slot',
    edits: one('agent/runtime/slot-index.js', 'await handle.write(offsetBytes, padded, signal);', ''),
    suite: install,
  },
  {
    name: 'index-written-over-the-record',
    edits: one('agent/core/slot-layout.js', '<= recordAreaOffsetBytes(slotSizeBytes);', '<= slotSizeBytes;'),
    suite: ['agent/core/slot-layout.test.js'],
  },
  {
    name: 'index-rotten-slot-asked-for-ever',
    edits: one('agent/runtime/held-chunks.js', 'return held.misses === missesMax;', 'return held.misses < 0;'),
    suite: install,
  },
  {
    name: 'index-wrong-server-asked-again',
    edits: one('agent/runtime/index-way.js', 'job.source.distrust(pending.server);', ''),
    suite: install,
  },
  {
    name: 'index-range-answered-whole-is-believed',
    edits: one(
      'agent/adapters/http-rules.js',
      'if (offset === 0 && end === lengthTotal && status === 200) {',
      'if (status === 200) {',
    ),
    suite: install,
  },
  {
    name: 'index-window-without-bound',
    edits: one('agent/runtime/range-window.js', 'running.size < requestsInFlightMax', 'running.size < 100'),
    suite: ['agent/runtime/range-window.test.js'],
  },
  {
    name: 'index-memory-ahead-without-bound',
    edits: one('agent/runtime/range-window.js', 'aheadBytes + lengthBytes <= aheadBytesMax', 'true'),
    suite: ['agent/runtime/range-window.test.js'],
  },
  {
    name: 'index-fetched-bytes-wait-for-a-whole-transfer',
    edits: one('agent/runtime/chunk-supply.js', 'if (risk.waitingBytes < waitingBytesMax)', 'if (true)'),
    suite: resume,
  },
  {
    name: 'index-what-a-dead-process-wrote-is-fetched-again',
    edits: one('agent/runtime/own-slots.js', 'if (!isRight && offsetBytes >= writtenBytes)', 'if (!isRight)'),
    suite: resume,
  },
  {
    name: 'index-fetched-again-after-each-cut',
    edits: one('agent/runtime/slot-index.js', 'stored !== null && isRight(stored)', 'false'),
    suite: resume,
  },
  {
    name: 'image-marked-a-few-times-only',
    edits: one(
      'agent/runtime/slot-fill.js',
      'const checkpointBytesMin = 1024 * 1024;',
      'const checkpointBytesMin = 2 ** 40;',
    ),
    suite: ['agent/runtime/cut-cost.test.js'],
  },
  {
    name: 'slow-link-marked-by-amount-alone',
    edits: one('agent/runtime/mark-pace.js', 'Math.max(markEveryMs,', 'Math.max(1e9,'),
    suite: slow,
  },
  {
    name: 'slow-link-marked-a-chunk-too-late',
    edits: one('agent/runtime/chunk-supply.js', 'writer.markIfDue(comingBytes(fill))', 'writer.markIfDue(0)'),
    suite: slow,
  },
  {
    name: 'slow-link-asked-for-all-at-once',
    edits: one('agent/runtime/range-window.js', 'missingBytes <= pace.aheadBytes()', 'true'),
    suite: slow,
  },
  {
    name: 'slow-link-begun-chunk-fetched-again',
    edits: one('agent/runtime/index-way.js', 'await endChunk(job, table);', ';'),
    suite: slow,
  },
  {
    name: 'slow-link-begun-chunk-streamed-again',
    edits: one(
      'agent/runtime/full-way.js',
      'const begun = await begunChunk(fill, table);',
      'const begun = new Uint8Array();',
    ),
    suite: slow,
  },
  {
    name: 'slow-link-marks-though-the-medium-is-slow',
    edits: one('agent/runtime/mark-pace.js', 'isPauseOver && nowMs - heldUpAtMs >= markEveryMs', 'isPauseOver'),
    suite: ['agent/runtime/slot-writer.test.js'],
  },
  {
    name: 'slow-link-unmarked-once-the-medium-was-slow',
    edits: one('agent/runtime/mark-pace.js', 'nowMs - heldUpAtMs >= markEveryMs', 'heldUpAtMs < 0'),
    suite: ['agent/runtime/slot-writer.test.js'],
  },
  {
    name: 'slow-medium-marked-again-at-once',
    edits: one('agent/runtime/mark-pace.js', 'markPauseFactor * tookMs', '0'),
    suite: ['agent/runtime/slot-writer.test.js'],
  },
  {
    name: 'slow-medium-mark-timed-from-its-beginning',
    edits: one(
      'agent/runtime/mark-pace.js',
      'markedAtMs = monoMs();\n            tookMs = markedAtMs - beganMs;',
      'markedAtMs = beganMs;\n            tookMs = monoMs() - beganMs;',
    ),
    suite: ['agent/runtime/slot-writer.test.js'],
  },
  {
    name: 'copied-chunks-marked-by-time',
    edits: one('agent/runtime/slot-writer.js', 'return this.#take(bytes, true);', 'return this.#take(bytes, false);'),
    suite: ['agent/runtime/slot-writer.test.js'],
  },
  {
    name: 'far-link-kept-to-one-request',
    edits: one('agent/runtime/link-pace.js', '(aheadMs + earlyMs)', 'aheadMs'),
    suite: ['agent/runtime/range-window.test.js'],
  },
  {
    name: 'far-link-asked-a-latency-too-early',
    edits: one('agent/runtime/link-pace.js', 'Math.min(latencyMs, latencyMsMax)', '4 * latencyMsMax'),
    suite: ['agent/runtime/range-window.test.js'],
  },
  {
    name: 'slow-link-pace-of-long-ago',
    edits: one('agent/runtime/link-pace.js', 'beforeBytes = (bytes * secondMs) / passedMs;', 'beforeBytes += bytes;'),
    suite: ['agent/runtime/range-window.test.js'],
  },
  {
    name: 'fast-link-marked-every-chunk',
    edits: one('agent/runtime/mark-pace.js', 'Math.max(markEveryMs,', 'Math.max(0,'),
    suite: slow,
  },
  {
    name: 'mark-without-a-block-to-write-forgotten',
    edits: one('agent/runtime/slot-writer.js', ' || (isMarked && this.#positionBytes > this.#markedBytes)', ''),
    suite: ['agent/runtime/slot-writer.test.js'],
  },
  {
    name: 'index-kept-but-not-durable',
    edits: one('agent/runtime/index-fetch.js', 'await handle.flush(steady);', ''),
    suite: fetching,
  },
  {
    name: 'index-begun-again-after-each-cut',
    edits: one('agent/runtime/slot-index.js', '? keptPart(stored)', '? new Uint8Array(0)'),
    suite: fetching,
  },
  {
    name: 'index-kept-without-a-mark-behind-it',
    edits: one('agent/runtime/index-fetch.js', 'endBytes - fromBytes + blockSizeBytes)', 'endBytes - fromBytes)'),
    suite: fetching,
  },
  {
    name: 'index-given-up-though-it-comes-further',
    edits: one('agent/runtime/index-fetch.js', 'if (keptBytes > kept.length)', 'if (false)'),
    suite: fetching,
  },
  {
    name: 'index-of-a-torn-beginning-fails-for-ever',
    edits: one('agent/runtime/index-fetch.js', 'start = kept.subarray(0, 0);', ';'),
    suite: fetching,
  },
  {
    name: 'index-chunks-that-do-not-add-up',
    edits: one('delta/chunk-index.js', '!== BigInt(imageBytes))', '=== -1n)'),
    suite: format,
  },
  {
    name: 'index-chunk-of-no-length',
    edits: one('delta/chunk-index.js', 'chunkBytes === 0 ||', ''),
    suite: format,
  },
  {
    name: 'index-chunk-longer-than-a-block',
    edits: one('delta/chunk-index.js', ' || chunkBytes > chunkBytesMax)', ')'),
    suite: format,
  },
  {
    name: 'squashfs-inode-table-without-a-bound',
    edits: one('delta/squashfs-metadata.js', 'if (lengthBytes > bytesMax)', 'if (false)'),
    suite: squashfs,
  },
  {
    name: 'squashfs-table-in-crumbs',
    edits: one('delta/squashfs-metadata.js', 'if (at < to && block', 'if (false && block'),
    suite: squashfs,
  },
  {
    name: 'squashfs-metadata-block-longer-than-8-kib',
    edits: one('delta/squashfs-metadata.js', ' || storedBytes > metadataBlockBytes)', ')'),
    suite: squashfs,
  },
  {
    name: 'squashfs-more-fragments-than-inodes',
    edits: one('delta/squashfs-superblock.js', 'fragments > inodes || ', ''),
    suite: squashfs,
  },
  {
    name: 'squashfs-block-in-the-tables',
    edits: one('delta/squashfs.js', 'if (at > tablesStart)', 'if (false)'),
    suite: squashfs,
  },
  {
    name: 'index-groups-end-by-size-alone',
    edits: one(
      'delta/chunk-cut.js',
      'if (isGroupEnd(digest) || groupBytes >= groupBytesMax)',
      'if (groupBytes >= groupBytesMax)',
    ),
    suite: format,
  },
  {
    name: 'index-match-by-digest-alone',
    edits: one(
      'delta/chunk-match.js',
      'one.offsetOf(chunk + 1) - one.offsetOf(chunk) === other.offsetOf(candidate + 1) - other.offsetOf(candidate)',
      'true',
    ),
    suite: format,
  },
  {
    name: 'pieces-that-are-not-the-image-tried-again-after-a-cut',
    edits: one('agent/runtime/image-bringing.js', 'doubt.isFullOnly = true;', ';'),
    suite: ['agent/runtime/install-sources.test.js'],
  },
  {
    name: 'pieces-that-are-not-the-image-tried-again-by-the-next-process',
    edits: one('agent/runtime/slot-fill.js', 'record.isFullOnly === true', 'false'),
    suite: ['agent/runtime/install-sources.test.js'],
  },
  {
    name: 'index-running-slot-that-does-not-open-ends-installs',
    edits: one('agent/runtime/own-slots.js', 'if (!isDeviceFault(error))', 'if (error)'),
    suite: ['agent/runtime/install-patch.test.js'],
  },
  {
    name: 'index-misses-counted-against-another-holding',
    edits: one(
      'agent/runtime/held-chunks.js',
      'miss: ({ holding }) => {',
      'miss: ({ holding: given }) => { const holding = Math.min(given, 0);',
    ),
    suite: ['agent/runtime/held-chunks.test.js'],
  },
];
