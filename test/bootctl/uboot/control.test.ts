// The U-Boot adapter on real files: against fw_printenv and fw_setenv, with broken media, with faults in its calls.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { link, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import type { BootControl } from '../../../agent/core/ports.ts';
import { withLockFile } from '../../../bootctl/lock-file.ts';
import { createUbootControl, type UbootOptions } from '../../../bootctl/uboot/control.ts';
import { chooseByFlag, decodeCopy, encodeCopy, type Variables } from '../../../bootctl/uboot/environment.ts';
import { formatEnvironment, whileUnprotected, writeProtectSwitch } from '../../../bootctl/uboot/medium.ts';
import { powerOn } from '../../../bootctl/uboot/power-on.ts';
import { applyModel } from '../../../bootctl/uboot/variables.ts';
import { contractStart, contractVerity } from '../../contract/boot-control.ts';
import { createRandom, type Random } from '../random.ts';
import { fwPrintenv, fwSetenv } from './fw-tools.ts';
import { createUbootFiles, createUbootMachine, factoryVariables, type UbootFiles } from './machine.ts';

const { signal } = new AbortController();

const withFiles = async (copies: 1 | 2, body: (files: UbootFiles) => Promise<void>): Promise<void> => {
  const files = await createUbootFiles(copies);
  try {
    await body(files);
  } finally {
    await files.close();
  }
};

const factory = (files: UbootFiles, extra: Variables = new Map()): Promise<void> =>
  formatEnvironment(files.config, new Map([...applyModel(factoryVariables, contractStart), ...extra]));

const controlOf = (files: UbootFiles, options: Partial<UbootOptions> = {}): BootControl =>
  createUbootControl({
    config: files.config,
    evidence: { slot: 'a', root: null, evidence: ['test'] },
    lockPath: join(files.folder, 'lock'),
    ...options,
  });

const readAll = (files: UbootFiles): Promise<readonly Buffer[]> =>
  Promise.all(files.envPaths.map((path) => readFile(path)));

/** Changes bytes of one copy in place. */
const damage = async (files: UbootFiles, copy: number, offset: number, change: (byte: number) => number) => {
  const path = files.envPaths[copy] ?? '';
  const bytes = await readFile(path);
  bytes[offset] = change(bytes[offset] ?? 0);
  await writeFile(path, bytes);
};

const currentCopy = async (files: UbootFiles): Promise<number> => {
  const isRedundant = files.envPaths.length === 2;
  return chooseByFlag((await readAll(files)).map((image) => decodeCopy(image, isRedundant))) ?? -1;
};

const randomText = (random: Random, length: number): string =>
  Array.from({ length }, () => String.fromCharCode(33 + random.below(94))).join('');

/** What fw_setenv may be asked for. A value that starts with a dash would be an option to it. */
const randomChanges = (random: Random): ReadonlyMap<string, string | null> =>
  new Map(
    Array.from({ length: 1 + random.below(4) }, () => [
      `v${random.below(12)}`,
      random.below(4) === 0 ? null : `=${randomText(random, random.below(40))} x=${random.below(99)}`,
    ]),
  );

