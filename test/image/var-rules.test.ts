import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { madePaths, varRules, varRulesName } from '../../image/var-rules.ts';
import { aFolder } from '../publish/publisher-fixture.ts';

const run = promisify(execFile);
const own = { mode: 0o755, owner: 'root', group: 'root' };
const folders = [
  '/var/lib',
  '/var/lib/misc',
  '/var/lib/dpkg/info',
  '/var/lib/systemd/deb-systemd-helper-enabled',
  '/var/tmp',
];
const debian = `# q /var/lib/misc
q /var/tmp 1777 root root 30d
d$ /var/lib  0755 root root -
z /var/lib/misc 0700 root root -
L+ "/var/lock" - - - - ../run/lock
`;

test('paths that rules make are known, and those that they only change are not', () => {
  assert.deepEqual(madePaths(debian), ['/var/tmp', '/var/lib', '/var/lock']);
});

test('a folder becomes a rule, unless another rule makes it or only the package manager wants it', () => {
  const text = varRules(
    folders.map((path) => ({ path, ...own })),
    [debian],
  );
  assert.deepEqual(text.split('\n').slice(1), ['d /var/lib/misc 0755 root root -', '']);
});

/** What systemd-tmpfiles complains about; whoever is not root cannot give folders away, which is none of it. */
const complaints = async (root: string, files: Readonly<Record<string, string>>): Promise<string> => {
  const place = join(root, 'usr/lib/tmpfiles.d');
  await mkdir(place, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(place, name), text);
  const { stderr } = await run('systemd-tmpfiles', [`--root=${root}`, '--create', '--prefix=/var']).catch(
    (error: { stderr: string }) => error,
  );
  return stderr;
};

test('systemd-tmpfiles follows the rules beside those of the packages, without a word about doubles', async (t) => {
  // Older releases do not know the mark.
  const plain = debian.replaceAll('$', '');
  const text = varRules(
    folders.map((path) => ({ path, ...own })),
    [plain],
  );
  const root = await aFolder(t);
  assert.doesNotMatch(await complaints(root, { 'var.conf': plain, [varRulesName]: text }), /Duplicate/);
  assert.ok((await stat(join(root, 'var/lib/misc'))).isDirectory());
  // Were doubles not told, silence would prove nothing.
  const doubled = `${text}d /var/tmp 1777 root root -\n`;
  assert.match(await complaints(root, { 'var.conf': plain, [varRulesName]: doubled }), /zz-image-var.*Duplicate/);
});
