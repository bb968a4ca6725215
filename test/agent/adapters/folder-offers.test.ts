// A folder from one end to the other: otactl's offer over a real control socket, otad's release source at the other side.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, realpath, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createFolderOffers } from '../../../agent/adapters/folder-offers.ts';
import { createHttpClient } from '../../../agent/adapters/http.ts';
import { createReleaseSource } from '../../../agent/adapters/release-source.ts';
import { createClient, socketsAt } from '../../../agent/cli/client.ts';
import { offerFolder } from '../../../agent/cli/folder-offer.ts';
import { type ErrorCode, OtadError } from '../../../agent/core/errors.ts';
import type { CheckOutcome } from '../../../agent/core/types.ts';
import { chosenSource } from '../../../agent/runtime/chosen-source.ts';
import { rememberVerifications } from '../../support/remembered-verifications.ts';
import { aRepository, consistentName, sha256Hex, type TestRepository, testNowS } from '../../support/tuf-repository.ts';
import { FakeAgent } from '../api/fake-agent.ts';
import { ask, openApi } from '../api/open-api.ts';

rememberVerifications();

const never = new AbortController().signal;

const aFolder = async (t: TestContext): Promise<string> => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'otad-folder-')));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
};

/** A stick with the repository's files. */
const aStick = async (t: TestContext, { files }: TestRepository): Promise<string> => {
  const stick = join(await aFolder(t), 'stick');
  for (const [path, bytes] of files) {
    await mkdir(dirname(join(stick, path)), { recursive: true });
    await writeFile(join(stick, path), bytes);
  }
  return stick;
};

const aPublished = (image: Uint8Array = randomBytes(3_000_000)) => {
  const repository = aRepository();
  repository.addRelease();
  repository.publish();
  repository.files.set(consistentName('image', sha256Hex(image)), image);
  const artifact = {
    role: 'app',
    path: 'image',
    lengthBytes: image.length,
    sha256Hex: sha256Hex(image),
    verity: null,
    index: null,
  } as const;
  return { repository, image, artifact };
};

/** otad's side and otactl's side, joined by a control socket. */
const bothSides = async (t: TestContext, repository: TestRepository, syncedTimeS: number | null = testNowS) => {
  const offers = createFolderOffers();
  const { directory } = await openApi(t, new FakeAgent(), { parkFolder: offers.park });
  t.after(() => offers.close());
  const http = createHttpClient();
  t.after(() => http.close());
  const servers = createReleaseSource({
    http,
    baseUrls: [],
    openFolder: offers.open,
    channel: 'stable',
    compatible: 'test-gateway',
    metadataFolder: await aFolder(t),
    initialRoot: repository.initialRoot,
    buildTimeS: testNowS - 86_400,
    syncedTimeS: () => syncedTimeS,
  });
  const api = createClient(socketsAt(directory), 30_000);
  const offer = async (stick: string) => {
    const made = await offerFolder(api, stick);
    t.after(() => made.close());
    return { ...made, source: chosenSource(servers, made.folder) };
  };
  return { offer, offers, servers, directory };
};

const failureOf = (outcome: CheckOutcome): string => (outcome.kind === 'failed' ? outcome.failure.code : outcome.kind);

const isError =
  (code: ErrorCode, pattern = /./) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof OtadError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, pattern);
    return true;
  };

test('a folder is read like a server: release, image, and image from any offset', async (t) => {
  const { repository, image, artifact } = aPublished();
  const { offer } = await bothSides(t, repository);
  const { source } = await offer(await aStick(t, repository));
  const outcome = await source.check(never);
  assert.equal(outcome.kind === 'release' && outcome.release.version, '1.1', JSON.stringify(outcome));
  for (const offset of [0, 1, 1_234_567, image.length]) {
    const pieces: Buffer[] = [];
    await source.stream(artifact, offset, (bytes) => void pieces.push(Buffer.from(bytes)), never);
    assert.ok(Buffer.concat(pieces).equals(image.subarray(offset)), String(offset));
  }
});

