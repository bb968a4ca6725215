import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalize } from '@tufjs/canonical-json';
import { OtadError } from '../../agent/core/errors.ts';
import { encodeCanonicalJson, type JsonValue, jsonDepthMax, parseStrictJson } from '../../verity/canonical-json.ts';

const parse = (text: string): JsonValue => parseStrictJson(Buffer.from(text));
const isMalformed = (error: unknown): boolean => error instanceof OtadError && error.code === 'METADATA_MALFORMED';

test('encodes as another canonical JSON library does', () => {
  const values: readonly JsonValue[] = [
    {},
    [],
    { b: 1, a: [true, false, null, -7, 'é"\\\n\t'], A: { z: {}, '': [] } },
    { '10': 1, '9': 2, constructor: 3, é: 4 },
    Number.MAX_SAFE_INTEGER,
    'line\u2028separator\u007f',
  ];
  for (const value of values) {
    assert.equal(Buffer.from(encodeCanonicalJson(value)).toString(), canonicalize(value));
  }
});

test('sorts by code point beyond the basic plane', () => {
  assert.equal(
    Buffer.from(encodeCanonicalJson({ '\u{1f600}': 1, '\uffee': 2 })).toString(),
    '{"\uffee":2,"\u{1f600}":1}',
  );
});

test('parses what JSON.parse parses, and to the same value', () => {
  const texts = [
    ' {"a" : [1, -2, 0, {"b":"x\\n\\u00e9\\/"}], "constructor":{"toString":null}} ',
    '"\\ud83d\\ude00"',
    'true',
    '[[],{}]',
    '9007199254740991',
  ];
  for (const text of texts) {
    assert.deepEqual(JSON.parse(JSON.stringify(parse(text))), JSON.parse(text));
  }
});

const refused: Readonly<Record<string, string>> = {
  'a duplicate member': '{"a":1,"a":2}',
  'a duplicate member under an escape': '{"a":1,"\\u0061":2}',
  'a member named __proto__': '{"__proto__":{}}',
  'a member named __proto__ under an escape': '{"__pr\\u006fto__":{}}',
  'a fraction': '1.0',
  'an exponent': '1e3',
  'a leading zero': '01',
  'minus zero': '-0',
  'a plus sign': '+1',
  'an unsafe integer': '9007199254740992',
  'a number of a thousand digits': '1'.repeat(1000),
  'an unescaped control character': '"\u0001"',
  'an unknown escape': '"\\x41"',
  'half a surrogate pair': '"\\ud800"',
  'a trailing comma in an array': '[1,]',
  'a trailing comma in an object': '{"a":1,}',
  'a missing colon': '{"a" 1}',
  'a member without quotes': '{a:1}',
  'a comment': '/* */1',
  'two documents': '{}{}',
  'bytes after the end': '{}x',
  'a cut document': '{"a":[1',
  'an empty document': '',
  'a byte order mark': '\ufeff{}',
  NaN: 'NaN',
  'depth beyond the maximum': '['.repeat(jsonDepthMax + 2) + ']'.repeat(jsonDepthMax + 2),
};

for (const [what, text] of Object.entries(refused)) {
  test(`refuses ${what}`, () => {
    assert.throws(() => parse(text), isMalformed);
  });
}

test('refuses invalid UTF-8, overlong forms and encoded surrogates', () => {
  for (const bytes of [
    [0x22, 0xff, 0x22],
    [0x22, 0xc0, 0x80, 0x22],
    [0x22, 0xed, 0xa0, 0x80, 0x22],
  ]) {
    assert.throws(() => parseStrictJson(Uint8Array.from(bytes)), isMalformed);
  }
});

test('refuses to encode what has no canonical form', () => {
  const values = [1.5, Number.NaN, -0, 2 ** 53, '\ud800', undefined, () => 1, 1n, { a: undefined }];
  for (const value of values) {
    assert.throws(() => encodeCanonicalJson(value as JsonValue), isMalformed);
  }
});

test('reads a long string in linear time and without deep recursion', () => {
  const text = JSON.stringify('\\"'.repeat(500_000));
  assert.equal(parse(text), JSON.parse(text));
});

test('depth at the maximum is read', () => {
  assert.ok(Array.isArray(parse('['.repeat(jsonDepthMax) + ']'.repeat(jsonDepthMax))));
});
