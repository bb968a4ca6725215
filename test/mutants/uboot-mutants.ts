// Known bugs of boot control over a U-Boot environment, one for each rule that keeps a board booting.

import { type Edit, one, type SuiteMutant } from './mutant.ts';

const control = 'bootctl/uboot/control.js';
const environment = 'bootctl/uboot/environment.js';
const medium = 'bootctl/uboot/medium.js';
const mender = 'bootctl/uboot/mender.js';
const model = 'bootctl/model.js';
const variables = 'bootctl/uboot/variables.js';
const config = 'bootctl/uboot/fw-env-config.js';

const suiteOf = (...names: readonly string[]): readonly string[] =>
  names.map((name) => `bootctl/${name === 'model' ? name : `uboot/${name}`}.test.js`);

const mutant = (name: string, edits: readonly Edit[], ...suites: readonly string[]): SuiteMutant => ({
  name: `uboot-${name}`,
  edits,
  suite: suiteOf(...suites),
});

/** Writing: one copy, the right one, durable, compared. */
const writing: readonly SuiteMutant[] = [
  mutant(
    'write-not-read-back',
    one(medium, 'if (actual === null || Buffer.compare(actual, image) !== 0)', 'if (actual === undefined)'),
    'control',
  ),
  mutant(
    'write-compared-in-the-page-cache',
    one(medium, 'return await attempt(constants.O_DIRECT);', 'return await attempt(0);'),
    'boot-writes',
  ),
  mutant('write-not-flushed', one(medium, 'await handle.sync();', ''), 'boot-writes'),
  mutant(
    'tail-not-written',
    one(medium, 'writeImage(path, offset, image);', 'writeImage(path, offset, image.subarray(0, image.length - 512));'),
    'boot-writes',
    'control',
  ),
  mutant(
    'tail-not-zeroed',
    one(environment, 'const bytes = Buffer.alloc(sizeBytes);', 'const bytes = Buffer.alloc(sizeBytes, 0xff);'),
    'environment',
  ),
  mutant(
    'wrong-copy-overwritten',
    one(environment, 'index: isRedundant && base === 0 ? 1 : 0', 'index: isRedundant && base === 1 ? 1 : 0'),
    'crash-states',
  ),
  mutant(
    'flag-at-wrong-offset',
    one(environment, 'bytes.writeUInt8(flag, 4);', 'bytes.writeUInt8(flag, 3);'),
    'environment',
  ),
  mutant('flag-not-wrapped', one(environment, '(flag + 1) & 0xff', 'Math.min(flag + 1, 0xff)'), 'crash-states'),
  mutant('serial-wrap-misread', one(environment, 'if (one === 255 && two === 0)', 'if (one === 256)'), 'crash-states'),
  mutant('sequence-not-raised', one(environment, '(newest + 1).toString(16)', 'newest.toString(16)'), 'environment'),
  mutant(
    'sequence-behind-the-first-sector',
    one(environment, "name === sequenceName ? ''", "name === '' ? ''"),
    'crash-states',
  ),
  mutant(
    'list-without-an-end',
    one(environment, 'if (header + text.length + 1 > sizeBytes)', 'if (header + text.length > sizeBytes)'),
    'environment',
  ),
  mutant(
    'empty-environment-stored',
    one(environment, 'if (names.length === 0)', 'if (names.length < 0)'),
    'environment',
  ),
  mutant(
    'half-an-environment-stored',
    one(
      control,
      'const before = variablesOf(loaded, loaded.current) ?? initial;',
      'const before = variablesOf(loaded, loaded.current) ?? initial ?? lostVariables;',
    ),
    'control',
  ),
  mutant(
    'other-variables-lost',
    one(
      variables,
      'const result = new Map(variables);',
      'const result = new Map([...variables].filter(([name]) => name.startsWith("otad")));',
    ),
    'control',
  ),
  mutant('protection-left-open', one(medium, "await writeFile(switchPath, '1');", ''), 'control'),
  mutant(
    'no-lock',
    one('bootctl/lock-file.js', 'await lockDescriptor(handle, path, waitMs, signal);', ''),
    'technician',
  ),
];

