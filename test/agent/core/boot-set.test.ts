import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootFilesMax, bootSetFault, decodeBootManifest, encodeBootManifest } from '../../../agent/core/boot-set.ts';

const aFile = (name: string, lengthBytes = 1) => ({ name, lengthBytes, sha256Hex: 'ab'.repeat(32) });

test('a manifest says in one way what is in a set', () => {
  const files = [aFile('linux', 9), aFile('dtbs/a_b+c.dtb', 2), aFile('Image.efi', 3)];
  const text = encodeBootManifest(files);
  assert.equal(text, encodeBootManifest([...files].reverse()));
  assert.deepEqual(
    decodeBootManifest(text),
    [files[1], files[2], files[0]].flat().sort((a, b) => ((a?.name ?? '') < (b?.name ?? '') ? -1 : 1)),
  );
  const lines = text.split('\n');
  const spoiled = [
    '',
    text.slice(0, -1),
    `${text}\n`,
    `\ufeff${text}`,
    [...lines.slice(0, -1).reverse(), ''].join('\n'),
    text.replace(' 9 ', ' 09 '),
    text.replace(' 9 ', ' 0 '),
    text.replace(' 9 ', ' 99999999999999999 '),
    text.replace('linux', 'li nux'),
    text.replace('ab', 'AB'),
    text + text,
  ];
  for (const bad of spoiled) assert.equal(decodeBootManifest(bad), null, JSON.stringify(bad));
});

const names: Readonly<Record<string, readonly string[]>> = {
  'names that leave the place': ['../x', '/x', 'a/../b', 'a/./b', 'a//b', 'a/b/c', 'a\\b', '..', '.', ''],
  'names that FAT writes otherwise': ['x.', 'dir./x', 'x ', 'a~1', 'a:b', 'ä', '*', `${'x'.repeat(65)}`],
  'hidden names and otad’s own': ['.x', 'a/.x', 'otad-set', 'Otad-Set', 'otad-set/x'],
  'two names of one file': [],
};

for (const [what, bad] of Object.entries(names)) {
  test(`refuses ${what}`, () => {
    for (const name of bad) assert.notEqual(bootSetFault([aFile(name)]), null, name);
    assert.notEqual(bootSetFault([aFile('linux'), aFile('LINUX')]), null);
    assert.notEqual(bootSetFault([aFile('dtbs'), aFile('dtbs/x')]), null);
    assert.notEqual(bootSetFault([aFile('DTBS/x'), aFile('dtbs')]), null);
  });
}

test('a set is bounded in files and bytes', () => {
  const many = Array.from({ length: bootFilesMax + 1 }, (_, index) => aFile(`f${index}`));
  assert.equal(bootSetFault(many.slice(1)), null);
  assert.match(bootSetFault(many) ?? '', /more than 128/);
  assert.match(bootSetFault([aFile('x', 0)]) ?? '', /empty/);
  assert.match(bootSetFault([aFile('x', 2 ** 28 + 1)]) ?? '', /over/);
  assert.match(
    bootSetFault(Array.from({ length: 5 }, (_, index) => aFile(`f${index}`, 2 ** 28))) ?? '',
    /bytes of boot files/,
  );
});
