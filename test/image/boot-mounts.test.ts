import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Board, boards } from '../../image/boards.ts';
import { partitionUuid, planDisk } from '../../image/partitions.ts';
import { aFolder } from '../publish/publisher-fixture.ts';

const run = promisify(execFile);
const generator = fileURLToPath(
  new URL('../../../image/layers/base/files/usr/lib/systemd/system-generators/gateway-boot-mounts', import.meta.url),
);

/** What the generator makes on a board, from the list that the initramfs leaves. */
const generate = async (t: TestContext, board: Board): Promise<string> => {
  const folder = await aFolder(t);
  const list = join(folder, 'partitions');
  await writeFile(
    list,
    planDisk(board)
      .partitions.map(({ label, uuid }) => `${label} ${uuid}\n`)
      .join(''),
  );
  await run(generator, [folder], { env: { PATH: process.env.PATH, GATEWAY_PARTITIONS: list } });
  return folder;
};

const places: Readonly<Record<Board['start']['kind'], Readonly<Record<string, string>>>> = {
  'systemd-boot': { efi: 'esp' },
  'u-boot': { 'boot-env': 'uboot-files', 'boot-a': 'boot_a', 'boot-b': 'boot_b' },
  'pi-u-boot': { 'boot-env': 'uboot-files', 'boot-a': 'boot_a', 'boot-b': 'boot_b' },
  tryboot: { 'boot-config': 'bootconfig', 'boot-a': 'boot_a', 'boot-b': 'boot_b' },
};

for (const board of boards) {
  test(`${board.name}: what holds the boot state is mounted by its PARTUUID, after a check, and nothing else is`, async (t) => {
    const folder = await generate(t, board);
    const wanted = places[board.start.kind];
    const names = (await readdir(folder)).filter((name) => name.endsWith('.mount')).sort();
    assert.deepEqual(
      names,
      Object.keys(wanted)
        .map((name) => `${name}.mount`)
        .sort(),
    );
    assert.deepEqual((await readdir(join(folder, 'local-fs.target.wants'))).sort(), names);
    for (const [name, label] of Object.entries(wanted)) {
      const text = await readFile(join(folder, `${name}.mount`), 'utf8');
      const uuid = partitionUuid(board, label);
      assert.ok(text.includes(`What=/dev/disk/by-partuuid/${uuid}\nWhere=/${name.replaceAll('-', '/')}\n`), text);
      const { stdout } = await run('systemd-escape', [
        '--path',
        '--template=systemd-fsck@.service',
        `/dev/disk/by-partuuid/${uuid}`,
      ]);
      for (const key of ['Requires', 'After']) assert.ok(text.includes(`${key}=${stdout.trim()}\n`), text);
      assert.match(text, /umask=0007,gid=otad-boot/);
    }
  });
}

test('the boot helper of a board with U-Boot may write the boot partitions, and starts without one that is broken', async (t) => {
  const board = boards.find(({ start }) => start.kind === 'u-boot') ?? assert.fail('no board');
  const text = await readFile(join(await generate(t, board), 'otad-boot.service.d/60-uboot-files.conf'), 'utf8');
  assert.match(text, /^RequiresMountsFor=\/boot\/env$/m);
  assert.match(text, /^WantsMountsFor=\/boot\/a \/boot\/b$/m);
  assert.match(text, /^ReadWritePaths=-\/boot\/env -\/boot\/a -\/boot\/b$/m);
});

test('the boot helper of a board with tryboot may write the boot partitions, and starts without one that is broken', async () => {
  const text = await readFile('units/tryboot/otad-boot.conf', 'utf8');
  assert.match(text, /^RequiresMountsFor=\/boot\/config$/m);
  assert.match(text, /^WantsMountsFor=\/boot\/a \/boot\/b$/m);
  assert.match(text, /^ReadWritePaths=-\/boot\/config -\/boot\/a -\/boot\/b$/m);
});

test('without a list nothing is mounted: the machine was not started by our initramfs', async (t) => {
  const folder = await aFolder(t);
  await run(generator, [folder], { env: { PATH: process.env.PATH, GATEWAY_PARTITIONS: join(folder, 'none') } });
  assert.deepEqual(await readdir(folder), []);
});
