// Type #1 entries of systemd-boot. An input is a file name, a line end and the file's bytes. A slot's file is refused, or starts
// what a reading byte by byte finds in it, and says the same after it was written again.

import { isDeepStrictEqual } from 'node:util';
import { formatEntryName, parseEntryName } from '../../../bootctl/systemd-boot/entry-name.ts';
import { encodeSlotEntry, type SlotEntry } from '../../../bootctl/systemd-boot/slot-entry.ts';
import { readSlotFile, type SlotFile } from '../../../bootctl/systemd-boot/slot-files.ts';
import { attempt, Finding, type FuzzTarget, type Judge, mustEqual } from '../target.ts';

type Read = (file: string, bytes: Uint8Array) => SlotFile | null;

const isBlank = (character: string | undefined): boolean => character === ' ' || character === '\t';

/** Key and value of each line, one character after the other as a loader in C goes. */
const plainLines = (text: string): readonly (readonly [key: string, value: string])[] => {
  const found: [string, string][] = [];
  for (const raw of text.replaceAll('\r', '\n').split('\n')) {
    let [from, to] = [0, raw.length];
    while (from < to && isBlank(raw[from])) from += 1;
    while (to > from && isBlank(raw[to - 1])) to -= 1;
    if (from === to || raw[from] === '#') continue;
    let end = from;
    while (end < to && !isBlank(raw[end])) end += 1;
    let start = end;
    while (start < to && isBlank(raw[start])) start += 1;
    if (start === to) continue;
    const value = raw.slice(start, to);
    const isQuoted = value.length > 1 && value.startsWith('"') && value.endsWith('"');
    found.push([raw.slice(from, end), isQuoted ? value.slice(1, -1) : value]);
  }
  return found;
};

/** What the loader starts of the text: the last image, and the options that it gives to a kernel. */
const plainBoot = (text: string): string => {
  const lines = plainLines(text);
  const image = lines.findLast(([key]) => ['linux', 'efi', 'uki'].includes(key));
  return image === undefined ? 'nothing' : `${image[0]} ${image[1]}`;
};

const foreignWords = (text: string): string =>
  plainLines(text)
    .filter(([key]) => key === 'options')
    .flatMap(([, value]) => value.split(/\s+/))
    .filter((word) => word !== '' && !/^otad\.(?:slot|root|hashoffset)=/.test(word))
    .join(' ');

const plainCounter = (file: string): string => {
  const bare = file.slice(0, file.lastIndexOf('.'));
  const [left = '', done, ...more] = bare.slice(bare.lastIndexOf('+') + 1).split('-');
  const isCount = (digits: string): boolean =>
    digits.length > 0 && digits.length < 16 && [...digits].every((digit) => digit >= '0' && digit <= '9');
  const isCounted = bare.includes('+') && more.length === 0 && isCount(left) && (done === undefined || isCount(done));
  const isSmall = Number(left) < 2 ** 31 && Number(done ?? 0) < 2 ** 31;
  return isCounted && isSmall ? `${Number(left)} ${Number(done ?? 0)}` : 'none';
};

const judgeName = (file: string): void => {
  const { value: name } = attempt([], () => parseEntryName(file));
  if (name === null) return;
  mustEqual('the name is not written as it was read', formatEntryName(name), file);
  const { counter } = name;
  mustEqual('another counter', counter === null ? 'none' : `${counter.left} ${counter.done}`, plainCounter(file));
};

/** The entry as far as writing keeps it: options of an image that has its own are dropped. */
const kept = (entry: SlotEntry): SlotEntry =>
  entry.boot.key === 'linux'
    ? entry
    : { ...entry, rest: entry.rest.filter((line) => !/^[ \t]*options[ \t]/.test(line)) };

const judgeEntry = (file: string, { entry, text }: SlotFile, read: Read): void => {
  const boots = entry.state === 'parked' ? 'nothing' : `${entry.boot.key} ${entry.boot.path}`;
  mustEqual('starts something else than the loader would', boots, plainBoot(text));
  const encoded = attempt([], () => encodeSlotEntry(entry, 'a')).value ?? '';
  if (Buffer.byteLength(encoded) % 512 !== 0) throw new Finding(`${Buffer.byteLength(encoded)} bytes are no sectors`);
  const again = read(file, Buffer.from(encoded))?.entry ?? null;
  if (!isDeepStrictEqual(again, kept(entry))) {
    throw new Finding(
      `does not encode back to itself\n  is       ${JSON.stringify(again)}\n  should be ${JSON.stringify(kept(entry))}`,
    );
  }
  mustEqual('the loader would start something else', plainBoot(encoded), plainBoot(text));
  if (entry.boot.key === 'linux') mustEqual('other options', foreignWords(encoded), foreignWords(text));
};

const judgeBy =
  (read: Read): Judge =>
  (input) => {
    const end = input.indexOf(10);
    const file = Buffer.from(input.subarray(0, end < 0 ? input.length : end)).toString('utf8');
    const bytes = input.subarray(end < 0 ? input.length : end + 1);
    judgeName(file);
    const { value: found } = attempt([], () => read(file, bytes));
    if (found === null) return 'refused';
    judgeEntry(file, found, read);
    const { entry, name } = found;
    return `accepted ${entry.state} ${entry.boot.key}, ${name.counter === null ? '' : 'counted'}, ${entry.verity !== null}`;
  };

const root = 'ab'.repeat(32);

export const loaderEntryTarget = (): FuzzTarget => ({
  name: 'loader-entry',
  seeds: [
    ...(['live', 'bad', 'parked'] as const).map((state, index) =>
      Buffer.from(
        `otad-a+${index}-1.conf\n${encodeSlotEntry(
          {
            state,
            rank: index,
            boot: { key: index === 1 ? 'uki' : 'linux', path: '/otad/a/vmlinuz' },
            verity: { rootHex: root, hashOffsetBytes: 4096 },
            rest: ['title Gateway', 'version 1.0', 'initrd /otad/a/initrd', 'options quiet ro'],
          },
          'a',
        )}`,
      ),
    ),
    Buffer.from(
      `otad-b.conf\ntitle "By hand"\nlinux  /vmlinuz\n#options debug\noptions root=/dev/sda2 otad.root=${root}\n`,
    ),
    Buffer.from('otad-b+3.conf\n# parked\n#efi \\EFI\\Linux\\b.efi\n'),
  ],
  dictionary: [
    'linux',
    '#linux',
    'efi',
    'uki',
    'options',
    'sort-key',
    'otad-x9999999',
    'otad-00000000',
    'otad.root=',
    'otad.slot=b',
    'otad.hashoffset=',
    '+3-0',
    '.conf',
    'auto-',
    '#',
    '\t',
    '\n',
    '\r',
    '\n linux /other\n',
    '\u00a0',
    '\u2028',
  ],
  judge: judgeBy(readSlotFile),
  canary: {
    bug: 'a comment sign before the image is overlooked',
    judge: judgeBy((file, bytes) =>
      readSlotFile(
        file,
        Buffer.from(
          Buffer.from(bytes)
            .toString('utf8')
            .replace(/^#(?=linux|efi|uki)/m, ' '),
        ),
      ),
    ),
  },
});
