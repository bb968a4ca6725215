// Runs one behaviour against one kind of file: a gateway that trusts release 1.1 asks for 1.2, one file of it comes from the
// hostile server. Then the same client asks an honest one.

import assert from 'node:assert/strict';
import { subscribe } from 'node:diagnostics_channel';
import { copyFile } from 'node:fs/promises';
import type { IncomingMessage, RequestListener } from 'node:http';
import type { TestContext } from 'node:test';
import type { HttpSettings } from '../../../agent/adapters/http.ts';
import { metadataLimits } from '../../../verity/metadata-fetcher.ts';
import { openCertificates, validBefore, validLater, validNow } from '../../support/certificates.ts';
import { aServer, aTlsServer, serveFiles } from '../../support/loopback-server.ts';
import { aGateway, assertInstalled, changesBetween, type Evidence, type Gateway } from '../gateway.ts';
import { createVendor, type FileKind, imageBytes, type Vendor } from '../vendor.ts';
import type { Behaviour, Others } from './behaviour.ts';

const never = new AbortController().signal;

/** What a refused file may cost beyond its cap: heads, and pieces that the socket had read already. */
const slackBytes = 1024 * 1024;
const requestsMax = 16;

/** Files that are stored before the one that is spoiled is asked for: each passed every check on it. */
const storedBefore: Readonly<Record<FileKind, readonly string[]>> = {
  root: [],
  timestamp: ['history-2.root', 'root.json'],
  snapshot: ['history-2.root', 'root.json', 'timestamp.json'],
  targets: ['history-2.root', 'root.json', 'snapshot.json', 'timestamp.json'],
  document: ['history-2.root', 'root.json', 'snapshot.json', 'targets.json', 'timestamp.json'],
  image: [],
};

const capOf = ({ next, paths }: Vendor, kind: FileKind): number =>
  kind === 'root'
    ? metadataLimits.rootBytesMax
    : kind === 'timestamp'
      ? metadataLimits.timestampBytesMax
      : (next.get(paths[kind])?.length ?? 0);

/** What all pairs share: built once, copied by each. */
export interface Ground {
  readonly vendor: Vendor;
  readonly others: Others;
  readonly caFile: string;
  /** Trusted files after release 1.1, and after 1.2. */
  readonly trustedFolder: string;
  readonly nextFolder: string;
  readonly nextEvidence: Evidence;
  /** Slot b with the first part of the image of 1.2. */
  readonly halfSlot: string;
}

const startOthers = async (t: TestContext, files: ReadonlyMap<string, Uint8Array>) => {
  const certificates = openCertificates();
  t.after(() => certificates.close());
  certificates.makeAuthority('authority');
  certificates.makeAuthority('stranger');
  const honest = serveFiles(files);
  const plain = await aServer(t, honest);
  const portal = await aServer(t, (_, response) =>
    response.setHeader('content-type', 'text/html').end('<h1>Log in</h1>'),
  );
  const downgrade: RequestListener = (request, response) =>
    void response.writeHead(302, { location: `${plain.url}${request.url}` }).end();
  const here = 'IP:127.0.0.1';
  const secure = async (name: string, authority: string, host: string, validity = validNow, answer = honest) =>
    (await aTlsServer(t, certificates.makeServer(name, authority, host, validity), answer)).url;
  const tls = {
    good: await secure('good', 'authority', here),
    downgrading: await secure('downgrading', 'authority', here, validNow, downgrade),
    expired: await secure('expired', 'authority', here, validBefore),
    future: await secure('future', 'authority', here, validLater),
    elsewhere: await secure('elsewhere', 'authority', 'DNS:elsewhere.test'),
    stranger: await secure('strange', 'stranger', here),
  };
  return { others: { honest: plain.url, portal: portal.url, tls }, caFile: certificates.caFile('authority') };
};

export const prepareGround = async (t: TestContext): Promise<Ground> => {
  const vendor = createVendor();
  const { initialRoot } = vendor;
  const trusting = await aServer(t, serveFiles(vendor.trusted));
  const gateway = await aGateway(t, { baseUrls: [trusting.url], initialRoot });
  assert.equal((await gateway.update()).outcome, 'up-to-date');
  const next = await aServer(t, (request, response) => {
    if (request.url !== `/${vendor.paths.image}`) return serveFiles(vendor.next)(request, response);
    const part = (vendor.next.get(vendor.paths.image) ?? Buffer.of()).subarray(0, imageBytes >> 1);
    return void response.writeHead(200, { 'content-length': imageBytes }).write(part, () => response.destroy());
  });
  const trustedFolder = gateway.metadataFolder;
  const updated = await aGateway(t, { baseUrls: [next.url], initialRoot, trustedFolder });
  assert.equal((await updated.update()).outcome, 'HTTP_TRUNCATED');
  assert.ok(((await updated.slots.devices.readRecord('b', never))?.writtenBytes ?? 0) > 0);
  const shared = { vendor, trustedFolder, nextFolder: updated.metadataFolder, halfSlot: updated.slots.paths.b };
  return { ...shared, ...(await startOthers(t, vendor.next)), nextEvidence: await updated.evidence() };
};

