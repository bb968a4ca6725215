// Reads JSON as a person writes it by hand: says line, column and what was expected, and refuses a key given twice.
// JSON.parse does neither on every Node release. Strings and numbers are still decoded by JSON.parse, so that what
// this accepts is JSON and nothing more. Must never give an object a prototype that the text names.

const depthMax = 32;

export class JsonTextError extends Error {
  readonly line: number;
  readonly column: number;

  constructor(text: string, offset: number, problem: string) {
    super(problem);
    this.name = 'JsonTextError';
    const before = text.slice(0, offset).split('\n');
    this.line = before.length;
    this.column = (before.at(-1) ?? '').length + 1;
  }
}

const spacePattern = /[ \t\n\r]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON strings must not hold them.
const stringPattern = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const wordPattern = /true|false|null/y;

interface Cursor {
  readonly text: string;
  offset: number;
}

const take = (cursor: Cursor, pattern: RegExp): string | null => {
  pattern.lastIndex = cursor.offset;
  const match = pattern.exec(cursor.text);
  if (match === null) return null;
  cursor.offset = pattern.lastIndex;
  return match[0];
};

const peek = (cursor: Cursor): string => {
  take(cursor, spacePattern);
  return cursor.text[cursor.offset] ?? '';
};

const unexpected = (cursor: Cursor, expected: string): JsonTextError => {
  const found = cursor.text[cursor.offset];
  const what = found === undefined ? 'the end of the file' : JSON.stringify(found);
  return new JsonTextError(cursor.text, cursor.offset, `expected ${expected}, found ${what}`);
};

/** Takes `token` when it comes next. */
const takeToken = (cursor: Cursor, token: string): boolean => {
  if (peek(cursor) !== token) return false;
  cursor.offset += 1;
  return true;
};

const expectString = (cursor: Cursor, expected: string): string => {
  if (peek(cursor) !== '"') throw unexpected(cursor, expected);
  const raw = take(cursor, stringPattern);
  if (raw === null) {
    throw new JsonTextError(cursor.text, cursor.offset, 'a string is not closed or holds a character to be escaped');
  }
  return JSON.parse(raw) as string;
};

const parseObject = (cursor: Cursor, depth: number): Record<string, unknown> => {
  // No prototype: a key named __proto__ is a key like any other here, and unknown to the schema.
  const object: Record<string, unknown> = Object.create(null);
  cursor.offset += 1;
  if (takeToken(cursor, '}')) return object;
  do {
    peek(cursor);
    const start = cursor.offset;
    const key = expectString(cursor, 'a key in double quotes');
    if (Object.hasOwn(object, key)) {
      throw new JsonTextError(cursor.text, start, `the key ${JSON.stringify(key)} is given twice`);
    }
    if (!takeToken(cursor, ':')) throw unexpected(cursor, '":"');
    object[key] = parseValue(cursor, depth + 1);
  } while (takeToken(cursor, ','));
  if (!takeToken(cursor, '}')) throw unexpected(cursor, '"," or "}"');
  return object;
};

const parseArray = (cursor: Cursor, depth: number): unknown[] => {
  const array: unknown[] = [];
  cursor.offset += 1;
  if (takeToken(cursor, ']')) return array;
  do array.push(parseValue(cursor, depth + 1));
  while (takeToken(cursor, ','));
  if (!takeToken(cursor, ']')) throw unexpected(cursor, '"," or "]"');
  return array;
};

const parseValue = (cursor: Cursor, depth: number): unknown => {
  const next = peek(cursor);
  if (depth > depthMax) throw new JsonTextError(cursor.text, cursor.offset, `nested deeper than ${depthMax} levels`);
  if (next === '{') return parseObject(cursor, depth);
  if (next === '[') return parseArray(cursor, depth);
  if (next === '"') return expectString(cursor, 'a string');
  const scalar = take(cursor, wordPattern) ?? take(cursor, numberPattern);
  if (scalar === null) throw unexpected(cursor, 'a value');
  return JSON.parse(scalar);
};

/** The value of a JSON text; throws {@link JsonTextError}. Objects come without a prototype. */
export const parseJsonText = (text: string): unknown => {
  const cursor: Cursor = { text, offset: 0 };
  const value = parseValue(cursor, 0);
  if (peek(cursor) !== '') throw unexpected(cursor, 'the end of the file');
  return value;
};
