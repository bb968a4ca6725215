// Bodies: too short, too long, too slow, broken off, packed, of another file, or changed under the reader.

import { gzipSync } from 'node:zlib';
import {
  type Asked,
  asChunk,
  type Behaviour,
  chunked,
  demanding,
  drip,
  half,
  impatient,
  nothing,
  pour,
  say,
} from './behaviour.ts';

/** Wrong bytes by what notices them: unsigned lengths the parser, signed ones the digest. */
const isNotJson = {
  wanted: 'METADATA_MISMATCH',
  except: {
    root: 'METADATA_MALFORMED',
    timestamp: 'METADATA_MALFORMED',
    document: 'TARGET_DIGEST_MISMATCH',
    image: 'IMAGE_DIGEST_MISMATCH',
  },
} as const;
/** JSON, with a signature that is none. */
const isForged = {
  ...isNotJson,
  except: { ...isNotJson.except, root: 'METADATA_SIGNATURE_INVALID', timestamp: 'METADATA_SIGNATURE_INVALID' },
} as const;
/** The same, of a body shorter than signed. */
const isShort = { ...isNotJson, except: { ...isNotJson.except, image: 'HTTP_TRUNCATED' } } as const;
/** One byte more than the file: where the length is signed that is the end, elsewhere the parser finds it. */
const isLong = {
  wanted: 'FILE_TOO_LARGE',
  except: { root: 'METADATA_MALFORMED', timestamp: 'METADATA_MALFORMED' },
} as const;

const longer = ({ part }: Asked): Buffer => Buffer.concat([part, Buffer.from('x')]);
const kibibytes64 = Buffer.alloc(64 * 1024, 0x20);
/** A GiB of zeros would be a megabyte; this is as good, and quick to make. */
const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024), { level: 9 });

/** In a signature where there is one: elsewhere it depends on the bit what notices it first. */
const flipped = ({ part }: Asked): Buffer => {
  const copy = Buffer.from(part);
  const signature = copy.indexOf('"sig": "');
  const at = signature < 0 ? copy.length >> 1 : signature + 8;
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
};

/** Breaks within the first signature of a metadata file. */
const changingAt = 200;

const withBody = (body: (asked: Asked) => Uint8Array) => (asked: Asked) => {
  const bytes = body(asked);
  say(asked, null, { 'content-length': String(bytes.length) }, bytes).end();
};

/** Replaces the whole file honestly: same status, own length; for a range the same range of the other file. */
const withFile = (file: (asked: Asked) => Uint8Array) => withBody((asked) => file(asked).subarray(asked.offset ?? 0));

const packed = (encoding: string, bytes: Uint8Array) => (asked: Asked) =>
  void say(asked, null, { 'content-encoding': encoding, 'content-length': String(bytes.length) }, bytes).end();

