// The release source over real HTTP on loopback: what a gateway sees of a server, good or hostile.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createHttpClient, defaultHttpSettings } from '../../../agent/adapters/http.ts';
import { createReleaseSource, type ReleaseSourceOptions } from '../../../agent/adapters/release-source.ts';
import { type ErrorCode, OtadError } from '../../../agent/core/errors.ts';
import type { CheckOutcome } from '../../../agent/core/types.ts';
import { encodeRelease } from '../../../verity/release-document.ts';
import { floorEpochMember } from '../../../verity/tuf-metadata.ts';
import { aServer, serveFiles } from '../../support/loopback-server.ts';
import { rememberVerifications } from '../../support/remembered-verifications.ts';
import { aRepository, consistentName, sha256Hex, type TestRepository, testNowS } from '../../support/tuf-repository.ts';

rememberVerifications();

const never = new AbortController().signal;

const aFolder = async (t: TestContext): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-source-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
};

const aSource = async (t: TestContext, repository: TestRepository, changes: Partial<ReleaseSourceOptions> = {}) => {
  const http = createHttpClient(defaultHttpSettings);
  t.after(() => http.close());
  return createReleaseSource({
    http,
    baseUrls: [],
    channel: 'stable',
    compatible: 'test-gateway',
    metadataFolder: await aFolder(t),
    initialRoot: repository.initialRoot,
    buildTimeS: testNowS - 86_400,
    syncedTimeS: () => testNowS,
    ...changes,
  });
};

const aPublished = (spoil: (repository: TestRepository) => void = () => undefined): TestRepository => {
  const repository = aRepository();
  repository.addRelease();
  spoil(repository);
  repository.publish();
  return repository;
};

const failsWith = (outcome: CheckOutcome, code: ErrorCode): void => {
  assert.equal(outcome.kind, 'failed');
  assert.equal(outcome.kind === 'failed' && outcome.failure.code, code, JSON.stringify(outcome));
};

const succeeds = (outcome: CheckOutcome) => {
  assert.ok(outcome.kind === 'release', JSON.stringify(outcome));
  return outcome.release;
};

test('a poll without news is one request, answered 304, also for the release document', async (t) => {
  const repository = aPublished();
  const server = await aServer(t, serveFiles(repository.files));
  const source = await aSource(t, repository, { baseUrls: [`${server.url}/`] });
  assert.equal(succeeds(await source.check(never)).version, '1.1');
  const asked = server.requests.length;
  assert.equal(succeeds(await source.check(never)).version, '1.1');
  assert.deepEqual(server.paths().slice(asked), ['/metadata/timestamp.json']);

  repository.addRelease({ id: 'gw-1.2', version: '1.2', sequence: 3 });
  repository.publish();
  assert.equal(succeeds(await source.check(never)).version, '1.2');
});

test('after a restart only the timestamp and the next root are asked for', async (t) => {
  const repository = aPublished();
  const server = await aServer(t, serveFiles(repository.files));
  const options = { baseUrls: [server.url], metadataFolder: await aFolder(t) };
  await (await aSource(t, repository, options)).check(never);
  const asked = server.requests.length;
  succeeds(await (await aSource(t, repository, options)).check(never));
  assert.deepEqual(server.paths().slice(asked), ['/metadata/2.root.json', '/metadata/timestamp.json']);
});

