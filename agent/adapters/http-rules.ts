// What may be believed of an HTTP answer, as pure functions: redirects, waiting times, ranges, encodings, login pages.
// Nothing here opens a connection.

import { BlockList, isIP } from 'node:net';
import { OtadError } from '../core/errors.ts';

export const redirectsMax = 3;
/** A server may ask for patience, not for ever. */
export const retryAfterMaxS = 24 * 3600;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** The first value of a header, or null. */
export const headerOf = (headers: Headers, name: string): string | null => {
  const value = headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? null;
};

/** A URL for people: no credentials, no query, bounded. */
export const shownUrl = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}`.slice(0, 256);

const localNetworks = (): BlockList => {
  const list = new BlockList();
  list.addSubnet('0.0.0.0', 8, 'ipv4');
  list.addSubnet('127.0.0.0', 8, 'ipv4');
  list.addSubnet('169.254.0.0', 16, 'ipv4');
  list.addAddress('::', 'ipv6');
  list.addAddress('::1', 'ipv6');
  list.addSubnet('fe80::', 10, 'ipv6');
  list.addSubnet('::ffff:0.0.0.0', 104, 'ipv6');
  list.addSubnet('::ffff:127.0.0.0', 104, 'ipv6');
  list.addSubnet('::ffff:169.254.0.0', 112, 'ipv6');
  return list;
};

/** Loopback, link-local or unspecified. */
export const isLocalAddress = (address: string): boolean => {
  const plain = address.split('%')[0] ?? address;
  const family = isIP(plain);
  return family !== 0 && localNetworks().check(plain, family === 4 ? 'ipv4' : 'ipv6');
};

const plainHost = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');

const isLocalName = (host: string): boolean => host === 'localhost' || host.endsWith('.localhost');

/** True for a host that is this device or its link by its very name; other names are judged when they are resolved. */
export const isLocalHost = (url: URL): boolean => isLocalName(plainHost(url)) || isLocalAddress(plainHost(url));

/** This device by its very name, not its link. */
const isLoopbackHost = (url: URL): boolean => isLocalName(plainHost(url)) || /^127\.|^::1$/.test(plainHost(url));

/** A base URL on loopback (a relay on this gateway, a test) may send its client about on loopback. */
const isWithinLoopback = (origin: URL, target: URL): boolean => isLoopbackHost(origin) && isLoopbackHost(target);

/** True for a redirect's target whose name must not resolve to this device or its link. */
export const needsGuard = (origin: URL, target: URL): boolean =>
  target.host !== origin.host && !isWithinLoopback(origin, target);

/** Where a redirect leads. Throws HTTP_REDIRECT_REFUSED for one too many, a downgrade, or a way into this device. */
export const followRedirect = (origin: URL, from: URL, location: string, hops: number): URL => {
  const refuse = (reason: string): OtadError =>
    new OtadError('HTTP_REDIRECT_REFUSED', { reason, from: shownUrl(from), location: location.slice(0, 128) });
  if (hops >= redirectsMax) {
    throw refuse(`more than ${redirectsMax} redirects`);
  }
  if (!URL.canParse(location, from.href)) {
    throw refuse('not a URL');
  }
  const target = new URL(location, from);
  if (target.protocol !== 'https:' && (target.protocol !== 'http:' || from.protocol === 'https:')) {
    throw refuse('to plain HTTP or another protocol');
  }
  // Never to the link, from loopback neither: there the services live that give a machine its credentials.
  if (isLocalHost(target) && target.hostname !== origin.hostname && !isWithinLoopback(origin, target)) {
    throw refuse('to a local address');
  }
  target.hash = '';
  return target;
};

/**
 * Seconds to wait by Retry-After, at least 1 and at most a day; null when it says nothing usable. A date is read against the
 * answer's own Date header, since this device's clock may be anywhere; `wallMs` stands in when there is none.
 */
export const parseRetryAfter = (value: string | null, date: string | null, wallMs: number): number | null => {
  if (value === null) {
    return null;
  }
  const bound = (seconds: number): number => Math.min(Math.max(Math.ceil(seconds), 1), retryAfterMaxS);
  if (/^\d{1,15}$/.test(value.trim())) {
    return bound(Number(value.trim()));
  }
  const untilMs = / GMT$/.test(value.trim()) ? Date.parse(value) : Number.NaN;
  const sentMs = date === null ? Number.NaN : Date.parse(date);
  return Number.isFinite(untilMs) ? bound((untilMs - (Number.isFinite(sentMs) ? sentMs : wallMs)) / 1000) : null;
};

/** A status that is no content. */
export const statusError = (status: number, headers: Headers, url: URL, wallMs: number): OtadError => {
  const details = { status, url: shownUrl(url) };
  if (status === 511) {
    return new OtadError('CAPTIVE_PORTAL', details);
  }
  const retryAfterS = parseRetryAfter(headerOf(headers, 'retry-after'), headerOf(headers, 'date'), wallMs);
  return new OtadError('HTTP_STATUS', { ...details, ...(retryAfterS === null ? {} : { retryAfterS }) });
};

/** Refuses an answer whose body is not the file itself: encoded, or a page made for people. */
export const checkPlainContent = (headers: Headers, url: URL): void => {
  const encoding = headerOf(headers, 'content-encoding');
  if (encoding !== null && encoding.trim().toLowerCase() !== 'identity') {
    throw new OtadError('HTTP_ENCODING_REFUSED', { url: shownUrl(url), encoding: encoding.slice(0, 64) });
  }
  const type = headerOf(headers, 'content-type')?.toLowerCase() ?? '';
  if (type.startsWith('text/html') || type.startsWith('application/xhtml')) {
    throw new OtadError('CAPTIVE_PORTAL', { url: shownUrl(url), contentType: type.slice(0, 64) });
  }
};

const textStart = (bytes: Uint8Array): string =>
  new TextDecoder('latin1').decode(bytes.subarray(0, 64)).replace(/^[\s\u00bb\u00bf\u00ef]*/, '');

/** True for bytes that start like markup: a login page served under another type, where JSON is expected. */
export const looksLikePage = (bytes: Uint8Array): boolean => textStart(bytes).startsWith('<');

/** The same where any bytes may come: one character says nothing then. */
export const isSurelyPage = (bytes: Uint8Array): boolean =>
  /^<(?:!doctype|!--|\?xml|html|head|body|meta|script|title)/i.test(textStart(bytes));

/** The declared length of the body, or null. */
export const contentLength = (headers: Headers): number | null => {
  const value = headerOf(headers, 'content-length');
  return value !== null && /^\d{1,15}$/.test(value) ? Number(value) : null;
};

/** The bytes of a file from `offset` up to `end`, and how long the file is. */
export interface FileRange {
  readonly offset: number;
  readonly end: number;
  readonly lengthTotal: number;
}

/**
 * Checks that an answer is this range of the file and nothing else, before the first byte is used. A 200 to a request for a
 * part holds the file from byte 0: used at the offset it would spoil the slot, so it is refused.
 */
export const checkRange = (status: number, headers: Headers, asked: FileRange, url: URL): void => {
  const { offset, end, lengthTotal } = asked;
  const shown = shownUrl(url);
  if (offset === 0 && end === lengthTotal && status === 200) {
    const length = contentLength(headers);
    if (length !== null && length > lengthTotal) {
      throw new OtadError('FILE_TOO_LARGE', { url: shown, length, signed: lengthTotal });
    }
    return;
  }
  const range = headerOf(headers, 'content-range');
  const wanted = `bytes ${offset}-${end - 1}/${lengthTotal}`;
  if (status !== 206 || range?.trim().toLowerCase() !== wanted) {
    throw new OtadError('HTTP_RANGE_MISMATCH', { url: shown, status, wanted, range: range?.slice(0, 64) });
  }
};
