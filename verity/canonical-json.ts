// Canonical JSON as TUF signs it (the OLPC dialect: sorted keys, integers only, two escapes) and the one strict parser
// that bytes of a server go through. The parser keeps every member, known or not, so that a signature is checked over
// exactly what was served. It must never accept what two parsers could read differently.

import { OtadError } from '../agent/core/errors.ts';

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** Nesting beyond this is refused; TUF metadata needs about 8. */
export const jsonDepthMax = 32;

const hasHalfSurrogate = (text: string): boolean => /\p{Surrogate}/u.test(text);

const quote = (text: string): string => {
  if (hasHalfSurrogate(text)) {
    throw new OtadError('METADATA_MALFORMED', { reason: 'a string holds half a surrogate pair' });
  }
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
};

/** Order of code points, as every canonical JSON library sorts; UTF-16 order differs beyond the basic plane. */
const byCodePoint = (left: string, right: string): number => Buffer.compare(Buffer.from(left), Buffer.from(right));

const encodeValue = (value: JsonValue, depth: number): string => {
  if (depth > jsonDepthMax) {
    throw new OtadError('METADATA_MALFORMED', { reason: 'nested too deeply' });
  }
  if (value === null || typeof value === 'boolean') {
    return String(value);
  }
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      throw new OtadError('METADATA_MALFORMED', { reason: 'a number is not a safe integer', value });
    }
    return String(value);
  }
  if (typeof value === 'string') {
    return quote(value);
  }
  if (Array.isArray(value)) {
    return `[${value.map((item: JsonValue) => encodeValue(item, depth + 1)).join(',')}]`;
  }
  if (typeof value !== 'object') {
    throw new OtadError('METADATA_MALFORMED', { reason: `${typeof value} has no canonical form` });
  }
  const object = value as JsonObject;
  const members = Object.keys(object)
    .sort(byCodePoint)
    .map((key) => `${quote(key)}:${encodeValue(object[key] as JsonValue, depth + 1)}`);
  return `{${members.join(',')}}`;
};

/** The bytes that are signed. Throws METADATA_MALFORMED on what has no canonical form. */
export const encodeCanonicalJson = (value: JsonValue): Uint8Array => new TextEncoder().encode(encodeValue(value, 0));

interface Cursor {
  readonly text: string;
  at: number;
}

const malformed = (cursor: Cursor, reason: string): OtadError =>
  new OtadError('METADATA_MALFORMED', { reason, at: cursor.at });

const skipSpace = (cursor: Cursor): void => {
  for (;;) {
    const code = cursor.text.charCodeAt(cursor.at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) {
      return;
    }
    cursor.at += 1;
  }
};

const expectText = (cursor: Cursor, wanted: string): void => {
  if (!cursor.text.startsWith(wanted, cursor.at)) {
    throw malformed(cursor, `expected ${wanted}`);
  }
  cursor.at += wanted.length;
};

// Sticky patterns keep the scan linear and in the engine's own code. They hold no state between calls: lastIndex is set first.
const stringPattern = (): RegExp => /"([^"\\]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*)*)"/y;
const numberPattern = (): RegExp => /-?(?:0|[1-9][0-9]*)(?![0-9.eE])/y;

interface Patterns {
  readonly string: RegExp;
  readonly number: RegExp;
}

const escapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

