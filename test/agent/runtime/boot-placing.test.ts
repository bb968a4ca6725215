// Placing over a real folder, with the power cut at and within every write. The fault model of a FAT without a journal: a file that is
// being made is absent, empty, zeros, a part, or whole; one that is written over is old, absent, empty, a part, or new; one that is
// removed is there or not.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { createBootPlace } from '../../../agent/adapters/boot-place.ts';
import { type BootFile, bootManifestName, encodeBootManifest } from '../../../agent/core/boot-set.ts';
import type { BootPlace, StagedBootFiles } from '../../../agent/core/ports.ts';
import { type PlacingPorts, type PlacingRequest, settleBootSet } from '../../../agent/runtime/boot-placing.ts';
import { createSealing } from '../../../verity/sealing.ts';
import { readTree } from '../../support/helper-bench.ts';
import { isCode, sha256Of } from '../../support/slot-bench.ts';

const root = await mkdtemp(join(tmpdir(), 'otad-placing-'));
after(() => rm(root, { recursive: true, force: true }));
const { signal } = new AbortController();

type Texts = Readonly<Record<string, string>>;

interface BootSet {
  readonly texts: Texts;
  readonly files: readonly BootFile[];
  readonly manifest: string;
  readonly sha256Hex: string;
}

const aSet = (texts: Texts): BootSet => {
  const files = Object.entries(texts).map(([name, text]) => ({
    name,
    lengthBytes: Buffer.byteLength(text),
    sha256Hex: sha256Of(Buffer.from(text)),
  }));
  const manifest = encodeBootManifest(files);
  return { texts, files, manifest, sha256Hex: sha256Of(Buffer.from(manifest)) };
};

const oldSet = aSet({ kernel: 'kernel of 1', initrd: 'initrd of 1', 'dtbs/board.dtb': 'tree' });
const newSet = aSet({ kernel: 'kernel of 2', 'dtbs/board.dtb': 'tree', 'overlays/can.dtbo': 'overlay of 2' });

const stagedOf = ({ files, texts, manifest }: BootSet, over: Texts = {}): StagedBootFiles => {
  const bytesOf = ({ sha256Hex }: BootFile): Buffer | null => {
    const known = files.find((file) => file.sha256Hex === sha256Hex);
    return known === undefined ? null : Buffer.from(over[known.name] ?? texts[known.name] ?? '');
  };
  return {
    readManifest: async () => Buffer.from(manifest),
    lengthOf: async (file) => bytesOf(file)?.length ?? null,
    visit: async (file, sink) => {
      // In two pieces, so that a part is something.
      const bytes = bytesOf(file) ?? Buffer.alloc(0);
      await sink(bytes.subarray(0, 4));
      await sink(bytes.subarray(4));
    },
  };
};

interface Bench {
  readonly folder: string;
  readonly place: BootPlace;
  readonly put: (texts: Texts) => Promise<void>;
  readonly tree: () => Promise<string>;
}

const newBench = async (): Promise<Bench> => {
  const base = await mkdtemp(join(root, 'place-'));
  const folders = { a: join(base, 'a'), b: join(base, 'b') };
  for (const folder of Object.values(folders)) await mkdir(folder);
  const put = async (texts: Texts): Promise<void> => {
    for (const [name, text] of Object.entries(texts)) {
      await mkdir(join(folders.b, name, '..'), { recursive: true });
      await writeFile(join(folders.b, name), text);
    }
  };
  return { folder: folders.b, place: createBootPlace('uboot', folders, 'b'), put, tree: () => readTree(folders.b) };
};

const portsOf = (place: BootPlace, staged: StagedBootFiles): PlacingPorts => ({
  places: { a: place, b: place },
  staged,
  sealing: createSealing(),
});

const requestFor = (set: BootSet, over: Partial<PlacingRequest> = {}): PlacingRequest => ({
  slot: 'b',
  bootSetSha256Hex: set.sha256Hex,
  mayPlace: true,
  isBootable: false,
  invalidate: async () => undefined,
  ...over,
});

const settle = (place: BootPlace, set: BootSet, over: Partial<PlacingRequest> = {}, staged = stagedOf(set)) =>
  settleBootSet(requestFor(set, over), portsOf(place, staged), signal);

const treeOf = ({ texts, manifest }: BootSet, more: Texts = {}): string =>
  Object.entries({ ...texts, ...more, [bootManifestName]: manifest })
    .map(([name, text]) => `${name}: ${text}`)
    .sort()
    .join('\n');

/** True where the place may be started with this set without another write; it must be whole then. */
const isClaimed = (place: BootPlace, set: BootSet): Promise<boolean> =>
  settle(place, set, { mayPlace: false }).then(
    () => true,
    () => false,
  );

class PowerCut extends Error {}

const tornFile = (bytes: Buffer): readonly (readonly [name: string, bytes: Buffer | null])[] => [
  ['absent', null],
  ['empty', Buffer.alloc(0)],
  ['zeros', Buffer.alloc(bytes.length)],
  ['a part', bytes.subarray(0, Math.ceil(bytes.length / 2))],
  ['whole', bytes],
];