/** Counts what clients read of each server, by its port, for as long as the process lives. */
export const watchTraffic = (): ((port: number) => number) => {
  const sockets = new Map<number, { readonly bytesRead: number }[]>();
  subscribe('undici:client:connected', (message) => {
    const { socket } = message as { socket: { remotePort?: number; bytesRead: number } };
    const port = socket.remotePort ?? 0;
    sockets.set(port, [...(sockets.get(port) ?? []), socket]);
  });
  return (port) => (sockets.get(port) ?? []).reduce((sum, { bytesRead }) => sum + bytesRead, 0);
};

const isAsked = (request: IncomingMessage, path: string): boolean =>
  decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname) === `/${path}`;

const aHostileServer = (
  t: TestContext,
  ground: Ground,
  kind: FileKind,
  behaviour: Behaviour,
  isHostile: () => boolean,
) => {
  const { vendor, others } = ground;
  const file = vendor.next.get(vendor.paths[kind]) ?? Buffer.of();
  const honest = serveFiles(vendor.next);
  return aServer(t, (request, response) => {
    if (!isHostile() || !isAsked(request, vendor.paths[kind])) return honest(request, response);
    const start = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
    const offset = start === undefined ? null : Number(start);
    const part = file.subarray(offset ?? 0);
    const { [kind]: stale } = vendor.stale;
    const { [kind]: ancient } = vendor.ancient;
    behaviour.answer({ request, response, file, part, offset, stale, ancient, others });
  });
};

const aGatewayFor = async (
  t: TestContext,
  ground: Ground,
  kind: FileKind,
  baseUrl: string,
  limits: Partial<HttpSettings>,
) => {
  const isImage = kind === 'image';
  const gateway = await aGateway(t, {
    baseUrls: [baseUrl],
    initialRoot: ground.vendor.initialRoot,
    trustedFolder: isImage ? ground.nextFolder : ground.trustedFolder,
    limits: { ...limits, caFile: ground.caFile },
  });
  if (isImage) await copyFile(ground.halfSlot, gateway.slots.paths.b);
  return gateway;
};

/** Nothing changed but files that passed all of their own checks, and those are just what the vendor signed. */
const assertUnspoiled = async (gateway: Gateway, ground: Ground, kind: FileKind, before: Evidence): Promise<void> => {
  const after = await gateway.evidence();
  const changed = changesBetween(before, after);
  const mayChange = kind === 'image' ? ['slot b'] : storedBefore[kind].map((name) => `trusted ${name}`);
  assert.deepEqual(
    changed.filter((name) => !mayChange.includes(name)),
    [],
    'nothing else changed',
  );
  for (const name of changed.filter((one) => one !== 'slot b')) {
    assert.equal(after.get(name), ground.nextEvidence.get(name), `${name} is what the vendor signed`);
  }
  // Wrong bytes may stand in a slot that is not bootable; what may not is a record that calls them verified.
  assert.notEqual((await gateway.slots.devices.readRecord('b', never))?.status, 'verified');
};

export const runBehaviour = async (
  t: TestContext,
  ground: Ground,
  behaviour: Behaviour,
  kind: FileKind,
  readBytes: (port: number) => number,
): Promise<void> => {
  let isHostile = true;
  const server = await aHostileServer(t, ground, kind, behaviour, () => isHostile);
  const gateway = await aGatewayFor(t, ground, kind, server.url, behaviour.limits ?? {});
  const before = await gateway.evidence();
  const wanted = behaviour.except?.[kind] ?? behaviour.wanted;

  const attempt = kind === 'image' ? gateway.update : gateway.check;
  const result = await attempt();
  assert.equal(result.outcome, wanted, result.message);
  if (wanted !== 'taken') await assertUnspoiled(gateway, ground, kind, before);
  if (wanted === 'HTTP_STATUS') assert.equal(result.retryAfterS, behaviour.retryAfterS);
  const read = readBytes(server.port);
  const bound = behaviour.readBytesMax ?? imageBytes + 2 * capOf(ground.vendor, kind) + slackBytes;
  assert.ok(read <= bound, `${read} bytes were read`);
  assert.ok(server.requests.length <= requestsMax, `${server.requests.length} requests`);

  isHostile = false;
  gateway.setLimits({ caFile: ground.caFile });
  assert.equal((await gateway.update()).outcome, 'taken');
  await assertInstalled(gateway, '1.2');
};
