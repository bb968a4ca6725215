// Connections of the HTTP client: undici agents with proxy, CA and limits. undici is loaded with the first request, so an idle
// daemon does not pay for it. A second agent, for redirects to other hosts, refuses names that resolve into this device.

import { type LookupAddress, type LookupOptions, lookup } from 'node:dns';
import { readFile } from 'node:fs/promises';
import { TLSSocket } from 'node:tls';
import type { buildConnector, Dispatcher } from 'undici';
import { OtadError } from '../core/errors.ts';
import {
  type ClientCertificateFiles,
  fingerprintOf,
  isHalfRenewed,
  readClientCertificate,
} from './client-certificate.ts';
import { isLocalAddress } from './http-rules.ts';
import type { Traffic } from './http-traffic.ts';
import { isExemptFromProxy } from './proxy-rules.ts';
import { objectionToServer } from './tls-rules.ts';

export interface ProxySettings {
  /** Proxy URL for http and https origins; null: none. */
  readonly http: string | null;
  readonly https: string | null;
  /** Hosts reached directly, as in `no_proxy`; see {@link isExemptFromProxy}. */
  readonly except: string;
}

export interface ConnectionSettings {
  readonly connectTimeoutMs: number;
  readonly proxy: ProxySettings;
  /** PEM file of certificate authorities that replace the built-in ones; null: the built-in ones. */
  readonly caFile: string | null;
  /** What this gateway shows to a server that asks who it is; null: nothing. */
  readonly clientCertificate: ClientCertificateFiles | null;
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
  /** What a request to this origin goes through. A guarded one never ends at this device or its link. */
  dispatcherFor(url: URL, isGuarded: boolean): Dispatcher;
  /** False once the files that they were opened with have changed. */
  isCurrent(): Promise<boolean>;
  /** Takes no further request, and ends with the last one under way. */
  retire(): Promise<void>;
  close(): Promise<void>;
}

/** The files that a connection is made with, and whether they are still what they were. */
const readTls = async ({ caFile, clientCertificate }: ConnectionSettings) => {
  const files = [
    ...(caFile === null ? [] : [caFile]),
    ...(clientCertificate === null ? [] : [clientCertificate.certFile, clientCertificate.keyFile]),
  ];
  // Before they are read: a change in between shows at the next look.
  const fingerprint = await fingerprintOf(files);
  return {
    ca: await readCa(caFile),
    own: clientCertificate === null ? {} : await readClientCertificate(clientCertificate),
    isCurrent: async (): Promise<boolean> =>
      (await fingerprintOf(files)) === fingerprint ||
      (clientCertificate !== null && (await isHalfRenewed(clientCertificate))),
  };
};

/**
 * Loads undici and opens nothing yet. Throws CONFIG_UNREADABLE for the CA file, CLIENT_CERTIFICATE_UNUSABLE, CONFIG_INVALID for
 * a proxy.
 */
export const openConnections = async (settings: ConnectionSettings, traffic: Traffic): Promise<Connections> => {
  const { Agent, buildConnector, EnvHttpProxyAgent } = await import('undici');
  const { ca, own, isCurrent } = await readTls(settings);
  const judge = (socket: TLSSocket, host: string) => objectionToServer(socket, host, ca);
  const { proxy } = settings;
  const trust = { timeout: settings.connectTimeoutMs, ...(ca === null ? {} : { ca }) };
  const limits = {
    connections: 4,
    // Deadlines are the exchange's own: it knows when the sink, not the server, is slow.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
  const createAgents = (shown: object, lookupOption: object) => {
    const connect = { ...trust, ...shown };
    // Judged after the handshake instead of in it, and never resumed: a resumed session does not show its chain again.
    const lenient = { ...connect, ...lookupOption, rejectUnauthorized: false, maxCachedSessions: 0 };
    const direct = { ...limits, connect: connectorOf(buildConnector(lenient), judge, traffic) };
    const proxied = new EnvHttpProxyAgent({
      ...direct,
      // Empty strings, not undefined: undici would read the environment by itself.
      httpProxy: proxy.http ?? '',
      httpsProxy: proxy.https ?? '',
      noProxy: '',
      // Through a proxy undici makes the connection itself, and a certificate's dates count as usual.
      requestTls: connect,
      proxyTls: trust,
      // Plain HTTP goes to the proxy as such; many proxies refuse tunnels to port 80.
      proxyTunnel: false,
    });
    return { proxied, around: new Agent(direct) };
  };
  try {
    const base = createAgents(own, {});
    // A redirect leads elsewhere: who this gateway is, is nobody's business there.
    const guarded = createAgents({}, { lookup: guardedLookup });
    const all = [base, guarded].flatMap(({ proxied, around }): Dispatcher[] => [proxied, around]);
    return {
      dispatcherFor: (url, isGuarded) => {
        const { proxied, around } = isGuarded ? guarded : base;
        return isExemptFromProxy(url, proxy.except) ? around : proxied;
      },
      isCurrent,
      retire: async () => {
        await Promise.all(all.map((agent) => agent.close()));
      },
      close: async () => {
        await Promise.all(all.map((agent) => agent.destroy()));
      },
    };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.slice(0, 128) : 'not a proxy URL';
    throw new OtadError('CONFIG_INVALID', { key: 'proxy', reason }, { cause });
  }
};
