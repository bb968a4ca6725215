import assert from 'node:assert/strict';
import { copyFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { request } from 'undici';
import { agentVersion } from '../../agent/version.ts';
import { commands, runCommandLine } from '../../publish/command-line.ts';
import { parseWave } from '../../publish/commands/release.ts';
import { publisherPaths } from '../../publish/repository/publisher-folder.ts';
import { createStaticServer } from '../../publish/serving/static-server.ts';
import { ended, printed, spawnOnTerminal } from '../agent/cli/run-otactl.ts';
import { treeRoot } from '../support/reference.ts';
import { aFolder, aLayer, testNowMs, testSaltHex } from './publisher-fixture.ts';
import { type Outcome, otapub } from './run-otapub.ts';

const aSetup = async (t: TestContext) => {
  const work = await aFolder(t);
  const layer = await aLayer(join(work, 'layer'), { 'opt/app': 'application\n' });
  const folder = join(work, 'publisher');
  assert.equal((await otapub(['init', folder, '--name', 'acme'])).exitCode, 0);
  const release = (...more: string[]): Promise<Outcome> =>
    otapub(['release', folder, '--channel', 'stable', '--compatible', 'gw', '--salt', testSaltHex, ...more]);
  return { work, layer, folder, release };
};

test('init says what to keep where, and where the root goes', async (t) => {
  const folder = join(await aFolder(t), 'publisher');
  const { stdout } = await otapub(['init', folder, '--timestamp-days', '7', '--root', '1/2']);
  assert.match(stdout, /root +1 of 2 keys/);
  assert.match(stdout, /timestamp +1 of 1 key, valid until 2026-03-08T12:00:00Z/);
  assert.match(stdout, /Move the root keys off this machine/);
  assert.ok(stdout.includes(publisherPaths(folder).root));
  const names = await readdir(publisherPaths(folder).keys);
  for (const name of names.filter((each) => each.endsWith('.json'))) {
    const { seed } = JSON.parse(await readFile(join(publisherPaths(folder).keys, name), 'utf8')) as { seed: string };
    assert.ok(!stdout.includes(seed));
  }
});

test('a release goes from layers to a verified repository', async (t) => {
  const { folder, layer, release } = await aSetup(t);
  const first = await release('--release-version', '1.0', '--layer', layer, '--wave', 'now:10', '--wave', '+1d:100');
  assert.equal(first.exitCode, 0, first.stderr);
  assert.match(first.stdout, /Published 1\.0 \(sequence 1\) for gw to stable/);
  assert.match(first.stdout, /wave +100% from 2026-03-02T12:00:00\.000Z/);
  const verified = await otapub(['verify', folder]);
  assert.equal(verified.exitCode, 0);
  assert.match(verified.stdout, /^ok +image +images\/gw\/gw-1\.0\.squashfs/m);
  const status = await otapub(['status', folder]);
  assert.match(status.stdout, /stable +gw +1\.0 +1 /);
});

test('build and release agree on one image', async (t) => {
  const { work, layer, release } = await aSetup(t);
  const image = join(work, 'out.squashfs');
  const words = ['--compatible', 'gw', '--release-version', '1.2', '--sequence', '4', '--compression', 'gzip'];
  const built = await otapub(['build', layer, '--output', image, ...words], {
    environment: { SOURCE_DATE_EPOCH: '1700000000' },
  });
  assert.equal(built.exitCode, 0, built.stderr);
  const released = await release('--release-version', '1.2', '--image', image, '--json');
  assert.equal(released.exitCode, 0, released.stderr);
  assert.equal(JSON.parse(released.stdout).release.sequence, 4);
});

test('renew names what it signed again, and what stands as before', async (t) => {
  const { folder } = await aSetup(t);
  const dayMs = 86_400_000;
  const at = (days: number) => otapub(['renew', folder], { nowMs: testNowMs + days * dayMs });
  assert.equal((await at(1)).stdout, 'Renewed: timestamp 2; as before: targets 1, snapshot 1');
  assert.equal((await at(200)).stdout, 'Renewed: snapshot 2, timestamp 3; as before: targets 1');
  assert.equal((await at(600)).stdout, 'Renewed: targets 2, snapshot 3, timestamp 4');
});

test('--json gives one JSON document from each command that has it', async (t) => {
  const { folder, layer, release } = await aSetup(t);
  const outcomes = [
    await release('--release-version', '1.0', '--layer', layer, '--json'),
    await otapub(['status', folder, '--json']),
    await otapub(['verify', folder, '--json']),
    await otapub(['renew', folder, '--json']),
  ];
  for (const { exitCode, stdout } of outcomes) {
    assert.equal(exitCode, 0);
    assert.equal(typeof JSON.parse(stdout), 'object');
  }
});

test('exit codes: 2 nothing to do, 3 refused, 5 not sound, 64 layer', async (t) => {
  const { folder, layer, release } = await aSetup(t);
  const wish = ['--release-version', '1.0', '--layer', layer];
  assert.equal((await release(...wish)).exitCode, 0);
  assert.equal((await release(...wish)).exitCode, 2);
  assert.equal((await release('--release-version', '0.9', '--sequence', '1', '--layer', layer)).exitCode, 3);
  assert.equal((await otapub(['init', folder])).exitCode, 3);
  assert.equal((await release('--release-version', '2.0', '--layer', folder)).exitCode, 64);
  const { targets } = publisherPaths(folder);
  const [image = ''] = await readdir(join(targets, 'images/gw'));
  await writeFile(join(targets, 'images/gw', image), 'rotten');
  const verified = await otapub(['verify', folder]);
  assert.equal(verified.exitCode, 5);
  assert.match(verified.stdout, /^WRONG +image/m);
});

for (const [args, message] of [
  [['frobnicate'], /there is no command 'frobnicate'/],
  [['relase'], /there is no command 'relase'; did you mean 'release'\?/],
  [['status', 'a', '--jsno'], /there is no option '--jsno'; did you mean '--json'\?/],
  [['rotate', 'a', 'tagrets'], /'tagrets' is no role: root, targets, snapshot, timestamp; did you mean 'targets'\?/],
  [['rotate', 'a', 'root', 'bob', '--add'], /--add replaces no key/],
  [['sign', 'a'], /give either --request or --apply/],
  [['sign', '--request', 'r'], /--keys is required/],
  [['keygen', 'a', '--role', 'root', '--name', 'a b'], /is no name for a key/],
  [['renew', 'a', 'snapshot'], /is renewed by itself/],
  [['init', 'a', '--root-names', 'alice,bob'], /root has 3 keys, and 2 names were given/],
  [['init', 'a', '--root-keys', '/no/such/stick'], /there is no folder \/no\/such\/stick: plug the stick in/],
  [['init', 'a', '--root-names', 'a,b,a'], /two keys are called 'a'/],
  [['verify', '/no/such/folder'], /there is no folder \/no\/such\/folder/],
  [['verify', 'ftp://example.com/'], /ftp:\/\/ is not supported/],
  [[], /usage: otapub COMMAND/],
  [['init'], /missing DIR/],
  [['init', 'a', 'b'], /too many operands: b/],
  [['init', 'a', '--root', '3/2'], /--root must be THRESHOLD\/KEYS/],
  [['init', 'a', '--root-days', 'soon'], /--root-days must be a whole number/],
  [['release', 'a', '--channel', 'c'], /--compatible, --release-version are required/],
  [['release', 'a', '--version', '1'], /there is no option '--version'; did you mean '--release-version'\?/],
  [['build', 'a', '--output', 'x'], /--compatible, --release-version, --sequence are required/],
  [['serve', '/no/such/folder'], /there is no folder \/no\/such\/folder/],
  [['release', 'a', '--chanel', 'c'], /--chanel/],
  [['build', 'a', '--output', 'x', '--compatible', 'UP', '--release-version', '1', '--sequence', '1'], /lower-case/],
  [['verify', 'http://127.0.0.1:1/'], /--root is required for a URL/],
] as const) {
  test(`'otapub ${args.join(' ')}' is a usage error with a message`, async () => {
    const { exitCode, stderr } = await otapub(args);
    assert.equal(exitCode, 64);
    assert.match(stderr, message);
  });
}

test('--version names the version', async () => {
  const { exitCode, stdout } = await otapub(['--version']);
  assert.equal(exitCode, 0);
  assert.equal(stdout, `otapub ${agentVersion}`);
});

test('init asks at a terminal, takes Enter for the default, and asks again after a wrong answer', async (t) => {
  const folder = join(await aFolder(t), 'publisher');
  const answers = ['acme', '3/2', '1/2', 'alice,bob', '', '365,200,100,7'];
  const { exitCode, stdout, stderr, questions } = await otapub(['init', folder], { answers });
  assert.equal(exitCode, 0, stderr);
  assert.equal(questions.length, answers.length);
  assert.match(stderr, /--root must be THRESHOLD\/KEYS such as 2\/3, not '3\/2'/);
  assert.match(stdout, /root +1 of 2 keys, valid until 2027-03-01/);
  assert.match(stdout, /timestamp +1 of 1 key, valid until 2026-03-08/);
  assert.ok((await readdir(publisherPaths(folder).keys)).includes('root-alice.json'));
  const quiet = await otapub(['init', join(await aFolder(t), 'p'), '--yes'], { answers });
  assert.deepEqual([quiet.exitCode, quiet.questions], [0, []]);
});

const initQuestions = [
  /Name of the repository/,
  /Root keys/,
  /Names of the root keys/,
  /Folders for them/,
  /Days that/,
];
for (const [key, name] of [
  ['\x03', 'Ctrl-C'],
  ['\x04', 'Ctrl-D'],
] as const) {
  test(`init makes nothing when somebody leaves with ${name} at any of its questions`, async (t) => {
    const work = await aFolder(t);
    const leaveAt = async (last: number): Promise<void> => {
      const folder = join(work, `publisher-${last}`);
      const child = spawnOnTerminal([join(treeRoot(), 'dist/publish/otapub.js'), 'init', folder]);
      const ending = ended(child);
      for (const [index, question] of initQuestions.slice(0, last + 1).entries()) {
        await printed(child, question);
        child.stdin?.write(index === last ? key : '\n');
      }
      const { code, out } = await ending;
      child.stdin?.end();
      assert.equal(code, 1, out);
      assert.match(out, /The step was cancelled\. \(reason: no answer was given, so nothing was done\)/);
      await assert.rejects(readdir(folder), { code: 'ENOENT' });
    };
    await Promise.all(initQuestions.map((_, last) => leaveAt(last)));
  });
}

test('a release to a channel that no gateway can be set to is refused', async (t) => {
  const { layer, folder } = await aSetup(t);
  const words = ['--compatible', 'gw', '--release-version', '1.0', '--layer', layer];
  const { exitCode, stderr } = await otapub(['release', folder, '--channel', 'Stable', ...words]);
  assert.equal(exitCode, 64);
  assert.match(stderr, /channel must be lower-case letters, digits, .*not 'Stable'/);
});

test('release warns of an image that trusts nobody, or somebody else', async (t) => {
  const { work, folder, layer, release } = await aSetup(t);
  const none = await release('--release-version', '1.0', '--layer', layer);
  assert.match(none.stderr, /the image has no \/usr\/lib\/otad\/root\.json/);
  await otapub(['init', join(work, 'other'), '--yes']);
  for (const [version, root, pattern] of [
    ['1.1', join(work, 'other', 'root.json'), /is no root of this repository/],
    ['1.2', publisherPaths(folder).root, /^$/],
  ] as const) {
    const files = { 'usr/lib/otad/root.json': await readFile(root, 'utf8'), 'usr/lib/otad/otad.mjs': 'otad\n' };
    const trusting = await aLayer(join(work, `layer-${version}`), files);
    const { exitCode, stderr } = await release('--release-version', version, '--layer', layer, '--layer', trusting);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, pattern);
  }
});

