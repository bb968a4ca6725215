import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OtadError } from '../../agent/core/errors.ts';
import type { Artifact } from '../../agent/core/types.ts';
import { encodeCanonicalJson, type JsonValue } from '../../verity/canonical-json.ts';
import {
  encodeRelease,
  parseRelease,
  releaseDocumentBytesMax,
  releaseDocumentPath,
} from '../../verity/release-document.ts';
import { aRepository, type Loose } from '../support/tuf-repository.ts';

const aBootFile = (name: string): Artifact => ({
  ...{ role: 'boot', path: `images/boot/${name}`, lengthBytes: 9, sha256Hex: 'cd'.repeat(32) },
  ...{ verity: null, index: null, name },
});

const aFullRelease = () =>
  aRepository().addRelease({
    notesUrl: 'https://example.test/notes/1.1',
    agentVersionMin: '0.1.0',
    hardwareRevisions: ['rev-a'],
    waves: [
      { startAtS: 10, percent: 5 },
      { startAtS: 20, percent: 100 },
    ],
    from: ['1.0'],
    artifacts: [...aRepository().addRelease().artifacts, aBootFile('linux'), aBootFile('dtbs/board.dtb')],
  });

test('reads back what it writes', () => {
  const release = aFullRelease();
  assert.deepEqual(parseRelease(encodeRelease(release)), release);
});

const anIndex = { path: 'images/x.index', lengthBytes: 84, sha256Hex: 'ab'.repeat(32) };

const rootfs = (document: Loose): Loose => document.artifacts[0];
const bootFile = (document: Loose): Loose => document.artifacts[1];

const spoils: Readonly<Record<string, (document: Loose) => void>> = {
  'an unknown member': (d) => Object.assign(d, { hook: 'rm' }),
  'a missing member': (d) => delete d.health,
  'another schema': (d) => Object.assign(d, { schema: 2 }),
  'an empty version': (d) => Object.assign(d, { version: '' }),
  'a version with a separator': (d) => Object.assign(d, { version: '1/../2' }),
  'sequence zero': (d) => Object.assign(d, { sequence: 0 }),
  'a text for a number': (d) => Object.assign(d, { sequence: '2' }),
  'a rollback floor above its own sequence': (d) => Object.assign(d, { rollbackFloor: d.sequence + 1 }),
  'a path that climbs': (d) => Object.assign(rootfs(d), { path: '../etc/passwd' }),
  'a path with a hidden segment': (d) => Object.assign(rootfs(d), { path: 'images/.x/y' }),
  'an absolute path': (d) => Object.assign(rootfs(d), { path: '/images/x' }),
  'a path with an escape': (d) => Object.assign(rootfs(d), { path: 'images/%2e%2e/x' }),
  'a path longer than a file name may be': (d) => Object.assign(rootfs(d), { path: 'x'.repeat(200) }),
  'a digest in upper case': (d) => Object.assign(rootfs(d), { sha256Hex: 'A'.repeat(64) }),
  'an image beyond the maximum': (d) => Object.assign(rootfs(d), { lengthBytes: 2 ** 50 }),
  'a hash offset elsewhere': (d) => Object.assign(rootfs(d).verity, { hashOffsetBytes: 4096 }),
  'a salt of odd length': (d) => Object.assign(rootfs(d).verity, { saltHex: 'abc' }),
  'another digest algorithm': (d) => Object.assign(rootfs(d).verity, { algorithm: 'sha1' }),
  'a rootfs without verity': (d) => Object.assign(rootfs(d), { verity: null }),
  'no rootfs': (d) => Object.assign(d, { artifacts: [] }),
  'two artifacts of one path': (d) => d.artifacts.push({ ...rootfs(d), role: 'app', verity: null }),
  'an index of what is no root image': (d) =>
    d.artifacts.push({ ...rootfs(d), role: 'app', path: 'app', verity: null, index: anIndex }),
  'an index at the path of its image': (d) => Object.assign(rootfs(d), { index: { ...anIndex, path: rootfs(d).path } }),
  'an index without a digest': (d) => Object.assign(rootfs(d), { index: { path: anIndex.path, lengthBytes: 1 } }),
  'an index of terabytes': (d) => Object.assign(rootfs(d), { index: { ...anIndex, lengthBytes: 2 ** 40 } }),
  'a boot file without a name': (d) => delete bootFile(d).name,
  'a name on what is no boot file': (d) => Object.assign(rootfs(d), { name: 'root' }),
  'a boot file that climbs': (d) => Object.assign(bootFile(d), { name: '../linux' }),
  'two boot files of one name': (d) => Object.assign(bootFile(d), { name: 'DTBS/Board.dtb' }),
  'a boot file with dm-verity': (d) => Object.assign(bootFile(d), { verity: rootfs(d).verity }),
  'a boot file of gigabytes': (d) => Object.assign(bootFile(d), { lengthBytes: 2 ** 32 }),
  'hundreds of boot files': (d) => d.artifacts.push(...Array.from({ length: 150 }, (_, n) => aBootFile(`f${n}`))),
  'waves that shrink': (d) => d.waves.reverse(),
  'a wave of 101 percent': (d) => Object.assign(d.waves[1], { percent: 101 }),
  'a script for notes': (d) => Object.assign(d, { notesUrl: 'javascript:alert(1)' }),
  'a health check with a separator': (d) => d.health.checks.push('../../bin/sh'),
  'a deadline of years': (d) => Object.assign(d.health, { deadlineS: 1e9 }),
  'a data schema range upside down': (d) => Object.assign(d.dataSchema, { oldest: 9 }),
  'thousands of versions': (d) => Object.assign(d, { from: Array(1000).fill('1.0') }),
};

for (const [what, spoil] of Object.entries(spoils)) {
  test(`refuses ${what}`, () => {
    const document: Loose = JSON.parse(Buffer.from(encodeRelease(aFullRelease())).toString());
    spoil(document);
    assert.throws(
      () => parseRelease(encodeCanonicalJson(document as JsonValue)),
      (error) => error instanceof OtadError && error.code === 'RELEASE_MALFORMED',
    );
  });
}

test('refuses bytes that are no document, and too many of them', () => {
  for (const bytes of ['', '<html>', '{"a":1,"a":1}', ' '.repeat(releaseDocumentBytesMax + 1)]) {
    assert.throws(
      () => parseRelease(Buffer.from(bytes)),
      (error) => error instanceof OtadError && error.code === 'RELEASE_MALFORMED',
    );
  }
});

test('refuses to write a document that it would not read', () => {
  assert.throws(() => encodeRelease({ ...aFullRelease(), version: 'not a version' }), OtadError);
});

test('names never leave their folder', () => {
  assert.equal(releaseDocumentPath('stable', 'vendor,board-2'), 'channels/stable/vendor,board-2.json');
  for (const name of ['', '..', 'a/b', '.hidden', 'x'.repeat(65), 'a b', 'ä']) {
    assert.throws(() => releaseDocumentPath('stable', name), OtadError);
    assert.throws(() => releaseDocumentPath(name, 'board'), OtadError);
  }
});
