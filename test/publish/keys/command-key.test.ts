import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { decodeSignature, signWithCommand } from '../../../publish/keys/command-key.ts';
import { aDevice } from '../device-fixture.ts';
import { aFolder, aPublisherWithRelease, withCode } from '../publisher-fixture.ts';
import { otapub } from '../run-otapub.ts';

const run = promisify(execFile);
const softhsm = ['/usr/lib/softhsm/libsofthsm2.so', '/usr/lib64/softhsm/libsofthsm2.so'].find((path) =>
  existsSync(path),
);

const aCommand = (folder: string, argv: readonly string[], timeoutS = 20) => ({
  path: join(folder, 'key.json'),
  argv,
  folder,
  timeoutS,
});

const message = Buffer.from('what is signed');
const sh = (script: string): readonly string[] => ['sh', '-c', script];

/** An OpenSSL key and its public half. */
const anOpensslKey = async (folder: string) => {
  await run('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', join(folder, 'token.pem')]);
  await run('openssl', ['pkey', '-in', join(folder, 'token.pem'), '-pubout', '-out', join(folder, 'token.pub.pem')]);
};
const opensslSign = ['openssl', 'pkeyutl', '-sign', '-rawin', '-inkey', 'token.pem', '-in', '/dev/stdin'];

/** Rotates targets to a key that the command signs for, releases with it, and asks a device. */
const releaseWith = async (t: TestContext, keys: string, publicFile: string, command: readonly string[]) => {
  const { folder } = await aPublisherWithRelease(t);
  const root = await readFile(join(folder, 'root.json'));
  const made = await otapub([
    ...['keygen', keys, '--role', 'targets', '--name', 'token', '--public-key', publicFile, '--'],
    ...command,
  ]);
  assert.equal(made.exitCode, 0, made.stderr);
  const both = ['--keys', join(folder, 'keys'), '--keys', keys];
  const rotated = await otapub(['rotate', folder, 'targets', '--public-key', join(keys, 'token.pub'), ...both]);
  assert.equal(rotated.exitCode, 0, rotated.stderr);
  const words = ['--channel', 'stable', '--compatible', 'test-gateway', '--release-version', '1.0', '--wave', 'now:5'];
  const released = await otapub(['release', folder, ...words, ...both]);
  assert.equal(released.exitCode, 0, released.stderr);
  const release = await (await aDevice(t, folder, root)).check();
  assert.equal(release.waves[0]?.percent, 5);
};

test('openssl signs releases through the contract, with a key that otapub never sees', async (t) => {
  const keys = await aFolder(t);
  await anOpensslKey(keys);
  await releaseWith(t, keys, join(keys, 'token.pub.pem'), opensslSign);
  const file = await readFile(join(keys, 'targets-token.json'), 'utf8');
  assert.ok(!file.includes('seed') && !file.includes('PRIVATE'));
});

test('a PKCS#11 token signs releases through pkcs11-tool', async (t) => {
  assert.ok(softhsm, 'needs softhsm2 and opensc: apt-get install softhsm2 opensc');
  const keys = await aFolder(t);
  await mkdir(join(keys, 'tokens'));
  const configuration = join(keys, 'softhsm2.conf');
  await writeFile(configuration, `directories.tokendir = ${join(keys, 'tokens')}\nobjectstore.backend = file\n`);
  process.env.SOFTHSM2_CONF = configuration;
  t.after(() => delete process.env.SOFTHSM2_CONF);
  await run('softhsm2-util', ['--init-token', '--free', '--label', 'TEST', '--so-pin', '1234', '--pin', '1234']);
  const tool = ['pkcs11-tool', '--module', softhsm, '--token-label', 'TEST', '--login', '--pin', '1234'];
  const [program = '', ...login] = tool;
  await run(program, [...login, '--keypairgen', '--key-type', 'EC:edwards25519', '--id', '01']);
  const publicFile = join(keys, 'token.pem');
  await run(program, [...login, '--read-object', '--type', 'pubkey', '--id', '01', '--output-file', publicFile]);
  await releaseWith(t, keys, publicFile, [...tool, '--sign', '--mechanism', 'EDDSA', '--id', '01']);
});

