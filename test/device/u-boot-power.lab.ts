// Power-ons of a real U-Boot one after another: tries, lost environments, a medium that cannot be written, resets that are
// real, and environments that hold anything at all. Nothing of it may hold the board.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encodeCopy, type Variables } from '../../bootctl/uboot/environment.ts';
import { createRandom, type Random } from '../bootctl/random.ts';
import { hookCommand, outcomeOf, rootOf, trialOfB } from './u-boot-boards.ts';
import { buildUboot } from './u-boot-build.ts';
import { createSandbox, envBytes, type Sandbox, type SandboxVariant } from './u-boot-sandbox.ts';

const build = await buildUboot('sandbox');

const trial = trialOfB(build);
const confirmedB: Variables = new Map([...trial].filter(([name]) => name !== 'otad_trial'));

const withSandbox = async (variant: SandboxVariant, body: (sandbox: Sandbox) => Promise<void>): Promise<void> => {
  const sandbox = await createSandbox(build, variant);
  try {
    await body(sandbox);
  } finally {
    await sandbox.close();
  }
};

const copiesOf = (variables: Variables, variant: SandboxVariant): readonly Uint8Array[] =>
  variant === 'single'
    ? [encodeCopy(variables, envBytes, null)]
    : [encodeCopy(variables, envBytes, 0), encodeCopy(variables, envBytes, 1)];

const slotsOf = async (sandbox: Sandbox, times: number): Promise<readonly (string | null)[]> => {
  const slots: (string | null)[] = [];
  for (let index = 0; index < times; index += 1) slots.push(outcomeOf(await sandbox.powerOn()).slot);
  return slots;
};

/** Everything that a variable can hold, and what shells care about most. */
const noise = (random: Random): string =>
  Array.from({ length: random.below(12) }, () =>
    random.pick([
      'A',
      'B',
      ' ',
      '0',
      '3',
      "'",
      '"',
      '\\',
      '$',
      '${',
      '}',
      '`',
      ';',
      '&',
      '|',
      '(',
      ')',
      '<',
      '#',
      '*',
      '=',
      '!',
      '-',
      '\n',
      '\t',
      '\x01',
      '\xff',
    ]),
  ).join('');

for (const variant of ['redundant', 'modern', 'single', 'listed'] as const) {
  describe(`power-ons of U-Boot, ${variant}`, () => {
    // Without stored hooks where the list of variables does not let them in.
    const command = variant === 'listed' ? { command: hookCommand() } : {};

    it('boots a confirmed slot without a write', () =>
      withSandbox(variant, async (sandbox) => {
        await sandbox.insertCard(copiesOf(confirmedB, variant));
        const before = await sandbox.digest();
        for (let index = 0; index < 5; index += 1) {
          const { slot, cmdline } = outcomeOf(await sandbox.powerOn(command));
          assert.equal(slot, 'b');
          assert.equal(cmdline, `otad.slot=b otad.root=${rootOf.b}`);
        }
        assert.equal(await sandbox.digest(), before);
      }));

    it('boots a trial as often as it has tries, and then the slot before it for good', () =>
      withSandbox(variant, async (sandbox) => {
        await sandbox.insertCard(copiesOf(trial, variant));
        const seen: string[] = [];
        for (let index = 0; index < 5; index += 1) {
          const { slot, cmdline } = outcomeOf(await sandbox.powerOn(command));
          assert.ok(cmdline.includes(rootOf[slot ?? 'a']), cmdline);
          seen.push(`${slot}${(await sandbox.readEnvironment())?.get('BOOT_B_LEFT')}`);
        }
        assert.deepEqual(seen, ['b2', 'b1', 'b0', 'a0', 'a0']);
      }));

    it('has the whole logic when the environment is lost: each slot its tries, then the other, without end', () =>
      withSandbox(variant, async (sandbox) => {
        await sandbox.insertCard([]);
        const slots: (string | null)[] = [];
        for (let index = 0; index < 7; index += 1) {
          const { slot, cmdline } = outcomeOf(await sandbox.powerOn({ command: hookCommand() }));
          // No root is known any more; the initramfs has to find it or refuse.
          assert.equal(cmdline, `otad.slot=${slot} otad.trial=1`);
          slots.push(slot);
        }
        assert.deepEqual(slots, ['a', 'a', 'a', 'b', 'b', 'b', 'a']);
      }));

    it('starts a slot at the first power-on whatever stands in the order and with no tries left', () =>
      withSandbox(variant, async (sandbox) => {
        for (const [order, left] of [
          ['C D', '3'],
          ['', '3'],
          ['C D', '0'],
          ['A B', '0'],
          ['B', '0'],
        ] as const) {
          const odd = new Map([...confirmedB, ['BOOT_ORDER', order], ['BOOT_A_LEFT', left], ['BOOT_B_LEFT', left]]);
          await sandbox.insertCard(copiesOf(odd, variant));
          const console = await sandbox.powerOn(command);
          assert.notEqual(outcomeOf(console).slot, null, console);
          assert.doesNotMatch(console, /resetting/);
        }
      }));
  });
}

describe('a board in trouble', () => {
  it('resets when nothing can be opened, goes on from there, and ends as soon as something can', () =>
    withSandbox('redundant', async (sandbox) => {
      const late = `if test "\${BOOT_B_LEFT}" = 1; then echo "@start b||"; poweroff; fi`;
      await sandbox.insertCard(copiesOf(new Map([...confirmedB, ['try_a', 'false'], ['try_b', late]]), 'redundant'));
      const console = await sandbox.powerOn({ isResetReal: true });
      assert.equal(outcomeOf(`${console}`).slot, 'b');
      assert.equal(console.match(/^resetting/gm)?.length, 2, console);
    }));

  it('does not start a trial that it cannot count while a confirmed slot starts, and writes nothing', () =>
    withSandbox('redundant', async (sandbox) => {
      await sandbox.insertCard([encodeCopy(trial, envBytes, 4)], true);
      const before = await sandbox.digest();
      assert.deepEqual(await slotsOf(sandbox, 3), ['a', 'a', 'a']);
      assert.equal(await sandbox.digest(), before);
    }));

  it('takes nothing but the listed variables from the stored environment', () =>
    withSandbox('listed', async (sandbox) => {
      const planted = new Map([
        ...trial,
        ['bootcmd', 'echo @planted'],
        ['otad_start', 'echo @planted'],
        ['preboot', 'echo @planted'],
      ]);
      await sandbox.insertCard(copiesOf(planted, 'listed'));
      const console = await sandbox.powerOn({ command: hookCommand() });
      assert.doesNotMatch(console, /^@planted/m);
      assert.equal(outcomeOf(console).slot, 'b');
    }));

  for (const variant of ['redundant', 'modern'] as const) {
    it(`starts a slot at the first power-on from 150 environments of noise, ${variant}`, () =>
      withSandbox(variant, async (sandbox) => {
        const random = createRandom(31);
        for (let index = 0; index < 150; index += 1) {
          const names = [
            'BOOT_ORDER',
            'BOOT_A_LEFT',
            'BOOT_B_LEFT',
            'otad_trial',
            'otad_seq',
            'otad_a_root',
            'otad_b_root',
            'otad_a_hashoffset',
            'otad_bootargs',
          ];
          const noisy = names.filter(() => random.below(2) === 0).map((name) => [name, noise(random)] as const);
          await sandbox.insertCard(copiesOf(new Map([...trial, ...noisy]), variant));
          const console = await sandbox.powerOn();
          assert.notEqual(outcomeOf(console).slot, null, `${JSON.stringify(noisy)}\n${console}`);
        }
      }));
  }
});