const unescapeText = (raw: string): string =>
  raw.replace(/\\(?:u([0-9a-fA-F]{4})|(.))/g, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (escapes[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  );

const parseString = (cursor: Cursor, patterns: Patterns): string => {
  patterns.string.lastIndex = cursor.at;
  const raw = patterns.string.exec(cursor.text)?.[1];
  // Control characters (U+0000 to U+001F) must come escaped.
  if (raw === undefined || /[^\P{Cc}\x7f-\x9f]/u.test(raw)) {
    throw malformed(cursor, 'not a string');
  }
  const text = raw.includes('\\') ? unescapeText(raw) : raw;
  if (hasHalfSurrogate(text)) {
    throw malformed(cursor, 'a string holds half a surrogate pair');
  }
  cursor.at += raw.length + 2;
  return text;
};

const parseNumber = (cursor: Cursor, patterns: Patterns): number => {
  patterns.number.lastIndex = cursor.at;
  const raw = patterns.number.exec(cursor.text)?.[0];
  const value = Number(raw);
  if (raw === undefined || !Number.isSafeInteger(value) || Object.is(value, -0)) {
    throw malformed(cursor, 'not a safe integer');
  }
  cursor.at += raw.length;
  return value;
};

const parseObject = (cursor: Cursor, patterns: Patterns, depth: number): JsonObject => {
  // No prototype: a member named like one of Object's own can be neither missed nor inherited.
  const object: Record<string, JsonValue> = Object.create(null);
  cursor.at += 1;
  skipSpace(cursor);
  if (cursor.text[cursor.at] === '}') {
    cursor.at += 1;
    return object;
  }
  for (;;) {
    skipSpace(cursor);
    const key = parseString(cursor, patterns);
    if (key === '__proto__') {
      throw malformed(cursor, 'a member is named __proto__');
    }
    if (Object.hasOwn(object, key)) {
      throw malformed(cursor, `the member ${key.slice(0, 64)} stands there twice`);
    }
    skipSpace(cursor);
    expectText(cursor, ':');
    object[key] = parseValue(cursor, patterns, depth + 1);
    skipSpace(cursor);
    if (cursor.text[cursor.at] === '}') {
      cursor.at += 1;
      return object;
    }
    expectText(cursor, ',');
  }
};

const parseArray = (cursor: Cursor, patterns: Patterns, depth: number): readonly JsonValue[] => {
  const items: JsonValue[] = [];
  cursor.at += 1;
  skipSpace(cursor);
  if (cursor.text[cursor.at] === ']') {
    cursor.at += 1;
    return items;
  }
  for (;;) {
    items.push(parseValue(cursor, patterns, depth + 1));
    skipSpace(cursor);
    if (cursor.text[cursor.at] === ']') {
      cursor.at += 1;
      return items;
    }
    expectText(cursor, ',');
  }
};

const parseValue = (cursor: Cursor, patterns: Patterns, depth: number): JsonValue => {
  if (depth > jsonDepthMax) {
    throw malformed(cursor, 'nested too deeply');
  }
  skipSpace(cursor);
  switch (cursor.text[cursor.at]) {
    case '{':
      return parseObject(cursor, patterns, depth);
    case '[':
      return parseArray(cursor, patterns, depth);
    case '"':
      return parseString(cursor, patterns);
    case 't':
      expectText(cursor, 'true');
      return true;
    case 'f':
      expectText(cursor, 'false');
      return false;
    case 'n':
      expectText(cursor, 'null');
      return null;
    default:
      return parseNumber(cursor, patterns);
  }
};

const decodeText = (bytes: Uint8Array): string => {
  try {
    // ignoreBOM keeps a byte order mark in the text, where it is refused as no JSON.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new OtadError('METADATA_MALFORMED', { reason: 'not valid UTF-8' }, { cause });
  }
};

/**
 * Parses UTF-8 JSON that may stand in signed metadata: integers only, no duplicate members, no `__proto__`, bounded depth.
 * White space between tokens is allowed, since publishers indent. The caller caps the length. Throws METADATA_MALFORMED.
 */
export const parseStrictJson = (bytes: Uint8Array): JsonValue => {
  const cursor: Cursor = { text: decodeText(bytes), at: 0 };
  const patterns: Patterns = { string: stringPattern(), number: numberPattern() };
  const value = parseValue(cursor, patterns, 0);
  skipSpace(cursor);
  if (cursor.at !== cursor.text.length) {
    throw malformed(cursor, 'bytes after the end of the document');
  }
  return value;
};
