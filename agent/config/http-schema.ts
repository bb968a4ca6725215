// Settings of the way to the servers: times, rates, proxy, certificates. Never which servers they are.

import * as z from 'zod';
import { day, hour, minute, pathSchema, second, urlSchema, whole } from './value-schema.ts';

export const httpSchema = z
  .strictObject({
    connectTimeoutMs: whole(100, 10 * minute)
      .default(15 * second)
      .describe('Time to connect, TLS included.'),
    headersTimeoutMs: whole(100, 10 * minute)
      .default(30 * second)
      .describe('Time from the request to the end of the answer headers.'),
    idleTimeoutMs: whole(100, 10 * minute)
      .default(30 * second)
      .describe('The longest pause between two pieces of an answer.'),
    metadataTimeoutMs: whole(100, hour)
      .default(2 * minute)
      .describe('Time for one metadata file as a whole.'),
    bytesPerSecondMin: whole(0, 1_000_000_000)
      .default(256)
      .describe('A download slower than this over a minute is given up and resumed later.'),
    bytesPerSecondMax: whole(1024, 10_000_000_000)
      .nullable()
      .default(null)
      .describe('The most that all downloads together take of the line; null: as much as there is.'),
    downloadTimeoutMs: whole(second, 30 * day)
      .default(day)
      .describe(
        'Time that one attempt has to fetch all of an update, over all servers. It ends the attempt; the next one goes on there.',
      ),
    proxyUrl: urlSchema
      .nullable()
      .default(null)
      .describe('HTTP proxy; null: as the variables http_proxy, https_proxy and no_proxy say.'),
    noProxy: z
      .array(
        z
          .string()
          .max(256)
          .regex(/^[^\s,]+$/)
          .meta({ expected: 'a name, .name, address, network or *, perhaps with :port' }),
      )
      .max(64)
      .nullable()
      .default(null)
      .describe(
        'What is reached without the proxy, such as ".lan" or "10.0.0.0/8"; null: as the variable no_proxy says.',
      ),
    caFile: pathSchema
      .nullable()
      .default(null)
      .describe('PEM file of certificate authorities that are trusted instead of the built-in ones.'),
    clientCertFile: pathSchema
      .nullable()
      .default(null)
      .describe('PEM file of the certificate that this gateway shows to the servers; read again when it is renewed.'),
    clientKeyFile: pathSchema
      .nullable()
      .default(null)
      .describe('PEM file of its key, not encrypted, mode 0600 or 0640; read again when it is renewed.'),
  })
  .prefault({});