describe('U-Boot adapter beside fw_printenv and fw_setenv', () => {
  for (const copies of [1, 2] as const) {
    it(`each reads what the other wrote, over many random writes (${copies} copies)`, async () => {
      await withFiles(copies, async (files) => {
        const random = createRandom(30 + copies);
        await factory(files, new Map([['note', 'caf\u{e9} \u{80}\u{ff}']]));
        const expected = new Map(await fwPrintenv(files.configPath));
        assert.equal(expected.get('note'), 'caf\u{e9} \u{80}\u{ff}');
        const control = controlOf(files);
        for (let round = 0; round < 25; round += 1) {
          const changes = randomChanges(random);
          await fwSetenv(files.configPath, changes);
          for (const [name, value] of changes) value === null ? expected.delete(name) : expected.set(name, value);
          const tries = 1 + (round % 9);
          await control.activate('b', tries, contractVerity('b', round), signal);
          const printed = new Map(await fwPrintenv(files.configPath));
          for (const [name, value] of [
            ['BOOT_ORDER', 'B A'],
            ['BOOT_B_LEFT', String(tries)],
            ['otad_trial', 'B'],
            ['otad_b_root', contractVerity('b', round).rootHex],
            ['otad_b_hashoffset', String(contractVerity('b', round).hashOffsetBytes)],
            ['otad_seq', printed.get('otad_seq') ?? 'none'],
          ] as const) {
            expected.set(name, value);
          }
          assert.deepEqual(printed, new Map([...expected].sort(([one], [two]) => (one < two ? -1 : 1))));
        }
      });
    });
  }

  it('a technician marks a slot bad with fw_setenv and the status says so', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      const control = controlOf(files);
      await control.activate('b', 3, contractVerity('b'), signal);
      await fwSetenv(files.configPath, new Map([['BOOT_B_LEFT', '0']]));
      const status = await control.status(signal);
      assert.deepEqual([status.primary, status.slots.b.state], ['a', 'bad']);
      await fwSetenv(files.configPath, new Map([['BOOT_ORDER', 'rubbish']]));
      assert.equal((await control.status(signal)).primary, 'a');
    });
  });

  it('a boot script that counts every boot does not wear a confirmed slot out', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      for (const left of ['2', '1', '0']) {
        await fwSetenv(files.configPath, new Map([['BOOT_A_LEFT', left]]));
        assert.equal((await controlOf(files).status(signal)).slots.a.state, 'good');
        assert.equal((await fwPrintenv(files.configPath))?.get('BOOT_A_LEFT'), '3');
      }
    });
  });

  it('flags that fw_setenv keeps for variables survive', async () => {
    await withFiles(2, async (files) => {
      await factory(files, new Map([['.flags', 'serial#:so']]));
      await controlOf(files).activate('b', 3, contractVerity('b'), signal);
      await fwSetenv(files.configPath, new Map([['later', '1']]));
      await controlOf(files).markGood('a', signal);
      const copy = decodeCopy((await readAll(files))[await currentCopy(files)] ?? Buffer.alloc(0), true);
      assert.equal(copy?.variables.get('.flags'), 'serial#:so');
      assert.equal(copy?.variables.get('later'), '1');
    });
  });

  it('fw_printenv and U-Boot rule choose the same copy for any two flags and any damage', async () => {
    await withFiles(2, async (files) => {
      const random = createRandom(33);
      const edges = [0, 1, 2, 127, 128, 254, 255];
      for (let round = 0; round < 60; round += 1) {
        const images = files.envPaths.map((_, index) =>
          Buffer.from(encodeCopy(new Map([['copy', `${index}`]]), files.config.sizeBytes, random.pick(edges))),
        );
        for (const image of images) if (random.below(4) === 0) image[5 + random.below(20)] = 0x7e;
        for (const [index, path] of files.envPaths.entries()) await writeFile(path, images[index] ?? '');
        const chosen = chooseByFlag(images.map((image) => decodeCopy(image, true)));
        assert.equal((await fwPrintenv(files.configPath))?.get('copy'), chosen === null ? undefined : `${chosen}`);
      }
    });
  });

  it('takes the lock that fw_setenv takes', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      const { stderr } = await promisify(execFile)('strace', [
        '-e',
        'trace=openat,flock',
        ...['fw_setenv', '-c', files.configPath, 'x', 'y'],
      ]);
      assert.match(stderr, /openat\(AT_FDCWD, "\/var\/lock\/fw_printenv\.lock".*\) = (\d+)\nflock\(\1, LOCK_EX\)/);
    });
  });
});