test('release warns of an image in which no otad starts', async (t) => {
  const { layer, release } = await aSetup(t);
  const { exitCode, stderr } = await release('--release-version', '1.0', '--layer', layer);
  assert.equal(exitCode, 0);
  assert.match(stderr, /the image has no \/usr\/lib\/otad\/otad\.mjs: no otad starts in it/);
});

test('release warns of an older version after a newer one, of a product or channel that looks like a slip, of a trial that is too long', async (t) => {
  const { folder, work, layer, release } = await aSetup(t);
  const files = { 'usr/lib/otad/root.json': await readFile(publisherPaths(folder).root, 'utf8') };
  const trusting = await aLayer(join(work, 'trusting'), { ...files, 'usr/lib/otad/otad.mjs': 'otad\n' });
  const wish = (...words: string[]) => release('--layer', layer, '--layer', trusting, ...words);
  for (const [words, pattern] of [
    [['--release-version', '1.9'], /^$/],
    [['--release-version', '1.10'], /^$/],
    [
      ['--release-version', '1.2'],
      /^otapub: warning: 1\.2 reads as older than 1\.10, but comes after it .sequence 3 after 2.: .*$/,
    ],
    [['--release-version', '1.11', '--channel', 'beta', '--health-deadline', '1500'], /^$/],
    [
      ['--release-version', '1.12', '--health-deadline', '1501'],
      /^.*: a health deadline of 1501 s: only gateways .* 1500 s$/,
    ],
    [['--release-version', '1.11', '--channel', 'stabel'], /^.*: channel 'stabel' is new .*; did you mean 'stable'\?$/],
    [['--release-version', '1.0', '--compatible', 'wg'], /^.*: compatible 'wg' is new in this repository: .*'gw'\?$/],
    [['--release-version', '1.1', '--compatible', 'wg'], /^$/],
  ] as const) {
    const { exitCode, stderr } = await wish(...words);
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, pattern);
  }
});

