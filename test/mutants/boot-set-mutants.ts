// Known bugs of boot files: half a set that is started, a file that nobody signed, a place that is changed under a system that could boot.

import { one, type SuiteMutant } from './mutant.ts';

const placing = ['agent/runtime/boot-placing.test.js'];
const helper = ['agent/otad-boot-set.test.js'];
const install = ['agent/runtime/install-boot-set.test.js'];
const stage = ['agent/adapters/boot-stage.test.js'];
const place = 'agent/runtime/boot-placing.js';
const guard = 'agent/runtime/boot-guard.js';

export const bootSetMutants: readonly SuiteMutant[] = [
  {
    name: 'placing-does-not-digest-what-it-copies',
    edits: one(place, 'if (hasher.digestHex() !== file.sha256Hex)', 'if (false)'),
    suite: placing,
  },
  {
    name: 'placing-does-not-read-back',
    edits: one(
      place,
      'if ((await digestOf(place, file.name, ports, signal)) !== file.sha256Hex) {\n        throw new OtadError',
      'if (false) {\n        throw new OtadError',
    ),
    suite: placing,
  },
  {
    name: 'placing-under-a-slot-that-could-be-started',
    edits: one(place, 'if (isBootable)', 'if (false)'),
    suite: placing,
  },
  {
    name: 'placing-before-the-slot-is-invalid',
    edits: one(
      place,
      'await invalidate();\n    await place.writeManifest(unfinished);',
      'await place.writeManifest(unfinished);\n    await invalidate();',
    ),
    suite: placing,
  },
  {
    name: 'placing-leaves-the-old-claim-while-it-writes',
    edits: one(place, 'await place.writeManifest(unfinished);', ''),
    suite: placing,
  },
  {
    name: 'placing-claims-before-the-files-are-there',
    edits: one(place, 'await place.writeManifest(unfinished);', 'await place.writeManifest(text);'),
    suite: placing,
  },
  {
    name: 'placing-believes-the-list-of-the-place',
    edits: one(place, 'if (isHeld && missing.length === 0)', 'if (isHeld)'),
    suite: placing,
  },
  {
    name: 'placing-takes-any-list',
    edits: one(place, 'sha256Of(bytes, sealing) === bootSetSha256Hex', 'true'),
    suite: helper,
  },
  {
    name: 'placing-without-a-look-for-room',
    edits: one(place, 'if (neededBytes > availableBytes)', 'if (false)'),
    suite: placing,
  },
  {
    name: 'placing-what-boot-control-writes',
    edits: one(place, 'if (reserved !== undefined)', 'if (false)'),
    suite: placing,
  },
  {
    name: 'placing-starts-an-unfinished-place-for-a-release-without-boot-files',
    edits: one(place, 'return requireFinished(slot, ports);', 'return;'),
    suite: placing,
  },
  {
    name: 'boot-names-that-climb',
    edits: one('agent/core/boot-set.js', 'if (!bootNamePattern.test(name))', 'if (false)'),
    suite: ['agent/core/boot-set.test.js'],
  },
  {
    name: 'helper-flips-before-it-places',
    edits: one(
      guard,
      'await settleBootSet({ slot, bootSetSha256Hex, mayPlace, isBootable, invalidate }, placing, signal);\n            await boot.activate(slot, tries, record.verity, signal);',
      'await boot.activate(slot, tries, record.verity, signal);\n            await settleBootSet({ slot, bootSetSha256Hex, mayPlace, isBootable, invalidate }, placing, signal);',
    ),
    suite: helper,
  },
  {
    name: 'helper-does-not-place',
    edits: one(
      guard,
      'await settleBootSet({ slot, bootSetSha256Hex, mayPlace, isBootable, invalidate }, placing, signal);',
      '',
    ),
    suite: helper,
  },
  {
    name: 'helper-believes-the-boot-set-of-a-record',
    edits: one(
      'agent/core/boot-ledger.js',
      ' &&\n    release.bootSetSha256Hex === (record.bootSetSha256Hex ?? null)',
      '',
    ),
    suite: helper,
  },
  {
    name: 'helper-starts-a-root-that-ran-with-other-boot-files',
    edits: one(guard, '(ran.bootSetSha256Hex === null || ran.bootSetSha256Hex === bootSet)', 'true'),
    suite: helper,
  },
  {
    name: 'helper-remembers-the-boot-set-that-a-slot-names',
    edits: one('agent/core/boot-ledger.js', '(before?.bootSetSha256Hex ?? null)', '(record?.bootSetSha256Hex ?? null)'),
    suite: ['agent/core/boot-ledger.test.js'],
  },
  {
    name: 'helper-learns-at-the-flip-that-there-is-no-place',
    edits: one(guard, 'await requirePlaceFor(slot, release);', ''),
    suite: helper,
  },
  {
    name: 'helper-follows-links-in-the-state-folder',
    edits: one(
      'agent/adapters/staged-boot-files.js',
      'constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK',
      'constants.O_RDONLY | constants.O_NONBLOCK',
    ),
    suite: helper,
  },
  {
    name: 'helper-follows-a-link-to-the-state-folder',
    edits: one(
      'agent/adapters/staged-boot-files.js',
      'constants.O_DIRECTORY | constants.O_NOFOLLOW',
      'constants.O_DIRECTORY',
    ),
    suite: helper,
  },
  {
    name: 'stage-keeps-wrong-bytes',
    edits: one(
      'agent/adapters/boot-stage.js',
      '(await complete(part, file, fetch)) === file.sha256Hex',
      '(await complete(part, file, fetch)) !== ""',
    ),
    suite: stage,
  },
  {
    name: 'stage-begins-again-after-every-cut',
    edits: one('agent/adapters/boot-stage.js', 'if ((await file.stat()).size > lengthBytes)', 'if (true)'),
    suite: stage,
  },
  {
    name: 'stage-names-a-fetched-file-that-is-not-durable',
    edits: one('agent/adapters/boot-stage.js', 'await file.sync();\n    return', 'return'),
    suite: stage,
  },
  {
    name: 'stage-names-a-copied-file-that-is-not-durable',
    edits: one('agent/adapters/boot-stage.js', 'await copy.sync();', ''),
    suite: stage,
  },
  {
    name: 'stage-fills-the-disk',
    edits: one('agent/adapters/boot-stage.js', 'if (neededBytes > availableBytes)', 'if (false)'),
    suite: stage,
  },
  {
    name: 'verified-without-its-boot-files',
    edits: one('agent/runtime/install.js', 'if (bootSet !== undefined)', 'if (false)'),
    suite: install,
  },
  {
    name: 'boot-files-of-another-release-in-the-record',
    edits: one('agent/runtime/install-target.js', 'record.bootSetSha256Hex === target.bootSet?.sha256Hex &&', ''),
    suite: install,
  },
  {
    name: 'wrong-boot-files-from-the-same-server-again',
    edits: one('agent/runtime/boot-fetch.js', 'source.distrust(server);', ';'),
    suite: install,
  },
  {
    name: 'wrong-boot-files-cost-nothing',
    edits: one('agent/runtime/boot-fetch.js', 'onUseless(fetchedBytes);', ''),
    suite: install,
  },
  {
    name: 'copied-boot-files-are-believed',
    edits: one('agent/adapters/boot-stage.js', 'isRight = hasher.digestHex() === file.sha256Hex;', 'isRight = true;'),
    suite: install,
  },
  {
    name: 'a-copy-of-a-boot-file-takes-the-fetched-part-away',
    edits: one(
      'agent/adapters/boot-stage.js',
      'await rm(isRight ? partOf(file) : temporary,',
      'await rm(partOf(file),',
    ),
    suite: install,
  },
  {
    name: 'boot-files-of-the-running-slot-not-looked-for',
    edits: one('agent/runtime/boot-fetch.js', 'copyFrom(otherSlot(slot), file,', 'copyFrom(slot, file,'),
    suite: install,
  },
  {
    name: 'helper-gives-any-file-of-the-boot-place',
    edits: one('agent/runtime/held-boot-files.js', 'if (hasher.digestHex() !== sha256Hex)', 'if (false)'),
    suite: ['agent/runtime/held-boot-files.test.js'],
  },
  {
    name: 'helper-gives-what-boot-control-keeps',
    edits: one('agent/runtime/held-boot-files.js', 'place.isReserved(name) ||', ''),
    suite: ['agent/runtime/held-boot-files.test.js'],
  },
  {
    name: 'a-kernel-where-it-has-no-place',
    edits: one('agent/core/select.js', 'if (!policy.hasBootPlaces &&', 'if (false &&'),
    suite: ['agent/core/select.test.js'],
  },
];
