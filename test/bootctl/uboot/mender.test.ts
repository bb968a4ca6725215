// A device that ran Mender: read rightly, taken over by otad's first write, and kept in step, so that Mender's boot script
// goes on booting what otad says. The script is modelled from Mender's documented behaviour.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { otherSlot, type SlotName } from '../../../agent/core/types.ts';
import { createUbootControl } from '../../../bootctl/uboot/control.ts';
import { chooseByFlag, type Variables } from '../../../bootctl/uboot/environment.ts';
import { formatEnvironment, readCopies, writeCopy } from '../../../bootctl/uboot/medium.ts';
import type { MenderParts } from '../../../bootctl/uboot/mender.ts';
import { contractVerity } from '../../contract/boot-control.ts';
import { fwPrintenv, fwSetenv } from './fw-tools.ts';
import { createUbootFiles, type UbootFiles } from './machine.ts';

const { signal } = new AbortController();
const parts = { a: 2, b: 13 } as const;

const menderFactory: Variables = new Map([
  ['bootcmd', 'run mender_setup; run mender_boot'],
  ['altbootcmd', 'run mender_altbootcmd; run bootcmd'],
  [
    'mender_altbootcmd',
    `if test \${mender_boot_part} = 2; then setenv mender_boot_part 13; setenv mender_boot_part_hex d; else setenv mender_boot_part 2; setenv mender_boot_part_hex 2; fi; setenv upgrade_available 0; saveenv; run mender_setup`,
  ],
  ['bootlimit', '1'],
  ['bootcount', '0'],
  ['upgrade_available', '0'],
  ['mender_boot_part', '2'],
  ['mender_boot_part_hex', '2'],
]);

interface MenderBoard {
  readonly files: UbootFiles;
  control(): ReturnType<typeof createUbootControl>;
  variables(): Promise<Variables>;
  /** U-Boot with Mender's integration: its own boot counter, then bootcmd or altbootcmd. Gives the slot it starts. */
  powerOn(): Promise<SlotName>;
}

const withBoard = async (
  changes: Variables,
  body: (board: MenderBoard) => Promise<void>,
  booted: SlotName = 'a',
  known: MenderParts = parts,
) => {
  const files = await createUbootFiles(2);
  let running = booted;
  const current = async () => {
    const copies = (await readCopies(files.config)).map(({ copy }) => copy);
    const index = chooseByFlag(copies) ?? 0;
    return { index, copy: copies[index] };
  };
  const save = async (variables: Variables): Promise<void> => {
    const { index, copy } = await current();
    await writeCopy(files.config, index === 0 ? 1 : 0, variables, ((copy?.flag ?? 0) + 1) & 0xff);
  };
  try {
    await formatEnvironment(files.config, new Map([...menderFactory, ...changes]));
    await body({
      files,
      control: () =>
        createUbootControl({
          config: files.config,
          evidence: async () => ({ slot: running, root: null, evidence: ['root device'] }),
          lockPath: `${files.folder}/lock`,
          partitions: async () => known,
        }),
      variables: async () => (await current()).copy?.variables ?? new Map(),
      powerOn: async () => {
        let env = new Map((await current()).copy?.variables);
        if (env.get('upgrade_available') === '1') {
          const count = Number(env.get('bootcount')) + 1;
          env.set('bootcount', String(count));
          await save(env);
          if (count > Number(env.get('bootlimit'))) {
            const part = env.get('mender_boot_part') === String(parts.a) ? parts.b : parts.a;
            env = new Map(env)
              .set('mender_boot_part', String(part))
              .set('mender_boot_part_hex', part.toString(16))
              .set('upgrade_available', '0');
            await save(env);
          }
        }
        assert.equal(Number.parseInt(env.get('mender_boot_part_hex') ?? '', 16), Number(env.get('mender_boot_part')));
        running = env.get('mender_boot_part') === String(parts.a) ? 'a' : 'b';
        return running;
      },
    });
  } finally {
    await files.close();
  }
};

const summary = async ({ control }: MenderBoard) => {
  const { primary, slots } = await control().status(signal);
  return `${primary} a:${slots.a.state}:${slots.a.triesLeft ?? '-'} b:${slots.b.state}:${slots.b.triesLeft ?? '-'}`;
};