describe('U-Boot environment lock', () => {
  const isFree = async (path: string): Promise<boolean> => {
    try {
      await promisify(execFile)('flock', ['-n', '-x', path, 'true']);
      return true;
    } catch {
      return false;
    }
  };

  it('shuts others out for exactly as long as the step runs', async () => {
    await withFiles(1, async (files) => {
      const path = join(files.folder, 'lock');
      assert.equal(await withLockFile(path, signal, () => isFree(path)), false);
      assert.equal(await isFree(path), true);
      await assert.rejects(
        withLockFile(path, signal, () => Promise.reject(new Error('step'))),
        /step/,
      );
      assert.equal(await isFree(path), true);
    });
  });

  it('gives up after its bound while another program holds it, or when cancelled', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      const path = join(files.folder, 'lock');
      const control = controlOf(files, { lockWaitMs: 50 });
      await withLockFile(path, signal, async () => {
        await assert.rejects(control.status(signal), { code: 'BOOT_ENV_BUSY' });
        const cancelled = new AbortController();
        const waiting = assert.rejects(controlOf(files).status(cancelled.signal), { code: 'CANCELLED' });
        cancelled.abort();
        await waiting;
      });
      assert.equal((await control.status(signal)).primary, 'a');
    });
  });

  it('steps at the same time do not lose one another', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      const control = controlOf(files);
      await Promise.all([
        control.activate('b', 3, contractVerity('b'), signal),
        control.markGood('a', signal),
        control.activate('b', 3, contractVerity('b'), signal),
        control.status(signal),
      ]);
      assert.equal((await control.status(signal)).slots.b.state, 'pending');
    });
  });
});