test('a stick that is pulled out ends the stream, keeps what arrived, and is read from there when it is back', async (t) => {
  const { repository, image, artifact } = aPublished();
  const { offer } = await bothSides(t, repository);
  const stick = await aStick(t, repository);
  const first = await offer(stick);
  const pieces: Buffer[] = [];
  const position = (): number => Buffer.concat(pieces).length;
  const sink = (bytes: Uint8Array): void => {
    pieces.push(Buffer.from(bytes));
    if (position() > 1_000_000) first.close();
  };
  await assert.rejects(first.source.stream(artifact, 0, sink, never), isError('FOLDER_GONE', /What arrived is kept/));
  assert.ok(position() > 1_000_000 && position() < image.length, String(position()));
  await assert.rejects(first.source.stream(artifact, position(), sink, never), isError('FOLDER_GONE'));
  await (await offer(stick)).source.stream(
    artifact,
    position(),
    (bytes) => void pieces.push(Buffer.from(bytes)),
    never,
  );
  assert.ok(Buffer.concat(pieces).equals(image));
});

test('a folder that vanishes is no folder without news', async (t) => {
  const { repository } = aPublished();
  const { offer } = await bothSides(t, repository);
  const stick = await aStick(t, repository);
  const { source, failure } = await offer(stick);
  await rename(stick, `${stick}-gone`);
  assert.equal(failureOf(await source.check(never)), 'FOLDER_GONE');
  assert.match(failure()?.message ?? '', /metadata.*errno: ENOENT/);
});

test('says whether a copy is not whole, not for here, or too old for a clock that is right', async (t) => {
  const { repository, image, artifact } = aPublished();
  const { offer } = await bothSides(t, repository);
  const stick = await aStick(t, repository);
  const { source } = await offer(stick);
  await truncate(join(stick, consistentName('image', artifact.sha256Hex)), image.length / 2);
  const sink = (): void => undefined;
  await assert.rejects(source.stream(artifact, 0, sink, never), isError('FOLDER_INVALID', /not of the signed length/));
  await assert.rejects(source.stream(artifact, 9, sink, never), isError('FOLDER_INVALID', /not of the signed length/));
  await rm(join(stick, consistentName('image', artifact.sha256Hex)));
  await assert.rejects(source.stream(artifact, 0, sink, never), isError('FOLDER_INVALID', /missing/));

  const empty = aRepository();
  empty.publish();
  const sides = await bothSides(t, empty);
  assert.equal(failureOf(await (await sides.offer(await aStick(t, empty))).source.check(never)), 'RELEASE_MISSING');

  const tenYears = 10 * 365 * 86_400;
  const late = await bothSides(t, repository, testNowS + tenYears);
  assert.equal(failureOf(await (await late.offer(stick)).source.check(never)), 'METADATA_EXPIRED');
  const clockless = await bothSides(t, repository, null);
  assert.equal((await (await clockless.offer(stick)).source.check(never)).kind, 'release');
});

test('what a newer folder has shown is not taken back by an older one', async (t) => {
  const { repository } = aPublished();
  const { offer } = await bothSides(t, repository);
  const old = await aStick(t, repository);
  repository.addRelease({ id: 'gw-1.2', version: '1.2', sequence: 3 });
  repository.publish();
  assert.equal((await (await offer(await aStick(t, repository))).source.check(never)).kind, 'release');
  assert.equal(failureOf(await (await offer(old)).source.check(never)), 'METADATA_ROLLBACK');
});

test('without servers a check says so, and an offer that nobody made is gone', async (t) => {
  const { repository } = aPublished();
  const { servers } = await bothSides(t, repository);
  assert.equal(failureOf(await servers.check(never)), 'SERVER_UNSET');
  const nobodys = chosenSource(servers, { id: randomUUID(), path: '/media/stick' });
  assert.equal(failureOf(await nobodys.check(never)), 'FOLDER_GONE');
});

