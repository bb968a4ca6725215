// Connections of the HTTP client: undici agents with proxy, CA and limits. undici is loaded with the first request, so an idle
// daemon does not pay for it. A second agent, for redirects to other hosts, refuses names that resolve into this device.

import { type LookupAddress, type LookupOptions, lookup } from 'node:dns';
import { readFile } from 'node:fs/promises';
import { TLSSocket } from 'node:tls';
import type { buildConnector, Dispatcher } from 'undici';
import { OtadError } from '../core/errors.ts';
import { isLocalAddress } from './http-rules.ts';
import type { Traffic } from './http-traffic.ts';
import { objectionToServer } from './tls-rules.ts';

export interface ProxySettings {
  /** Proxy URL for http and https origins; null: none. */
  readonly http: string | null;
  readonly https: string | null;
  /** Hosts reached directly, separated by commas, as in `no_proxy`. */
  readonly except: string;
}

export interface ConnectionSettings {
  readonly connectTimeoutMs: number;
  readonly proxy: ProxySettings;
  /** PEM file of certificate authorities that replace the built-in ones; null: the built-in ones. */
  readonly caFile: string | null;
}

/** The conventional variables; lower case wins, and an upper-case HTTP_PROXY is taken too since this is no CGI program. */
export const proxyFromEnvironment = (env: Readonly<Record<string, string | undefined>>): ProxySettings => {
  const http = env.http_proxy ?? env.HTTP_PROXY ?? '';
  const https = env.https_proxy ?? env.HTTPS_PROXY ?? '';
  return {
    http: http === '' ? null : http,
    https: https === '' ? null : https,
    except: env.no_proxy ?? env.NO_PROXY ?? '',
  };
};

type LookupDone = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/** Looked at in the very answer that is connected to, so a name cannot change its mind in between. */
const guardedLookup = (hostname: string, options: LookupOptions, done: LookupDone): void => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) {
      done(error, []);
      return;
    }
    const [first] = addresses;
    if (first === undefined || addresses.some(({ address }) => isLocalAddress(address))) {
      done(new OtadError('HTTP_REDIRECT_REFUSED', { reason: 'to a local address', host: hostname }), []);
    } else if (options.all === true) {
      done(null, addresses);
    } else {
      done(null, first.address, first.family);
    }
  });
};

/** A connector that hands out a TLS connection only after it has been judged, and counts what each connection brings. */
const connectorOf = (
  base: buildConnector.connector,
  judge: (socket: TLSSocket, host: string) => Error | null,
  traffic: Traffic,
): buildConnector.connector => {
  return (options, done) =>
    base(options, (...[error, socket]) => {
      if (error !== null) {
        done(error, null);
        return;
      }
      const objection = socket instanceof TLSSocket ? judge(socket, options.servername || options.hostname) : null;
      if (objection === null) {
        traffic.add(socket);
        done(null, socket);
      } else {
        socket.destroy();
        done(objection, null);
      }
    });
};

const readCa = async (caFile: string | null): Promise<string | null> => {
  try {
    return caFile === null ? null : await readFile(caFile, 'utf8');
  } catch (cause) {
    throw new OtadError('CONFIG_UNREADABLE', { path: caFile, purpose: 'certificate authorities' }, { cause });
  }
};

export interface Connections {
  readonly direct: Dispatcher;
  /** Never connects to this device or its link. */
  readonly guarded: Dispatcher;
  close(): Promise<void>;
}

/** Loads undici and opens nothing yet. Throws CONFIG_UNREADABLE for the CA file, CONFIG_INVALID for a proxy. */
export const openConnections = async (settings: ConnectionSettings, traffic: Traffic): Promise<Connections> => {
  const { buildConnector, EnvHttpProxyAgent } = await import('undici');
  const ca = await readCa(settings.caFile);
  const connect = { timeout: settings.connectTimeoutMs, ...(ca === null ? {} : { ca }) };
  const judge = (socket: TLSSocket, host: string) => objectionToServer(socket, host, ca);
  const { proxy } = settings;
  const createAgent = (lookupOption: object): Dispatcher =>
    new EnvHttpProxyAgent({
      // Empty strings, not undefined: undici would read the environment by itself.
      httpProxy: proxy.http ?? '',
      httpsProxy: proxy.https ?? '',
      noProxy: proxy.except,
      // Judged after the handshake instead of in it, and never resumed: a resumed session does not show its chain again.
      connect: connectorOf(
        buildConnector({ ...connect, ...lookupOption, rejectUnauthorized: false, maxCachedSessions: 0 }),
        judge,
        traffic,
      ),
      // Through a proxy undici makes the connection itself, and a certificate's dates count as usual.
      requestTls: connect,
      proxyTls: connect,
      // Plain HTTP goes to the proxy as such; many proxies refuse tunnels to port 80.
      proxyTunnel: false,
      connections: 4,
      // Deadlines are the exchange's own: it knows when the sink, not the server, is slow.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  try {
    const direct = createAgent({});
    const guarded = createAgent({ lookup: guardedLookup });
    return {
      direct,
      guarded,
      close: async () => {
        await Promise.all([direct.destroy(), guarded.destroy()]);
      },
    };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.slice(0, 128) : 'not a proxy URL';
    throw new OtadError('CONFIG_INVALID', { key: 'proxy', reason }, { cause });
  }
};
