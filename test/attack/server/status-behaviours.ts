// Status lines: refusals, overload, answers to questions that nobody asked, ranges that are not the ones asked for.

import { type Asked, type Behaviour, impatient, nothing, say, sayRaw } from './behaviour.ts';

const refuse =
  (status: string, headers: Record<string, string> = {}) =>
  (asked: Asked) =>
    void say(asked, `HTTP/1.1 ${status}`, { 'content-range': null, 'content-length': '0', ...headers }, nothing).end();

/** The update goes on under the root that is trusted. */
const noNextRoot = { root: 'taken' } as const;
const because = 'a next root that is not there is the normal case';
const absent = { wanted: 'METADATA_MISSING', except: { ...noNextRoot, image: 'HTTP_STATUS' }, because } as const;
const date = 'Thu, 01 Jan 2026 00:00:00 GMT';

/** For metadata a 206 is no answer; for an image another range than the one asked for is refused. */
const isWrongRange = { wanted: 'HTTP_STATUS', except: { image: 'HTTP_RANGE_MISMATCH' } } as const;
const withRange = (range: (asked: Asked, start: number) => string | null) => (asked: Asked) =>
  void say(asked, 'HTTP/1.1 206 Partial Content', { 'content-range': range(asked, asked.offset ?? 0) }).end();

export const statusBehaviours: readonly Behaviour[] = [
  { name: '404', answer: refuse('404 Not Found'), ...absent },
  { name: '410', answer: refuse('410 Gone'), ...absent },
  { name: '403', answer: refuse('403 Forbidden'), wanted: 'HTTP_STATUS', except: noNextRoot, because },
  { name: '401', isVariant: true, answer: refuse('401 Unauthorized'), wanted: 'HTTP_STATUS' },
  {
    name: '429 with Retry-After in seconds',
    answer: refuse('429 Too Many Requests', { 'retry-after': '77' }),
    wanted: 'HTTP_STATUS',
    retryAfterS: 77,
  },
  {
    name: '503 with Retry-After in seconds',
    answer: refuse('503 Unavailable', { 'retry-after': '120' }),
    wanted: 'HTTP_STATUS',
    retryAfterS: 120,
  },
  {
    name: '503 with Retry-After as a date',
    answer: refuse('503 Unavailable', { date, 'retry-after': 'Thu, 01 Jan 2026 00:05:00 GMT' }),
    wanted: 'HTTP_STATUS',
    retryAfterS: 300,
  },
  {
    name: '503 with a Retry-After of a thousand years',
    isVariant: true,
    answer: refuse('503 Unavailable', { 'retry-after': '31536000000' }),
    wanted: 'HTTP_STATUS',
    retryAfterS: 86_400,
  },
  { name: '500', answer: refuse('500 Internal Server Error'), wanted: 'HTTP_STATUS' },
  { name: '502', isVariant: true, answer: refuse('502 Bad Gateway'), wanted: 'HTTP_STATUS' },
  { name: '204', isVariant: true, answer: refuse('204 No Content'), wanted: 'HTTP_STATUS' },
  {
    name: '203 from a proxy that changes bodies',
    isVariant: true,
    answer: (asked) => void say(asked, 'HTTP/1.1 203 Non-Authoritative').end(),
    wanted: 'HTTP_STATUS',
  },
  { name: '511', answer: refuse('511 Network Authentication Required'), wanted: 'CAPTIVE_PORTAL' },
  {
    name: '304 that nobody asked for',
    answer: refuse('304 Not Modified', { etag: '"x"' }),
    wanted: 'HTTP_STATUS',
    except: { image: 'HTTP_RANGE_MISMATCH' },
  },
  {
    name: '416 to every range',
    answer: (asked) =>
      asked.offset === null ? void say(asked, null).end() : refuse('416 Range Not Satisfiable')(asked),
    wanted: 'taken',
    because: 'no kind but the image is asked for by range',
    except: { image: 'HTTP_STATUS' },
  },
  {
    name: '200 with the whole file to a Range request',
    answer: (asked) =>
      void say(
        asked,
        'HTTP/1.1 200 OK',
        { 'content-range': null, 'content-length': String(asked.file.length) },
        asked.file,
      ).end(),
    wanted: 'taken',
    because: 'a server without ranges is read from its start, and what the slot holds already is dropped',
  },
  {
    name: '206 that nobody asked for',
    answer: (asked) =>
      void say(
        asked,
        'HTTP/1.1 206 Partial Content',
        {
          'content-range': `bytes 0-${asked.file.length - 1}/${asked.file.length}`,
          'content-length': String(asked.file.length),
        },
        asked.file,
      ).end(),
    wanted: 'HTTP_STATUS',
    except: { image: 'taken' },
    because: 'for an image that is the whole file, from its start, and says so',
  },
  {
    name: 'Content-Range that starts one byte late',
    answer: withRange(({ file }, at) => `bytes ${at + 1}-${file.length - 1}/${file.length}`),
    ...isWrongRange,
  },
  {
    name: 'Content-Range of another total length',
    answer: withRange(({ file }, at) => `bytes ${at}-${file.length - 1}/${file.length + 1}`),
    ...isWrongRange,
  },
  {
    name: 'Content-Range that ends early',
    isVariant: true,
    answer: withRange(({ file }, at) => `bytes ${at}-${file.length - 2}/${file.length}`),
    ...isWrongRange,
  },
  {
    name: 'Content-Range of unknown total',
    isVariant: true,
    answer: withRange(({ file }, at) => `bytes ${at}-${file.length - 1}/*`),
    ...isWrongRange,
  },
  {
    name: 'Content-Range in another unit',
    isVariant: true,
    answer: withRange(({ file }, at) => `items ${at}-${file.length - 1}/${file.length}`),
    ...isWrongRange,
  },
  { name: '206 without Content-Range', answer: withRange(() => null), ...isWrongRange },
  {
    name: '206 of several parts',
    isVariant: true,
    answer: (asked) =>
      void say(asked, 'HTTP/1.1 206 Partial Content', {
        'content-range': null,
        'content-type': 'multipart/byteranges; boundary=x',
      }).end(),
    ...isWrongRange,
  },
  {
    name: 'a promise to go on (103 Early Hints) again and again',
    answer: (asked) => {
      const socket = sayRaw(asked, '');
      const timer = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 5);
      socket.on('close', () => clearInterval(timer));
    },
    wanted: 'HTTP_TIMEOUT',
    limits: impatient,
  },
];
