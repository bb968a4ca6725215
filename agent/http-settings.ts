// What the settings say of the network, as the HTTP client wants to hear it.

import { defaultHttpSettings, type HttpSettings } from './adapters/http.ts';
import { type ProxySettings, proxyFromEnvironment } from './adapters/http-dispatcher.ts';
import type { Config } from './config/schema.ts';
import { agentVersion } from './version.ts';

const proxyOf = ({ proxyUrl, noProxy }: Config['http'], environment: NodeJS.ProcessEnv): ProxySettings => {
  const told = proxyFromEnvironment(environment);
  const { http, https } = proxyUrl === null ? told : { http: proxyUrl, https: proxyUrl };
  return { http, https, except: noProxy === null ? told.except : noProxy.join(',') };
};

export const httpSettingsOf = ({ http }: Pick<Config, 'http'>, environment: NodeJS.ProcessEnv): HttpSettings => ({
  ...defaultHttpSettings,
  userAgent: `otad/${agentVersion}`,
  connectTimeoutMs: http.connectTimeoutMs,
  headersTimeoutMs: http.headersTimeoutMs,
  idleTimeoutMs: http.idleTimeoutMs,
  fetchDeadlineMs: http.metadataTimeoutMs,
  // No stream outlives its attempt, and none ends before it.
  streamDeadlineMs: http.downloadTimeoutMs,
  minRateBytesPerS: http.bytesPerSecondMin,
  bytesPerSMax: http.bytesPerSecondMax,
  proxy: proxyOf(http, environment),
  caFile: http.caFile,
  clientCertificate:
    http.clientCertFile === null || http.clientKeyFile === null
      ? null
      : { certFile: http.clientCertFile, keyFile: http.clientKeyFile },
});
