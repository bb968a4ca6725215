// Known bugs of boot control over the Raspberry Pi firmware's tryboot.

import { one, type SuiteMutant } from './mutant.ts';

const control = 'bootctl/tryboot/control.js';
const recall = 'bootctl/tryboot/recall.js';
const records = 'bootctl/tryboot/records.js';
const units = ['bootctl/tryboot/control.test.js'];
const life = ['bootctl/tryboot/life.test.js'];
const cuts = ['bootctl/tryboot/power-cut.test.js'];

export const trybootMutants: readonly SuiteMutant[] = [
  {
    name: 'tryboot-default-is-the-trial',
    edits: one(
      recall,
      "const good = model.order.find((slot) => slotState(model, slot) === 'good');",
      'const good = model.order[0];',
    ),
    suite: life,
  },
  {
    name: 'tryboot-intent-before-autoboot',
    edits: [
      {
        file: control,
        find: '        await saveDefault(loaded, slot);\n        await saveIntent(loaded, {',
        replace: '        await saveIntent(loaded, {',
      },
      {
        file: control,
        find: '            outcome: null,\n        });\n    };',
        replace: '            outcome: null,\n        });\n        await saveDefault(loaded, slot);\n    };',
      },
    ],
    suite: [...cuts, ...units],
  },
  {
    name: 'tryboot-not-normalised-before-install',
    edits: one(
      control,
      'await save(loaded, model, loaded.facts.slot);',
      'await save(loaded, model, loaded.recalled.intent.default);',
    ),
    suite: units,
  },
  {
    name: 'tryboot-try-not-counted',
    edits: one(control, 'model: next.model, armed:', 'model: intent.model, armed:'),
    suite: life,
  },
  {
    name: 'tryboot-try-counted-at-each-request',
    edits: one(control, "if (intent.armed?.state === 'armed' && intent.armed.bootId === bootId)", 'if (false)'),
    suite: units,
  },
  {
    name: 'tryboot-argument-before-the-count',
    edits: one(
      control,
      'let slot;\n        try {',
      'let slot;\n        await files.replace(rebootParamPath, Buffer.from(rebootArgument));\n        try {',
    ),
    suite: units,
  },
  {
    name: 'tryboot-stale-argument-kept',
    edits: [
      {
        file: control,
        find: 'await files.remove(rebootParamPath);\n        await saveDefault(loaded, slot);',
        replace: 'await saveDefault(loaded, slot);',
      },
      { file: control, find: 'await files.remove(rebootParamPath);\n        const current', replace: 'const current' },
    ],
    suite: units,
  },
  {
    name: 'tryboot-staged-is-forgotten',
    edits: one(
      recall,
      'if (armed === null || (armed.state',
      'if (armed === null) return [{ ...intent, model: markGood(model, booted) }, []];\n    if ((armed.state',
    ),
    suite: life,
  },
  {
    name: 'tryboot-trial-leaves-no-mark',
    edits: one(recall, "return armed.state === 'armed' ? [ran, []] : [intent, []];", 'return [intent, []];'),
    suite: [...units, ...life],
  },
  {
    name: 'tryboot-intent-wins-over-autoboot',
    edits: one(
      recall,
      'const current = stated ?? intent?.default ?? facts.slot;',
      'const current = intent?.default ?? stated ?? facts.slot;',
    ),
    suite: [...units, ...cuts],
  },
  {
    name: 'tryboot-torn-intent-believed',
    edits: one('bootctl/tryboot/intent.js', 'if (digest !== digestOf(body) ||', 'if ('),
    suite: ['bootctl/tryboot/intent.test.js'],
  },
  {
    name: 'tryboot-one-bad-copy-stops-all',
    edits: one(records, 'if (failures.length === paths.length)', 'if (failures.length > 0)'),
    suite: units,
  },
  {
    name: 'tryboot-autoboot-replaced-not-overwritten',
    edits: one(
      records,
      'if (padded === null || Buffer.compare(padded, sector) !== 0)\n        await files.overwrite(path, sector);',
      'if (padded === null || Buffer.compare(padded, sector) !== 0)\n        await files.replace(path, sector);',
    ),
    suite: units,
  },
  {
    name: 'tryboot-sector-not-flushed',
    edits: one(
      'bootctl/tryboot/files.js',
      "throw new OtadError('BOOT_WRITE_LOST', { path, bytesWritten });\n        await handle.sync();",
      "throw new OtadError('BOOT_WRITE_LOST', { path, bytesWritten });",
    ),
    suite: units,
  },
  {
    name: 'tryboot-panic-not-checked',
    edits: one(records, 'checkPanic(slot, before);', ';'),
    suite: units,
  },
  {
    name: 'tryboot-root-not-handed-over',
    edits: one(control, 'await storeCommandLine(files, bootFolders[slot], slot, verity);', ''),
    suite: units,
  },
  {
    name: 'tryboot-root-kept-after-invalidate',
    edits: one(control, 'await storeCommandLine(files, bootFolders[slot], slot, null);', ''),
    suite: units,
  },
  {
    name: 'tryboot-device-tree-not-heard',
    edits: one('bootctl/tryboot/device-tree.js', 'tree.slot !== facts.slot', 'false'),
    suite: units,
  },
  {
    name: 'tryboot-labels-believed',
    edits: one(
      'bootctl/tryboot/by-slot.js',
      'const slot = labelled ?? (hasLabels ? null : booted);',
      "const slot = labelled ?? booted ?? 'b';",
    ),
    suite: ['bootctl/tryboot/evidence.test.js'],
  },
  {
    name: 'tryboot-rota-not-asked',
    edits: one(
      'agent/adapters/boot-control.js',
      "if (kind !== 'tryboot')\n                return;",
      'if (kind !== null)\n                return;',
    ),
    suite: ['agent/adapters/boot-control.test.js'],
  },
  {
    name: 'tryboot-written-into-the-mount-point',
    edits: one(records, 'if (await files.isMounted(dirname(path)))', 'if (true)'),
    suite: units,
  },
  {
    name: 'tryboot-bare-reboot-accepted',
    edits: one('bootctl/tryboot/reboot-argument.js', "names[0] === 'reboot' || ", ''),
    suite: units,
  },
];
