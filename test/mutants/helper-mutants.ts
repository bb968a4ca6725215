// Known bugs of a boot helper that trusts whoever asks it, or cannot be asked for long.

import { one, type SuiteMutant } from './mutant.ts';

const helper = ['agent/otad-boot.test.js'];
const server = ['agent/adapters/boot-server.test.js'];
const guard = 'agent/runtime/boot-guard.js';
const ledger = 'agent/core/boot-ledger.js';

export const helperMutants: readonly SuiteMutant[] = [
  {
    name: 'helper-starts-unsigned-releases',
    edits: one(
      guard,
      'if (release === null)\n            throw',
      'if (release === null)\n            return;\n        if (false)\n            throw',
    ),
    suite: helper,
  },
  {
    name: 'helper-starts-releases-below-the-floor',
    edits: one(guard, 'if (isBelowFloor(known, release))', 'if (false)'),
    suite: helper,
  },
  {
    name: 'helper-does-not-read-the-slot',
    edits: one(guard, 'await requireBytes(slot, record, signal);', ''),
    suite: helper,
  },
  {
    name: 'helper-takes-the-root-that-it-is-told',
    edits: one(guard, 'if (!isSameVerity(verity, record.verity))', 'if (false)'),
    suite: helper,
  },
  {
    name: 'helper-confirms-the-slot-that-it-is-told',
    edits: one(guard, 'if (slot !== status.booted)', 'if (false)'),
    suite: helper,
  },
  {
    name: 'helper-leaves-a-lost-root-lost',
    edits: one(guard, 'await lostRoot(status, signal)', 'undefined'),
    suite: helper,
  },
  {
    name: 'helper-gives-the-bootloader-a-root-of-nobody',
    edits: one(guard, 'if (signedAs(known, record) === null &&', 'if (false &&'),
    suite: helper,
  },
  {
    name: 'helper-gives-the-bootloader-a-root-unread',
    edits: one(guard, 'await requireBytes(booted, record, signal);', ''),
    suite: helper,
  },
  {
    name: 'helper-leaves-for-a-slot-without-a-root',
    edits: one(guard, 'roots?.[other] === null)', 'false)'),
    suite: helper,
  },
  {
    name: 'helper-lets-the-last-good-slot-go-during-a-trial',
    edits: one(guard, "if (states[booted].state === 'pending' && states[slot].state === 'good')", 'if (false)'),
    suite: helper,
  },
  {
    name: 'helper-reboots-whenever-it-is-told',
    edits: one(guard, "if (primary === booted && states[booted].state === 'good')", 'if (false)'),
    suite: helper,
  },
  {
    name: 'helper-forgets-what-ran-here',
    edits: one(guard, 'if (ran !== null &&', 'if (false &&'),
    suite: helper,
  },
  {
    name: 'helper-forgets-what-was-signed-when-the-install-began',
    edits: one(
      guard,
      'await noteRelease(readSigned, signal);\n            if (!(release',
      "new OtadError('CANCELLED');\n            if (!(release",
    ),
    suite: helper,
  },
  {
    name: 'helper-believes-the-record-beside-the-root',
    edits: one(ledger, 'release.sequence === record.release.sequence &&', ''),
    suite: helper,
  },
  {
    name: 'helper-believes-a-record-of-another-product',
    edits: one(ledger, 'release.compatible === record.compatible &&', ''),
    suite: helper,
  },
  {
    name: 'helper-stamps-a-trial-as-confirmed',
    edits: one(guard, "if (states[booted].state !== 'good')", 'if (false)'),
    suite: helper,
  },
  {
    name: 'helper-ledger-only-on-the-disk',
    edits: one('agent/adapters/boot-ledger-file.js', 'await isWritten(memory, next, onFailure);', ''),
    suite: helper,
  },
  {
    name: 'helper-never-ends',
    edits: one('agent/adapters/boot-server.js', 'idle = setTimeout(() => server.close(), idleMs)', 'idle = null'),
    suite: helper,
  },
  {
    name: 'helper-takes-requests-of-any-length',
    edits: one('agent/adapters/boot-server.js', 'if (length > requestBytesMax)', 'if (false)'),
    suite: helper,
  },
  {
    name: 'helper-serves-everybody-at-once',
    edits: one('agent/adapters/boot-server.js', 'if (open >= connectionsMax)', 'if (false)'),
    suite: server,
  },
  {
    name: 'helper-changes-run-side-by-side',
    edits: one('agent/adapters/boot-server.js', 'const turn = changes.then(', 'const turn = Promise.resolve().then('),
    suite: server,
  },
  {
    name: 'script-does-not-say-that-it-is-a-trial',
    edits: one('bootctl/uboot/firmware.js', "...(isTrial ? ['otad.trial=1'] : []),", ''),
    suite: ['bootctl/uboot/firmware.test.js', 'bootctl/uboot/control.test.js'],
  },
];