/** The power goes at write `cutAt`, which is left in the state `outcome`; the number of states of that write goes to `onStates`. */
const cutPlace = (
  inner: BootPlace,
  folder: string,
  [cutAt, outcome]: readonly [number, number],
  onStates: (what: string, states: number) => void,
): BootPlace => {
  let count = 0;
  const step = async (what: string, name: string, run: () => Promise<void>): Promise<void> => {
    count += 1;
    if (count !== cutAt) return run();
    const path = join(folder, name);
    const before = await readFile(path).catch(() => null);
    await run();
    const after = await readFile(path).catch(() => null);
    const states = [['old', before] as const, ...(after === null ? [['gone', null] as const] : tornFile(after))];
    onStates(what, states.length);
    const [, bytes = null] = states[outcome] ?? [];
    if (bytes === null) await rm(path, { force: true });
    else {
      await mkdir(join(path, '..'), { recursive: true });
      await writeFile(path, bytes);
    }
    throw new PowerCut(what);
  };
  return {
    ...inner,
    writeManifest: (text) => step('manifest', bootManifestName, () => inner.writeManifest(text)),
    remove: (name) => step(`remove ${name}`, name, () => inner.remove(name)),
    create: (name, bring) => step(`create ${name}`, name, () => inner.create(name, bring)),
  };
};