test('on a disk that takes no metadata, releases are found, an older offer is refused, and all is written later', async (t) => {
  const repository = aPublished();
  const server = await aServer(t, serveFiles(repository.files));
  const folder = join(await aFolder(t), 'metadata');
  // A link to nowhere: nothing is there to be read, and nothing can be written.
  await symlink(join(folder, '../gone/metadata'), folder);
  const news: (ErrorCode | null)[] = [];
  const source = await aSource(t, repository, {
    baseUrls: [server.url],
    metadataFolder: folder,
    onDiskChange: (failure) => news.push(failure?.code ?? null),
  });
  assert.equal(succeeds(await source.check(never)).version, '1.1');
  const old = new Map(repository.files);
  repository.addRelease({ id: 'gw-1.2', version: '1.2', sequence: 3 });
  repository.publish();
  assert.equal(succeeds(await source.check(never)).version, '1.2');
  const newest = new Map(repository.files);
  for (const [path, bytes] of old) repository.files.set(path, bytes);
  failsWith(await source.check(never), 'METADATA_ROLLBACK');
  for (const [path, bytes] of newest) repository.files.set(path, bytes);
  assert.deepEqual(news, ['STORE_IO']);

  await rm(folder);
  assert.equal(succeeds(await source.check(never)).version, '1.2');
  assert.deepEqual(news, ['STORE_IO', null]);
  // A new process finds on the disk what this one accepted.
  for (const [path, bytes] of old) repository.files.set(path, bytes);
  const next = await aSource(t, repository, { baseUrls: [server.url], metadataFolder: folder });
  failsWith(await next.check(never), 'METADATA_ROLLBACK');
});

const documentPath = 'channels/stable/test-gateway.json';

const badReleases: readonly (readonly [string, ErrorCode, (repository: TestRepository) => void])[] = [
  ['no release for this product', 'TARGET_UNKNOWN', (r) => delete r.targets.targets[documentPath]],
  [
    'a document of another product under this one’s name',
    'RELEASE_INCOMPATIBLE',
    (r) => r.addTarget(documentPath, encodeRelease(r.addRelease({ compatible: 'other-gateway' }))),
  ],
  [
    'a document of another channel under this one’s name',
    'RELEASE_INCOMPATIBLE',
    (r) => r.addTarget(documentPath, encodeRelease(r.addRelease({ channel: 'beta' }))),
  ],
  ['a signed document that is no document', 'RELEASE_MALFORMED', (r) => r.addTarget(documentPath, Buffer.from('{}'))],
  [
    'a document of the right length with other bytes',
    'TARGET_DIGEST_MISMATCH',
    (r) => {
      const { length, hashes } = r.targets.targets[documentPath];
      r.files.set(consistentName(documentPath, hashes.sha256), Buffer.alloc(length, 32));
    },
  ],
  [
    'a document that is gone',
    'METADATA_MISSING',
    (r) => r.files.delete(consistentName(documentPath, r.targets.targets[documentPath].hashes.sha256)),
  ],
  [
    'a document beyond the maximum',
    'RELEASE_MALFORMED',
    (r) => r.addTarget(documentPath, Buffer.alloc(64 * 1024 + 1, 32)),
  ],
  [
    'an artifact that is no signed target',
    'TARGET_UNKNOWN',
    (r) => delete r.targets.targets['images/1.1/rootfs.squashfs'],
  ],
  [
    'an artifact with another length than its target',
    'RELEASE_MALFORMED',
    (r) => Object.assign(r.targets.targets['images/1.1/rootfs.squashfs'], { length: 9 }),
  ],
  [
    'an artifact with another digest than its target',
    'RELEASE_MALFORMED',
    (r) => Object.assign(r.targets.targets['images/1.1/rootfs.squashfs'].hashes, { sha256: '0'.repeat(64) }),
  ],
  ['a floor epoch that root has not signed', 'RELEASE_MALFORMED', (r) => void r.addRelease({ floorEpoch: 1 })],
];

for (const [what, code, spoil] of badReleases) {
  test(`refuses ${what}, and takes the next good release`, async (t) => {
    const repository = aPublished(spoil);
    const server = await aServer(t, serveFiles(repository.files));
    const source = await aSource(t, repository, { baseUrls: [server.url] });
    failsWith(await source.check(never), code);
    failsWith(await source.check(never), code);
    repository.addRelease({ id: 'gw-1.3', version: '1.3', sequence: 4 });
    repository.publish();
    assert.equal(succeeds(await source.check(never)).version, '1.3');
  });
}

test('takes a floor epoch that root has signed', async (t) => {
  const repository = aPublished((r) => void r.addRelease({ floorEpoch: 1 }));
  repository.root = { ...repository.root, version: 2, [floorEpochMember]: 1 };
  repository.writeRoot();
  const server = await aServer(t, serveFiles(repository.files));
  assert.equal(succeeds(await (await aSource(t, repository, { baseUrls: [server.url] })).check(never)).floorEpoch, 1);
});

