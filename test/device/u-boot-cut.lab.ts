// Power cuts while a real U-Boot saves its environment: every sector prefix of its raw write, tears inside a sector, and a
// kill at each write of a FAT file system. The next power-on has the old environment or the new one, and starts a slot.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { encodeCopy, sequenceName, type Variables } from '../../bootctl/uboot/environment.ts';
import { outcomeOf, printedValue, slotHooks, trialOfB } from './u-boot-boards.ts';
import { buildUboot } from './u-boot-build.ts';
import { copyOffsets, createSandbox, envBytes } from './u-boot-sandbox.ts';

const run = promisify(execFile);
const build = await buildUboot('sandbox');

const trial = trialOfB(build);
const older: Variables = new Map([...trial, [sequenceName, '6']]);
const sectorBytes = 512;

describe('a power cut while U-Boot saves', () => {
  it('leaves the old environment or the new one at every sector and inside one, whichever copy is written', async () => {
    const sandbox = await createSandbox(build, 'redundant');
    try {
      const flags = [
        { first: 1, second: 0, isFirstCurrent: true },
        { first: 0, second: 1, isFirstCurrent: false },
        { first: 255, second: 254, isFirstCurrent: true },
        { first: 0, second: 255, isFirstCurrent: true },
      ];
      for (const { first, second, isFirstCurrent } of flags) {
        const before = [
          encodeCopy(isFirstCurrent ? trial : older, envBytes, first),
          encodeCopy(isFirstCurrent ? older : trial, envBytes, second),
        ] as const;
        await sandbox.insertCard(before);
        assert.equal(outcomeOf(await sandbox.powerOn()).slot, 'b');
        const card = await readFile(sandbox.cardPath);
        const written = isFirstCurrent ? 1 : 0;
        const offset = copyOffsets[written];
        const after = card.subarray(offset, offset + envBytes);
        assert.notDeepEqual(after, Buffer.from(before[written]), 'U-Boot wrote the copy that does not count');
        assert.deepEqual(
          card.subarray(copyOffsets[1 - written] ?? 0, (copyOffsets[1 - written] ?? 0) + envBytes),
          Buffer.from(before[1 - written] ?? []),
        );
        const seen = new Set<string>();
        for (const cut of [
          0,
          1,
          4,
          5,
          300,
          ...Array.from({ length: envBytes / sectorBytes }, (_, index) => (index + 1) * sectorBytes),
        ]) {
          const torn = Buffer.concat([after.subarray(0, cut), Buffer.from(before[written]).subarray(cut)]);
          await sandbox.insertCard(written === 0 ? [torn, before[1]] : [before[0], torn]);
          const left = (await sandbox.readEnvironment())?.get('BOOT_B_LEFT');
          assert.ok(left === '3' || left === '2', `cut at ${cut}: ${left}`);
          assert.equal(outcomeOf(await sandbox.powerOn()).slot, 'b');
          assert.equal(
            (await sandbox.readEnvironment())?.get('BOOT_B_LEFT'),
            String(Number(left) - 1),
            `cut at ${cut}`,
          );
          seen.add(left);
        }
        assert.deepEqual([...seen], ['3', '2']);
      }
    } finally {
      await sandbox.close();
    }
  });

  it('loses a single copy, after which the compiled-in logic starts a slot', async () => {
    const sandbox = await createSandbox(build, 'single');
    try {
      const before = encodeCopy(trial, envBytes, null);
      await sandbox.insertCard([before]);
      await sandbox.powerOn();
      const card = await readFile(sandbox.cardPath);
      const after = card.subarray(copyOffsets[0], copyOffsets[0] + envBytes);
      const torn = Buffer.concat([after.subarray(0, sectorBytes), Buffer.from(before).subarray(sectorBytes)]);
      await sandbox.insertCard([torn]);
      assert.equal(await sandbox.readEnvironment(), null);
      const command = `${[...slotHooks()].map(([name, value]) => `setenv ${name} '${value}'`).join('; ')}; run bootcmd`;
      assert.equal(outcomeOf(await sandbox.powerOn({ command })).slot, 'a');
    } finally {
      await sandbox.close();
    }
  });

  it('leaves one or the other when U-Boot is killed at each write to a FAT file system', async () => {
    const sandbox = await createSandbox(build, 'fat');
    try {
      const image = join(sandbox.folder, 'fat.img');
      const fresh = join(sandbox.folder, 'fresh.img');
      await writeFile(fresh, Buffer.alloc(16 * 1024 * 1024));
      await run('/usr/sbin/sgdisk', ['-n', '1:2048:+8M', '-t', '1:0700', '-c', '1:boot', fresh]);
      await run('mformat', ['-i', `${fresh}@@1M`, '-T', '16384', '::']);
      for (const [name, flag] of [
        ['uboot.env', 1],
        ['uboot-redund.env', 0],
      ] as const) {
        const path = join(sandbox.folder, name);
        await writeFile(path, encodeCopy(flag === 1 ? trial : older, envBytes, flag));
        await run('mcopy', ['-i', `${fresh}@@1M`, path, `::${name}`]);
      }
      const load = 'host bind 0 fat.img; env load';
      const save = `${load}; setenv BOOT_B_LEFT 1; saveenv; poweroff`;
      const seen = new Set<string | null>();
      let cuts = 0;
      for (let isOver = false; !isOver; ) {
        cuts += 1;
        assert.ok(cuts < 500, 'a save has an end');
        await copyFile(fresh, image);
        const wrapper = ['strace', '-f', '-qq', '-o', '/dev/null', '-P', image, '-e', 'trace=write'];
        const said = await sandbox.powerOn({
          command: save,
          wrapper: [...wrapper, '-e', `inject=write:signal=SIGKILL:when=${cuts}`],
        });
        isOver = /poweroff/.test(said);
        const next = await sandbox.powerOn({ command: `${load}; printenv BOOT_B_LEFT otad_seq; poweroff` });
        const left = printedValue(next, 'BOOT_B_LEFT');
        assert.ok(left === '3' || left === '1', `killed at write ${cuts}: ${left}\n${next}`);
        seen.add(left);
      }
      assert.deepEqual([...seen], ['3', '1']);
      assert.ok(cuts > 2, `U-Boot was killed ${cuts - 1} times`);
      console.log(`FAT: killed at each of ${cuts - 1} writes`);
    } finally {
      await sandbox.close();
    }
  });
});