describe('placing', () => {
  test('changes what differs, keeps what is the same, and removes what belongs to no set', async () => {
    const { place, put, tree } = await newBench();
    await put({
      ...oldSet.texts,
      [bootManifestName]: oldSet.manifest,
      'overlays/old.dtbo': 'x',
      'boot.scr': 'the board’s',
    });
    await settle(place, newSet);
    assert.equal(await tree(), treeOf(newSet, { 'boot.scr': Buffer.from('the board’s').toString('latin1') }));
    // Whole: nothing is written, whatever state the slot is in, and nothing is needed from the data partition.
    const nothing: StagedBootFiles = {
      ...stagedOf(newSet),
      readManifest: async () => null,
      lengthOf: async () => null,
    };
    await settle(place, newSet, { isBootable: true, mayPlace: false }, nothing);
  });

  test('leaves a place that was cut off anywhere unclaimed until it is whole, and ends it in the next attempt', async () => {
    const cuts: string[] = [];
    for (let cutAt = 1, isOver = false; !isOver; cutAt += 1) {
      let states = 1;
      for (let outcome = 0; outcome < states; outcome += 1) {
        const { place, put, tree, folder } = await newBench();
        await put({ ...oldSet.texts, [bootManifestName]: oldSet.manifest });
        const cut = cutPlace(place, folder, [cutAt, outcome], (what, count) => {
          states = count;
          if (outcome === 0) cuts.push(what);
        });
        const error = await settle(cut, newSet).then(
          () => null,
          (thrown: unknown) => thrown,
        );
        if (error === null) {
          isOver = true;
          break;
        }
        assert.ok(error instanceof PowerCut, String(error));
        const now = await tree();
        for (const set of [oldSet, newSet]) {
          if (!(await isClaimed(place, set))) continue;
          for (const [name, text] of Object.entries(set.texts)) assert.ok(now.includes(`${name}: ${text}`), now);
        }
        await settle(place, newSet);
        assert.equal(await tree(), treeOf(newSet));
        // Or goes back to the one before.
        await settle(place, oldSet);
        assert.equal(await tree(), treeOf(oldSet));
      }
    }
    assert.deepEqual(cuts, [
      'manifest',
      'remove initrd',
      'remove kernel',
      'remove overlays/can.dtbo',
      'create kernel',
      'create overlays/can.dtbo',
      'manifest',
    ]);
  });

  test('invalidates the slot before the first write, and writes nothing where it could be started', async () => {
    const { place, put, tree, folder } = await newBench();
    await put({ ...oldSet.texts, [bootManifestName]: oldSet.manifest });
    const before = await tree();
    await assert.rejects(settle(place, newSet, { isBootable: true }), isCode('BOOT_SET_INCOMPLETE'));
    await assert.rejects(settle(place, newSet, { mayPlace: false }), isCode('BOOT_SET_INCOMPLETE'));
    const order: string[] = [];
    const noted = cutPlace(place, folder, [1, 0], () => order.push('write'));
    const invalidate = async (): Promise<void> => void order.push('invalidate');
    await assert.rejects(settle(noted, newSet, { invalidate }), PowerCut);
    assert.deepEqual(order, ['invalidate', 'write']);
    assert.equal(await tree(), before);
  });

  test('believes no list alone: a file that rotted is written anew, or the slot is not started', async () => {
    const { place, put, tree } = await newBench();
    await settle(place, newSet);
    await put({ kernel: 'kernel of X' });
    await assert.rejects(settle(place, newSet, { mayPlace: false }), isCode('BOOT_SET_INCOMPLETE'));
    await settle(place, newSet);
    assert.equal(await tree(), treeOf(newSet));
  });

  test('believes no byte that it copies, and leaves no claim behind when one is wrong', async () => {
    const { place, put, tree } = await newBench();
    await put({ ...oldSet.texts, [bootManifestName]: oldSet.manifest });
    const staged = stagedOf(newSet, { kernel: 'kernel of 3' });
    await assert.rejects(settle(place, newSet, {}, staged), isCode('BOOT_SET_INCOMPLETE'));
    assert.deepEqual([await isClaimed(place, oldSet), await isClaimed(place, newSet)], [false, false]);
    // Not even for a release without boot files, which would start whatever lies there.
    const plain = { ...requestFor(newSet), bootSetSha256Hex: null };
    await assert.rejects(settleBootSet(plain, portsOf(place, staged), signal), isCode('BOOT_SET_INCOMPLETE'));
    await settle(place, newSet);
    await settleBootSet(plain, portsOf(place, staged), signal);
    assert.equal(await tree(), treeOf(newSet));
  });

  test('compares what the medium gives back', async () => {
    const { place } = await newBench();
    const rotten: BootPlace = {
      ...place,
      create: (name, bring) =>
        place.create(name, async (sink) => {
          await bring(async (bytes) => sink(Buffer.from(bytes).fill(0x20)));
        }),
    };
    await assert.rejects(settle(rotten, newSet), isCode('BOOT_WRITE_LOST'));
    const forgetful: BootPlace = { ...place, readManifest: async () => null };
    await assert.rejects(settle(forgetful, newSet), isCode('BOOT_WRITE_LOST'));
  });

  test('refuses a set that does not fit, or names what boot control writes, before anything changes', async () => {
    const { place, put, tree } = await newBench();
    await put({ ...oldSet.texts, [bootManifestName]: oldSet.manifest });
    const before = await tree();
    const unitBytes = 2048;
    // Three files of the old set and as many of the new one, and the folders: what is freed counts.
    const small: BootPlace = { ...place, room: async () => ({ freeBytes: 3 * unitBytes, unitBytes }) };
    await assert.rejects(settle(small, newSet), isCode('RELEASE_TOO_LARGE'));
    const hostile = aSet({ kernel: 'k', 'uboot.env': 'BOOT_ORDER=B' });
    await assert.rejects(settle(place, hostile), isCode('RELEASE_MALFORMED'));
    assert.equal(await tree(), before);
    const enough: BootPlace = { ...place, room: async () => ({ freeBytes: 4 * unitBytes, unitBytes }) };
    await settle(enough, newSet);
    assert.equal(await tree(), treeOf(newSet));
  });

  for (const name of [
    '../a/kernel',
    '/etc/passwd',
    'dtbs/../../a',
    'dtbs/./x',
    'dtbs/x/y',
    '.hidden',
    'otad-set',
    'con.',
    'a~1',
  ]) {
    test(`takes no list that names ${name}, even with the right digest`, async () => {
      const { place, tree } = await newBench();
      await assert.rejects(settle(place, aSet({ [name]: 'x' })), isCode('RELEASE_MALFORMED'));
      assert.equal(await tree(), '');
    });
  }

  test('never follows a link, and never reaches the other slot', async () => {
    const { place, put, tree, folder } = await newBench();
    const outside = await mkdtemp(join(root, 'outside-'));
    await put({ initrd: 'x' });
    await symlink(outside, join(folder, 'dtbs'));
    await symlink(join(outside, 'kernel'), join(folder, 'kernel'));
    await writeFile(join(outside, 'kernel'), 'outside');
    await settle(place, newSet);
    assert.equal(await tree(), treeOf(newSet));
    assert.equal(await readTree(outside), 'kernel: outside');
    const same = createBootPlace('uboot', { a: folder, b: `${folder}/../b` }, 'b');
    await assert.rejects(settle(same, oldSet), isCode('BOOT_PLACE_UNUSABLE'));
    const gone = createBootPlace('uboot', { a: folder, b: join(folder, 'none') }, 'b');
    await assert.rejects(settle(gone, oldSet), isCode('BOOT_PLACE_UNUSABLE'));
  });

  test('keeps the firmware and the command line of a Raspberry Pi', async () => {
    const { put, tree, folder } = await newBench();
    const kept = { 'cmdline.otad': 'c', 'cmdline.txt': 'c', 'config.txt': 'c', 'START4.ELF': 'f', 'fixup4.dat': 'f' };
    await put({ ...kept, 'old.dtb': 'x' });
    const place = createBootPlace('tryboot', { a: join(folder, '../a'), b: folder }, 'b');
    await settle(place, newSet);
    assert.equal(await tree(), treeOf(newSet, kept));
    await assert.rejects(settle(place, aSet({ 'CMDLINE.TXT': 'otad.slot=a' })), isCode('RELEASE_MALFORMED'));
  });
});