/** Reading: what counts, and what U-Boot makes of it. */
const reading: readonly SuiteMutant[] = [
  mutant(
    'sequence-ignored',
    one(environment, 'Math.abs(one - two) !== 1)', 'Math.abs(one - two) >= 0)'),
    'environment',
  ),
  mutant('backup-undone', one(environment, 'Math.abs(one - two) !== 1)', 'one === two)'), 'technician'),
  mutant(
    'hand-written-unguarded',
    one(control, 'return isHandWritten ?', 'return isHandWritten && copies === null ?'),
    'technician',
  ),
  mutant(
    'stale-copy-not-put-right',
    one(control, 'if (current !== bootloaders)', 'if (current === undefined)'),
    'control',
  ),
  mutant(
    'empty-environment-taken',
    one(environment, "copies.map((copy) => (copy?.fault === 'empty' ? null : copy))", 'copies'),
    'environment',
    'control',
  ),
  mutant(
    'empty-copy-left-for-uboot',
    one(control, "copies[bootloaders]?.fault === 'empty'", 'bootloaders === undefined').concat(
      one(control, 'if (current !== bootloaders)', 'if (current === undefined)'),
    ),
    'control',
  ),
  mutant('nameless-value-kept', one(environment, "next.delete('');", ''), 'environment', 'control'),
  mutant(
    'read-error-ends-it',
    one(medium, 'return { place, copy: null, image: null, problem: reasonOf(cause) };', 'throw cause;'),
    'control',
  ),
  mutant('one-place-twice', one(medium, 'one.medium === two.medium', 'one.medium === undefined'), 'control'),
  mutant('repair-not-told', one(control, 'repairs.push(', 'void ('), 'technician'),
  mutant(
    'offset-sign-lost',
    one(config, "text.startsWith('-') ? -1 : 1", "text.startsWith('-') ? 1 : 1"),
    'fw-env-config',
  ),
  mutant(
    'size-read-as-decimal',
    one(config, "Number.parseInt(size.replace(/^0x/i, ''), 16)", 'Number(size)'),
    'fw-env-config',
  ),
  mutant(
    'bad-line-skipped',
    one(
      config,
      'entries.push(parseLine(content, words, file, index + 1));',
      'try { entries.push(parseLine(content, words, file, index + 1)); } catch { continue; }',
    ),
    'fw-env-config',
  ),
];

/** What the variables mean. */
const meaning: readonly SuiteMutant[] = [
  mutant('counter-of-two-digits', one(model, 'export const triesMax = 9;', 'export const triesMax = 15;'), 'model'),
  mutant('counter-unreadable-is-none', one(variables, 'Number(text) : triesDefault', 'Number(text) : 0'), 'technician'),
  mutant(
    'invalid-order-is-none',
    one(model, 'model.order.length > 0 ? model.order : lastResort(model)', 'model.order'),
    'model',
    'control',
  ),
  mutant(
    'both-exhausted-stuck',
    one(model, 'if (order.some((slot) => model.slots[slot].triesLeft > 0))', 'if (order.length > 0)'),
    'model',
  ),
  mutant(
    'mender-out-of-step',
    one(mender, 'parts === null ? ours : applyMender(variables, ours, model, parts)', 'ours'),
    'mender',
  ),
  mutant('mender-part-not-hex', one(mender, 'part.toString(16)', 'String(part)'), 'mender'),
  mutant('mender-count-carried-on', one(mender, ".set(countName, '0')", ''), 'mender'),
  mutant(
    'mender-count-lost-in-repair',
    one(control, 'restored === model ? variables : withModel(', 'restored === null ? variables : withModel('),
    'mender',
  ),
  mutant(
    'mender-fallback-unseen',
    one(mender, 'if (left >= model.slots[trial].triesLeft)', 'if (left >= 0)'),
    'mender',
  ),
  mutant(
    'mender-part-guessed',
    one(mender, '{ a: known.a ?? a, b: known.b ?? b }', '{ a: known.a ?? a ?? 2, b: known.b ?? b ?? 3 }'),
    'mender',
  ),
  mutant('mender-remains-believed', one(mender, 'if (!isInStep(variables))', 'if (variables === null)'), 'mender'),
];

export const ubootMutants: readonly SuiteMutant[] = [...writing, ...reading, ...meaning];