describe('U-Boot adapter on broken media', () => {
  it('uses the other copy when one is corrupt, short, missing or not readable, and says so', async () => {
    const breakers: readonly ((path: string) => Promise<void>)[] = [
      (path) => writeFile(path, Buffer.alloc(0x2000)),
      (path) => truncate(path, 100),
      (path) => rm(path),
    ];
    for (const broken of [0, 1]) {
      for (const breaker of breakers) {
        await withFiles(2, async (files) => {
          await factory(files);
          await controlOf(files).markGood('a', signal);
          await breaker(files.envPaths[broken] ?? '');
          const status = await controlOf(files).status(signal);
          assert.deepEqual([status.primary, status.slots.a.state], ['a', 'good']);
          assert.match(status.evidence.join('\n'), new RegExp(`copy ${broken + 1} of 2 .* is not usable`));
        });
      }
    }
  });

  it('a corrupt or short copy is written whole again by the next change', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      await truncate(files.envPaths[1] ?? '', 100);
      await controlOf(files).activate('b', 3, contractVerity('b'), signal);
      const status = await controlOf(files).status(signal);
      assert.equal(status.primary, 'b');
      assert.doesNotMatch(status.evidence.join('\n'), /not usable/);
      assert.equal((await fwPrintenv(files.configPath))?.get('BOOT_ORDER'), 'B A');
    });
  });

  it('never overwrites the only good copy when the other cannot be written', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      await rm(files.envPaths[1] ?? '');
      const before = await readFile(files.envPaths[0] ?? '');
      await assert.rejects(controlOf(files).activate('b', 3, contractVerity('b'), signal), {
        code: 'BOOT_ENV_UNWRITABLE',
      });
      assert.deepEqual(await readFile(files.envPaths[0] ?? ''), before);
    });
  });

  it('repairs a flag with a flipped bit at the next status, before U-Boot goes by the stale copy', async () => {
    for (let bit = 0; bit < 8; bit += 1) {
      await withFiles(2, async (files) => {
        await factory(files);
        await controlOf(files).activate('b', 3, contractVerity('b'), signal);
        await controlOf(files).invalidate('b', signal);
        for (const copy of [0, 1]) {
          await damage(files, copy, 4, (byte) => byte ^ (1 << bit));
          const status = await controlOf(files).status(signal);
          assert.deepEqual([status.primary, status.slots.b.state], ['a', 'bad']);
          assert.equal((await fwPrintenv(files.configPath))?.get('BOOT_ORDER'), 'A');
          assert.equal((await powerOn(files.config)).slot, 'a');
        }
      });
    }
  });

  it('a step that is already done still overrules a stale copy that counts by a flipped bit', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      await controlOf(files).activate('b', 3, contractVerity('b'), signal);
      await controlOf(files).invalidate('b', signal);
      const stale = 1 - (await currentCopy(files));
      await damage(files, stale, 4, (byte) => byte ^ 0x40);
      assert.equal(await currentCopy(files), stale);
      await controlOf(files).invalidate('b', signal);
      assert.equal((await fwPrintenv(files.configPath))?.get('BOOT_ORDER'), 'A');
    });
  });

  it('two names of one place are no redundancy and are refused before anything is written', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      const [one = '', two = ''] = files.envPaths;
      const before = await readFile(one);
      for (const join of [symlink, link]) {
        await rm(two);
        await join(one, two);
        await assert.rejects(controlOf(files).activate('b', 3, contractVerity('b'), signal), {
          code: 'BOOT_ENV_UNSUPPORTED',
        });
        assert.deepEqual(await readFile(one), before);
      }
    });
  });

  it('a copy without variables is not gone by, and the next status takes it out of U-Boot sight', async () => {
    for (const empty of [0, 1]) {
      await withFiles(2, async (files) => {
        await factory(files);
        await controlOf(files).activate('b', 3, contractVerity('b'), signal);
        const image = Buffer.alloc(files.config.sizeBytes);
        image.writeUInt32LE(crc32(image.subarray(5)), 0);
        image[4] = 0x7f;
        await writeFile(files.envPaths[empty] ?? '', image);
        assert.equal((await powerOn(files.config)).slot, null);
        const status = await controlOf(files).status(signal);
        assert.match(status.evidence.join('\n'), /without any variable counts; put right/);
        assert.notEqual((await powerOn(files.config)).slot, null);
        assert.equal((await fwPrintenv(files.configPath))?.get('bootcmd'), 'run distro_bootcmd');
      });
    }
  });

  it('two empty copies are no environment: nothing is written without an initial one, and then it counts', async () => {
    await withFiles(2, async (files) => {
      const image = Buffer.alloc(files.config.sizeBytes);
      image.writeUInt32LE(crc32(image.subarray(5)), 0);
      for (const [index, path] of files.envPaths.entries()) {
        image[4] = 200 + index;
        await writeFile(path, image);
      }
      await assert.rejects(controlOf(files).markGood('a', signal), { code: 'BOOT_ENV_UNREADABLE' });
      await controlOf(files, { initial: new Map([['bootcmd', 'run x']]) }).markGood('a', signal);
      assert.equal((await fwPrintenv(files.configPath))?.get('bootcmd'), 'run x');
      assert.equal((await powerOn(files.config)).slot, 'a');
    });
  });

  it('a value without a name, which makes U-Boot drop everything, is taken out at the next status', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      const control = controlOf(files);
      await control.activate('b', 3, contractVerity('b'), signal);
      const current = await currentCopy(files);
      const copy = decodeCopy((await readAll(files))[current] ?? Buffer.alloc(0), true);
      const image = encodeCopy(
        new Map([...(copy?.variables ?? []), ['', 'x']]),
        files.config.sizeBytes,
        copy?.flag ?? 0,
      );
      await writeFile(files.envPaths[current] ?? '', image);
      const images = await readAll(files);
      assert.equal((await powerOn(files.config)).isEnvironmentValid, false);
      for (const [index, path] of files.envPaths.entries()) await writeFile(path, images[index] ?? '');
      assert.match((await control.status(signal)).evidence.join('\n'), /without a name .*; put right/);
      assert.deepEqual(await powerOn(files.config).then(({ slot, isEnvironmentValid }) => [slot, isEnvironmentValid]), [
        'b',
        true,
      ]);
      assert.equal((await fwPrintenv(files.configPath))?.has(''), false);
    });
  });

  it('with both copies corrupt it reports what the compiled-in environment does and writes nothing half', async () => {
    await withFiles(2, async (files) => {
      const before = await readAll(files);
      const status = await controlOf(files).status(signal);
      assert.deepEqual([status.slots.a.state, status.slots.b.state], ['pending', 'pending']);
      assert.match(status.evidence.join('\n'), /no copy is valid/);
      await assert.rejects(controlOf(files).markGood('a', signal), { code: 'BOOT_ENV_UNREADABLE' });
      assert.deepEqual(await readAll(files), before);
      await controlOf(files, { initial: new Map([['bootcmd', 'run x']]) }).markGood('a', signal);
      const printed = await fwPrintenv(files.configPath);
      assert.deepEqual([printed?.get('bootcmd'), printed?.get('BOOT_ORDER')], ['run x', 'A B']);
    });
  });

  it('a lost environment heals by itself: the firmware stores its own, the agent confirms in it', async () => {
    await withFiles(2, async (files) => {
      const compiledIn = new Map([['bootcmd', 'run x']]);
      const first = await powerOn(files.config, undefined, compiledIn);
      assert.deepEqual(first, { slot: 'a', cmdline: 'otad.slot=a otad.trial=1', isEnvironmentValid: false });
      const control = controlOf(files);
      assert.deepEqual((await control.status(signal)).slots.a, { state: 'pending', triesLeft: 2 });
      await control.markGood('a', signal);
      const before = await readAll(files);
      for (let index = 0; index < 5; index += 1) assert.equal((await powerOn(files.config)).slot, 'a');
      assert.deepEqual(await readAll(files), before);
      assert.equal((await fwPrintenv(files.configPath))?.get('bootcmd'), 'run x');
    });
  });

  it('says that nothing can be read when nothing can', async () => {
    await withFiles(2, async (files) => {
      for (const path of files.envPaths) await rm(path);
      await assert.rejects(controlOf(files).status(signal), { code: 'BOOT_ENV_UNREADABLE' });
    });
  });

  it('says that the environment is full and leaves it as it was', async () => {
    await withFiles(2, async (files) => {
      await factory(files, new Map([['big', 'x'.repeat(0x2000 - 250)]]));
      const before = await readAll(files);
      await assert.rejects(controlOf(files).activate('b', 3, contractVerity('b'), signal), {
        code: 'BOOT_ENV_UNWRITABLE',
      });
      assert.deepEqual(await readAll(files), before);
    });
  });

  it('a step that changes nothing writes nothing', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      const control = controlOf(files);
      await control.activate('b', 3, contractVerity('b'), signal);
      const before = await readAll(files);
      await control.activate('b', 3, contractVerity('b'), signal);
      await control.markGood('a', signal);
      await control.markGood('a', signal);
      const after = await readAll(files);
      // One write for markGood, none for the repetitions: exactly one copy differs.
      assert.equal(after.filter((image, index) => !image.equals(before[index] ?? Buffer.alloc(0))).length, 1);
    });
  });

  it('knows the write protection of eMMC boot areas and of nothing else', () => {
    assert.equal(writeProtectSwitch('/dev/mmcblk0boot1'), '/sys/class/block/mmcblk0boot1/force_ro');
    assert.equal(writeProtectSwitch('/dev/block/mmcblk2boot0'), '/sys/class/block/mmcblk2boot0/force_ro');
    for (const path of ['/dev/mmcblk0p1', '/dev/mmcblk0', '/dev/sda1', '/x/mmcblk0boot1']) {
      assert.equal(writeProtectSwitch(path), null);
    }
  });

  it('opens a write-protected area for the write alone, and touches no switch that is open already', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'otad-switch-'));
    const path = join(folder, 'force_ro');
    for (const [before, after] of [
      ['1\n', '1'],
      ['0\n', '0\n'],
    ] as const) {
      await writeFile(path, before);
      await whileUnprotected(path, async () => assert.equal((await readFile(path, 'utf8')).trim(), '0'));
      assert.equal(await readFile(path, 'utf8'), after);
    }
    await rm(folder, { recursive: true });
  });
});