test('serve on a busy port says so, and which option helps', async (t) => {
  const { folder } = await aSetup(t);
  const server = await createStaticServer(publisherPaths(folder).repository);
  t.after(() => server.close());
  const { exitCode, stderr } = await otapub(['serve', folder, '--port', String(server.port)]);
  assert.equal(exitCode, 6);
  assert.match(stderr, /Another program listens on this port\..*choose another one: --port N/);
});

test('verify says what gateways of a channel are offered, and reads no image when it is to be quick', async (t) => {
  const { folder, layer, release } = await aSetup(t);
  await release('--release-version', '1.0', '--layer', layer, '--wave', 'now:10', '--wave', '+1d:100');
  const full = await otapub(['verify', folder, '--channel', 'stable']);
  assert.match(full.stdout, /stable \/ gw: 1\.0 \(sequence 1\); 10% of gateways now, 100% from 2026-03-02T12/);
  const wrong = await otapub(['verify', folder, '--channel', 'stabel']);
  assert.equal(wrong.exitCode, 5);
  assert.match(wrong.stderr, /nothing is published for stabel \/ any product; did you mean 'stable'\?/);
  const images = join(publisherPaths(folder).targets, 'images/gw');
  const [image = ''] = await readdir(images);
  const bytes = await readFile(join(images, image));
  await writeFile(join(images, image), Buffer.alloc(bytes.length));
  assert.equal((await otapub(['verify', folder, '--quick'])).exitCode, 0);
  assert.equal((await otapub(['verify', folder])).exitCode, 5);
  await writeFile(join(images, image), bytes.subarray(1));
  assert.equal((await otapub(['verify', folder, '--quick'])).exitCode, 5);
});

