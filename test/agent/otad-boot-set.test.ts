// Boot files through the real boot helper: placed with the flip, refused where anything about them is not as signed.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { OtadError } from '../../agent/core/errors.ts';
import type { Release, SlotRecord } from '../../agent/core/types.ts';
import { bootManifestOf } from '../../agent/runtime/boot-manifest.ts';
import { createSealing } from '../../verity/sealing.ts';
import { type BenchRelease, createHelperBench, type HelperBench, readTree } from '../support/helper-bench.ts';
import { noise } from '../support/noise.ts';
import { sha256Of } from '../support/slot-bench.ts';

const { signal } = new AbortController();
const code = (wanted: string) => (error: unknown) =>
  error instanceof OtadError && error.code === wanted ? true : assert.fail(String(error));

const manifestOf = (release: Release) => bootManifestOf(release, createSealing()) ?? assert.fail();
const setOf = (number: number) => ({ linux: `kernel ${number}`, initrd: `initrd ${number}`, 'dtbs/x.dtb': 'tree' });

const placed = ({ release, bootSet }: BenchRelease): string =>
  Object.entries({ ...bootSet, 'otad-set': manifestOf(release).text })
    .map(([name, text]) => `${name}: ${text}`)
    .sort()
    .join('\n');

describe('the boot helper', () => {
  let bench: HelperBench;
  before(async () => {
    bench = await createHelperBench();
  });
  after(() => bench.close());
  const place = (slot: 'a' | 'b'): Promise<string> => readTree(bench.at(`boot-${slot}`));

  const live = async (next: BenchRelease, slot: 'a' | 'b'): Promise<void> => {
    const { boot } = bench.client();
    await boot.invalidate(slot, signal);
    await bench.install(slot, next);
    await boot.activate(slot, 3, next.verity, signal);
    assert.equal(await bench.boot(), slot);
    await boot.markGood(slot, signal);
  };

  test('puts the boot files of a release into the place of its slot with the flip, and of no other', async () => {
    await writeFile(bench.at('boot-a/linux'), 'kernel of the factory');
    await writeFile(bench.at('boot-b/linux'), 'kernel of the factory');
    await writeFile(bench.at('boot-b/left-over'), 'x');
    const two = await bench.publish(2, {}, setOf(2));
    await live(two, 'b');
    assert.equal(await place('b'), placed(two));
    assert.equal(await place('a'), 'linux: kernel of the factory');
    const three = await bench.publish(3, {}, setOf(3));
    await live(three, 'a');
    assert.equal(await place('a'), placed(three));
    assert.equal(await place('b'), placed(two));
  });

  test('gives the boot files of its places to whoever names them by digest, and nothing else there', async () => {
    const { heldBootFiles } = bench.client();
    const text = Buffer.from('kernel 2');
    const linux = { name: 'linux', lengthBytes: text.length, sha256Hex: sha256Of(text) };
    assert.deepEqual(await heldBootFiles.read('b', linux, 0, signal), text);
    assert.deepEqual(await heldBootFiles.read('b', linux, 3, signal), text.subarray(3));
    assert.equal(await heldBootFiles.read('a', linux, 0, signal), null);
    const kernel = noise(1_200_000);
    await writeFile(bench.at('boot-a/kernel'), kernel);
    const file = { name: 'kernel', lengthBytes: kernel.length, sha256Hex: sha256Of(kernel) };
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < kernel.length; at += pieces.at(-1)?.length ?? kernel.length) {
      pieces.push((await heldBootFiles.read('a', file, at, signal)) ?? assert.fail());
    }
    assert.equal(sha256Of(Buffer.concat(pieces)), file.sha256Hex);
    await rm(bench.at('boot-a/kernel'));
    const ledger = await readFile(bench.at('state/ledger.json'));
    for (const [name, bytes] of [
      ['../state/ledger.json', ledger],
      ['kernel', kernel],
    ] as const) {
      const wanted = { name, lengthBytes: bytes.length, sha256Hex: sha256Of(bytes) };
      const answer = await heldBootFiles.read('a', wanted, 0, signal).catch((error: unknown) => error);
      assert.ok(answer === null || (answer instanceof OtadError && answer.code === 'BAD_REQUEST'), String(answer));
    }
  });

  test('goes back to what ran here with the boot files in its place, without any on the data partition', async () => {
    await rm(bench.at('otad/boot-set'), { recursive: true });
    const { slots } = await bench.client().boot.status(signal);
    assert.equal(slots.b.state, 'good');
    const two = JSON.parse(await readFile(bench.at('state/ledger.json'), 'utf8')).ledger.confirmed;
    assert.ok(two.some(({ bootSetSha256Hex }: { bootSetSha256Hex: string | null }) => bootSetSha256Hex !== null));
    const record = await bench.record('b');
    await bench.client(async () => []).boot.activate('b', 3, record.verity, signal);
    assert.equal(await bench.boot(), 'b');
    await bench.client().boot.markGood('b', signal);
  });

  test('goes back even where its ledger was lost, and places nothing then', async () => {
    await rm(bench.at('state/ledger.json'));
    await bench.restart();
    const none = bench.client(async () => []).boot;
    await none.status(signal);
    // Slot a ran under a ledger that is gone: it is no root that was confirmed here any more.
    const { verity } = await bench.record('a');
    await assert.rejects(none.activate('a', 3, verity, signal), code('RELEASE_UNSIGNED'));
    const four = await bench.publish(4, {}, setOf(4));
    await live(four, 'a');
    const { verity: rootOfB } = await bench.record('b');
    const before = await place('b');
    await writeFile(bench.at('boot-b/linux'), 'kernel X');
    await assert.rejects(none.activate('b', 3, rootOfB, signal), code('BOOT_SET_INCOMPLETE'));
    assert.notEqual(await place('b'), before);
    await writeFile(bench.at('boot-b/linux'), 'kernel 2');
    await none.activate('b', 3, rootOfB, signal);
    assert.equal(await bench.boot(), 'b');
    await none.markGood('b', signal);
  });

  test('refuses the install where no setting says where boot files lie, or a set brings what boot control writes', async () => {
    const standing = await bench.standing();
    const hostile = await bench.publish(5, {}, { linux: 'kernel 5', 'uboot.env': 'BOOT_ORDER=A' });
    await assert.rejects(bench.client().boot.invalidate('a', signal), code('RELEASE_MALFORMED'));
    assert.equal(hostile.release.sequence, 5);
    await writeFile(bench.at('config.d/90-none.json'), '{"bootloader":{"uboot":{"bootFolders":null}}}');
    await bench.restart();
    await bench.publish(6, {}, setOf(6));
    await assert.rejects(bench.client().boot.invalidate('a', signal), code('CONFIG_INVALID'));
    await rm(bench.at('config.d/90-none.json'));
    await bench.restart();
    assert.deepEqual(await bench.standing(), standing);
  });
});

