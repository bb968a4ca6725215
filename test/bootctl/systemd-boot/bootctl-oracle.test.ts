import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { basename } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { openEsp } from '../../../bootctl/systemd-boot/esp.ts';
import { idWithoutCounter, sortEntries } from '../../../bootctl/systemd-boot/loader-choice.ts';
import { type ListedEntry, listEntries } from '../../../bootctl/systemd-boot/loader-entries.ts';
import { encodeSlotEntry } from '../../../bootctl/systemd-boot/slot-entry.ts';
import { createRandom, type Random } from '../random.ts';
import { anEntry, createEspFiles, type EspFiles, putFile, verityOf } from './machine.ts';
import { peImage } from './pe-image.ts';

const run = promisify(execFile);
const sets = 520;
const groups = 4;

const stems = ['otad-a', 'otad-b', 'gw', 'gw-1.9', 'gw-1.10', 'gw-1.10-rc1', 'x+y', 'ABC', 'zz', '0a'];
const counters = ['', '', '+3', '+3-0', '+2-1', '+0-3', '+0', '+03-00', '+12-007', '+', '+3-', '+x', '+2-1-1'];
const sortKeys = ['', '', 'otad-99999998', 'otad-99999997', 'otad-x9999998', 'debian', 'a'];
const versions = ['', '1.9', '1.10', '1.10~rc1', '1.10-2', '2^1', '10', 'abc'];
const machineIds = ['', '0'.repeat(32), 'f'.repeat(32)];

const someLines = (random: Random): string => {
  const line = (key: string, value: string): readonly string[] => (value === '' ? [] : [`${key} ${value}`]);
  const lines = [
    ...line('title', random.pick(['', 'Gateway', 'Gate  way 2', 'Ü'])),
    ...line('sort-key', random.pick(sortKeys)),
    ...line('version', random.pick(versions)),
    ...line('machine-id', random.pick(machineIds)),
    `${random.pick(['linux', 'linux\t', 'efi  '])} /otad/a/linux`,
    ...line('options', random.pick(['', 'quiet', 'a=b   c'])),
    ...line('options', random.pick(['', 'panic=10'])),
    random.pick(['# a comment', '', '   ', '#linux /nothing', 'unknown key']),
  ];
  return `${lines.join(random.pick(['\n', '\n', '\r\n', '\n\n']))}\n`;
};

const someSlotEntry = (random: Random): string => {
  const slot = random.pick(['a', 'b'] as const);
  const state = random.pick(['live', 'bad', 'parked'] as const);
  return encodeSlotEntry(
    anEntry(slot, { state, rank: random.below(9), verity: random.pick([null, verityOf(slot)]) }),
    slot,
  );
};

const someImage = (random: Random): Uint8Array =>
  peImage({
    '.osrel': [
      `ID=${random.pick(['gw', 'otad'])}`,
      `VERSION_ID=${random.pick(['1.9', '1.10'])}`,
      `PRETTY_NAME="Image ${random.below(3)}"`,
      ...random.pick([[], ['IMAGE_ID=image'], ['IMAGE_VERSION=7', 'IMAGE_ID=otad-99999998']]),
      '',
    ].join('\n'),
    '.cmdline': 'quiet',
    '.linux': 'kernel',
    '.sdmagic': '#### LoaderInfo: systemd-stub 252 ####\0',
  });

/** Between one and six entries, no two of one name but for the counter: which of those stands first nobody says. */
const putEntries = async ({ espPath }: EspFiles, random: Random): Promise<void> => {
  const free = new Set(stems);
  for (let count = 1 + random.below(6); count > 0; count -= 1) {
    const stem = random.pick([...free]);
    free.delete(stem);
    const name = `${stem}${random.pick(counters)}`;
    if (random.below(5) === 0) await putFile(espPath, `EFI/Linux/${name}.efi`, someImage(random));
    else {
      const text = random.below(3) === 0 ? someSlotEntry(random) : someLines(random);
      await putFile(espPath, `loader/entries/${name}.conf`, text);
    }
  }
};

interface Listed {
  readonly path: string;
  readonly title?: string;
  readonly sortKey?: string;
  readonly machineId?: string;
  readonly version?: string;
  readonly linux?: string;
  readonly efi?: string;
  readonly triesLeft?: number;
  readonly triesDone?: number;
}

/** Names with other characters than BLS suggests are the loader's alone: bootctl passes them over. */
/** Older versions print an object a line, newer ones an array. Entries that start nothing are no entries to the loader. */
const byBootctl = async ({ espPath }: EspFiles) => {
  const { stdout } = await run('bootctl', ['--json=short', 'list'], {
    env: { ...process.env, SYSTEMD_ESP_PATH: espPath, SYSTEMD_LOG_LEVEL: 'crit' },
    timeout: 60_000,
  });
  const lines = stdout.split('\n').filter((line) => line !== '');
  const found = lines.flatMap((line) => JSON.parse(line) as Listed | Listed[]);
  return found
    .filter(({ linux, efi }) => linux !== undefined || efi !== undefined)
    .map((entry) => ({
      file: basename(entry.path),
      title: entry.title ?? null,
      sortKey: entry.sortKey ?? null,
      machineId: entry.machineId ?? null,
      version: entry.version ?? null,
      left: entry.triesLeft ?? null,
      done: entry.triesDone ?? (entry.triesLeft === undefined ? null : 0),
    }));
};

const byUs = async ({ espPath }: EspFiles) =>
  sortEntries(await listEntries(openEsp(espPath)), idWithoutCounter).map((entry: ListedEntry) => ({
    file: entry.file,
    title: entry.title,
    sortKey: entry.sortKey,
    machineId: entry.machineId,
    version: entry.version,
    left: entry.name.counter?.left ?? null,
    done: entry.name.counter?.done ?? null,
  }));

describe("the loader's list as bootctl reads it", () => {
  for (let group = 0; group < groups; group += 1) {
    it(`has the same entries in the same order for ${sets / groups} random partitions (group ${group})`, async () => {
      for (let index = 0; index < sets / groups; index += 1) {
        const files = await createEspFiles();
        const seed = (group * sets) / groups + index;
        await putEntries(files, createRandom(seed));
        assert.deepEqual(await byUs(files), await byBootctl(files), `seed ${seed}`);
        await files.close();
      }
    });
  }
});
