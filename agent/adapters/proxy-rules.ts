// Which requests go around the proxy: the forms of `no_proxy` that curl, Go and Python agree about, as pure functions.
// Names are compared as they stand in the URL; none is resolved for it.

import { BlockList, isIP } from 'node:net';

interface Exception {
  /** Lower case; without leading dots and the brackets of an IPv6 address. */
  readonly host: string;
  /** Null: every port. */
  readonly port: string | null;
  /** `.example.com` and `*.example.com`: what lies below, not the name itself. */
  readonly isBelowOnly: boolean;
}

const parseException = (entry: string): Exception => {
  // An IPv6 address holds colons of its own: its port needs brackets.
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*|.*:.*:.*?))(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
  const host = bracketed ?? plain ?? '';
  return {
    host: host.replace(/^\*?\.+/, '').replace(/\.$/, ''),
    port: port ?? null,
    isBelowOnly: /^\*?\./.test(host),
  };
};

/** `10.0.0.0/8`, `fd00::/8`. */
const isInNetwork = (host: string, network: string): boolean => {
  const [address = '', bits = ''] = network.split('/');
  const family = isIP(address);
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(bits)) return false;
  if (Number(bits) > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  list.addSubnet(address, Number(bits), kind);
  return list.check(host, kind);
};

const isSameAddress = (host: string, address: string): boolean =>
  isIP(address) !== 0 && isInNetwork(host, `${address}/${isIP(address) === 4 ? 32 : 128}`);

const defaultPort = (url: URL): string => (url.protocol === 'https:' ? '443' : '80');

/**
 * True when `url` is reached without a proxy. `except` is a list separated by commas or spaces: `*` for everything, a name
 * (with all below it), `.name` or `*.name` (only what is below), an address, a network (`10.0.0.0/8`); each may end in `:port`.
 */
export const isExemptFromProxy = (url: URL, except: string): boolean => {
  const host = url.hostname
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
  const port = url.port === '' ? defaultPort(url) : url.port;
  return except.split(/[\s,]+/).some((entry) => {
    if (entry === '' || entry === '*') return entry === '*';
    const exception = parseException(entry);
    if (exception.port !== null && exception.port !== port) return false;
    if (exception.host.includes('/')) return isInNetwork(host, exception.host);
    if (isIP(host) !== 0) return isSameAddress(host, exception.host);
    if (exception.host === '') return false;
    return (host === exception.host && !exception.isBelowOnly) || host.endsWith(`.${exception.host}`);
  });
};