export const bodyBehaviours: readonly Behaviour[] = [
  {
    name: 'half of the declared length, then the end',
    answer: (asked) => void say(asked, null, {}, half(asked)).end(),
    wanted: 'HTTP_TRUNCATED',
  },
  {
    name: 'half of the chunks, then the end',
    isVariant: true,
    answer: (asked) => void say(asked, null, chunked, asChunk(half(asked))).end(),
    wanted: 'HTTP_TRUNCATED',
  },
  {
    name: 'a reset in the middle',
    answer: (asked) => void say(asked, null, {}, half(asked)).resetAndDestroy(),
    wanted: 'HTTP_TRUNCATED',
  },
  { name: 'half of the file under its own length', answer: withBody(half), ...isShort },
  {
    name: 'half of the file, its end told by the connection’s',
    answer: (asked) => void say(asked, null, { 'content-length': null, connection: 'close' }, half(asked)).end(),
    ...isShort,
  },
  { name: 'no body at all', answer: withBody(() => nothing), ...isShort },
  { name: 'one byte too many, declared', answer: withBody(longer), ...isLong, attack: 'endless data' },
  {
    name: 'one byte too many, in chunks',
    isVariant: true,
    answer: (asked) => void say(asked, null, chunked, Buffer.concat([asChunk(longer(asked)), asChunk(nothing)])).end(),
    ...isLong,
    attack: 'endless data',
  },
  {
    name: 'endless chunks',
    answer: (asked) => pour(say(asked, null, chunked, nothing), asChunk(kibibytes64)),
    wanted: 'FILE_TOO_LARGE',
    attack: 'endless data',
  },
  {
    name: 'endless bytes without a length',
    answer: (asked) => pour(say(asked, null, { 'content-length': null, connection: 'close' }, nothing), kibibytes64),
    wanted: 'FILE_TOO_LARGE',
    attack: 'endless data',
  },
  {
    name: 'a length of 2^40, and bytes to match',
    isVariant: true,
    answer: (asked) => pour(say(asked, null, { 'content-length': String(2 ** 40) }, nothing), kibibytes64),
    wanted: 'FILE_TOO_LARGE',
    attack: 'endless data',
  },
  {
    name: 'a byte now and then',
    answer: (asked) => drip(say(asked, null, {}, nothing), '{', 40),
    wanted: 'HTTP_TOO_SLOW',
    limits: demanding,
    attack: 'slow retrieval',
  },
  {
    name: 'a server that is never quite too slow',
    answer: (asked) => drip(say(asked, null, {}, nothing), ' ', 10),
    wanted: 'HTTP_TIMEOUT',
    limits: { fetchDeadlineMs: 250, streamDeadlineMs: 250 },
    attack: 'slow retrieval',
  },
  {
    name: 'silence in the middle of the body',
    answer: (asked) => void say(asked, null, {}, half(asked)),
    wanted: 'HTTP_TIMEOUT',
    limits: impatient,
    attack: 'slow retrieval',
  },
  {
    name: 'silence after the head',
    isVariant: true,
    answer: (asked) => void say(asked, null, {}, nothing),
    wanted: 'HTTP_TIMEOUT',
    limits: impatient,
    attack: 'slow retrieval',
  },
  { name: 'a gzip bomb', answer: packed('gzip', bomb), wanted: 'HTTP_ENCODING_REFUSED', attack: 'compressed bomb' },
  { name: 'brotli', answer: packed('br', bomb), wanted: 'HTTP_ENCODING_REFUSED', attack: 'compressed bomb' },
  {
    name: 'an unknown encoding',
    answer: packed('x-nobody-knows', bomb),
    wanted: 'HTTP_ENCODING_REFUSED',
    attack: 'compressed bomb',
  },
  {
    name: 'two encodings, one upon the other',
    isVariant: true,
    answer: packed('identity, gzip', bomb),
    wanted: 'HTTP_ENCODING_REFUSED',
    attack: 'compressed bomb',
  },
  {
    name: 'an encoding that says there is none',
    isVariant: true,
    answer: (asked) => void say(asked, null, { 'content-encoding': 'identity' }).end(),
    wanted: 'taken',
    because: 'identity is no encoding',
  },
  {
    name: 'one bit flipped',
    answer: withBody(flipped),
    ...isForged,
  },
  {
    name: 'a byte order mark in front',
    answer: withFile(({ file }) => Buffer.concat([Buffer.from('\ufeff'), file])),
    ...isLong,
  },
  {
    name: 'spaces instead of the file',
    isVariant: true,
    answer: withFile(({ file }) => Buffer.alloc(file.length, 0x20)),
    ...isNotJson,
  },
  { name: 'zeros instead of the file', answer: withFile(({ file }) => Buffer.alloc(file.length)), ...isNotJson },
  {
    name: 'the file as it was before',
    answer: withFile(({ stale }) => stale),
    wanted: 'METADATA_MISMATCH',
    except: {
      root: 'METADATA_ROLLBACK',
      timestamp: 'up-to-date',
      document: 'TARGET_DIGEST_MISMATCH',
      image: 'IMAGE_DIGEST_MISMATCH',
    },
    because: 'an edge that lags behind has no news; the timestamp that is trusted is no attack until it expires',
  },
  {
    name: 'the file as it was before this gateway’s time',
    answer: withFile(({ ancient }) => ancient),
    wanted: 'METADATA_MISMATCH',
    except: {
      root: 'METADATA_ROLLBACK',
      timestamp: 'METADATA_ROLLBACK',
      document: 'TARGET_DIGEST_MISMATCH',
      image: 'IMAGE_DIGEST_MISMATCH',
    },
  },
  {
    name: 'a file that changes while it is sent, and its ETag with it',
    answer: (asked) => {
      const other = asked.stale.subarray(asked.offset ?? 0);
      const bytes = Buffer.concat([asked.part.subarray(0, changingAt), other.subarray(changingAt)]);
      say(asked, null, { etag: '"changed"', 'content-length': String(bytes.length) }, bytes).end();
    },
    ...isForged,
  },
  {
    name: 'another ETag than for the first part',
    answer: (asked) => void say(asked, null, { etag: '"another"' }).end(),
    wanted: 'taken',
    because: 'an ETag says nothing of the bytes; their digest does',
  },
];
