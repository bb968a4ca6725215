// Known bugs of boot control over systemd-boot: writes in the wrong order, a rename where FAT has none, a choice not checked.

import { type Edit, one, type SuiteMutant } from './mutant.ts';

const folder = 'bootctl/systemd-boot';
const controlSuite = ['bootctl/systemd-boot/control.test.js'];
const cutSuite = ['bootctl/systemd-boot/cuts.test.js'];

const mutant = (name: string, edits: readonly Edit[], suite: readonly string[] = controlSuite): SuiteMutant => ({
  name: `systemd-boot-${name}`,
  edits,
  suite,
});

export const systemdBootMutants: readonly SuiteMutant[] = [
  mutant(
    'old-entry-removed-first',
    one(
      `${folder}/slot-files.js`,
      "{ kind: 'create', file, text: parkedText(wanted.entry, slot) },",
      "{ kind: 'remove', file: current.file }, { kind: 'create', file, text: parkedText(wanted.entry, slot) },",
    ),
    cutSuite,
  ),
  mutant(
    'new-entry-made-live-at-once',
    one(
      `${folder}/slot-files.js`,
      "{ kind: 'create', file, text: parkedText(wanted.entry, slot) },",
      "{ kind: 'create', file, text },",
    ),
    cutSuite,
  ),
  mutant(
    'parked-entry-believed',
    one(
      `${folder}/slot-files.js`,
      'const stateOrder = { live: 2, bad: 1, parked: 0 };',
      'const stateOrder = { live: 0, bad: 1, parked: 2 };',
    ),
    cutSuite,
  ),
  mutant(
    'no-stand-in-for-a-factory-entry',
    one(
      `${folder}/recovery.js`,
      'for (const step of planRemoval(from, slot))\n        await writeEntry(esp, step);\n    return',
      'return',
    ),
    cutSuite,
  ),
  mutant(
    'try-renamed-to-a-name-that-is-there',
    one(`${folder}/slot-files.js`, 'done: isOnTheWay ? 1 : 0,', 'done: 0,'),
  ),
  mutant('counter-width-lost', one(`${folder}/slot-files.js`, 'leftDigits: old?.leftDigits ?? 1,', 'leftDigits: 1,')),
  mutant(
    'pinned-default-not-seen',
    one(`${folder}/control.js`, 'if (isFlip && expected !== null)', 'if (expected === null)'),
  ),
  mutant('foreign-image-activated', one(`${folder}/control.js`, 'if (isLive)\n', 'if (!isLive)\n')),
  mutant('wrong-partition-written', one(`${folder}/esp-identity.js`, 'booted !== mounted)', 'booted === null)')),
  mutant(
    'full-disk-loses-a-confirmation',
    one(`${folder}/control.js`, "cause.code !== 'DISK_FULL'", "cause.code !== 'BUSY'"),
  ),
  mutant(
    'one-shot-left-for-the-next-boot',
    one(
      `${folder}/control.js`,
      'if (oneShot !== null && takesBackOneShot)',
      'if (oneShot === null && takesBackOneShot)',
    ),
  ),
  mutant(
    'uncounted-boot-unsaid',
    one(`${folder}/loader-evidence.js`, 'if (counted === found)', 'if (counted !== found)'),
  ),
  mutant(
    'bad-by-name-only',
    one(
      `${folder}/slot-entry.js`,
      "state: live === undefined ? 'parked' : isBad ? 'bad' : 'live',",
      "state: live === undefined ? 'parked' : 'live',",
    ),
  ),
];