describe('a device that ran Mender, as otad reads it before its first write', () => {
  const states: readonly (readonly [
    claim: string,
    changes: readonly (readonly [string, string])[],
    SlotName,
    string,
  ])[] = [
    ['committed on a', [], 'a', 'a a:good:- b:bad:0'],
    [
      'committed on b',
      [
        ['mender_boot_part', '13'],
        ['mender_boot_part_hex', 'd'],
      ],
      'b',
      'b a:bad:0 b:good:-',
    ],
    [
      'installed into b, not rebooted yet',
      [
        ['mender_boot_part', '13'],
        ['upgrade_available', '1'],
      ],
      'a',
      'b a:good:- b:pending:1',
    ],
    [
      'running b on its only try',
      [
        ['mender_boot_part', '13'],
        ['upgrade_available', '1'],
        ['bootcount', '1'],
      ],
      'b',
      'a a:good:- b:pending:0',
    ],
    [
      'running b on the first of three tries',
      [
        ['mender_boot_part', '13'],
        ['upgrade_available', '1'],
        ['bootcount', '1'],
        ['bootlimit', '3'],
      ],
      'b',
      'b a:good:- b:pending:2',
    ],
  ];
  for (const [claim, changes, booted, expected] of states) {
    it(claim, async () => {
      await withBoard(
        new Map(changes),
        async (board) => {
          const before = await board.variables();
          assert.equal(await summary(board), expected);
          assert.match(
            (await board.control().status(signal)).evidence.join('\n'),
            /Mender's variables: mender_boot_part /,
          );
          assert.deepEqual(await board.variables(), before, 'reading writes nothing');
        },
        booted,
      );
    });
  }

  it("shows SWUpdate's ustate as evidence and decides nothing by it", async () => {
    await withBoard(new Map([['ustate', '3']]), async (board) => {
      assert.match((await board.control().status(signal)).evidence.join('\n'), /ustate: 3 \(failed\)/);
      assert.equal(await summary(board), 'a a:good:- b:bad:0');
    });
  });
});

