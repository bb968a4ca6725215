// Known bugs planted in boot.cmd, each of which must show in a real U-Boot as a difference from the script's twin.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { flattenScript } from '../../bootctl/uboot/boot-script.ts';
import { createRandom } from '../bootctl/random.ts';
import { type Oddities, randomCases } from '../bootctl/uboot/boot-cases.ts';
import { buildUboot } from './u-boot-build.ts';
import { checkCase } from './u-boot-differential.ts';
import { createSandbox } from './u-boot-sandbox.ts';

const build = await buildUboot('sandbox');
const script = await readFile(new URL('../../../bootctl/uboot/boot.cmd', import.meta.url), 'utf8');
const casesMax = 400;

/** Fewer kinds of values than elsewhere, so that each bug shows soon. */
const frequent: Oddities = {
  order: ['A B', 'B A', 'B A', 'A', 'C D', undefined],
  left: ['0', '1', '3', "'"],
  trial: ['A', 'B', 'A B', undefined],
  root: ['ab'.repeat(32), 'cd'.repeat(32), undefined],
  sequence: ['1', '2f', undefined],
};

interface Planted {
  readonly name: string;
  readonly find: string;
  readonly replace: string;
}

const planted: readonly Planted[] = [
  {
    name: 'counts confirmed slots at every boot',
    find: 'if test -n "${o_trial}"; then setenv BOOT_${o_s}_LEFT ${o_less}; o_dirty=1; fi\n      if',
    replace: 'setenv BOOT_${o_s}_LEFT ${o_less}; o_dirty=1\n      if',
  },
  {
    name: 'does not count a trial before it starts',
    find: 'if test -n "${o_trial}"; then setenv BOOT_${o_s}_LEFT ${o_less}; o_dirty=1; fi\n      if',
    replace: 'if',
  },
  { name: 'stays stuck when no tries are left', find: 'if test -z "${o_alive}"; then', replace: 'if false; then' },
  {
    name: 'resets for ever on an invalid order',
    find: 'if test -z "${o_first}"; then\n  setenv',
    replace: 'if false; then\n  setenv',
  },
  {
    name: 'starts a trial though the counter could not be saved',
    find: 'setenv BOOT_${o_s}_LEFT ${o_left}; o_go=; fi',
    replace: 'setenv BOOT_${o_s}_LEFT ${o_left}; fi',
  },
  { name: 'passes the root of the other slot', find: 'o_root=${otad_b_root}', replace: 'o_root=${otad_a_root}' },
  { name: 'never starts what it could not count', find: 'again ${o_first} ${o_second}; do', replace: 'again; do' },
  {
    name: 'lets a confirmed slot that does not open hold the board',
    find: 'if test -z "${o_trial}"; then setenv BOOT_${o_s}_LEFT ${o_less}; o_dirty=1; fi\n  fi',
    replace: 'fi',
  },
  {
    name: 'counts nothing after a lost environment',
    find: 'then setenv otad_trial "A B"; o_dirty=1; fi',
    replace: 'then o_dirty=; fi',
  },
  { name: 'gives tries back to a slot without a root', find: 'o_first=${o_rooted}\n', replace: 'o_first=A\n' },
  {
    name: 'does not raise the sequence',
    find: 'then setexpr otad_seq ${otad_seq} + 1; fi\n        if saveenv',
    replace: 'then false; fi\n        if saveenv',
  },
  {
    name: 'takes a quotation mark in a counter for a digit',
    find: '  false\n  if test "${BOOT_A_LEFT}" = "${o_n}"; then',
    replace: '  true\n  if test "${BOOT_A_LEFT}" = "${o_n}"; then',
  },
];

describe('a bug planted in the boot script is noticed', () => {
  for (const { name, find, replace } of planted) {
    it(name, async () => {
      assert.equal(script.split(find).length, 2, 'the text to replace stands there once');
      const spoilt = flattenScript(script.replace(find, () => replace));
      const sandbox = await createSandbox(build, 'redundant');
      let checked = 0;
      try {
        const hunt = async (): Promise<void> => {
          for (const one of randomCases(51, casesMax, frequent)) {
            checked += 1;
            const hard = { ...one, isWritable: checked % 2 === 0 };
            await checkCase(build, sandbox, hard, { variant: 'redundant', script: spoilt }, createRandom(checked));
          }
        };
        await assert.rejects(hunt(), { name: 'AssertionError' }, `survived ${casesMax} environments`);
      } finally {
        await sandbox.close();
      }
    });
  }
});
