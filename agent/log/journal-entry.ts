// The native journal protocol: one datagram is one entry of NAME=value fields; a value with line breaks goes with its
// length. Pure bytes; every size has a maximum.

/** A record of the log as pino wrote it: level, msg, and fields. */
export type LogRecord = Readonly<Record<string, unknown>>;

const fieldsMax = 48;
const messageBytesMax = 48 * 1024;
const valueBytesMax = 16 * 1024;
const nameLengthMax = 64;

/** pino's levels as syslog priorities. */
export const priorityOf = (level: unknown): number => {
  if (typeof level !== 'number' || level >= 60) return 2;
  if (level >= 50) return 3;
  if (level >= 40) return 4;
  return level >= 30 ? 6 : 7;
};

/** otad's own fields: camelCase becomes OTAD_UPPER_SNAKE. */
export const fieldName = (key: string): string =>
  `OTAD_${key
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toUpperCase()
    .replace(/[^A-Z0-9_]/g, '_')}`.slice(0, nameLengthMax);

const cut = (text: string, bytesMax: number): Buffer => {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= bytesMax) return bytes;
  const mark = Buffer.from('…');
  let end = bytesMax - mark.length;
  // Never inside a character.
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return Buffer.concat([bytes.subarray(0, end), mark]);
};

const encodeField = (name: string, value: Buffer): Buffer => {
  if (!value.includes(0x0a)) return Buffer.concat([Buffer.from(`${name}=`), value, Buffer.from('\n')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, value, Buffer.from('\n')]);
};

const ownKeys = new Set(['level', 'time', 'msg', 'messageId']);

/** The record's fields as text, objects flattened one level; what is null or undefined is left out. */
export const flatten = (record: LogRecord): readonly (readonly [key: string, value: string])[] => {
  const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
  return Object.entries(record)
    .filter(([key]) => !ownKeys.has(key))
    .flatMap(([key, value]) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? Object.entries(value).map(
            ([inner, part]) => [`${key}${inner[0]?.toUpperCase()}${inner.slice(1)}`, part] as const,
          )
        : [[key, value] as const],
    )
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([key, value]) => [key, text(value)] as const);
};

export const encodeJournalEntry = (record: LogRecord, identifier: string): Buffer => {
  const { messageId } = record;
  const parts = [
    encodeField('MESSAGE', cut(String(record.msg ?? ''), messageBytesMax)),
    encodeField('PRIORITY', Buffer.from(String(priorityOf(record.level)))),
    encodeField('SYSLOG_IDENTIFIER', Buffer.from(identifier)),
    ...(typeof messageId === 'string' ? [encodeField('MESSAGE_ID', Buffer.from(messageId))] : []),
    ...flatten(record)
      .slice(0, fieldsMax)
      .map(([key, value]) => encodeField(fieldName(key), cut(value, valueBytesMax))),
  ];
  return Buffer.concat(parts);
};
