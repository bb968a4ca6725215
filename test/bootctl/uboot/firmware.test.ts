// Ties the boot script, the firmware function and the reference model together on random environments. The script runs
// in a POSIX shell whose functions stand in for U-Boot's commands.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { type SlotName, slotNames } from '../../../agent/core/types.ts';
import { type BootModel, boot, slotState } from '../../../bootctl/model.ts';
import { sequenceName, type Variables } from '../../../bootctl/uboot/environment.ts';
import { chooseBoot } from '../../../bootctl/uboot/firmware.ts';
import { decodeModel, hashOffsetName, lostVariables, orderName, rootName } from '../../../bootctl/uboot/variables.ts';
import { type BootCase, randomCases, savedNames, savedOf, showCase } from './boot-cases.ts';

const scriptUrl = new URL('../../../../bootctl/uboot/boot.cmd', import.meta.url);

/** U-Boot's commands for the shell. `saveenv` prints what it saves, `start_slot` the slot that starts. */
const shellCommands = `
setenv() {
  o__name=$1; shift
  if test -z "$*"; then unset "$o__name"; else eval "$o__name=\\$*"; fi
}
setexpr() { eval "$1=$(printf %x $((0x$2 + $4)))"; }
saveenv() {
  test "$writable" = yes || return 1
  echo '<save'
${savedNames.map((name) => `  echo "${name}=$${name}"`).join('\n')}
  echo '>'
}
run() { eval "eval \\"\\$$1\\""; }
start_slot() {
  for o__slot in $bootable; do
    if test "$o__slot" = "$otad_slot"; then printf 'start %s|%s\\n' "$otad_slot" "$bootargs"; exit 0; fi
  done
}
reset() { echo 'start none|'; exit 0; }
`;

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const shellCase = ({ variables, bootable, isWritable }: BootCase, index: number): string => `
echo 'case ${index}'
(
bootable=${quote(bootable.join(' '))}; writable=${isWritable ? 'yes' : 'no'}
${[...variables, ['otad_boot', 'start_slot'] as const].map(([name, value]) => `${name}=${quote(value)}`).join('\n')}
. "$script"
)
`;

/** Runs the real script over all cases in one shell. */
const runScript = async (cases: readonly BootCase[]): Promise<readonly string[]> => {
  const program = `${shellCommands}${cases.map(shellCase).join('')}`;
  const child = promisify(execFile)('sh', ['-s'], {
    env: { PATH: process.env.PATH ?? '', script: scriptUrl.pathname },
    maxBuffer: 64 * 1024 * 1024,
    timeout: 60_000,
  });
  child.child.stdin?.end(program);
  const { stdout, stderr } = await child;
  assert.equal(stderr, '');
  return stdout.split(/^case \d+\n/m).slice(1);
};

const parseOutput = (output: string, before: Variables) => {
  const started = /^start (\w+)\|(.*)$/m.exec(output);
  const saved = new Map(before);
  const lastSave = [...output.matchAll(/<save\n([^>]*)>/g)].at(-1)?.[1] ?? '';
  for (const line of lastSave.split('\n').filter((text) => text !== '')) {
    const equals = line.indexOf('=');
    saved.set(line.slice(0, equals), line.slice(equals + 1));
  }
  return { slot: started?.[1] ?? 'no answer', cmdline: started?.[2]?.trim() ?? '', saved, isSaved: lastSave !== '' };
};

/** What matters of a model: whether a slot that cannot be selected is on trial does not. */
const essence = (model: BootModel) =>
  slotNames.map((slot) => {
    const { triesLeft, verity } = model.slots[slot];
    return { triesLeft, verity, state: slotState(model, slot) };
  });

describe('U-Boot boot logic', () => {
  it('the firmware function and the model choose the same slot and leave the same state', () => {
    for (const one of randomCases(11, 6000)) {
      const isBootable = (slot: SlotName): boolean => one.bootable.includes(slot);
      const choice = chooseBoot(one.variables, isBootable, one.isWritable);
      const expected = boot(decodeModel(one.variables), isBootable, one.isWritable);
      assert.equal(choice.slot, expected.slot, showCase(one));
      const left = decodeModel(new Map([...one.variables, ...choice.changes]));
      // The script writes a lost order down only together with something else; what it means is the same.
      assert.deepEqual(essence(left), essence(expected.model), showCase(one));
      if (choice.changes.has(orderName)) assert.deepEqual(left.order, expected.model.order, showCase(one));
      assert.equal(boot(left).slot, boot(expected.model).slot, showCase(one));
    }
  });

  it('the script and the firmware function choose the same slot, arguments and saved variables', async () => {
    const cases = randomCases(12, 1000);
    const outputs = await runScript(cases);
    assert.equal(outputs.length, cases.length);
    for (const [index, one] of cases.entries()) {
      const choice = chooseBoot(one.variables, (slot) => one.bootable.includes(slot), one.isWritable);
      const actual = parseOutput(outputs[index] ?? '', one.variables);
      assert.equal(actual.slot, choice.slot ?? 'none', showCase(one));
      assert.equal(actual.cmdline, choice.cmdline, showCase(one));
      assert.equal(actual.isSaved, choice.changes.size > 0, showCase(one));
      assert.deepEqual(
        savedOf(actual.saved),
        savedOf(new Map([...one.variables, ...choice.changes])),
        `${showCase(one)}\n${outputs[index]}`,
      );
    }
  });

  it('the script names every variable of the adapter and no computed one', async () => {
    const script = await readFile(scriptUrl, 'utf8');
    const all = [...savedNames, sequenceName, ...slotNames.map((slot) => hashOffsetName[slot])];
    for (const name of all) assert.ok(script.includes(`\${${name}}`), name);
    const known = new Set([...all, 'otad_boot', 'otad_bootargs', 'otad_slot', 'otad_part']);
    for (const [, name = ''] of script.matchAll(/\$\{((?:otad|BOOT)_\w+)\}/g)) assert.ok(known.has(name), name);
  });

  it('a confirmed slot boots without a write', () => {
    const variables = new Map([...lostVariables, [sequenceName, '5'], [rootName.a, 'ab'.repeat(32)]]);
    const choice = chooseBoot(variables);
    assert.equal(choice.slot, 'a');
    assert.equal(choice.changes.size, 0);
  });

  it('a lost environment counts each slot, so a hanging one gives way', () => {
    let variables: Variables = lostVariables;
    const slots: (SlotName | null)[] = [];
    for (let index = 0; index < 7; index += 1) {
      const choice = chooseBoot(variables);
      slots.push(choice.slot);
      variables = new Map([...variables, ...choice.changes]);
    }
    assert.deepEqual(slots, ['a', 'a', 'a', 'b', 'b', 'b', 'a']);
  });

  it('a slot on trial whose counter cannot be saved does not start while a confirmed one does', () => {
    const variables = new Map([
      ['BOOT_ORDER', 'B A'],
      ['BOOT_A_LEFT', '3'],
      ['BOOT_B_LEFT', '3'],
      ['otad_trial', 'B'],
      ['otad_seq', '9'],
    ]);
    assert.equal(chooseBoot(variables, () => true, false).slot, 'a');
    assert.equal(chooseBoot(variables, (slot) => slot === 'b', false).slot, 'b');
  });
});
