// Finds sections of a PE file: a unified kernel image carries its command line and os-release in them. Reads headers and the
// sections asked for, nothing else, and only within bounds. It does not judge signatures: the firmware does.

import { open } from 'node:fs/promises';

const sectionsMax = 96;
const sectionBytesMax = 65536;
const headerBytesMax = 4096 + sectionsMax * 40;

interface Section {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

/** The section table; null: no PE file, or one whose headers lie where no linker puts them. */
export const parseSections = (head: Buffer): readonly Section[] | null => {
  if (head.length < 64 || head.toString('latin1', 0, 2) !== 'MZ') return null;
  const start = head.readUInt32LE(0x3c);
  if (start + 24 > head.length || head.toString('latin1', start, start + 4) !== 'PE\0\0') return null;
  const count = head.readUInt16LE(start + 6);
  const table = start + 24 + head.readUInt16LE(start + 20);
  if (count > sectionsMax || table + count * 40 > head.length) return null;
  return Array.from({ length: count }, (_, index) => {
    const at = table + index * 40;
    const virtualSize = head.readUInt32LE(at + 8);
    const rawSize = head.readUInt32LE(at + 16);
    return {
      name: head.toString('latin1', at, at + 8).replace(/\0.*$/s, ''),
      offset: head.readUInt32LE(at + 20),
      length: Math.min(virtualSize, rawSize),
    };
  });
};

/** Text of the named sections; a section that is missing, too large or cut off is null. null: not a PE file at all. */
export const readPeTexts = async (
  path: string,
  names: readonly string[],
): Promise<Readonly<Record<string, string | null>> | null> => {
  const handle = await open(path, 'r');
  try {
    const head = Buffer.alloc(headerBytesMax);
    const { bytesRead } = await handle.read(head, 0, head.length, 0);
    const sections = parseSections(head.subarray(0, bytesRead));
    if (sections === null) return null;
    const textOf = async (name: string): Promise<string | null> => {
      const section = sections.find((candidate) => candidate.name === name);
      if (section === undefined || section.length > sectionBytesMax) return null;
      const bytes = Buffer.alloc(section.length);
      const read = await handle.read(bytes, 0, bytes.length, section.offset);
      return read.bytesRead === bytes.length ? bytes.toString('utf8').replace(/\0.*$/s, '') : null;
    };
    const texts: Record<string, string | null> = {};
    for (const name of names) texts[name] = await textOf(name);
    return texts;
  } finally {
    await handle.close();
  }
};
