// Known bugs of the decision core, the runtime and the install pipeline: each must make the simulator find a violation.

import { one, type SimulatorMutant } from './mutant.ts';

const activating = 'agent/core/activating.js';
const installing = 'agent/core/installing.js';
const rebooting = 'agent/core/rebooting.js';
const recover = 'agent/core/recover.js';
const select = 'agent/core/select.js';
const runtime = 'agent/runtime/runtime.js';
const install = 'agent/runtime/install.js';
const ledger = 'agent/runtime/slot-ledger.js';

export const coreMutants: readonly SimulatorMutant[] = [
  {
    name: 'effect-before-commit',
    edits: [
      {
        file: runtime,
        find: 'if (decision.state !== this.#state || decision.history.length > 0) {',
        replace: 'this.#take(decision.effects);\n        if (decision.state !== this.#state) {',
      },
      {
        file: runtime,
        find: 'this.#take(decision.effects);\n        this.#notify();',
        replace: 'this.#notify();',
      },
    ],
    caughtBy: ['I11'],
  },
  {
    name: 'activate-unverified',
    edits: one(activating, 'staged.verifiedInBoot === state.bootId', 'true'),
    caughtBy: ['I3'],
  },
  {
    name: 'invalidate-after-first-byte',
    edits: one(
      installing,
      "step: 'invalidate', slot, release, isForced, ...fromFolder(folder) }, (plan) => ({ kind: 'invalidate', plan, slot }));",
      "step: 'write', slot, release, isForced, ...fromFolder(folder) }, (plan) => ({ kind: 'write', plan, slot, release }));",
    ),
    caughtBy: ['I3'],
  },
  {
    name: 'confirm-on-any-boot',
    edits: one('agent/core/assessing.js', 'if (failures.length === 0)', 'if (failures.length >= 0)'),
    caughtBy: ['I4'],
  },
  {
    name: 'confirm-on-service-restart',
    edits: one(
      recover,
      "if (slots[booted].state === 'good')\n            return recoverGood(",
      "if (slots[booted].state === 'good' || !isNewBoot)\n            return recoverGood(",
    ),
    caughtBy: ['I11', 'I8'],
  },
  {
    name: 'deny-forgotten',
    edits: one('agent/core/denylist.js', '[...state.denylist, entry].slice(', '[...state.denylist].slice('),
    caughtBy: ['I6', 'I11'],
  },
  {
    name: 'rolled-back-reinstalled',
    edits: one(select, '...(denied === undefined ?', '...(denied !== null ?'),
    caughtBy: ['I6'],
  },
  {
    name: 'store-believed-over-bootloader',
    edits: one(
      recover,
      "booted: facts.boot.booted,\n        isBootedConfirmed: facts.boot.slots[facts.boot.booted].state === 'good',\n        records",
      'booted: stored.booted,\n        isBootedConfirmed: stored.isBootedConfirmed,\n        records',
    ),
    caughtBy: ['I11'],
  },
  {
    name: 'reboot-uncapped',
    edits: one(
      rebooting,
      'const isCapped = staged.reboots >= context.policy.rebootAttemptsMax;',
      'const isCapped = false;',
    ),
    caughtBy: ['I10'],
  },
  {
    name: 'reboot-given-up',
    edits: one(rebooting, 'if (isCapped && !isRebootDue(staged, context)) {', 'if (isCapped) {'),
    caughtBy: ['I8'],
  },
  {
    name: 'no-flush-after-copy',
    edits: [
      { file: ledger, find: 'await handle.flush(placeSignal);', replace: '' },
      { file: ledger, find: 'await handle.flush(commitSignal);', replace: '' },
    ],
    caughtBy: ['I1', 'I3', 'I11'],
  },
  {
    name: 'resume-without-prefix-check',
    edits: one(
      'agent/runtime/slot-fill.js',
      'if (writer.mark().prefixSha256Hex === prefixSha256Hex)',
      'if (prefixSha256Hex !== null)',
    ),
    caughtBy: ['I11'],
    pairOf: ['cut-kept', 'cut-lost', 'kill', 'rot-other', 'flush-lies', 'cut-torn', 'write-worn'],
  },
  {
    name: 'write-while-unconfirmed',
    edits: [
      {
        file: recover,
        find: 'return recoverTrial(next, stored, facts, context);',
        replace: 'return stay(rest({ ...next, staged: null }));',
      },
      { file: select, find: '...(state.isBootedConfirmed\n', replace: '...(state !== null\n' },
    ],
    caughtBy: ['I2'],
    scenario: 'sick',
  },
  {
    name: 'floor-not-kept',
    edits: [
      { file: select, find: 'release.sequence < state.sequenceFloor', replace: 'release.sequence < 0' },
      { file: select, find: 'release.sequence <= running.sequence', replace: 'release.id === running.id' },
    ],
    caughtBy: ['I5'],
  },
  {
    name: 'backoff-missing',
    edits: one('agent/core/schedule.js', 'return moment.monoMs + Math.max(jittered, asked);', 'return moment.monoMs;'),
    caughtBy: ['I10'],
  },
  {
    name: 'tries-not-limited',
    edits: one(activating, 'tries: policy.triesMax,', 'tries: 9,'),
    caughtBy: ['I4'],
  },
  {
    name: 'readback-skipped',
    edits: one(install, 'const result = await readBack(', "const result = { kind: 'same' }; void ("),
    caughtBy: ['I3', 'I11'],
  },
  {
    name: 'running-slot-written',
    edits: one(
      installing,
      'release, { isForced, folder }) => {\n    const slot = otherSlot(state.booted);',
      'release, { isForced, folder }) => {\n    const slot = state.booted;',
    ),
    caughtBy: ['I8', 'I2'],
  },
  {
    name: 'environment-loss-unnoticed',
    edits: one(
      runtime,
      "if (!state.isBootedConfirmed || boot.slots[boot.booted].state === 'good')",
      'if (boot !== null)',
    ),
    caughtBy: ['I2', 'I8'],
  },
  {
    name: 'slot-size-lost-with-its-record',
    edits: one(
      'agent/adapters/device-facts.js',
      'record: null, sizeBytes, problems',
      'record: null, sizeBytes: 0, problems',
    ),
    caughtBy: ['I8'],
  },
  {
    name: 'flip-believed-undone-without-its-commit',
    edits: one(
      recover,
      'const wasTried = staged.isActivated || boot.roots?.[staged.slot] === staged.verity.rootHex;',
      'const wasTried = staged.isActivated;',
    ),
    caughtBy: ['I6'],
    pairOf: ['cut-lost', 'panic-always'],
  },
  {
    name: 'look-at-the-way-back-writes-to-it',
    edits: one(install, 'return isLookOnly ? record : ledger', 'return ledger'),
    caughtBy: ['I2', 'I11'],
  },
  {
    name: 'slot-marked-bad-still-called-confirmed',
    edits: one(
      'agent/core/marking.js',
      "staged, isBootedConfirmed: false, phase: { kind: 'leaving' }",
      "staged, isBootedConfirmed: true, phase: { kind: 'leaving' }",
    ),
    caughtBy: ['I11'],
  },
];