test('verify finds an old root that is spoilt or gone, which the newest one hides', async (t) => {
  const { folder } = await aSetup(t);
  for (const role of ['timestamp', 'snapshot']) assert.equal((await otapub(['rotate', folder, role])).exitCode, 0);
  const sound = await otapub(['verify', folder]);
  assert.equal(sound.exitCode, 0, sound.stdout);
  assert.match(sound.stdout, /^ok +metadata +metadata\/3\.root\.json +every older root leads to it/m);
  const { repository } = publisherPaths(folder);
  for (const version of [1, 2, 3]) {
    const path = join(repository, `metadata/${version}.root.json`);
    const bytes = await readFile(path);
    for (const spoil of [
      () => writeFile(path, bytes.subarray(0, 30)),
      () => copyFile(join(repository, `metadata/${(version % 3) + 1}.root.json`), path),
      () => rm(path),
    ]) {
      await spoil();
      const { exitCode, stdout } = await otapub(['verify', folder]);
      assert.equal(exitCode, 5);
      assert.match(stdout, /^WRONG +metadata +metadata\/[123]\.root\.json/m);
    }
    await writeFile(path, bytes);
  }
});

test('verify tells a wrong URL, an empty server and a missing root apart', async (t) => {
  const { work, folder } = await aSetup(t);
  const root = publisherPaths(folder).root;
  const server = await createStaticServer(work);
  t.after(() => server.close());
  const empty = await otapub(['verify', server.url, '--root', root]);
  assert.equal(empty.exitCode, 5);
  assert.match(empty.stderr, /has no metadata\/timestamp\.json: give the base URL/);
  const quick = await otapub(['verify', `${server.url}publisher/repository`, '--root', root, '--quick']);
  assert.equal(quick.exitCode, 0, quick.stdout);
  const gone = await otapub(['verify', 'http://127.0.0.1:1/', '--root', root]);
  assert.match(gone.stderr, /could not be reached/);
  assert.match((await otapub(['verify', folder, '--root', 'nowhere'])).stderr, /there is no such file/);
  assert.match((await otapub(['verify', work])).stderr, /TRUST|No trusted root|give --root FILE/);
});

test('status exits with 4 before something expires and with 5 after', async (t) => {
  const { folder } = await aSetup(t);
  const dayMs = 86_400_000;
  const at = (days: number, ...more: string[]) =>
    otapub(['status', folder, ...more], { nowMs: testNowMs + days * dayMs });
  assert.equal((await at(1)).exitCode, 0);
  assert.equal((await at(1, '--warn-days', '40')).exitCode, 4);
  const soon = await at(25);
  assert.equal(soon.exitCode, 4);
  assert.match(soon.stdout, /timestamp .*\(5 days, SOON\)/);
  const late = await at(31);
  assert.equal(late.exitCode, 5);
  assert.match(late.stdout, /EXPIRED/);
});

