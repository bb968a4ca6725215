// Known bugs of patches: what checks a patch, what bounds it, and what decides that a block has come out right.

import { one, type SuiteMutant } from './mutant.ts';

const applying = 'delta/patch-apply.js';
const format = 'delta/patch-format.js';
const head = 'delta/patch-head.js';
const operations = 'delta/patch-operations.js';
const difference = 'delta/patch-difference.js';
const images = ['delta/patch.test.js'];
const forms = ['delta/patch-format.test.js'];
const device = ['agent/runtime/install-patch.test.js'];
const attacks = ['attack/patch-attacks.test.js'];
const way = 'agent/runtime/patch-way.js';
const releases = ['publish/releases/patch.test.js'];

export const patchMutants: readonly SuiteMutant[] = [
  {
    name: 'patch-checksum-unchecked',
    edits: one(applying, 'return checksumOf(made) === operation.checksum ? made : null;', 'return made;'),
    suite: images,
  },
  {
    name: 'patch-of-another-base',
    edits: one(applying, 'if (says.sha256Hex === is.sha256Hex && says.lengthBytes === is.lengthBytes)', 'if (what)'),
    suite: images,
  },
  {
    name: 'patch-self-test-unread',
    edits: one(
      applying,
      "library === zstdRelease && selfTestDigest(zstd, level).toString('hex') === selfTestHex",
      'library === zstdRelease',
    ),
    suite: images,
  },
  {
    name: 'patch-fails-whole-on-an-unreadable-slot',
    edits: one(applying, 'if (error instanceof OtadError && endingCodes.includes(error.code))', 'if (error)'),
    suite: images,
  },
  {
    name: 'patch-resume-makes-what-lies-before',
    edits: one(applying, 'if (passedBytes >= operation.lengthBytes)\n            continue;', ''),
    suite: images,
  },
  {
    name: 'patch-unpacks-without-end',
    edits: one('delta/old-space.js', 'if (unpackedBlocks > unpackedMax())', 'if (unpackedBlocks < 0)'),
    suite: forms,
  },
  {
    name: 'patch-proof-counts-only',
    edits: one(
      'delta/patch-proof.js',
      'if (!expected.equals(piece.bytes))',
      'if (expected.length !== piece.bytes.length)',
    ),
    suite: images,
  },
  {
    name: 'patch-copy-outside-of-the-base',
    edits: one(
      operations,
      'if (oldOffset < 0 || oldOffset + lengthBytes > bounds.oldLengthBytes)',
      'if (oldOffset < 0)',
    ),
    suite: forms,
  },
  {
    name: 'patch-stretch-outside-of-the-old-space',
    edits: one(
      difference,
      'if (this.#oldAt < 0 || this.#oldAt + this.#left > this.#oldLength)',
      'if (this.#oldAt < 0)',
    ),
    suite: forms,
  },
  {
    name: 'patch-bomb-in-a-group',
    edits: one(format, '{ maxOutputLength: Math.max(1, rawBytes) }', '{}'),
    suite: forms,
  },
  {
    name: 'patch-bomb-in-the-head',
    edits: one(head, 'if (unpacked > image.lengthBytes * unpackedFactorMax + unpackedSlackBytes)', 'if (unpacked < 0)'),
    suite: forms,
  },
  {
    name: 'patch-group-damaged',
    edits: one(format, 'if (!isGroup(index, packed))', 'if (packed.length !== entryOf(index).packedBytes)'),
    suite: forms,
  },
  {
    name: 'patch-piece-behind-the-end',
    edits: one(applying, 'if (at > endBytes)', 'if (at < 0)'),
    suite: attacks,
  },
  {
    name: 'patch-of-another-slot-applied',
    edits: one(
      way,
      'baseSha256Hex === imageSha256Hex && baseRootHex === verity.rootHex',
      'baseSha256Hex.length === 64',
    ),
    suite: device,
  },
  {
    name: 'patch-head-unchecked',
    edits: one(way, 'sha256Of(bytes, sealing) === patch.headSha256Hex', 'bytes.length > 0'),
    suite: device,
  },
  {
    name: 'patch-part-unchecked-as-it-comes',
    edits: one('delta/patching.js', '(bytes) => plan.isGroup(index, bytes)', '() => true'),
    suite: device,
  },
  {
    name: 'patch-wrong-chunk-written',
    edits: one(
      'agent/runtime/patch-stretches.js',
      'const isRight = table.isChunk(chunk, bytes);',
      'const isRight = true;',
    ),
    suite: device,
  },
  {
    name: 'patch-rotten-slot-asked-for-ever',
    edits: one(way, 'if (misses >= missesMax)', 'if (misses < 0)'),
    suite: device,
  },
  {
    name: 'patch-that-never-comes-waited-for',
    edits: one(way, 'arrivedBytes <= trouble.furthestBytes', 'arrivedBytes < 0'),
    suite: device,
  },
  {
    name: 'patch-asked-for-again-after-it-was-given-up',
    edits: one(way, 'if (isGivenUp(trouble, patch.path))', 'if (false)'),
    suite: device,
  },
  {
    name: 'patch-fetched-for-the-last-bytes',
    edits: one(way, 'if (toFetchBytes >= target.artifact.lengthBytes - fromBytes)', 'if (false)'),
    suite: device,
  },
  {
    name: 'patch-part-fetched-again-for-its-end',
    edits: one('delta/patching.js', 'return isBegun && ', 'return false && '),
    suite: device,
  },
  {
    name: 'patch-parts-not-made-durable',
    edits: one(way, 'await writer.writeOut(true);', 'void writer;'),
    suite: device,
  },
  {
    name: 'patch-that-makes-another-image-counts-as-saved',
    edits: one('agent/runtime/image-bringing.js', 'forgetImage(fill.tally, bootBytes);', ''),
    suite: device,
  },
  {
    name: 'patch-whole-update-lost-without-the-library',
    edits: one('delta/patching.js', "throw new OtadError('PATCH_CODEC_MISMATCH', {", 'throw cause; ({'),
    suite: device,
  },
  {
    name: 'patch-lost-when-waves-widen',
    edits: one('publish/releases/release-patches.js', '...kept, ...wished', '...wished'),
    suite: releases,
  },
  {
    name: 'patch-fetched-again-for-one-rotten-byte',
    edits: one(way, 'fill.writtenBytes > fill.writer.arrivedBytes', 'fill.writtenBytes < 0'),
    suite: device,
  },
  {
    name: 'patch-given-up-until-the-next-start',
    edits: one(
      'agent/runtime/file-trouble.js',
      'trouble.monoMs() - trouble.failedAtMs >= forgetMs',
      'trouble.failedAtMs < 0',
    ),
    suite: device,
  },
  {
    name: 'patch-held-against-another-beginning',
    edits: one(way, 'trouble.furthestBytes >= blockSizeBytes', 'trouble.furthestBytes < 0'),
    suite: device,
  },
  {
    name: 'patch-what-is-left-asked-for-chunk-by-chunk',
    edits: one('delta/patching.js', "kind: 'left'", "kind: 'missing'"),
    suite: device,
  },
  {
    name: 'patch-update-lost-for-want-of-memory',
    edits: one('delta/patching.js', 'check(zstd);', ';').concat(
      one(
        'delta/patching.js',
        'return {\n            leftBytes',
        'checkPatch(head, { base, image }, zstd);\n        return {\n            leftBytes',
      ),
    ),
    suite: device,
  },
  {
    name: 'patch-block-fetched-unchecked',
    edits: one('delta/patch-apply.js', 'yield passedBytes === 0 ?', 'yield passedBytes < 0 ?'),
    suite: ['agent/runtime/install-sources.test.js'],
  },
];
