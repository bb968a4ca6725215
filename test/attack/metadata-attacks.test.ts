// Attacks through metadata, each in two forms: refused with its code and nothing changed; refused, and the vendor's next
// release is installed.

import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { aServer, serveFiles } from '../support/loopback-server.ts';
import { keysOf, roleOf, testKey } from '../support/tuf-repository.ts';
import { documentAttacks } from './document-attacks.ts';
import { aGateway } from './gateway.ts';
import { offerRoot, refusesAndGoesOn, refusesAndKeeps } from './metadata-attack.ts';
import { signatureAttacks } from './signature-attacks.ts';
import { addRealRelease, aTrustedRepository, delegateReleases, documentPath, nextRoot } from './vendor.ts';
import { versionAttacks } from './version-attacks.ts';

for (const attack of [...signatureAttacks, ...versionAttacks, ...documentAttacks]) {
  const { claim, code } = attack;
  test(`${attack.attack}: ${claim}: ${code}, and nothing changes`, (t) => refusesAndKeeps(t, attack));
  test(`${attack.attack}: ${claim}: the next good update is installed`, (t) => refusesAndGoesOn(t, attack));
}

test('a root that failed gives its keys no say in the next check, where it is hidden', async (t) => {
  const repository = aTrustedRepository();
  const server = await aServer(t, (request, response) => serveFiles(repository.files)(request, response));
  const gateway = await aGateway(t, { baseUrls: [server.url], initialRoot: repository.initialRoot });
  assert.equal((await gateway.check()).outcome, 'up-to-date');
  const before = await gateway.evidence();
  const attackers = [testKey('attacker 1'), testKey('attacker 2')];
  nextRoot(repository);
  Object.assign(repository.root.keys, keysOf(attackers));
  repository.root.roles.root = roleOf(attackers);
  repository.root.roles.timestamp = roleOf(attackers);
  offerRoot(repository, attackers);
  assert.equal((await gateway.check()).outcome, 'METADATA_SIGNATURE_INVALID');
  repository.files.delete('metadata/2.root.json');
  repository.signers.timestamp = attackers;
  repository.publish();
  assert.equal((await gateway.check()).outcome, 'METADATA_SIGNATURE_INVALID');
  assert.equal((await (await gateway.restarted()).check()).outcome, 'METADATA_SIGNATURE_INVALID');
  assert.deepEqual(await gateway.evidence(), before);
});

test('a role with a name like a path is looked up, and its file lies nowhere but among the trusted ones', async (t) => {
  const repository = aTrustedRepository();
  addRealRelease(repository, 3);
  const { [documentPath]: document, ...others } = repository.targets.targets;
  repository.targets.targets = others;
  delegateReleases('../../../escape', repository, [testKey('releases')], { [documentPath]: document });
  repository.publish();
  const server = await aServer(t, serveFiles(repository.files));
  const gateway = await aGateway(t, { baseUrls: [server.url], initialRoot: repository.initialRoot });
  const beside = await readdir(dirname(gateway.metadataFolder));
  assert.deepEqual(await gateway.update(), { outcome: 'taken', version: '1.2' });
  assert.deepEqual((await readdir(dirname(gateway.metadataFolder))).sort(), [...beside, 'metadata'].sort());
  assert.ok((await readdir(gateway.metadataFolder)).some((name) => /^%2E.*escape\.json$/.test(name)));
  assert.ok(server.paths().includes('/metadata/1...%2F..%2F..%2Fescape.json'), server.paths().join(' '));
});

test('a channel or a product with a name like a path asks for nothing', async (t) => {
  const repository = aTrustedRepository();
  const server = await aServer(t, serveFiles(repository.files));
  for (const source of [{ channel: '../../x' }, { compatible: '../x' }, { compatible: 'a/b' }, { channel: '' }]) {
    const gateway = await aGateway(t, { baseUrls: [server.url], initialRoot: repository.initialRoot, source });
    assert.equal((await gateway.check()).outcome, 'CONFIG_INVALID');
  }
  assert.ok(server.paths().every((path) => path.startsWith('/metadata/')));
});
