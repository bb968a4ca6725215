import assert from 'node:assert/strict';
import { chmod, cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { publisherPaths } from '../../../publish/repository/publisher-folder.ts';
import { aDevice } from '../device-fixture.ts';
import { aFolder, aPublisherWithRelease, testNowMs } from '../publisher-fixture.ts';
import { otapub } from '../run-otapub.ts';

const dayMs = 86_400_000;

/** A publisher whose root and targets keys lie with people: alice has root-1 and targets-1, bob has root-2. */
const aCompany = async (t: TestContext) => {
  const { folder } = await aPublisherWithRelease(t);
  const work = await aFolder(t);
  const paths = publisherPaths(folder);
  const home = (name: string): string => join(work, name);
  for (const name of ['alice', 'bob', 'safe']) await mkdir(home(name), { mode: 0o700 });
  const move = (file: string, name: string) => rename(join(paths.keys, file), join(home(name), file));
  await move('root-1.json', 'alice');
  await move('targets-1.json', 'alice');
  await move('root-2.json', 'bob');
  await move('root-3.json', 'safe');
  const firstRoot = await readFile(paths.root);
  for (const name of ['alice', 'bob']) await writeFile(join(home(name), 'trusted.root'), firstRoot);
  const requestOf = async (): Promise<string> => {
    const names = await readdir(paths.requests);
    assert.equal(names.length, 1);
    return join(paths.requests, names[0] ?? '');
  };
  /** Carries the request to somebody's machine. */
  const carry = async (name: string): Promise<string> => {
    const stick = join(work, `stick-${name}`);
    await rm(stick, { recursive: true, force: true });
    await cp(await requestOf(), stick, { recursive: true });
    return stick;
  };
  const sign = (name: string, stick: string, answers: readonly string[] = ['y']) =>
    otapub(['sign', '--request', stick, '--keys', home(name)], { answers });
  const apply = (stick: string) => otapub(['sign', folder, '--apply', stick]);
  return { folder, paths, home, firstRoot, requestOf, carry, sign, apply };
};

test('a change of root is carried to two people, shown to each, signed one by one and published at the end', async (t) => {
  const { folder, firstRoot, carry, sign, apply, paths } = await aCompany(t);
  const device = await aDevice(t, folder, firstRoot);
  await device.check();
  const wish = await otapub(['rotate', folder, 'timestamp']);
  assert.equal(wish.exitCode, 4, wish.stderr);
  assert.match(wish.stdout, /timestamp loses timestamp-1 .*\n.*timestamp gets timestamp-2/);
  assert.match(wish.stdout, /root 2 by the keys of root 1: 2 more of root-1, root-2, root-3/);
  assert.equal(await device.rootVersion(), 1, 'nothing is published yet');

  const toAlice = await carry('alice');
  const shown = await sign('alice', toAlice);
  assert.equal(shown.exitCode, 0, shown.stderr);
  assert.match(shown.stderr, /timestamp loses timestamp-1/);
  assert.match(shown.stderr, /Its roots lead from your own root 1 to root 1/);
  assert.deepEqual(shown.questions, ['Sign all of this with root-1? [y/N] ']);
  const first = await apply(toAlice);
  assert.equal(first.exitCode, 4);
  assert.match(first.stdout, /1 more of root-2, root-3, has root-1/);

  const toBob = await carry('bob');
  await rm(join(toBob, 'root-1.signature.json'));
  assert.equal((await sign('bob', toBob)).exitCode, 0);
  const second = await apply(toBob);
  assert.equal(second.exitCode, 0, second.stderr);
  assert.match(second.stdout, /Published: root 2/);
  assert.deepEqual(await readdir(paths.requests), []);
  assert.equal((await device.check()).version, '1.0');
  assert.equal(await device.rootVersion(), 2);
});

test('a release is prepared here, signed where the targets key is, and published here', async (t) => {
  const { folder, firstRoot, carry, sign, apply } = await aCompany(t);
  const device = await aDevice(t, folder, firstRoot);
  const words = ['--channel', 'stable', '--compatible', 'test-gateway', '--release-version', '1.0'];
  const refused = await otapub(['release', folder, ...words, '--wave', 'now:5']);
  assert.equal(refused.exitCode, 1);
  assert.match(refused.stderr, /role: targets/);
  const prepared = await otapub(['release', folder, ...words, '--wave', 'now:5', '--request']);
  assert.equal(prepared.exitCode, 4, prepared.stderr);
  assert.match(prepared.stdout, /Prepared 1\.0/);
  assert.deepEqual((await device.check()).waves, []);
  const stick = await carry('alice');
  const shown = await sign('alice', stick);
  assert.match(shown.stderr, /Targets 3, after targets 2/);
  assert.match(shown.stderr, /changed +channels\/stable\/test-gateway\.json/);
  // A signature file may be named instead of its folder; a timestamp that was renewed meanwhile does not matter.
  assert.equal((await otapub(['renew', folder], { nowMs: testNowMs + dayMs })).exitCode, 0);
  const applied = await apply(join(stick, 'targets-1.signature.json'));
  assert.equal(applied.exitCode, 0, applied.stderr);
  assert.equal((await device.check()).waves[0]?.percent, 5);
});

test('a targets key that is elsewhere is replaced with the signatures of both people', async (t) => {
  const { folder, home, firstRoot, carry, sign, apply } = await aCompany(t);
  const made = await otapub(['keygen', home('bob'), '--role', 'targets', '--name', 'bob-targets']);
  assert.equal(made.exitCode, 0, made.stderr);
  const wish = await otapub(['rotate', folder, 'targets', '--public-key', join(home('bob'), 'bob-targets.pub')]);
  assert.equal(wish.exitCode, 4, wish.stderr);
  assert.match(wish.stdout, /A step in between/);
  assert.match(wish.stdout, /targets 3 by the keys of root 3: 1 more of bob-targets/);
  for (const name of ['alice', 'bob']) {
    const stick = await carry(name);
    assert.equal((await sign(name, stick)).exitCode, 0);
    const { exitCode } = await apply(stick);
    assert.equal(exitCode, name === 'bob' ? 0 : 4);
  }
  const device = await aDevice(t, folder, firstRoot);
  assert.equal((await device.check()).version, '1.0');
  assert.equal(await device.rootVersion(), 3);
});

test('a request that no longer fits is refused as stale, and status says so', async (t) => {
  const { folder, home, carry, sign, apply } = await aCompany(t);
  const words = ['--channel', 'stable', '--compatible', 'test-gateway', '--release-version', '1.0'];
  await otapub(['release', folder, ...words, '--wave', 'now:5', '--request']);
  const stick = await carry('alice');
  await sign('alice', stick);
  const other = await otapub([
    'release',
    folder,
    ...words,
    '--wave',
    'now:7',
    '--keys',
    home('alice'),
    '--keys',
    publisherPaths(folder).keys,
  ]);
  assert.equal(other.exitCode, 0, other.stderr);
  const late = await apply(stick);
  assert.equal(late.exitCode, 3);
  assert.match(late.stderr, /targets \d stand, and the request continues targets 2/);
  const status = await otapub(['status', folder]);
  assert.match(status.stdout, /fits no more/);
});

test('nothing is signed without a yes, and nobody at the terminal is no yes', async (t) => {
  const { folder, home, carry, sign } = await aCompany(t);
  await otapub(['rotate', folder, 'timestamp']);
  const stick = await carry('alice');
  for (const answer of ['', 'n', 'what']) assert.equal((await sign('alice', stick, [answer])).exitCode, 1);
  const alone = await sign('alice', stick, []);
  assert.equal(alone.exitCode, 64);
  assert.match(alone.stderr, /nobody is there to ask/);
  assert.ok(!(await readdir(stick)).some((name) => name.endsWith('.signature.json')));
  const insisted = await otapub(['sign', '--request', stick, '--keys', home('alice'), '--yes']);
  assert.equal(insisted.exitCode, 0);
});

test("a request whose roots do not go through the signer's own root is refused", async (t) => {
  const { carry, home, sign } = await aCompany(t);
  const stranger = await aCompany(t);
  await otapub(['init', join(home('safe'), 'other'), '--yes']);
  await otapub(['rotate', stranger.folder, 'timestamp']);
  const stick = await stranger.carry('alice');
  const otherRoot = await readFile(join(home('safe'), 'other', 'root.json'));
  await writeFile(join(home('alice'), 'trusted.root'), otherRoot);
  const { exitCode, stderr } = await sign('alice', stick);
  assert.equal(exitCode, 64);
  assert.match(stderr, /do not lead through your own root 1: do not sign it/);
  assert.equal(typeof carry, 'function');
});

test('a key that may not sign, and a spoiled request, are told apart', async (t) => {
  const { folder, home, carry, sign } = await aCompany(t);
  const words = ['--channel', 'stable', '--compatible', 'test-gateway', '--release-version', '1.0'];
  await otapub(['release', folder, ...words, '--wave', 'now:5', '--request']);
  const stick = await carry('bob');
  const { exitCode, stderr } = await sign('bob', stick);
  assert.equal(exitCode, 1);
  assert.match(stderr, /none of these keys may sign this request/);
  const path = join(stick, 'request.json');
  const whole = await readFile(path, 'utf8');
  for (const spoiled of [
    whole.slice(0, -20),
    whole.replace('"documents"', '"document"'),
    whole.replace(/(\\"version\\":)3/, '$17 '),
    whole.replace('"roots": [', '"roots": [ "{}",'),
    '{}',
  ]) {
    assert.notEqual(spoiled, whole);
    await writeFile(path, spoiled);
    const answer = await sign('alice', stick);
    assert.equal(answer.exitCode, 64, answer.stderr);
    assert.match(answer.stderr, /not a signing request of otapub, or was altered/);
  }
  const missing = await otapub(['sign', '--request', join(stick, 'nowhere'), '--keys', home('alice')]);
  assert.match(missing.stderr, /there is no such file or folder/);
});

test('a signature that does not hold is refused by name, and what was right stays', async (t) => {
  const { folder, carry, sign, apply } = await aCompany(t);
  await otapub(['rotate', folder, 'timestamp']);
  const stick = await carry('alice');
  await sign('alice', stick);
  const path = join(stick, 'root-1.signature.json');
  const whole = await readFile(path, 'utf8');
  const file = JSON.parse(whole) as { signatures: { sig: string }[] };
  const [signature] = file.signatures;
  assert.ok(signature);
  signature.sig = `${signature.sig.slice(0, -2)}00`;
  await writeFile(path, JSON.stringify(file));
  const refused = await apply(stick);
  assert.equal(refused.exitCode, 64);
  assert.match(refused.stderr, /a signature does not hold.*key: root-1/);
  await writeFile(path, whole);
  assert.equal((await apply(stick)).exitCode, 4);
});

test('a signature for another request is not taken for this one', async (t) => {
  const { folder, paths, carry, sign, apply } = await aCompany(t);
  await otapub(['rotate', folder, 'timestamp']);
  const first = await carry('alice');
  await sign('alice', first);
  await rm(paths.requests, { recursive: true });
  await otapub(['rotate', folder, 'timestamp']);
  const second = await carry('bob');
  await cp(join(first, 'root-1.signature.json'), join(second, 'root-1.signature.json'));
  const { exitCode, stderr } = await apply(second);
  assert.equal(exitCode, 64);
  assert.match(stderr, /signs another request than the one beside it/);
});

test('a key that others can read signs nothing', async (t) => {
  const { folder, home, carry, sign } = await aCompany(t);
  await otapub(['rotate', folder, 'timestamp']);
  const stick = await carry('alice');
  await chmod(join(home('alice'), 'root-1.json'), 0o644);
  const { exitCode, stderr } = await sign('alice', stick);
  assert.equal(exitCode, 1);
  assert.match(stderr, /mode is 0644, others can read it/);
});

test('neither a request nor an output holds a private key', async (t) => {
  const { folder, home, carry, sign, apply, requestOf } = await aCompany(t);
  const seeds: string[] = [];
  for (const [place, file] of [
    [publisherPaths(folder).keys, 'timestamp-1.json'],
    [home('alice'), 'root-1.json'],
  ] as const) {
    seeds.push((JSON.parse(await readFile(join(place, file), 'utf8')) as { seed: string }).seed);
  }
  const outputs = [await otapub(['rotate', folder, 'timestamp'])];
  const made = await readFile(join(publisherPaths(folder).keys, 'timestamp-2.json'), 'utf8');
  seeds.push((JSON.parse(made) as { seed: string }).seed);
  const stick = await carry('alice');
  outputs.push(await sign('alice', stick), await apply(stick), await otapub(['status', folder]));
  const texts = outputs.map(({ stdout, stderr }) => `${stdout}${stderr}`);
  for (const name of await readdir(await requestOf()))
    texts.push(await readFile(join(await requestOf(), name), 'utf8'));
  for (const seed of seeds) assert.ok(texts.every((text) => !text.includes(seed)));
});
