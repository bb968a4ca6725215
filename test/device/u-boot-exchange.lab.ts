// The same environment in three hands: a real U-Boot, our boot control and fw_setenv take turns, and each reads what the
// others wrote, with one copy and with two.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseKernelCommandLine } from '../../bootctl/kernel-command-line.ts';
import type { BootEvidence } from '../../bootctl/model.ts';
import { createUbootControl } from '../../bootctl/uboot/control.ts';
import type { Variables } from '../../bootctl/uboot/environment.ts';
import { formatEnvironment } from '../../bootctl/uboot/medium.ts';
import { applyModel } from '../../bootctl/uboot/variables.ts';
import { createRandom } from '../bootctl/random.ts';
import { fwPrintenv, fwSetenv } from '../bootctl/uboot/fw-tools.ts';
import { contractStart, contractVerity } from '../contract/boot-control.ts';
import { boardVariables, hookCommand, outcomeOf, slotHooks } from './u-boot-boards.ts';
import { buildUboot } from './u-boot-build.ts';
import { createSandbox, type SandboxVariant } from './u-boot-sandbox.ts';

const build = await buildUboot('sandbox');
const signal = new AbortController().signal;

const openBoard = async (variant: SandboxVariant, initial?: Variables) => {
  const sandbox = await createSandbox(build, variant);
  let facts: BootEvidence = { slot: 'a', root: contractVerity('a').rootHex, evidence: ['factory'] };
  const control = createUbootControl({
    config: sandbox.config,
    evidence: async () => facts,
    lockPath: join(sandbox.folder, 'lock'),
    ...(initial === undefined ? {} : { initial }),
  });
  const powerOn = async (command?: string) => {
    const { slot, cmdline } = outcomeOf(await sandbox.powerOn(command === undefined ? {} : { command }));
    facts = parseKernelCommandLine(cmdline);
    return slot;
  };
  /** What U-Boot itself has after loading. */
  const printedByUboot = async (): Promise<Variables> => {
    const console = await sandbox.powerOn({ command: 'printenv; poweroff' });
    const lines = console.split('\n').filter((line) => /^[\w#.]+=/.test(line));
    return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  };
  return { sandbox, control, powerOn, printedByUboot };
};

/** Set by U-Boot at each start, whatever is stored. */
const ownOfUboot = new Set(['fdtcontroladdr', 'stdin', 'stdout', 'stderr']);
const comparable = (variables: Variables) =>
  Object.fromEntries(
    [...variables].filter(([name]) => !ownOfUboot.has(name)).sort(([one], [two]) => (one < two ? -1 : 1)),
  );

for (const variant of ['redundant', 'single'] as const) {
  describe(`one environment in three hands, ${variant}`, () => {
    it('an update is activated by us, tried and counted by U-Boot, confirmed by us', async () => {
      const { sandbox, control, powerOn } = await openBoard(variant);
      try {
        await formatEnvironment(
          sandbox.config,
          applyModel(new Map([...boardVariables(build), ...slotHooks()]), contractStart),
        );
        await control.status(signal);
        await control.invalidate('b', signal);
        assert.equal(await powerOn(), 'a');
        await control.activate('b', 3, contractVerity('b'), signal);
        assert.equal(await powerOn(), 'b');
        const tried = await control.status(signal);
        assert.deepEqual(tried.slots.b, { state: 'pending', triesLeft: 2 });
        assert.equal(tried.bootedRoot, contractVerity('b').rootHex);
        await control.markGood('b', signal);
        const before = await sandbox.digest();
        assert.equal(await powerOn(), 'b');
        assert.equal(await sandbox.digest(), before);
        assert.equal((await control.status(signal)).slots.b.state, 'good');
      } finally {
        await sandbox.close();
      }
    });

    it('all three agree after each of 60 random writes by any of them', async () => {
      const { sandbox, control, powerOn, printedByUboot } = await openBoard(variant);
      try {
        await formatEnvironment(
          sandbox.config,
          applyModel(new Map([...boardVariables(build), ...slotHooks()]), contractStart),
        );
        const random = createRandom(variant === 'single' ? 41 : 42);
        for (let step = 0; step < 60; step += 1) {
          const action = random.below(5);
          const value = `v${step}${'x'.repeat(random.below(400))}`;
          if (action === 0) await sandbox.powerOn({ command: `setenv by_uboot ${value}; saveenv; poweroff` });
          else if (action === 1)
            await fwSetenv(sandbox.configPath, new Map([['by_tool', random.below(4) === 0 ? null : value]]));
          else if (action === 2)
            await control.activate(random.pick(['a', 'b']), 1 + random.below(9), contractVerity('b'), signal);
          else if (action === 3) await control.markGood(random.pick(['a', 'b']), signal);
          else await powerOn();
          const ours = await sandbox.readEnvironment();
          assert.ok(ours !== null);
          assert.deepEqual(await fwPrintenv(sandbox.configPath), ours, `step ${step}, action ${action}`);
          assert.deepEqual(comparable(await printedByUboot()), comparable(ours), `step ${step}, action ${action}`);
        }
      } finally {
        await sandbox.close();
      }
    });

    it('a lost environment is made anew by us from what is compiled into U-Boot', async () => {
      const { sandbox, control, powerOn } = await openBoard(variant, build.compiledIn);
      try {
        assert.equal(await sandbox.readEnvironment(), null);
        await control.activate('b', 2, contractVerity('b'), signal);
        assert.equal(await powerOn(hookCommand()), 'b');
        assert.equal((await sandbox.readEnvironment())?.get('BOOT_B_LEFT'), '1');
      } finally {
        await sandbox.close();
      }
    });
  });
}