test('without a root nothing is asked for', async (t) => {
  const repository = aPublished();
  const server = await aServer(t, serveFiles(repository.files));
  const source = await aSource(t, repository, { baseUrls: [server.url], initialRoot: null });
  failsWith(await source.check(never), 'TRUST_ROOT_MISSING');
  assert.equal(server.requests.length, 0);
});

const troubles: readonly (readonly [string, ErrorCode, RequestListener])[] = [
  ['a login page', 'CAPTIVE_PORTAL', (_, r) => r.writeHead(200, { 'content-type': 'text/html' }).end('<html>')],
  ['a maintenance notice', 'HTTP_STATUS', (_, r) => r.writeHead(503, { 'retry-after': '77' }).end()],
  ['an empty server', 'METADATA_MISSING', (_, r) => r.writeHead(404).end()],
  ['nonsense', 'METADATA_MALFORMED', (_, r) => r.end('\u0000\u0001')],
  ['endless data', 'FILE_TOO_LARGE', (_, r) => r.end(Buffer.alloc(1024 * 1024, 32))],
];

for (const [what, code, answer] of troubles) {
  test(`${what} fails the check, and the next one works`, async (t) => {
    const repository = aPublished();
    let isBad = true;
    const good = serveFiles(repository.files);
    const server = await aServer(t, (request, response) => (isBad ? answer : good)(request, response));
    const source = await aSource(t, repository, { baseUrls: [server.url] });
    const outcome = await source.check(never);
    failsWith(outcome, code);
    if (code === 'HTTP_STATUS') {
      assert.equal(outcome.kind === 'failed' && outcome.failure.retryAfterS, 77);
    }
    isBad = false;
    succeeds(await source.check(never));
  });
}

test('a store that answers 403 for the next root still serves updates', async (t) => {
  const repository = aPublished();
  const good = serveFiles(repository.files);
  const server = await aServer(t, (request, response) =>
    request.url === '/metadata/2.root.json' ? void response.writeHead(403).end() : good(request, response),
  );
  succeeds(await (await aSource(t, repository, { baseUrls: [server.url] })).check(never));
});

test('a cancelled check says so', async (t) => {
  const repository = aPublished();
  const server = await aServer(t, () => undefined);
  const controller = new AbortController();
  const source = await aSource(t, repository, { baseUrls: [server.url] });
  const outcome = source.check(controller.signal);
  setTimeout(() => controller.abort(), 20);
  failsWith(await outcome, 'CANCELLED');
  failsWith(await source.check(AbortSignal.abort()), 'CANCELLED');
});

test('the local clock counts only while it is synchronised, and never lowers what is signed', async (t) => {
  const repository = aPublished();
  const server = await aServer(t, serveFiles(repository.files));
  const options = { baseUrls: [server.url], metadataFolder: await aFolder(t), buildTimeS: 0 };
  const at = async (syncedS: number | null) =>
    (await aSource(t, repository, { ...options, syncedTimeS: () => syncedS })).check(never);
  const tenYearsAheadS = testNowS + 10 * 365 * 86_400;
  failsWith(await at(tenYearsAheadS), 'METADATA_EXPIRED');
  succeeds(await at(null));
  succeeds(await at(0));

  // The release was published an hour before testNowS: metadata that expired before that is expired, clock or no clock.
  repository.timestamp.expires = '2025-12-31T22:59:59Z';
  repository.publish();
  failsWith(await at(null), 'METADATA_EXPIRED');
  failsWith(await at(0), 'METADATA_EXPIRED');
  repository.timestamp.expires = '2025-12-31T23:00:01Z';
  repository.publish();
  succeeds(await at(null));
});

test('a release dated beyond its own metadata does not move trusted time', async (t) => {
  const repository = aPublished((r) => void r.addRelease({ publishedAtS: testNowS + 10 * 365 * 86_400 }));
  const server = await aServer(t, serveFiles(repository.files));
  const source = await aSource(t, repository, { baseUrls: [server.url] });
  succeeds(await source.check(never));
  succeeds(await source.check(never));
});