describe("a board whose boot script is Mender's, under otad", () => {
  it("the first write writes otad's names, keeps Mender's in step and everything else as it was", async () => {
    await withBoard(new Map(), async (board) => {
      await board.control().activate('b', 3, contractVerity('b'), signal);
      const after = (await fwPrintenv(board.files.configPath)) ?? new Map();
      assert.deepEqual(
        ['BOOT_ORDER', 'otad_trial', 'otad_seq', 'otad_mender_parts'].map((name) => after.get(name)),
        ['B A', 'B', '1', '2 13'],
      );
      assert.deepEqual(
        ['mender_boot_part', 'mender_boot_part_hex', 'upgrade_available', 'bootcount', 'bootlimit'].map((name) =>
          after.get(name),
        ),
        ['13', 'd', '1', '0', '3'],
      );
      for (const name of ['bootcmd', 'altbootcmd', 'mender_altbootcmd']) {
        assert.equal(after.get(name), menderFactory.get(name));
      }
    });
  });

  it('a trial boots as often as it has tries, falls back, and is then seen as failed', async () => {
    await withBoard(new Map(), async (board) => {
      await board.control().activate('b', 3, contractVerity('b'), signal);
      for (const left of [2, 1, 0]) {
        assert.equal(await board.powerOn(), 'b');
        assert.match(await summary(board), new RegExp(`b:pending:${left}$`));
      }
      assert.equal(await board.powerOn(), 'a');
      assert.equal(await summary(board), 'a a:good:- b:bad:0');
    });
  });

  it('a confirmed trial stays, over many power cycles', async () => {
    await withBoard(new Map(), async (board) => {
      await board.control().activate('b', 3, contractVerity('b'), signal);
      await board.powerOn();
      await board.control().markGood('b', signal);
      for (let cycle = 0; cycle < 6; cycle += 1) assert.equal(await board.powerOn(), 'b');
      assert.match(await summary(board), /^b .*b:good:-$/);
    });
  });

  it('marking a trial bad leads back at the next boot, and a repeated step gives no tries back', async () => {
    await withBoard(new Map(), async (board) => {
      await board.control().activate('b', 3, contractVerity('b'), signal);
      await board.powerOn();
      await board.control().markBad('b', signal);
      assert.equal(await board.powerOn(), 'a');
      await board.control().invalidate('b', signal);
      assert.equal(await board.powerOn(), 'a');
      assert.equal(await summary(board), 'a a:good:- b:bad:0');
    });
  });

  it("a trial that Mender began is committed by otad's confirmation, in Mender's names too", async () => {
    const changes = new Map([
      ['mender_boot_part', '13'],
      ['mender_boot_part_hex', 'd'],
      ['upgrade_available', '1'],
    ]);
    await withBoard(changes, async (board) => {
      assert.equal(await board.powerOn(), 'b');
      await board.control().markGood('b', signal);
      for (let cycle = 0; cycle < 3; cycle += 1) assert.equal(await board.powerOn(), 'b');
      assert.match(await summary(board), /b:good:-$/);
    });
  });

  it("the count of Mender's bootloader survives when the status puts the copies right", async () => {
    await withBoard(new Map(), async (board) => {
      await board.control().activate('b', 3, contractVerity('b'), signal);
      assert.equal(await board.powerOn(), 'b');
      const evidence = (await board.control().status(signal)).evidence.join('\n');
      assert.match(evidence, /without raising the sequence; put right/);
      assert.equal((await board.variables()).get('bootcount'), '1');
    });
  });

  it('without knowing the partition numbers it changes nothing, names the way out, and obeys it', async () => {
    const unknown = { a: null, b: null };
    await withBoard(
      new Map(),
      async (board) => {
        const before = await board.variables();
        await assert.rejects(board.control().activate('b', 3, contractVerity('b'), signal), {
          code: 'BOOT_ENV_UNSUPPORTED',
          message: /fw_setenv otad_mender_parts/,
        });
        assert.deepEqual(await board.variables(), before);
        await fwSetenv(board.files.configPath, new Map([['otad_mender_parts', '2 13']]));
        assert.equal(await summary(board), 'a a:good:- b:bad:0');
        await board.control().activate('b', 3, contractVerity('b'), signal);
        assert.equal(await board.powerOn(), 'b');
        // Known from the write, also when the slot's device cannot be asked later.
        await board.control().markBad('b', signal);
        assert.equal(await board.powerOn(), 'a');
      },
      'a',
      unknown,
    );
  });

  it("a flip by a technician's hand, before the reboot, is read as what Mender will boot", async () => {
    await withBoard(
      new Map([
        ['mender_boot_part', '13'],
        ['mender_boot_part_hex', 'd'],
      ]),
      async (board) => {
        assert.equal(await summary(board), 'b a:bad:0 b:good:-');
        assert.equal(await board.powerOn(), 'b');
      },
    );
  });

  it("Mender's remains beside a BOOT_ORDER that was never otad's decide nothing", async () => {
    const remains = new Map([
      ['BOOT_ORDER', 'A B'],
      ['BOOT_A_LEFT', '3'],
      ['BOOT_B_LEFT', '3'],
      ['mender_boot_part', '13'],
    ]);
    for (const known of [parts, { a: null, b: null }]) {
      await withBoard(
        remains,
        async (board) => {
          assert.equal((await board.control().status(signal)).primary, 'a');
          await board.control().markGood('a', signal);
          assert.equal((await board.control().status(signal)).slots.a.state, 'good');
          assert.equal((await board.variables()).get('mender_boot_part'), known.a === null ? '13' : '2');
        },
        'a',
        known,
      );
    }
  });

  it('once mender_boot_part is taken out nothing of Mender is written any more', async () => {
    await withBoard(new Map(), async (board) => {
      await board.control().activate('b', 3, contractVerity('b'), signal);
      await fwSetenv(
        board.files.configPath,
        new Map([
          ['mender_boot_part', null],
          ['upgrade_available', '7'],
        ]),
      );
      await board.control().markGood('a', signal);
      const after = await board.variables();
      assert.deepEqual([after.has('mender_boot_part'), after.get('upgrade_available')], [false, '7']);
    });
  });

  for (const booted of ['a', 'b'] as const) {
    it(`whole updates to and fro agree with what the board boots (from ${booted})`, async () => {
      const start = new Map([
        ['mender_boot_part', String(parts[booted])],
        ['mender_boot_part_hex', parts[booted].toString(16)],
      ]);
      await withBoard(
        start,
        async (board) => {
          let good: SlotName = booted;
          for (let round = 0; round < 4; round += 1) {
            const next = otherSlot(good);
            await board.control().invalidate(next, signal);
            assert.equal(await board.powerOn(), good);
            await board.control().activate(next, 2, contractVerity(next, round), signal);
            assert.equal(await board.powerOn(), next);
            if (round % 2 === 0) await board.control().markGood(next, signal);
            else {
              await board.powerOn();
              assert.equal(await board.powerOn(), good);
            }
            const status = await board.control().status(signal);
            if (round % 2 === 0) good = next;
            assert.equal(status.primary, good);
            assert.equal(status.slots[good].state, 'good');
          }
        },
        booted,
      );
    });
  }
});
