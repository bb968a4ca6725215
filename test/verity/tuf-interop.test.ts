// Two implementations that know nothing of each other: tuf-js reads what our forms make, and we read what its models write.

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Key, Metadata, MetaFile, Root, Signature, Snapshot, TargetFile, Targets, Timestamp } from '@tufjs/models';
import { Updater } from 'tuf-js';
import { createTufClient } from '../../verity/tuf-client.ts';
import { ed25519Key, keyIdOf } from '../../verity/tuf-metadata.ts';
import { aServer, serveFiles } from '../support/loopback-server.ts';
import {
  aRepository,
  memoryFiles,
  repositoryFetcher,
  sha256Hex,
  testKey,
  testNowS,
} from '../support/tuf-repository.ts';

const signal = new AbortController().signal;
const farAway = '2099-01-01T00:00:00Z';

test('tuf-js follows our repository through a root rotation and downloads a target', async (t: TestContext) => {
  const repository = aRepository();
  for (const role of [repository.root, repository.targets, repository.snapshot, repository.timestamp]) {
    role.expires = farAway;
  }
  repository.root.version = 2;
  repository.writeRoot();
  repository.addTarget('channels/stable/board.json', Buffer.from('TEST document'));
  repository.writeDelegated('extra', { expires: farAway }, [testKey('extra')]);
  repository.publish();
  const server = await aServer(t, serveFiles(repository.files));

  const folder = await mkdtemp(join(tmpdir(), 'otad-interop-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, 'targets'));
  await writeFile(join(folder, 'root.json'), repository.initialRoot);
  const updater = new Updater({
    metadataDir: folder,
    metadataBaseUrl: `${server.url}/metadata`,
    targetDir: join(folder, 'targets'),
    targetBaseUrl: `${server.url}/targets`,
  });
  await updater.refresh();
  const info = await updater.getTargetInfo('channels/stable/board.json');
  assert.ok(info !== undefined);
  const path = await updater.downloadTarget(info);
  assert.equal(await readFile(path, 'utf8'), 'TEST document');
});

interface Signer {
  readonly id: string;
  readonly key: Key;
  readonly sign: (data: Buffer) => Signature;
}

const aSigner = (): Signer => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const form = ed25519Key(publicKey.export({ format: 'der', type: 'spki' }).subarray(-32));
  const id = keyIdOf(form);
  const key = new Key({ keyID: id, keyType: 'ed25519', scheme: 'ed25519', keyVal: { public: form.keyval.public } });
  return { id, key, sign: (data) => new Signature({ keyID: id, sig: sign(null, data, privateKey).toString('hex') }) };
};

const toBytes = <T extends Root | Timestamp | Snapshot | Targets>(signed: T, signer: Signer): Uint8Array => {
  const metadata = new Metadata(signed);
  metadata.sign(signer.sign);
  return Buffer.from(JSON.stringify(metadata.toJSON()));
};

test('we read a repository that tuf-js models wrote', async () => {
  const signers = { root: aSigner(), timestamp: aSigner(), snapshot: aSigner(), targets: aSigner() };
  const common = { version: 1, specVersion: '1.0.31', expires: farAway };
  const root = new Root({ ...common, consistentSnapshot: true });
  for (const [role, signer] of Object.entries(signers)) {
    root.addKey(signer.key, role);
  }
  const image = Buffer.from('TEST image');
  const targets = new Targets({ ...common, version: 3 });
  targets.addTarget(
    new TargetFile({ path: 'images/x.bin', length: image.length, hashes: { sha256: sha256Hex(image) } }),
  );
  const targetsBytes = toBytes(targets, signers.targets);
  const listed = (version: number, bytes: Uint8Array) =>
    new MetaFile({ version, length: bytes.length, hashes: { sha256: sha256Hex(bytes) } });
  const snapshot = new Snapshot({ ...common, meta: { 'targets.json': listed(3, targetsBytes) } });
  const snapshotBytes = toBytes(snapshot, signers.snapshot);
  const timestamp = new Timestamp({ ...common, snapshotMeta: listed(1, snapshotBytes) });

  const { fetcher } = repositoryFetcher(
    new Map([
      ['metadata/timestamp.json', toBytes(timestamp, signers.timestamp)],
      ['metadata/1.snapshot.json', snapshotBytes],
      ['metadata/3.targets.json', targetsBytes],
    ]),
  );
  const client = createTufClient({ fetcher, files: memoryFiles(), initialRoot: toBytes(root, signers.root) });
  const set = await client.refresh(testNowS, signal);
  assert.equal(set.targets.version, 3);
  assert.deepEqual(await client.findTarget('images/x.bin', signal), {
    path: 'images/x.bin',
    lengthBytes: image.length,
    digests: { sha256: sha256Hex(image) },
    sha256Hex: sha256Hex(image),
    urlPath: `targets/images/${sha256Hex(image)}.x.bin`,
  });
});
