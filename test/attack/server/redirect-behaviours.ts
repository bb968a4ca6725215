// Where an answer leads: redirects, servers behind a certificate, login pages.

import { type Asked, type Behaviour, nothing, say } from './behaviour.ts';

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
    wanted: 'CAPTIVE_PORTAL',
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
    wanted: 'CAPTIVE_PORTAL',
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
    wanted: 'CAPTIVE_PORTAL',
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
    wanted: 'CAPTIVE_PORTAL',
    // A document is fetched as bytes, and its digest is what finds it.
    except: { document: 'TARGET_DIGEST_MISMATCH' },
  },
];

export const redirectingBehaviours: readonly Behaviour[] = [
  ...redirectBehaviours,
  ...tlsBehaviours,
  ...portalBehaviours,
];
