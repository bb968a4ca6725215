// What must hold for the root of a built image, looked at in the image itself.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { lstat, mkdir, open, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { readManifest } from '../../image/package-lock.ts';
import { fixedIdsIn, idProblems, namesById } from '../../image/user-ids.ts';

const run = promisify(execFile);
const bufferBytes = 64 * 1024 * 1024;

export const unpackImage = async (image: string, root: string): Promise<void> => {
  await run('unsquashfs', ['-quiet', '-no-progress', '-d', root, image], { maxBuffer: bufferBytes });
};

/** e_machine of ELF: what the program is for. */
const machines: Readonly<Record<string, number>> = { amd64: 62, arm64: 183 };

/** Every program and library of the tree is for this architecture, and there are some. */
export const checkArchitecture = async (root: string, architecture: string): Promise<void> => {
  let count = 0;
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(20), 0, 20, 0);
    await file.close();
    if (bytesRead < 20 || buffer.toString('latin1', 0, 4) !== '\x7fELF') continue;
    count += 1;
    assert.equal(buffer.readUInt16LE(18), machines[architecture], path.slice(root.length));
  }
  assert.ok(count > 100, `${count} programs and libraries`);
};

const read = (root: string, path: string): Promise<string> => readFile(join(root, path), 'utf8');

/** The numbers in the image are those that its own tables fix. */
export const checkIds = async (root: string): Promise<void> => {
  const texts: string[] = [];
  for (const folder of ['usr/lib/gateway/ids.d', 'usr/lib/sysusers.d']) {
    for (const name of (await readdir(join(root, folder))).sort()) texts.push(await read(root, join(folder, name)));
  }
  const fixed = fixedIdsIn(texts);
  const files = { passwd: await read(root, 'etc/passwd'), group: await read(root, 'etc/group') };
  assert.deepEqual(idProblems(files, fixed), []);
  for (const [id, name] of namesById(files.passwd)) assert.equal(id, fixed.users.get(name), name);
  for (const [id, name] of namesById(files.group)) assert.equal(id, fixed.groups.get(name), name);
  const users = [...namesById(files.passwd).values()];
  for (const name of ['otad', 'otad-boot', 'systemd-network', 'sshd']) assert.ok(users.includes(name), name);
};

/** The times of the image, what it was made from, and the document of the units. */
export const checkContents = async (root: string, epochS: number): Promise<void> => {
  assert.equal((await stat(join(root, 'usr'))).mtimeMs, epochS * 1000);
  assert.match(await read(root, 'usr/share/gateway/sources'), /^trixie-security 20[0-9-]+T/m);
  assert.ok(readManifest(await read(root, 'usr/share/gateway/packages')).length > 100);
  assert.match(await read(root, 'usr/share/doc/otad/README.md'), /otactl status/);
};

/** Links of Debian's to files that somebody may put on a gateway. */
const mayDangle = ['etc/vconsole.conf', 'etc/default/locale'];

/** Every link leads to something in the image, or to what a system makes when it starts. */
export const checkLinks = async (root: string): Promise<void> => {
  const dangling: string[] = [];
  let count = 0;
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) continue;
    count += 1;
    const path = join(entry.parentPath, entry.name);
    const target = resolve('/', relative(root, entry.parentPath), await readlink(path));
    if (/^\/(run|proc|dev|data|boot\/env)(\/|$)/.test(target) || mayDangle.includes(relative(root, path))) continue;
    // A link that leads to a link is enough: that one is looked at as well.
    await lstat(join(root, target)).catch(() => dangling.push(`${relative(root, path)} -> ${target}`));
  }
  assert.deepEqual(dangling, []);
  assert.ok(count > 100, `${count} links`);
};

/** Nothing tells who built it: no name server, no name of the machine. */
export const checkNobody = async (root: string, name: string): Promise<void> => {
  for (const entry of await readdir(join(root, 'etc'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const text = await readFile(path, 'latin1');
    assert.doesNotMatch(text, /^nameserver/m, path);
    assert.notEqual(text.trim(), name, path);
  }
};

/** Each folder of /var has one rule, and those of Debian say how long files are kept. Runs the image's own systemd-tmpfiles. */
export const checkVarRules = async (root: string): Promise<void> => {
  const text =
    'mount -t proc proc "$1/proc" && LC_ALL=C chroot "$1" systemd-tmpfiles --create --dry-run --prefix=/var 2>&1';
  const { stdout } = await run('unshare', ['-m', 'sh', '-c', text, 'sh', root], { maxBuffer: bufferBytes });
  assert.match(stdout, /\/var\/lib\/misc/);
  assert.doesNotMatch(stdout, /Duplicate line for path "\/var/);
  const rules = await read(root, 'usr/lib/tmpfiles.d/zz-image-var.conf');
  assert.match(rules, /^d \/var\/lib\/misc /m);
  assert.doesNotMatch(rules, /deb-systemd|\/var\/tmp/);
};

/**
 * As the initramfs leaves the three, in a mount namespace of its own; then the image's systemd loads all units and tells them. It
 * must not be the first process of its namespace: as that it would start the system.
 */
const tellUnits = `set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t tmpfs data "$1/data"
mkdir -p "$1/data/var" "$1/data/etc/upper" "$1/data/etc/work"
mount --bind "$1/data/var" "$1/var"
mount -t overlay -o "lowerdir=$1/etc,upperdir=$1/data/etc/upper,workdir=$1/data/etc/work" etc "$1/etc"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount -t tmpfs -o mode=777 run "$1/run"
mount -t tmpfs -o mode=777 tmp "$1/tmp"
chroot --userspec=65534:65534 "$1" /usr/bin/env HOME=/tmp XDG_RUNTIME_DIR=/run /usr/lib/systemd/systemd --test --system --unit=multi-user.target
exit`;

/** What the initramfs mounted is in use until the end: systemd must not plan to unmount it, or says that it failed. */
export const checkKeptMounts = async (root: string): Promise<void> => {
  await mkdir(join(root, 'sys'), { recursive: true });
  const { stdout } = await run('unshare', ['-m', '-p', '-f', 'sh', '-c', tellUnits, 'sh', root], {
    maxBuffer: bufferBytes,
    timeout: 300_000,
  });
  const units = new Map(
    stdout.split(/^\t?\W+ Unit /m).map((text) => [text.slice(0, text.indexOf(':\n')), text] as const),
  );
  for (const name of ['data', 'etc', 'var']) {
    const text = units.get(`${name}.mount`) ?? assert.fail(`systemd did not see ${name}.mount`);
    assert.match(text, /Mount State: mounted/);
    assert.doesNotMatch(text, /Conflicts: umount\.target/, name);
  }
  // Were this not said of any mount, the line above would prove nothing.
  assert.match(units.get('tmp.mount') ?? '', /Conflicts: umount\.target/);
};