test('a signature may be raw, hex or base64, with line ends', () => {
  const signature = Buffer.alloc(64, 7);
  const base64 = signature.toString('base64');
  for (const output of [
    signature,
    Buffer.from(`${signature.toString('hex')}\n`),
    Buffer.from(signature.toString('hex').toUpperCase()),
    Buffer.from(`${base64}\n`),
    Buffer.from(`${base64.slice(0, 64)}\n${base64.slice(64)}\n`),
  ]) {
    assert.deepEqual(decodeSignature(output), new Uint8Array(signature));
  }
  for (const output of ['', 'signed', signature.toString('hex').slice(2), `${base64}AAAA`, 'z'.repeat(128)]) {
    assert.equal(decodeSignature(Buffer.from(output)), null);
  }
});

test('the command gets exactly the bytes to sign, from a pipe or by name', async (t) => {
  const folder = await aFolder(t);
  const script = 'test "$(cat)" = "what is signed" && test "$(cat /dev/stdin)" = "what is signed" && printf %0128d 0';
  const signature = await signWithCommand(aCommand(folder, sh(script)), message);
  assert.deepEqual(Buffer.from(signature), Buffer.alloc(64));
});

for (const [what, argv, pattern] of [
  ['fails', sh('exit 3'), /ended with exit code 3 and without a signature/],
  ['is killed', sh('kill -9 $$'), /ended with SIGKILL/],
  ['writes something else', sh('echo signed'), /wrote no signature: 64 bytes/],
  ['writes without end', sh('yes'), /wrote more than 4096 bytes/],
  ['hangs', sh('exec tail -f /dev/null'), /did not answer within 1 s/],
  [
    'leaves a child behind that holds its output',
    sh('timeout 5 tail -f /dev/null 2>/dev/null & wait'),
    /did not answer within 1 s/,
  ],
] as const) {
  test(`a command that ${what} is an error that says so`, async (t) => {
    const folder = await aFolder(t);
    const hangs = /did not answer/.test(pattern.source);
    await assert.rejects(
      signWithCommand(aCommand(folder, argv, hangs ? 1 : 20), message),
      withCode('KEY_UNUSABLE', pattern),
    );
  });
}

test('a command that is not installed is named', async (t) => {
  const folder = await aFolder(t);
  const attempt = signWithCommand(aCommand(folder, ['no-such-program']), message);
  await assert.rejects(attempt, withCode('TOOL_MISSING', /program: no-such-program/));
});

test('a signature by another key is found when the key is made, and nothing is written', async (t) => {
  const [keys, other] = [await aFolder(t), await aFolder(t)];
  await anOpensslKey(keys);
  await anOpensslKey(other);
  const made = await otapub([
    ...['keygen', keys, '--role', 'targets', '--name', 'token', '--public-key', join(other, 'token.pub.pem'), '--'],
    ...opensslSign,
  ]);
  assert.equal(made.exitCode, 1);
  assert.match(made.stderr, /the signature does not fit the public key/);
  assert.ok(!existsSync(join(keys, 'targets-token.json')));
});

test('a private key is not taken for a public one', async (t) => {
  const keys = await aFolder(t);
  await anOpensslKey(keys);
  await otapub(['keygen', keys, '--role', 'root', '--name', 'alice']);
  const { folder } = await aPublisherWithRelease(t);
  for (const file of ['token.pem', 'root-alice.json']) {
    const { exitCode, stderr } = await otapub(['rotate', folder, 'targets', '--public-key', join(keys, file)]);
    assert.equal(exitCode, 1);
    assert.match(stderr, /a key file, not its public half/);
  }
  await run('openssl', ['genpkey', '-algorithm', 'X25519', '-out', join(keys, 'x.pem')]);
  await run('openssl', ['pkey', '-in', join(keys, 'x.pem'), '-pubout', '-out', join(keys, 'x.pub.pem')]);
  const { stderr } = await otapub(['rotate', folder, 'targets', '--public-key', join(keys, 'x.pub.pem')]);
  assert.match(stderr, /not an Ed25519 key/);
});
