// Range headers with one range and with several (RFC 9110, 14.2 and 14.6), as the peers' clients send them. Pure.

export interface ByteRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

const rangesMax = 1000;

const parseOne = (text: string, size: number): ByteRange | null => {
  const match = /^(\d{1,15})-(\d{0,15})$/.exec(text.trim());
  if (match === null) return null;
  const start = Number(match[1]);
  const end = match[2] === '' ? size : Math.min(size, Number(match[2]) + 1);
  return start < end ? { start, end } : null;
};

/** Empty: none was asked for, or none that can be answered; the whole file goes out. */
export const parseRanges = (header: string | undefined, size: number): readonly ByteRange[] => {
  const parts = /^bytes=(.+)$/.exec(header ?? '')?.[1]?.split(',') ?? [];
  const ranges = parts.slice(0, rangesMax).map((part) => parseOne(part, size));
  return ranges.every((range) => range !== null) && parts.length <= rangesMax ? ranges : [];
};

/** What stands before each part of an answer with several ranges, and at its end. */
export const partHead = (boundary: string, { start, end }: ByteRange, size: number): string =>
  `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${start}-${end - 1}/${size}\r\n\r\n`;

export const partsEnd = (boundary: string): string => `\r\n--${boundary}--\r\n`;
