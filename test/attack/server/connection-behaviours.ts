// Connections and heads: redirects, TLS, login pages, and what is no HTTP.

import {
  type Asked,
  asChunk,
  type Behaviour,
  chunked,
  drip,
  impatient,
  nothing,
  pour,
  say,
  sayRaw,
} from './behaviour.ts';

const redirectTo =
  (location: (asked: Asked) => string, status = '302 Found') =>
  (asked: Asked) =>
    void say(
      asked,
      `HTTP/1.1 ${status}`,
      { location: location(asked), 'content-length': '0', 'content-range': null },
      nothing,
    ).end();

const pathOf = ({ request }: Asked): string => request.url ?? '';
const page = Buffer.from('<!DOCTYPE html><html><title>Hotel</title><p>Please log in.</p></html>');
const isRefused = { wanted: 'HTTP_REDIRECT_REFUSED', attack: 'redirect loop' } as const;
const isUnreachable = { wanted: 'HTTP_UNREACHABLE' } as const;
const dates = 'TLS hides what is fetched, signatures say what is believed: see decision 5';

/** Follows itself with a count in the query, `hops` times; then the file. */
const hopping = (hops: number) => (asked: Asked) => {
  const { searchParams, pathname } = new URL(pathOf(asked), 'http://x');
  const hop = Number(searchParams.get('hop') ?? '0');
  if (hop < hops) redirectTo(() => `${pathname}?hop=${hop + 1}`)(asked);
  else say(asked, null).end();
};

const redirectBehaviours: readonly Behaviour[] = [
  { name: 'a redirect to itself', answer: redirectTo(pathOf), ...isRefused },
  { name: 'four redirects', isVariant: true, answer: hopping(4), ...isRefused },
  { name: 'three redirects', answer: hopping(3), wanted: 'taken', because: 'stores redirect to their edges' },
  {
    name: 'a redirect to a link-local address',
    answer: redirectTo(() => 'http://169.254.169.254/latest/meta-data'),
    ...isRefused,
    attack: 'link-local address',
  },
  {
    name: 'a redirect to a link-local address of IPv6',
    isVariant: true,
    answer: redirectTo(() => 'http://[fe80::1]/x'),
    ...isRefused,
    attack: 'link-local address',
  },
  {
    name: 'a redirect to a link-local address in other digits',
    isVariant: true,
    answer: redirectTo(() => 'http://0xa9fea9fe/x'),
    ...isRefused,
    attack: 'link-local address',
  },
  { name: 'a redirect to a file', answer: redirectTo(() => 'file:///etc/passwd'), ...isRefused },
  {
    name: 'a redirect into the URL itself',
    isVariant: true,
    answer: redirectTo(() => 'data:application/json,{}'),
    ...isRefused,
  },
  {
    name: 'a redirect to another protocol',
    isVariant: true,
    answer: redirectTo(() => 'ftp://127.0.0.1/x'),
    ...isRefused,
  },
  { name: 'a redirect to what is no URL', isVariant: true, answer: redirectTo(() => 'http://:0:0/'), ...isRefused },
  {
    name: 'a redirect from https to http',
    answer: redirectTo((asked) => asked.others.tls.downgrading + pathOf(asked)),
    ...isRefused,
    attack: 'https to http',
  },
  {
    name: 'a redirect without a place',
    isVariant: true,
    answer: (asked) =>
      void say(asked, 'HTTP/1.1 302 Found', { 'content-length': '0', 'content-range': null }, nothing).end(),
    wanted: 'HTTP_STATUS',
  },
  {
    name: '300 with choices',
    isVariant: true,
    answer: redirectTo((asked) => asked.others.honest + pathOf(asked), '300 Multiple Choices'),
    wanted: 'HTTP_STATUS',
  },
  {
    name: 'a redirect to another host',
    answer: redirectTo((asked) => asked.others.honest + pathOf(asked), '307 Temporary Redirect'),
    wanted: 'taken',
    because: 'every byte is checked, whoever sends it',
  },
  {
    name: 'a redirect up to https',
    isVariant: true,
    answer: redirectTo((asked) => asked.others.tls.good + pathOf(asked), '308 Permanent Redirect'),
    wanted: 'taken',
    because: 'that is no downgrade',
  },
  {
    name: 'a redirect to a login page',
    answer: redirectTo((asked) => `${asked.others.portal}/login`),
    wanted: 'HTTP_PORTAL',
  },
];

const tlsBehaviours: readonly Behaviour[] = [
  {
    name: 'a certificate that has expired',
    answer: redirectTo((asked) => asked.others.tls.expired + pathOf(asked)),
    wanted: 'taken',
    because: dates,
  },
  {
    name: 'a certificate that is not valid yet',
    answer: redirectTo((asked) => asked.others.tls.future + pathOf(asked)),
    wanted: 'taken',
    because: dates,
  },
  {
    name: 'a certificate for another name',
    answer: redirectTo((asked) => asked.others.tls.elsewhere + pathOf(asked)),
    ...isUnreachable,
  },
  {
    name: 'a certificate of an unknown authority',
    answer: redirectTo((asked) => asked.others.tls.stranger + pathOf(asked)),
    ...isUnreachable,
  },
];

const portalBehaviours: readonly Behaviour[] = [
  {
    name: 'a login page as text/html',
    answer: (asked) =>
      void say(
        asked,
        'HTTP/1.1 200 OK',
        { 'content-type': 'text/html; charset=utf-8', 'content-range': null, 'content-length': String(page.length) },
        page,
      ).end(),
    wanted: 'HTTP_PORTAL',
  },
  {
    name: 'a login page as JSON',
    answer: (asked) =>
      void say(
        asked,
        'HTTP/1.1 200 OK',
        { 'content-type': 'application/json', 'content-range': null, 'content-length': String(page.length) },
        page,
      ).end(),
    wanted: 'HTTP_PORTAL',
    // Documents and images are fetched as bytes; their digest, or their length, is what finds it.
    except: { document: 'TARGET_DIGEST_MISMATCH', image: 'HTTP_TRUNCATED' },
  },
];

const headBehaviours: readonly Behaviour[] = [
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

export const connectionBehaviours: readonly Behaviour[] = [
  ...redirectBehaviours,
  ...tlsBehaviours,
  ...portalBehaviours,
  ...headBehaviours,
];