describe('U-Boot adapter under faults of the system', () => {
  const child = new URL('./write-child.js', import.meta.url).pathname;

  /** Runs one step in a child whose system calls `inject` tampers with. Gives its last line, or the signal. */
  const runWith = async (files: UbootFiles, step: string, inject: string): Promise<string> => {
    const args = [
      ...['-f', '-qq', '-o', '/dev/null', ...files.envPaths.flatMap((path) => ['-P', path])],
      ...['-e', `trace=${inject.split(':')[0]}`, '-e', `inject=${inject}`],
      ...[process.execPath, child, files.configPath, join(files.folder, 'lock'), step],
    ];
    try {
      // strace counts the calls of each thread for itself.
      const env = { ...process.env, UV_THREADPOOL_SIZE: '1' };
      const { stdout } = await promisify(execFile)('strace', args, { timeout: 20_000, env });
      return stdout.trim().split('\n').at(-1) ?? '';
    } catch (error) {
      const { signal: name, code } = error as { signal?: string; code?: number };
      return name ?? `exit ${code}`;
    }
  };

  const faults: readonly (readonly [claim: string, inject: string, answer: string, primary: 'a' | 'b'])[] = [
    ['a write that says it was done and was not is found out', 'pwrite64:retval=8192', 'BOOT_WRITE_LOST', 'a'],
    ['a write error is told', 'pwrite64:error=EIO', 'BOOT_ENV_UNWRITABLE', 'a'],
    ['a full disk is told', 'pwrite64:error=ENOSPC', 'BOOT_ENV_UNWRITABLE', 'a'],
    ['a failing fsync is told', 'fsync:error=EIO', 'BOOT_ENV_UNWRITABLE', 'b'],
    ['killed before the write, the old environment stays', 'pwrite64:signal=SIGKILL', 'SIGKILL', 'a'],
    ['killed after the write, the new environment stays', 'fsync:signal=SIGKILL', 'SIGKILL', 'b'],
  ];
  for (const [claim, inject, answer, primary] of faults) {
    it(claim, async () => {
      await withFiles(2, async (files) => {
        await factory(files);
        assert.equal(await runWith(files, 'activate', inject), answer);
        assert.equal((await controlOf(files).status(signal)).primary, primary);
        assert.equal((await fwPrintenv(files.configPath))?.get('BOOT_ORDER'), primary === 'a' ? 'A' : 'B A');
      });
    });
  }

  it('a lost write is found out where there is only one copy, too', async () => {
    await withFiles(1, async (files) => {
      await factory(files);
      assert.equal(await runWith(files, 'activate', 'pwrite64:retval=8192'), 'BOOT_WRITE_LOST');
    });
  });

  it('a read error in one copy does not keep the other from being used', async () => {
    await withFiles(2, async (files) => {
      await factory(files);
      assert.equal(await runWith(files, 'status', 'pread64:error=EIO:when=1'), 'done');
      assert.equal(await runWith(files, 'status', 'pread64:error=EIO'), 'BOOT_ENV_UNREADABLE');
    });
  });
});

describe('U-Boot machine', () => {
  it('hands root and hash offset of the slot to the kernel', async () => {
    const machine = await createUbootMachine(2);
    try {
      const verity = contractVerity('b', 9);
      await machine.control.activate('b', 2, verity, signal);
      const { cmdline } = await powerOn(machine.files.config);
      const slotArguments = `otad.slot=b otad.root=${verity.rootHex} otad.hashoffset=${verity.hashOffsetBytes}`;
      assert.equal(cmdline, `${slotArguments} otad.trial=1`);
      await machine.control.markGood('b', signal);
      assert.equal((await powerOn(machine.files.config)).cmdline, slotArguments);
    } finally {
      await machine.close();
    }
  });
});
