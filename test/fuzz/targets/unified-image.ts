// Sections of a PE file, from which a unified kernel image's own command line is read: nothing, or the bytes that the section
// table points at, whole.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readPeTexts } from '../../../bootctl/systemd-boot/pe-sections.ts';
import { verityInCommandLine } from '../../../bootctl/systemd-boot/slot-entry.ts';
import { peImage } from '../../bootctl/systemd-boot/pe-image.ts';
import { Finding, type FuzzTarget, type Judge, mustEqual } from '../target.ts';

type Texts = Readonly<Record<string, string | null>> | null;
type Read = (image: Uint8Array) => Promise<Texts>;

const names = ['.cmdline', '.osrel'];
const sectionBytesMax = 65536;

/** Text up to the first NUL of the bytes that a section of this name claims; undefined: there is none, or it is not whole. */
const plainSection = (image: Buffer, name: string): string | undefined => {
  const header = image.readUInt32LE(60);
  if (header + 24 > image.length) throw new Finding('accepted without headers');
  const sections = image.readUInt16LE(header + 6);
  const table = header + 24 + image.readUInt16LE(header + 20);
  if (table + 40 * sections > image.length) throw new Finding('accepted with half a section table');
  for (let at = table; at < table + 40 * sections; at += 40) {
    const [label = ''] = image.toString('latin1', at, at + 8).split('\0', 1);
    if (label !== name) continue;
    const length = Math.min(image.readUInt32LE(at + 8), image.readUInt32LE(at + 16));
    const from = image.readUInt32LE(at + 20);
    if (length > sectionBytesMax || (length > 0 && from + length > image.length)) return undefined;
    return image.toString('utf8', from, from + length).split('\0', 1)[0];
  }
  return undefined;
};

const judgeBy =
  (read: Read): Judge =>
  async (input) => {
    let texts: Texts;
    try {
      texts = await read(input);
    } catch (error) {
      throw new Finding(`an error where null is the answer: ${(error as Error).stack}`);
    }
    if (texts === null) return 'refused';
    const image = Buffer.from(input);
    if (image.toString('latin1', 0, 2) !== 'MZ') throw new Finding('accepted without its mark');
    for (const name of names) {
      mustEqual(`another ${name} than the file holds`, `${texts[name] ?? undefined}`, `${plainSection(image, name)}`);
    }
    const commandLine = texts['.cmdline'] ?? '';
    const verity = verityInCommandLine(commandLine);
    if (verity !== null && !commandLine.toLowerCase().includes(`otad.root=${verity.rootHex}`)) {
      throw new Finding(`a root that the command line does not carry: ${verity.rootHex}`);
    }
    return `accepted ${names.filter((name) => texts[name] !== null).join(' ')}, ${verity !== null}`;
  };

const commandLine = `otad.slot=a otad.root=${'5c'.repeat(32)} otad.hashoffset=4096 quiet`;

/** Where the fields lie that say what is read: of the headers, and of the last section. */
const fieldsOf = (image: Uint8Array): readonly number[] => [60, 64, 70, 84, image.length > 500 ? 336 : 0, 344, 348];

export const unifiedImageTarget = (): FuzzTarget => {
  const folder = mkdtempSync(join(tmpdir(), 'otad-fuzz-'));
  const path = join(folder, 'image.efi');
  const read: Read = (image) => {
    writeFileSync(path, image);
    return readPeTexts(path, names);
  };
  return {
    name: 'unified-image',
    seeds: [
      peImage({ '.osrel': 'ID=otad\nPRETTY_NAME="Gateway"\n', '.cmdline': commandLine }),
      peImage({ '.cmdline': `${commandLine}\0\0`, '.text': Uint8Array.of(0xc3) }),
      peImage({ '.text': Uint8Array.of(0xc3) }),
    ],
    dictionary: [
      'MZ',
      'PE\0\0',
      '.cmdline',
      '.osrel',
      '.cmdline\0',
      'otad.root=',
      '\u0001\u0000',
      '\u0000\u0002\u0000\u0000',
    ],
    // Mutants mostly keep their length, so that the table is found; one of its fields says something else.
    mend: (input, random) => {
      const copy = Buffer.from(input);
      const at = random.pick(fieldsOf(copy)) + random.below(4);
      if (random.below(2) === 0 && at < copy.length)
        copy[at] = random.below(4) === 0 ? random.below(256) : random.below(4);
      return copy;
    },
    judge: judgeBy(read),
    canary: {
      bug: 'a section that is cut off is filled up with zeros',
      judge: judgeBy((image) => read(Buffer.concat([image, Buffer.alloc(sectionBytesMax)]))),
    },
    close: async () => rmSync(folder, { recursive: true }),
  };
};
