// Connections and heads that end, stall, swell, or are no HTTP.

import { asChunk, type Behaviour, chunked, drip, impatient, pour, say, sayRaw } from './behaviour.ts';

const isUnreachable = { wanted: 'HTTP_UNREACHABLE' } as const;

export const connectionBehaviours: readonly Behaviour[] = [
  { name: 'the end before the head', answer: (asked) => void asked.request.socket.end(), ...isUnreachable },
  {
    name: 'a reset before the head',
    isVariant: true,
    answer: (asked) => void asked.request.socket.resetAndDestroy(),
    ...isUnreachable,
  },
  {
    name: 'silence before the head',
    answer: () => undefined,
    wanted: 'HTTP_TIMEOUT',
    limits: impatient,
    attack: 'slow retrieval',
  },
  {
    name: 'a head that comes header by header',
    answer: (asked) => drip(sayRaw(asked, 'HTTP/1.1 200 OK\r\n'), 'x-drip: 1\r\n', 5),
    wanted: 'HTTP_TIMEOUT',
    limits: impatient,
    attack: 'slow retrieval',
  },
  {
    name: 'a head that comes byte by byte',
    isVariant: true,
    answer: (asked) => drip(sayRaw(asked, 'HTTP/1.1 200 OK\r\nx-'), 'x', 5),
    wanted: 'HTTP_TIMEOUT',
    limits: impatient,
    attack: 'slow retrieval',
  },
  {
    name: 'a header of a megabyte',
    answer: (asked) => void say(asked, null, { 'x-long': 'x'.repeat(1 << 20) }).end(),
    ...isUnreachable,
  },
  {
    name: 'fifty thousand headers',
    isVariant: true,
    answer: (asked) => void sayRaw(asked, `HTTP/1.1 200 OK\r\n${'x-many: 1\r\n'.repeat(50_000)}\r\n`).end(),
    ...isUnreachable,
  },
  {
    name: 'a head without end',
    answer: (asked) => pour(sayRaw(asked, 'HTTP/1.1 200 OK\r\n'), Buffer.from('x-many: 1\r\n'.repeat(1000))),
    ...isUnreachable,
    attack: 'endless data',
  },
  {
    name: 'two lengths that differ',
    answer: (asked) => void say(asked, null, { 'Content-Length': '7' }).end(),
    ...isUnreachable,
  },
  {
    name: 'a negative length',
    answer: (asked) => void say(asked, null, { 'content-length': '-1' }).end(),
    ...isUnreachable,
  },
  {
    name: 'a length in hexadecimal',
    isVariant: true,
    answer: (asked) => void say(asked, null, { 'content-length': '0x10' }).end(),
    ...isUnreachable,
  },
  {
    name: 'a length of 2^64',
    isVariant: true,
    answer: (asked) => void say(asked, null, { 'content-length': '18446744073709551616' }).end(),
    ...isUnreachable,
  },
  {
    name: 'a length that is too small',
    answer: (asked) => void say(asked, null, { 'content-length': String(asked.part.length - 1) }).end(),
    wanted: 'METADATA_MISMATCH',
    except: {
      root: 'METADATA_MALFORMED',
      timestamp: 'METADATA_MALFORMED',
      document: 'TARGET_DIGEST_MISMATCH',
      image: 'HTTP_TRUNCATED',
    },
  },
  {
    name: 'a length and chunks',
    isVariant: true,
    answer: (asked) => void say(asked, null, { 'transfer-encoding': 'chunked' }, asChunk(asked.part)).end(),
    ...isUnreachable,
  },
  {
    name: 'a chunk whose size is no number',
    answer: (asked) => void say(asked, null, chunked, Buffer.from('zz\r\nxx\r\n')).end(),
    wanted: 'HTTP_TRUNCATED',
  },
  {
    name: 'a chunk of 2^64 bytes',
    isVariant: true,
    answer: (asked) => void say(asked, null, chunked, Buffer.from('fffffffffffffffff\r\nxx')).end(),
    wanted: 'HTTP_TRUNCATED',
  },
  {
    name: 'a chunk extension without end',
    answer: (asked) => pour(say(asked, null, chunked, Buffer.from('1;')), Buffer.alloc(65_536, 'x')),
    readBytesMax: 1 << 28,
    wanted: 'FILE_TOO_LARGE',
    attack: 'endless data',
  },
  {
    name: 'trailers without end',
    answer: (asked) =>
      pour(
        say(asked, null, chunked, Buffer.concat([asChunk(asked.part), Buffer.from('0\r\n')])),
        Buffer.from('x-many: 1\r\n'.repeat(1000)),
      ),
    wanted: 'HTTP_TRUNCATED',
    attack: 'endless data',
  },
  { name: 'no status line', answer: (asked) => void sayRaw(asked, asked.part).end(), ...isUnreachable },
  {
    name: 'a status line of no HTTP',
    isVariant: true,
    answer: (asked) => void say(asked, 'HTTP/9.7 200 OK').end(),
    ...isUnreachable,
  },
  {
    name: 'a status of four digits',
    isVariant: true,
    answer: (asked) => void say(asked, 'HTTP/1.1 2000 OK').end(),
    ...isUnreachable,
  },
  {
    name: 'another protocol',
    isVariant: true,
    answer: (asked) => void sayRaw(asked, 'SSH-2.0-OpenSSH_9.2\r\n\r\n').end(),
    ...isUnreachable,
  },
  {
    name: 'a switch of protocols',
    isVariant: true,
    answer: (asked) =>
      void say(asked, 'HTTP/1.1 101 Switching Protocols', { upgrade: 'h2c', connection: 'upgrade' }).end(),
    ...isUnreachable,
  },
  {
    name: 'HTTP/1.0',
    answer: (asked) =>
      void say(asked, asked.offset === null ? 'HTTP/1.0 200 OK' : 'HTTP/1.0 206 Partial Content').end(),
    wanted: 'taken',
    because: 'old servers are servers',
  },
  {
    name: 'a second answer behind the first',
    isVariant: true,
    answer: (asked) =>
      void say(
        asked,
        null,
        {},
        Buffer.concat([asked.part, Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}')]),
      ).end(),
    wanted: 'taken',
    because: 'what follows an answer belongs to nobody',
  },
];
