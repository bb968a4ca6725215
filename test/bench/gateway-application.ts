// The application of the gateway in the benchmark's images, in two editions: one bundle of a small HTTP service with the npm
// packages that such services are made of. The second edition differs as a release of an application does: one more route,
// one more reading, another version.

import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

export type Edition = 1 | 2;

const place = 'usr/lib/gateway/application.mjs';

const moreRoutes = `
app.get('/history', async (request) => {
  const { since } = z.object({ since: z.coerce.number().int().min(0).default(0) }).parse(request.query);
  return readings.filter(({ atS }) => atS >= since);
});`;

const source = (edition: Edition): string => `
import fastify from 'fastify';
import pino from 'pino';
import { request } from 'undici';
import { loadavg, uptime${edition === 1 ? '' : ', freemem'} } from 'node:os';
import * as z from 'zod';

const version = '${edition}.0.0';
const keptMax = ${edition === 1 ? 60 : 3600};
const settings = z.object({ everyMs: z.number().default(1000), upstream: z.url().nullable().default(null) }).parse({});
const log = pino({ name: 'gateway', base: { version } });
const readings = [];

const sample = () => {
  readings.push({ atS: Math.round(uptime()), load: loadavg()[0]${edition === 1 ? '' : ', freeBytes: freemem()'} });
  if (readings.length > keptMax) readings.shift();
};

const send = async (url) => {
  const { statusCode } = await request(url, { method: 'POST', body: JSON.stringify(readings.at(-1)) });
  if (statusCode >= 400) log.warn({ statusCode }, 'the reading was refused');
};

const app = fastify({ loggerInstance: log });
app.get('/readings', async () => readings);
app.get('/version', async () => ({ version }));${edition === 1 ? '' : moreRoutes}
setInterval(() => {
  sample();
  if (settings.upstream !== null) void send(settings.upstream).catch((error) => log.warn(error));
}, settings.everyMs);
await app.listen({ path: '/run/gateway/application.sock' });
`;

/** Writes a layer that brings the application. Equal editions give equal bytes. */
export const writeApplicationLayer = async (folder: string, edition: Edition, projectFolder: string): Promise<void> => {
  const file = join(folder, 'files', place);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(join(folder, 'layer.json'), JSON.stringify({ name: `application ${edition}`, modes: 'plain' }));
  await build({
    stdin: { contents: source(edition), resolveDir: projectFolder },
    outfile: file,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    legalComments: 'none',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    logLevel: 'silent',
  });
  await chmod(file, 0o644);
};