test('metadata comes from the next mirror when the first is gone, lies, or lags behind', async (t) => {
  const repository = aPublished();
  const good = await aServer(t, serveFiles(repository.files));
  const gone = await aServer(t, () => undefined);
  await gone.close();
  const lying = await aServer(t, (_, response) => response.end('{"signatures":[],"signed":{}}'));
  const lagging = new Map(repository.files);
  lagging.delete('metadata/2.snapshot.json');
  const behind = await aServer(t, serveFiles(lagging));
  for (const first of [gone, lying, behind]) {
    const source = await aSource(t, repository, { baseUrls: [first.url, good.url] });
    succeeds(await source.check(never));
    succeeds(await source.check(never));
  }
});

test('streams an image from any offset by its consistent name', async (t) => {
  const image = randomBytes(200_000);
  const repository = aRepository();
  repository.addRelease({}, image);
  repository.publish();
  const server = await aServer(t, serveFiles(repository.files));
  const source = await aSource(t, repository, { baseUrls: [server.url] });
  const [artifact] = succeeds(await source.check(never)).artifacts;
  assert.ok(artifact !== undefined);
  for (const offset of [0, 1, 131_072, image.length]) {
    const chunks: Buffer[] = [];
    await source.stream(artifact, offset, (bytes) => void chunks.push(Buffer.from(bytes)), never);
    assert.ok(Buffer.concat(chunks).equals(image.subarray(offset)), String(offset));
  }
  assert.equal(server.paths().at(-1), `/targets/images/1.1/${sha256Hex(image)}.rootfs.squashfs`);
});

const anArtifact = (image: Uint8Array) => ({
  role: 'app' as const,
  path: 'image',
  lengthBytes: image.length,
  sha256Hex: sha256Hex(image),
  verity: null,
  index: null,
});

test('goes on at the next mirror where the first broke off, without a byte twice', async (t) => {
  const image = randomBytes(300_000);
  const files = new Map([[consistentName('image', sha256Hex(image)), image]]);
  const breaking = await aServer(t, (_, response) => {
    response.writeHead(200, { 'content-length': image.length });
    response.write(image.subarray(0, 100_000), () => setImmediate(() => response.destroy()));
  });
  const good = await aServer(t, serveFiles(files));
  const source = await aSource(t, aRepository(), { baseUrls: [breaking.url, good.url] });
  const chunks: Buffer[] = [];
  await source.stream(anArtifact(image), 0, (bytes) => void chunks.push(Buffer.from(bytes)), never);
  assert.ok(Buffer.concat(chunks).equals(image));
  assert.match(good.requests[0]?.headers.range ?? '', /^bytes=\d+-$/);
});

test("a part is one mirror's: where one breaks off for good the next one sends all of it", async (t) => {
  const image = randomBytes(300_000);
  const part = image.subarray(1000, 51_000);
  const isResume = (range: string | undefined): boolean => range !== 'bytes=1000-50999';
  const headers = { 'content-length': part.length, 'content-range': `bytes 1000-50999/${image.length}` };
  const breaking = await aServer(t, (request, response) => {
    if (isResume(request.headers.range)) return void response.destroy();
    response.writeHead(206, headers).write(part.subarray(0, 20_000), () => setImmediate(() => response.destroy()));
  });
  const good = await aServer(t, (_, response) => response.writeHead(206, headers).end(part));
  const source = await aSource(t, aRepository(), { baseUrls: [breaking.url, good.url] });
  const sent = new Map<string, Buffer[]>();
  const sink = (bytes: Uint8Array, server: string) =>
    void sent.set(server, [...(sent.get(server) ?? []), Buffer.from(bytes)]);
  await source.streamRange(anArtifact(image), { offsetBytes: 1000, lengthBytes: part.length }, sink, never);
  assert.deepEqual([...sent.keys()], [breaking.url, good.url]);
  assert.ok(Buffer.concat(sent.get(good.url) ?? []).equals(part));
});

