// autoboot.txt: which partition starts by default, and which with the one-shot flag. Pure text in, 512 bytes out.
// Always exactly one sector, so that a change is one write in place: of FAT's own structures only the file's date changes.
// What others put into the file (comments, further settings and filters) stays.

import { OtadError } from '../../agent/core/errors.ts';
import { autobootBytesMax, effectiveLines, numberSetting } from './firmware.ts';

export interface BootPartitions {
  /** Started by every reset. */
  readonly default: number;
  /** Started once, after `reboot '0 tryboot'`. */
  readonly trial: number;
}

export interface Autoboot {
  /** Without the padding. */
  readonly text: string;
  readonly default: number | null;
  readonly trial: number | null;
  /** `tryboot_a_b=1` counts with the flag. */
  readonly isSwitchingPartitions: boolean;
  /** One whole sector, as otad leaves it. */
  readonly isPadded: boolean;
}

/** The file's facts, or null where it is no text (torn, zero-filled, another file's content) or longer than a sector. */
export const parseAutoboot = (bytes: Uint8Array): Autoboot | null => {
  if (bytes.length > autobootBytesMax) return null;
  const whole = Buffer.from(bytes).toString('latin1');
  if (/[^\t\n\r\x20-\x7e\xa0-\xff]/.test(whole)) return null;
  return {
    text: whole.replace(/[\n\r\t ]+$/, ''),
    default: numberSetting(whole, 'boot_partition', false),
    trial: numberSetting(whole, 'boot_partition', true),
    isSwitchingPartitions: numberSetting(whole, 'tryboot_a_b', true) === 1,
    isPadded: bytes.length === autobootBytesMax,
  };
};

/** The text as one sector. Its first bytes are the text's own, so that an old, shorter length of the file cuts only padding. */
export const padAutoboot = (text: string): Uint8Array => {
  const bytes = Buffer.from(`${text}\n`, 'latin1');
  if (bytes.length > autobootBytesMax) {
    throw new OtadError('BOOT_ENV_UNSUPPORTED', {
      reason: `autoboot.txt would be ${bytes.length} bytes; the firmware reads ${autobootBytesMax}: shorten its comments`,
    });
  }
  return Buffer.concat([bytes, Buffer.alloc(autobootBytesMax - bytes.length, '\n')]);
};

const isOwn = (line: string): boolean => /^(?:boot_partition|tryboot_a_b)=/.test(line);

/** Our settings, by line, that count with or without the flag. */
const ownLines = (text: string): ReadonlySet<number> =>
  new Set(
    [...effectiveLines(text, false), ...effectiveLines(text, true)]
      .filter(({ name }) => isOwn(`${name}=`))
      .map(({ index }) => index),
  );

/** Under other filters our settings should not count. Where ours come last it does not matter what the firmware makes of those. */
const isAs = (text: string, wanted: BootPartitions): boolean => {
  const own = ownLines(text);
  const first = Math.min(...own);
  return (
    numberSetting(text, 'boot_partition', false) === wanted.default &&
    numberSetting(text, 'boot_partition', true) === wanted.trial &&
    numberSetting(text, 'tryboot_a_b', true) === 1 &&
    text.split('\n').every((line, index) => !isOwn(line) || own.has(index) || index < first)
  );
};

/** The two numbers exchanged where they stand. */
const editNumbers = (text: string, wanted: BootPartitions): string => {
  const lineOf = (isTryboot: boolean): number | undefined =>
    effectiveLines(text, isTryboot).findLast(({ name }) => name === 'boot_partition')?.index;
  const [plain, flagged] = [lineOf(false), lineOf(true)];
  return text
    .split('\n')
    .map((line, index) => {
      if (index === flagged && flagged !== plain) return `boot_partition=${wanted.trial}`;
      return index === plain ? `boot_partition=${wanted.default}` : line;
    })
    .join('\n');
};

/** Our settings taken out wherever they count, and put in again at the end. */
const rebuild = (text: string, wanted: BootPartitions): string => {
  const own = ownLines(text);
  const kept = text.split('\n').filter((_, index) => !own.has(index));
  const block = ['[all]', 'tryboot_a_b=1', `boot_partition=${wanted.default}`];
  return [...kept, ...block, '[tryboot]', `boot_partition=${wanted.trial}`].filter((line) => line !== '').join('\n');
};

/** The sector with these partitions. `text` null: there is nothing to keep. Throws BOOT_ENV_UNSUPPORTED when it gets too long. */
export const formatAutoboot = (text: string | null, wanted: BootPartitions): Uint8Array => {
  const before = text ?? '';
  if (isAs(before, wanted)) return padAutoboot(before);
  const edited = editNumbers(before, wanted);
  return padAutoboot(isAs(edited, wanted) ? edited : rebuild(before, wanted));
};
