import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mirrorsIn, sourceLines } from '../../image/debian-mirror.ts';
import { offeredIn } from '../../image/debian-packages.ts';
import { describeSuites, newestSuiteS, suiteLine } from '../../image/debian-suites.ts';
import { differences, formatLock, parseLock, pinsOf, sourceOf, sourcePinsOf } from '../../image/package-lock.ts';

const digest = 'ab'.repeat(32);
const lock = {
  packages: ['bash 5.2 amd64', 'nodejs 20.19 amd64'],
  boot: ['linux-image-6.12 6.12.1 amd64'],
  tools: ['squashfs-tools 1:4.6.1-1 amd64'],
  suites: [`trixie 2026-09-12T07:55:41Z ${digest}`, `trixie-security 2026-11-20T00:12:42Z ${digest}`],
};

test('a lock comes back as it was written', () => {
  assert.deepEqual(parseLock(formatLock(lock)), lock);
});

test('each package of the lock is pinned to its version, the kernel too', () => {
  const pins = pinsOf(lock);
  for (const line of ['Package: nodejs\nPin: version 20.19\n', 'Package: linux-image-6.12\nPin: version 6.12.1\n']) {
    assert.ok(pins.includes(line), pins);
  }
});

test('a package that is newer, missing or too much is told', () => {
  assert.deepEqual(differences(lock.packages, ['bash 5.3 amd64', 'nodejs 20.19 amd64']), [
    'the lock has bash 5.2 amd64, the image has not',
    'the image has bash 5.3 amd64, the lock has not',
  ]);
});

test('a lock of an earlier otad has no tools and no suites', () => {
  const { tools, suites } = parseLock('bash 5.2 amd64\n# boot\nlinux-image-6.12 6.12.1 amd64\n');
  assert.deepEqual([tools, suites], [[], []]);
});

test('a lock with a line that is no package is refused', () => {
  assert.throws(() => parseLock('bash 5.2 amd64\nbash; rm amd64 x y\n'), { code: 'LAYER_INVALID' });
});

test('packages of two architectures are one source, rebuilt or not, and are pinned to it', () => {
  assert.equal(sourceOf('libx 1:1.2-3+b2 arm64'), 'libx 1:1.2-3');
  const pins = sourcePinsOf({ ...lock, packages: ['libx 1:1.2-3~deb13u1+b2 arm64'] });
  assert.equal(pins, 'Package: libx\nPin: version /^1:1\\.2-3~deb13u1(\\+b[0-9]+)?$/\nPin-Priority: 1001\n\n');
});

const knownToApt = [
  'Packages http://mirror.test/debian-security/ bookworm-security main',
  'Packages http://other.test/tools/ bookworm main',
  'Packages http://mirror.test/debian/ bookworm-updates main',
  'Packages http://mirror.test/debian/ bookworm main',
];

test('the mirrors are those of the release and of its security updates, unless others are named', () => {
  const known = { main: 'http://mirror.test/debian/', security: 'http://mirror.test/debian-security/' };
  assert.deepEqual(mirrorsIn(knownToApt.join('\n'), {}), known);
  const named = { main: 'http://a.test/', security: 'http://b.test/' };
  assert.deepEqual(mirrorsIn(knownToApt.join('\n'), named), named);
});

test('without security updates an image is built only for who says so', () => {
  const targets = knownToApt.slice(1).join('\n');
  assert.throws(() => mirrorsIn(targets, {}), /--security-mirror.*--no-security/);
  assert.equal(mirrorsIn(targets, { isWithoutSecurity: true }).security, null);
  assert.throws(() => mirrorsIn(knownToApt.slice(0, 2).join('\n'), {}), /--mirror/);
});

test('packages come from the release, its updates and its security updates, all of them signed', () => {
  const lines = sourceLines({ main: 'http://m.test/', security: 'http://s.test/' }, ['non-free-firmware']);
  assert.deepEqual(
    lines.map((line) => line.replace(/\[signed-by=[^\]]+\]/, 'SIGNED')),
    [
      'deb SIGNED http://m.test/ trixie main non-free-firmware',
      'deb SIGNED http://m.test/ trixie-updates main non-free-firmware',
      'deb SIGNED http://s.test/ trixie-security main non-free-firmware',
    ],
  );
});

test('what apt would download is read as the lock has it, epochs too', () => {
  const uris = [
    "'http://m.test/pool/e2fsprogs_1.47_amd64.deb' e2fsprogs_1.47.2-3+b10_amd64.deb 600000 SHA256:aa",
    "'http://m.test/pool/squashfs-tools_4.6.1-1_amd64.deb' squashfs-tools_1%3a4.6.1-1_amd64.deb 180000 SHA256:bb",
  ];
  assert.deepEqual(offeredIn(uris.join('\n')), ['e2fsprogs 1.47.2-3+b10 amd64', 'squashfs-tools 1:4.6.1-1 amd64']);
});

test('a suite is known by its date and the digest of its signed file, and the newest one dates a build', () => {
  const text = 'Origin: Debian\nSuite: stable\nCodename: trixie\nDate: Sat, 12 Sep 2026 07:55:41 UTC\n';
  assert.match(suiteLine(text), /^trixie 2026-09-12T07:55:41Z [0-9a-f]{64}$/);
  assert.throws(() => suiteLine('<html>'), { code: 'TOOL_FAILED' });
  assert.equal(newestSuiteS(lock.suites), Date.parse('2026-11-20T00:12:42Z') / 1000);
  assert.equal(newestSuiteS([]), 0);
  const said = describeSuites(lock.suites, Date.parse('2026-11-21T18:00:00Z'));
  assert.equal(said, 'trixie of 2026-09-12 (70 days old), trixie-security of 2026-11-20 (1 day old)');
});