test('a server without ranges is read from its start, and only what is missing is passed on', async (t) => {
  const image = randomBytes(300_000);
  const server = await aServer(t, (_, response) => response.end(image));
  const source = await aSource(t, aRepository(), { baseUrls: [server.url] });
  const chunks: Buffer[] = [];
  await source.stream(anArtifact(image), 123_457, (bytes) => void chunks.push(Buffer.from(bytes)), never);
  assert.ok(Buffer.concat(chunks).equals(image.subarray(123_457)));
  assert.deepEqual(
    server.requests.map((request) => request.headers.range),
    ['bytes=123457-', undefined],
  );
});

test('what the sink refuses is not tried at another mirror', async (t) => {
  const image = randomBytes(10_000);
  const server = await aServer(t, serveFiles(new Map([[consistentName('image', sha256Hex(image)), image]])));
  const source = await aSource(t, aRepository(), { baseUrls: [server.url, server.url] });
  const failure = new OtadError('CANCELLED');
  const mismatch = new OtadError('TARGET_DIGEST_MISMATCH');
  for (const error of [failure, mismatch]) {
    const before = server.requests.length;
    const sink = () => Promise.reject(error);
    await assert.rejects(source.stream(anArtifact(image), 0, sink, never), (thrown) => thrown === error);
    assert.equal(server.requests.length, before + 1);
  }
});

test('a resume goes to a mirror with ranges before the whole file is fetched again from one without', async (t) => {
  const image = randomBytes(300_000);
  const files = new Map([[consistentName('image', sha256Hex(image)), image]]);
  const rangeless = await aServer(t, (_, response) => response.end(image));
  const good = await aServer(t, serveFiles(files));
  const source = await aSource(t, aRepository(), { baseUrls: [rangeless.url, good.url] });
  const chunks: Buffer[] = [];
  await source.stream(anArtifact(image), 123_457, (bytes) => void chunks.push(Buffer.from(bytes)), never);
  assert.ok(Buffer.concat(chunks).equals(image.subarray(123_457)));
  assert.deepEqual(
    [...rangeless.requests, ...good.requests].map((request) => request.headers.range),
    ['bytes=123457-', 'bytes=123457-'],
  );
});

test('a mirror behind a login page is passed over, also in the middle of an image', async (t) => {
  const image = randomBytes(300_000);
  const repository = aPublished();
  repository.files.set(consistentName('image', sha256Hex(image)), image);
  const portal = await aServer(t, (_, response) => {
    response.writeHead(302, { location: '/login' });
    response.end();
  });
  const good = await aServer(t, serveFiles(repository.files));
  const source = await aSource(t, repository, { baseUrls: [portal.url, good.url] });
  succeeds(await source.check(never));
  for (const offset of [0, 200_000]) {
    const chunks: Buffer[] = [];
    await source.stream(anArtifact(image), offset, (bytes) => void chunks.push(Buffer.from(bytes)), never);
    assert.ok(Buffer.concat(chunks).equals(image.subarray(offset)));
  }
});

/** What login pages answer, for whatever is asked. */
const portals: readonly (readonly [string, RequestListener])[] = [
  [
    'a redirect to its page',
    (request, response) => {
      if (request.url === '/login?from=gateway') response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
      else response.writeHead(302, { location: '/login?from=gateway' }).end();
    },
  ],
  ['its page at once', (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')],
  ['its page without a type', (_, response) => response.end(`<!DOCTYPE html>${' '.repeat(20_000)}`)],
  ['status 511', (_, response) => response.writeHead(511).end()],
];

for (const [what, answer] of portals) {
  test(`a captive portal is told from a bad update, in metadata and in an image: ${what}`, async (t) => {
    const image = randomBytes(300_000);
    const server = await aServer(t, answer);
    const source = await aSource(t, aPublished(), { baseUrls: [server.url] });
    failsWith(await source.check(never), 'CAPTIVE_PORTAL');
    let delivered = 0;
    const sink = (bytes: Uint8Array): void => {
      delivered += bytes.length;
    };
    for (const offset of [0, 4096]) {
      const isPortal = (error: unknown): boolean => error instanceof OtadError && error.code === 'CAPTIVE_PORTAL';
      await assert.rejects(source.stream(anArtifact(image), offset, sink, never), isPortal);
    }
    assert.equal(delivered, 0, 'not one byte of the page reaches the slot');
  });
}
