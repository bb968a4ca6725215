import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mirrorIn, securityMirrorIn } from '../../image/debian-mirror.ts';
import { differences, formatLock, parseLock, pinsOf } from '../../image/package-lock.ts';

const lock = { packages: ['bash 5.2 amd64', 'nodejs 20.19 amd64'], boot: ['linux-image-6.12 6.12.1 amd64'] };

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

const lines = [
  'Packages http://mirror.test/debian-security/ bookworm-security main',
  'Packages http://other.test/tools/ bookworm main',
  'Packages http://mirror.test/debian/ bookworm main',
];

test('the mirror is the one of the release itself, not that of its security updates', () => {
  assert.equal(mirrorIn(lines.join('\n')), 'http://mirror.test/debian/');
  assert.equal(mirrorIn(lines.slice(0, 2).join('\n')), null);
});

test('the security updates come from the archive that apt has for them', () => {
  assert.equal(securityMirrorIn(lines.join('\n')), 'http://mirror.test/debian-security/');
  assert.equal(securityMirrorIn(lines.slice(1).join('\n')), null);
});
