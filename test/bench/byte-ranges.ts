// Range headers with several ranges (RFC 9110, 14.2 and 14.6), as the peers' clients send them. Pure.

import { parseRange } from '../../publish/serving/static-server.ts';

export type ByteRange = Extract<ReturnType<typeof parseRange>, object>;

const rangesMax = 1000;

const isRange = (range: ReturnType<typeof parseRange>): range is ByteRange =>
  range !== null && range !== 'unsatisfiable';

/** Empty: none was asked for, or not all of them can be answered; the whole file goes out. */
export const parseRanges = (header: string | undefined, size: number): readonly ByteRange[] => {
  const parts = /^bytes=(.+)$/.exec(header ?? '')?.[1]?.split(',') ?? [];
  const ranges = parts.slice(0, rangesMax + 1).map((part) => parseRange(`bytes=${part.trim()}`, size));
  return ranges.length <= rangesMax && ranges.every(isRange) ? ranges : [];
};

/** What stands before each part of an answer with several ranges, and at its end. */
export const partHead = (boundary: string, { start, end }: ByteRange, size: number): string =>
  `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${start}-${end - 1}/${size}\r\n\r\n`;

export const partsEnd = (boundary: string): string => `\r\n--${boundary}--\r\n`;
