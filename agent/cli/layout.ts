// How otactl lays out text: columns, times, sizes, colours. Pure. Everything that came from elsewhere passes `plain`, so
// that no server, check or operator can send control sequences to a technician's terminal.

export type Tone = 'good' | 'warn' | 'bad' | 'dim' | 'strong';

const sequences: Readonly<Record<Tone, string>> = { good: '32', warn: '33', bad: '31', dim: '2', strong: '1' };

export type Paint = (tone: Tone, text: string) => string;
export const paintNothing: Paint = (_, text) => text;
export const paintAnsi: Paint = (tone, text) => (text === '' ? '' : `\u001b[${sequences[tone]}m${text}\u001b[0m`);

/** One line without control characters and without characters that turn the direction of writing. */
export const plain = (text: string): string =>
  text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, ' ').trim();

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the sequences that paintAnsi writes.
const visibleLength = (text: string): number => [...text.replace(/\u001b\[\d+m/g, '')].length;

export const padEnd = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - visibleLength(text)));

/** A last column is never squeezed below this: the terminal wraps what is wider. */
const lastColumnMin = 24;

/** Rows as columns, two blanks apart; the last column is wrapped under itself to a line of `columns` characters. */
export const table = (rows: readonly (readonly string[])[], columns: number): string[] => {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, visibleLength(cell));
  }
  return rows.flatMap((row) => {
    const left = row
      .slice(0, -1)
      .map((cell, column) => `${padEnd(cell, widths[column] ?? 0)}  `)
      .join('');
    const margin = visibleLength(left);
    return wrap(row.at(-1) ?? '', Math.max(lastColumnMin, columns - margin)).map((line, index) =>
      `${index === 0 ? left : ' '.repeat(margin)}${line}`.trimEnd(),
    );
  });
};

const two = (value: number): string => String(value).padStart(2, '0');

/** Marks a time that was taken while the clock was not synchronised. */
export const unsyncedMark = '~';

/** Local time; `~` behind it when the clock was not synchronised. */
export const localTime = (timeMs: number, isSynced = true): string => {
  const time = new Date(timeMs);
  if (Number.isNaN(time.getTime())) return 'unknown time';
  const date = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${date} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}${isSynced ? '' : unsyncedMark}`;
};

/** Whole units, the largest that says enough. */
export const durationText = (seconds: number): string => {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  if (seconds < 3600) return `${Math.ceil(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.ceil((seconds % 3600) / 60)} min`;
};

export const sizeText = (bytes: number): string => {
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  if (bytes < 1024 ** 3) return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
  return `${(bytes / 1024 ** 3).toFixed(2)} GiB`;
};

const shortUnits = ['B', 'K', 'M', 'G'] as const;

/** At most five characters, for where room is short: `512K`, `1.2M`, `185M`. Units of 1024, as in `ls -h`. */
export const shortSize = (bytes: number): string => {
  let size = bytes;
  let unit = 0;
  // Not 1000 to 1023 of a unit: that would be a character more.
  for (; size >= 999.5 && unit < shortUnits.length - 1; unit += 1) size /= 1024;
  return `${unit > 0 && size < 9.95 ? size.toFixed(1) : size.toFixed(0)}${shortUnits[unit]}`;
};

/** `[#####-----]`, `width` characters inside the brackets. */
export const bar = (percent: number, width: number): string => {
  const full = Math.round((Math.min(100, Math.max(0, percent)) / 100) * width);
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}]`;
};

/** Lines of at most `width` characters, broken between words; a longer word stays whole. */
export const wrap = (text: string, width: number): string[] => {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && visibleLength(last) + 1 + visibleLength(word) <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
};