/** Slot a runs what left the factory, confirmed; slot b was filled with release 2, and its boot files are staged. */
describe('an otad that was broken into and keeps boot files', () => {
  let bench: HelperBench;
  let two: BenchRelease;
  let other: BenchRelease;
  before(async () => {
    bench = await createHelperBench();
    other = await bench.publish(3, {}, setOf(3));
    await bench.client().boot.invalidate('b', signal);
    two = await bench.publish(4, {}, setOf(2));
    await bench.client().boot.invalidate('b', signal);
    await bench.install('b', two);
    await writeFile(bench.at('boot-b/linux'), 'kernel of before');
  });
  after(() => bench.close());

  const staged = (name: string): string => {
    const file = manifestOf(two.release).files.find((known) => known.name === name);
    return bench.at(`otad/boot-set/${file?.sha256Hex}`);
  };
  const activate = () => bench.client().boot.activate('b', 3, two.verity, signal);

  const lies: readonly (readonly [name: string, wanted: string, lie: () => Promise<unknown>])[] = [
    [
      'a link to the right bytes',
      'BOOT_SET_INCOMPLETE',
      async () => {
        await rename(staged('linux'), bench.at('elsewhere'));
        await symlink(bench.at('elsewhere'), staged('linux'));
      },
    ],
    [
      'a folder that is a link',
      'BOOT_SET_INCOMPLETE',
      async () => {
        await rename(bench.at('otad/boot-set'), bench.at('folder'));
        await symlink(bench.at('folder'), bench.at('otad/boot-set'));
      },
    ],
    [
      'a pipe in place of a file',
      'BOOT_SET_INCOMPLETE',
      async () => {
        await rm(staged('linux'));
        execFileSync('mkfifo', [staged('linux')]);
      },
    ],
    ['a file of another length', 'BOOT_SET_INCOMPLETE', () => writeFile(staged('linux'), 'short')],
    ['a missing file', 'BOOT_SET_INCOMPLETE', () => rm(staged('initrd'))],
    [
      'a list with a name that climbs',
      'BOOT_SET_INCOMPLETE',
      async () => {
        const bytes = Buffer.from('kernel of the attacker');
        const line = `${sha256Of(bytes)} ${bytes.length} ../boot-a/linux\n`;
        await writeFile(bench.at(`otad/boot-set/${sha256Of(bytes)}`), bytes);
        await writeFile(bench.at('otad/boot-set/manifest'), line);
      },
    ],
    ['the list of another signed release', 'BOOT_SET_INCOMPLETE', () => bench.stage(other)],
    [
      'a record that names the boot files of another signed release',
      'RELEASE_UNSIGNED',
      () => bench.install('b', two, { bootSetSha256Hex: manifestOf(other.release).sha256Hex }),
    ],
    [
      'a record that names none',
      'RELEASE_UNSIGNED',
      async () => {
        const { bootSetSha256Hex: _, ...record } = await bench.record('b');
        await bench.writeRecord('b', record as SlotRecord);
      },
    ],
  ];
  for (const [name, wanted, lie] of lies) {
    test(`places nothing and flips nothing for ${name}`, async () => {
      await lie();
      const standing = await bench.standing();
      await assert.rejects(activate(), code(wanted));
      assert.deepEqual(await bench.standing(), standing);
      await rm(bench.at('otad/boot-set'), { recursive: true, force: true });
      await bench.install('b', two);
    });
  }

  test('flips nothing for other bytes of the same length, whatever was placed before them', async () => {
    await writeFile(staged('linux'), 'kernel X');
    const [one, two_] = await bench.standing();
    await assert.rejects(activate(), code('BOOT_SET_INCOMPLETE'));
    assert.deepEqual((await bench.standing()).slice(0, 2), [one, two_]);
    const { primary, slots } = await bench.client().boot.status(signal);
    assert.deepEqual([primary, slots.b.state], ['a', 'bad']);
    assert.equal(await bench.boot(), 'a');
    await bench.install('b', two);
  });

  test('cannot have a place changed once its slot may be started', async () => {
    await activate();
    await activate();
    await writeFile(bench.at('boot-b/initrd'), 'initrd X');
    const standing = await bench.standing();
    await assert.rejects(activate(), code('BOOT_SET_INCOMPLETE'));
    assert.deepEqual(await bench.standing(), standing);
    await bench.client().boot.invalidate('b', signal);
    await activate();
    assert.equal(await readTree(bench.at('boot-b')), placed(two));
    await bench.client().boot.invalidate('b', signal);
  });

  test('cannot have a root that ran here started with the boot files of another release', async () => {
    await activate();
    assert.equal(await bench.boot(), 'b');
    const { boot } = bench.client();
    await boot.markGood('b', signal);
    await boot.activate('a', 3, bench.factory.verity, signal);
    assert.equal(await bench.boot(), 'a');
    await boot.markGood('a', signal);
    await boot.invalidate('b', signal);
    await bench.install('b', two, { bootSetSha256Hex: manifestOf(other.release).sha256Hex });
    await bench.stage(other);
    await assert.rejects(boot.activate('b', 3, two.verity, signal), code('RELEASE_UNSIGNED'));
  });
});