test('every command has help that fits a terminal', async () => {
  for (const { name } of commands) {
    const { exitCode, stdout } = await otapub([name, '--help']);
    assert.equal(exitCode, 0);
    assert.match(stdout, new RegExp(`^usage: otapub ${name} `));
    assert.ok(Math.max(...stdout.split('\n').map((line) => line.length)) <= 120, name);
  }
});

test('a wave starts now, after a while, or at a time with its zone', () => {
  assert.deepEqual(parseWave('now:5', 1000), { startAtS: 1000, percent: 5 });
  assert.deepEqual(parseWave('+2h:5', 1000), { startAtS: 8200, percent: 5 });
  assert.deepEqual(parseWave('1970-01-02T00:00Z:5', 1000), { startAtS: 86_400, percent: 5 });
  assert.deepEqual(parseWave('1970-01-02T00:00:30+00:30:5', 1000), { startAtS: 84_630, percent: 5 });
  for (const text of ['now', 'now:101', '1970-01-02:5', '1970-01-02T00:00:5', 'tomorrow:5']) {
    assert.throws(() => parseWave(text, 1000), { code: 'BAD_REQUEST' });
  }
});

test('waves that shrink or go back in time are refused by what was typed', async (t) => {
  const { layer, release } = await aSetup(t);
  for (const [waves, message] of [
    [['now:50', '+1d:20'], /--wave: 20 % after 50 %/],
    [['+2d:5', '+1d:100'], /--wave: each wave starts after the one before/],
  ] as const) {
    const words = waves.flatMap((wave) => ['--wave', wave]);
    const { exitCode, stderr } = await release('--release-version', '1.0', '--layer', layer, ...words);
    assert.equal(exitCode, 64);
    assert.match(stderr, message);
  }
});

test('a ready-made image of another version is refused by its version, whoever has its sequence', async (t) => {
  const { folder, layer, release } = await aSetup(t);
  await release('--release-version', '1.0', '--layer', layer);
  const image = join(folder, 'gw.squashfs');
  const names = ['--compatible', 'gw', '--release-version', '1.0', '--sequence', '1'];
  assert.equal((await otapub(['build', layer, '--output', image, ...names])).exitCode, 0);
  const { exitCode, stderr } = await release('--release-version', '1.1', '--image', image);
  assert.equal(exitCode, 3);
  assert.match(stderr, /os-release: build it as this release.*field: version, image: 1\.0, release: 1\.1/);
});

test('serve never offers a folder without metadata, such as the one with the keys', async (t) => {
  const { folder } = await aSetup(t);
  const { exitCode, stderr } = await otapub(['serve', publisherPaths(folder).keys, '--port', '0']);
  assert.equal(exitCode, 1);
  assert.match(stderr, /no metadata\/timestamp\.json/);
});

test('who gives the published part, or no folder at all, is told which one is meant', async (t) => {
  const { work, folder } = await aSetup(t);
  const { repository } = publisherPaths(folder);
  const words = ['--channel', 'stable', '--compatible', 'gw', '--release-version', '1.0', '--layer', 'x'];
  const meant = new RegExp(`did you mean ${folder}\\?`);
  assert.match((await otapub(['release', repository, ...words])).stderr, meant);
  assert.match((await otapub(['status', repository])).stderr, meant);
  assert.match((await otapub(['verify', repository])).stderr, meant);
  const nowhere = await otapub(['release', join(work, 'nowhere'), ...words]);
  assert.match(nowhere.stderr, /there is no such folder; otapub init makes one/);
  assert.doesNotMatch((await otapub(['status', work])).stderr, /did you mean/);
});

test('serve answers until it is interrupted and tells each request', async (t) => {
  const { folder } = await aSetup(t);
  const stop = new AbortController();
  const lines: string[] = [];
  let announce: (url: string) => void = () => undefined;
  const announced = new Promise<string>((resolve) => {
    announce = resolve;
  });
  const running = runCommandLine(['serve', folder, '--port', '0', '--verbose'], {
    print: (line) => {
      lines.push(line);
      announce(/at (http:\S+)$/.exec(line)?.[1] ?? '');
    },
    warn: (line) => lines.push(line),
    ask: async () => null,
    signal: stop.signal,
    environment: {},
    nowMs: () => testNowMs,
  });
  const url = await announced;
  const { statusCode, body } = await request(`${url}metadata/timestamp.json`);
  const text = await body.text();
  assert.equal(statusCode, 200);
  stop.abort();
  assert.equal(await running, 0);
  assert.equal(lines[1], `200 GET /metadata/timestamp.json ${text.length} bytes`);
});