test('offers metadata and targets of the folder, and not one file beside or outside of it', async (t) => {
  const { repository } = aPublished();
  const { offer, offers } = await bothSides(t, repository);
  const stick = await aStick(t, repository);
  await writeFile(join(stick, '../secret'), 'secret');
  await writeFile(join(stick, 'notes'), 'notes');
  await symlink('../../secret', join(stick, 'targets/link'));
  await symlink('..', join(stick, 'targets/up'));
  const { folder } = await offer(stick);
  const http = offers.open(folder);
  t.after(() => http.close());
  const fetch = (path: string) =>
    http.fetchBytes(`http://folder.invalid/${path}`, { maxBytes: 100_000, signal: never });
  assert.notEqual(await fetch('metadata/timestamp.json'), 'unchanged');
  for (const path of [
    'targets/link',
    'targets/up/notes',
    'targets/up/../secret',
    'metadata/%2e%2e/%2e%2e/secret',
    'metadata/..%2f..%2fsecret',
    'metadata%2f..%2f..%2fsecret',
    'notes',
    '..%2fsecret',
    'targets',
    'targets/',
    'metadata/timestamp.json%00',
    'metadata/%ff',
  ]) {
    await assert.rejects(fetch(path), isError('HTTP_STATUS', /status: 404/), path);
  }
});

// The bound is for a door that opens: nobody answers behind it.
test('only the control socket takes a folder, with a proper id, no origin and nothing sent ahead', {
  timeout: 60_000,
}, async (t) => {
  const offers = createFolderOffers();
  const { directory } = await openApi(t, new FakeAgent(), { parkFolder: offers.park });
  t.after(() => offers.close());
  const sockets = socketsAt(directory);
  const id = randomUUID();
  const headers = { connection: 'Upgrade', upgrade: 'otad-folder' };
  const statusOf = async (socket: string, path: string, changes: Record<string, string> = {}) =>
    (await ask(socket, { path, headers: { ...headers, ...changes } })).status;
  assert.equal(await statusOf(sockets.status, `/v1/folder/${id}`), 404);
  assert.equal(await statusOf(sockets.control, '/v1/folder/x'), 400);
  assert.equal(await statusOf(sockets.control, `/v1/status`), 404);
  assert.equal(await statusOf(sockets.control, `/v1/folder/${id}`, { upgrade: 'websocket' }), 400);
  assert.equal(await statusOf(sockets.control, `/v1/folder/${id}`, { origin: 'https://evil.example' }), 403);
});

// The bound is for a connection that nobody ends.
test('a connection that speaks before it is asked is ended, and too many are', { timeout: 60_000 }, async (t) => {
  const offers = createFolderOffers();
  const { directory, api } = await openApi(t, new FakeAgent(), { parkFolder: offers.park });
  t.after(() => offers.close());
  const { control } = socketsAt(directory);
  const enter = async (id: string) => {
    const socket = connect(control);
    t.after(() => socket.destroy());
    socket.write(`GET /v1/folder/${id} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: otad-folder\r\n\r\n`);
    const [head] = await new Promise<[Buffer]>((resolve) => socket.once('data', (bytes: Buffer) => resolve([bytes])));
    return { socket, head: head.toString('latin1') };
  };
  const ended = (socket: ReturnType<typeof connect>) => new Promise((resolve) => socket.once('close', resolve));
  const eager = await enter(randomUUID());
  assert.match(eager.head, /^HTTP\/1\.1 101 /);
  eager.socket.write('HTTP/1.1 200 OK\r\n\r\n');
  await ended(eager.socket);
  const id = randomUUID();
  const parked = [];
  for (let count = 0; count < 8; count += 1) parked.push(await enter(id));
  const ninth = await enter(id);
  await ended(ninth.socket);
  for (const { socket } of parked) assert.equal(socket.destroyed, false);
  // The daemon ends with its connections, whoever is at the other end.
  const all = Promise.all(parked.map(({ socket }) => ended(socket)));
  await api.close();
  await all;
});
