// What the conformance entry point accepts beyond Ed25519 must not exist on a device: neither in its programs nor in its wiring.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { build } from 'esbuild';
import { createHttpClient } from '../../agent/adapters/http.ts';
import { createReleaseSource } from '../../agent/adapters/release-source.ts';
import { agentSchemes } from '../../verity/signature-schemes.ts';
import { createTufClient } from '../../verity/tuf-client.ts';
import { aServer, serveFiles } from '../support/loopback-server.ts';
import {
  aRepository,
  memoryFiles,
  repositoryFetcher,
  signFile,
  type TestKey,
  type TestRepository,
  testNowS,
} from '../support/tuf-repository.ts';
import { anEcdsaKey, anRsaKey } from './other-keys.ts';
import { nextRoot, setKeys, topRoles } from './publishing.ts';
import { testSchemes } from './test-schemes.ts';

const project = join(import.meta.dirname, '../../..');
const signal = new AbortController().signal;

const kinds = [
  ['ECDSA', anEcdsaKey],
  ['RSA', anRsaKey],
] as const;

/** What the daemon is wired with, against a server of the repository's files. */
const checkAsDevice = async (t: TestContext, repository: TestRepository, initialRoot: Uint8Array) => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-schemes-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const server = await aServer(t, serveFiles(repository.files));
  const http = createHttpClient();
  t.after(() => http.close());
  const source = createReleaseSource({
    http,
    baseUrls: [server.url],
    channel: 'stable',
    compatible: 'test-gateway',
    metadataFolder: folder,
    initialRoot,
    buildTimeS: testNowS,
    syncedTimeS: () => null,
  });
  const outcome = await source.check(signal);
  return { code: outcome.kind === 'failed' ? outcome.failure.code : null, asked: server.paths() };
};

/** The same files, read by a client with the test schemes: nothing else is wrong with them. */
const isSoundOtherwise = async ({ files }: TestRepository, initialRoot: Uint8Array): Promise<boolean> => {
  const { fetcher } = repositoryFetcher(files);
  const client = createTufClient({ fetcher, files: memoryFiles(), initialRoot, schemes: testSchemes });
  return (await client.refresh(testNowS, signal)).targets.version > 0;
};

test('production verifies Ed25519 and nothing else', () => {
  assert.deepEqual(
    agentSchemes.map(({ keyType, scheme }) => `${keyType} ${scheme}`),
    ['ed25519 ed25519'],
  );
});

for (const [kind, makeKey] of kinds) {
  test(`a root of an ${kind} key in the image is no root, and nobody is asked`, async (t) => {
    const repository = aRepository();
    const keys: readonly TestKey[] = [makeKey()];
    setKeys(repository.root, 'root', keys);
    const initialRoot = signFile(repository.root, keys);
    repository.addRelease();
    repository.publish();
    assert.ok(await isSoundOtherwise(repository, initialRoot));
    const { code, asked } = await checkAsDevice(t, repository, initialRoot);
    assert.equal(code, 'TRUST_ROOT_MISSING');
    assert.deepEqual(asked, []);
  });

  for (const role of topRoles) {
    test(`metadata of the ${role} role signed by an ${kind} key is refused, though root trusts that key`, async (t) => {
      const repository = aRepository();
      const key = makeKey();
      nextRoot(repository, (root) => setKeys(root, role, [key]));
      repository.signers[role] = [key];
      repository.addRelease();
      repository.publish();
      assert.ok(await isSoundOtherwise(repository, repository.initialRoot));
      const { code } = await checkAsDevice(t, repository, repository.initialRoot);
      assert.equal(code, 'METADATA_SIGNATURE_INVALID');
    });
  }
}

test('no program for a device or a publisher holds a line of the tests, or a name of their schemes', async () => {
  const { metafile, outputFiles } = await build({
    absWorkingDir: project,
    entryPoints: ['agent/main.ts', 'agent/otactl.ts', 'publish/otapub.ts'],
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    outdir: 'unwritten',
    logLevel: 'silent',
  });
  const inputs = Object.keys(metafile.inputs);
  assert.ok(inputs.includes('verity/signature-schemes.ts'), inputs.join(' '));
  assert.deepEqual(
    inputs.filter((path) => path.startsWith('test/')),
    [],
  );
  const text = outputFiles.map((file) => file.text).join('');
  assert.match(text, /"ed25519"/);
  assert.doesNotMatch(text, /ecdsa-sha2|rsassa|prime256v1/);
  // Schemes are handed in at one place, and only there could they be others than the agent's.
  assert.deepEqual(
    [...text.matchAll(/^\s*schemes = (\w+)/gm)].map(([, name]) => name).filter((name) => name !== 'agentSchemes'),
    [],
  );
});
