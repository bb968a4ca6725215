// A technician's fw_setenv beside the agent: one lock for both, and what was changed by hand is taken over, never undone.

import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { fwLockPath, withLockFile } from '../../../bootctl/lock-file.ts';
import { createUbootControl } from '../../../bootctl/uboot/control.ts';
import { chooseByFlag, decodeCopy, type Variables } from '../../../bootctl/uboot/environment.ts';
import { formatEnvironment } from '../../../bootctl/uboot/medium.ts';
import { applyModel } from '../../../bootctl/uboot/variables.ts';
import { contractStart, contractVerity } from '../../contract/boot-control.ts';
import { fwPrintenv, fwSetenv } from './fw-tools.ts';
import { createUbootFiles, factoryVariables, type UbootFiles } from './machine.ts';

const { signal } = new AbortController();
const waitMs = 20_000;

const withFiles = async (body: (files: UbootFiles) => Promise<void>): Promise<void> => {
  const files = await createUbootFiles(2);
  try {
    await formatEnvironment(files.config, applyModel(factoryVariables, contractStart));
    await body(files);
  } finally {
    await files.close();
  }
};

/** With the real lock file, as on a device. */
const controlOf = (files: UbootFiles, lockWaitMs = waitMs) =>
  createUbootControl({ config: files.config, evidence: { slot: 'a', root: null, evidence: [] }, lockWaitMs });

const until = async (claim: string, isTrue: () => Promise<boolean>): Promise<void> => {
  const deadline = Date.now() + waitMs;
  while (!(await isTrue())) {
    assert.ok(Date.now() < deadline, `never so: ${claim}`);
    await setImmediate();
  }
};

/** Lines of /proc/locks: `1: FLOCK ADVISORY WRITE pid ...`, with `->` before FLOCK for one that waits. */
const lockLines = async (pid: number): Promise<readonly string[]> =>
  (await readFile('/proc/locks', 'utf8')).split('\n').filter((line) => line.split(/\s+/).includes(String(pid)));

const childrenOf = async (pid: number): Promise<readonly number[]> =>
  (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ').filter(Boolean).map(Number);

const ended = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
};

const flagsOf = async (files: UbootFiles) =>
  Promise.all(files.envPaths.map(async (path) => decodeCopy(await readFile(path), true)));

const currentOf = async (files: UbootFiles): Promise<Variables> => {
  const copies = await flagsOf(files);
  return copies[chooseByFlag(copies) ?? 0]?.variables ?? new Map();
};

describe('the lock that otad and fw_setenv share', () => {
  it('makes fw_setenv wait while a step of otad runs, and lets it write afterwards', async () => {
    await withFiles(async (files) => {
      const before = await readFile(files.envPaths[1] ?? '');
      const child = await withLockFile(
        fwLockPath,
        signal,
        async () => {
          const technician = spawn('fw_setenv', ['-c', files.configPath, 'note', 'by hand'], { stdio: 'ignore' });
          await until('fw_setenv waits', async () =>
            (await lockLines(technician.pid ?? 0)).some((line) => line.includes('->')),
          );
          assert.deepEqual(await readFile(files.envPaths[1] ?? ''), before);
          return technician;
        },
        waitMs,
      );
      await ended(child);
      assert.equal((await fwPrintenv(files.configPath))?.get('note'), 'by hand');
    });
  });

  it('makes otad wait while fw_setenv is at work: busy after its bound, through as soon as it ends', async () => {
    await withFiles(async (files) => {
      // The real fw_setenv, held up for longer than this test right after it has the lock.
      const strace = spawn(
        'strace',
        [
          '-qq',
          '-o',
          '/dev/null',
          '-e',
          'inject=flock:delay_exit=60000000',
          'fw_setenv',
          '-c',
          files.configPath,
          'x',
          'y',
        ],
        { stdio: 'ignore' },
      );
      let holder = 0;
      await until('fw_setenv holds the lock', async () => {
        holder = (await childrenOf(strace.pid ?? 0))[0] ?? 0;
        return holder > 0 && (await lockLines(holder)).some((line) => !line.includes('->'));
      });
      const before = await readFile(files.envPaths[1] ?? '');
      await assert.rejects(controlOf(files, 50).activate('b', 3, contractVerity('b'), signal), {
        code: 'BOOT_ENV_BUSY',
      });
      assert.deepEqual(await readFile(files.envPaths[1] ?? ''), before);
      const waiting = controlOf(files).activate('b', 3, contractVerity('b'), signal);
      // Both: a traced program dies only when its tracer lets go of it.
      process.kill(holder, 'SIGKILL');
      strace.kill('SIGKILL');
      await waiting;
      await ended(strace);
      assert.equal((await fwPrintenv(files.configPath))?.get('BOOT_ORDER'), 'B A');
    });
  });

  it('loses no change when both write at the same time', async () => {
    await withFiles(async (files) => {
      const names = Array.from({ length: 6 }, (_, index) => `hand${index}`);
      const control = controlOf(files);
      await Promise.all([
        ...names.map((name) => fwSetenv(files.configPath, new Map([[name, '1']]))),
        control.activate('b', 5, contractVerity('b'), signal),
        control.markGood('a', signal),
        control.status(signal),
      ]);
      const variables = await currentOf(files);
      assert.deepEqual(
        names.filter((name) => variables.get(name) !== '1'),
        [],
      );
      assert.deepEqual([variables.get('BOOT_B_LEFT'), variables.get('bootcmd')], ['5', 'run distro_bootcmd']);
    });
  });
});

