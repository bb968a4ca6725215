// Known bugs of patches: what checks a patch, what bounds it, and what decides that a block has come out right.

import { one, type SuiteMutant } from './mutant.ts';

const applying = 'delta/patch-apply.js';
const format = 'delta/patch-format.js';
const head = 'delta/patch-head.js';
const operations = 'delta/patch-operations.js';
const difference = 'delta/patch-difference.js';
const images = ['delta/patch.test.js'];
const forms = ['delta/patch-format.test.js'];
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
    edits: one(
      applying,
      "if (error instanceof OtadError && (error.code === 'CANCELLED'",
      "if (error && (true || error.code === 'CANCELLED'",
    ),
    suite: images,
  },
  {
    name: 'patch-resume-makes-what-lies-before',
    edits: one(applying, 'if (passedBytes >= operation.lengthBytes)\n            continue;', ''),
    suite: images,
  },
  {
    name: 'patch-unpacks-without-end',
    edits: one(
      applying,
      'old.unpackedBlocks > unpackedSlack',
      'old.unpackedBlocks < 0 && old.unpackedBlocks > unpackedSlack',
    ),
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
    name: 'patch-lost-when-waves-widen',
    edits: one('publish/releases/release-patches.js', '...kept, ...wished', '...wished'),
    suite: releases,
  },
];