describe("what a technician's fw_setenv wrote", () => {
  it('counts, and the next status makes it safe against a flipped flag bit', async () => {
    for (let bit = 0; bit < 8; bit += 1) {
      await withFiles(async (files) => {
        const control = controlOf(files);
        await control.activate('b', 3, contractVerity('b'), signal);
        await fwSetenv(
          files.configPath,
          new Map([
            ['BOOT_ORDER', 'A'],
            ['note', 'by hand'],
          ]),
        );
        const status = await control.status(signal);
        assert.equal(status.primary, 'a');
        assert.match(status.evidence.join('\n'), /without raising the sequence; put right/);
        const copies = await flagsOf(files);
        const stale = 1 - (chooseByFlag(copies) ?? 0);
        const path = files.envPaths[stale] ?? '';
        const image = await readFile(path);
        image[4] = (image[4] ?? 0) ^ (1 << bit);
        await writeFile(path, image);
        assert.equal((await control.status(signal)).primary, 'a');
        assert.deepEqual(
          [(await currentOf(files)).get('note'), (await currentOf(files)).get('BOOT_ORDER')],
          ['by hand', 'A'],
        );
      });
    }
  });

  it('is taken over by the next step of otad, status or not', async () => {
    await withFiles(async (files) => {
      const control = controlOf(files);
      await control.activate('b', 3, contractVerity('b'), signal);
      await fwSetenv(
        files.configPath,
        new Map([
          ['BOOT_B_LEFT', '7'],
          ['note', 'by hand'],
        ]),
      );
      await control.markGood('a', signal);
      const variables = await currentOf(files);
      assert.deepEqual(
        [variables.get('BOOT_B_LEFT'), variables.get('note'), variables.get('BOOT_ORDER')],
        ['7', 'by hand', 'A B'],
      );
    });
  });

  it('counts when it deletes the sequence, and when it restores a backup with an old one', async () => {
    await withFiles(async (files) => {
      const control = controlOf(files);
      const backup = join(files.folder, 'backup');
      await writeFile(backup, [...(await currentOf(files))].map(([name, value]) => `${name}=${value}\n`).join(''));
      for (const tries of [1, 2, 3, 4]) await control.activate('b', tries, contractVerity('b'), signal);
      await promisify(execFile)('fw_setenv', ['-c', files.configPath, '-s', backup]);
      assert.equal((await control.status(signal)).primary, 'a');
      assert.equal((await currentOf(files)).get('BOOT_ORDER'), 'A');
      await control.activate('b', 4, contractVerity('b'), signal);
      assert.equal((await control.status(signal)).primary, 'b');
      await fwSetenv(files.configPath, new Map([['BOOT_ORDER', 'A']]));
      await fwSetenv(files.configPath, new Map([['otad_seq', null]]));
      assert.equal((await control.status(signal)).primary, 'a');
      assert.equal((await currentOf(files)).get('BOOT_ORDER'), 'A');
    });
  });

  it('a counter that is no digit, or would mean two numbers in hex and in decimal, is a full one', async () => {
    await withFiles(async (files) => {
      const control = controlOf(files);
      await control.activate('b', 1, contractVerity('b'), signal);
      for (const text of ['x', '10', 'a', '0x2', '3 ']) {
        await fwSetenv(files.configPath, new Map([['BOOT_B_LEFT', text]]));
        assert.deepEqual((await control.status(signal)).slots.b, { state: 'pending', triesLeft: 3 }, text);
      }
    });
  });

  it('is repeated in the evidence for as long as the agent runs, at most eight repairs of it', async () => {
    await withFiles(async (files) => {
      const control = controlOf(files);
      for (let index = 0; index < 10; index += 1) {
        await fwSetenv(files.configPath, new Map([['note', String(index)]]));
        await control.status(signal);
      }
      const { evidence } = await control.status(signal);
      assert.equal(evidence.filter((sentence) => sentence.includes('put right')).length, 8);
    });
  });
});
