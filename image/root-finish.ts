// The last word on a root before it becomes an image: users, what must differ from gateway to gateway, what would differ
// from build to build, and nothing that grants rights by itself. Works on a folder, never on the machine that builds.

import { chmod, lchown, lstat, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../agent/core/errors.ts';
import { runTool, toolEnvironment } from './tool.ts';
import { fixedIdsIn, idProblems, namesById, withFixedIds } from './user-ids.ts';
import { type VarFolder, varRules, varRulesName } from './var-rules.ts';

const setIdBits = 0o6000;
const dayS = 86_400;

/** Of this machine, of this build, or of a package manager that a read-only root has no use for. */
const removed = [
  'boot',
  'etc/apt',
  'etc/hostname',
  // The builder's DNS server: mmdebstrap lends its resolv.conf, and systemd-resolved keeps what it finds.
  'etc/.resolv.conf.systemd-resolved.bak',
  'etc/passwd-',
  'etc/group-',
  'etc/shadow-',
  'etc/gshadow-',
  'etc/subuid-',
  'etc/subgid-',
  'etc/.pwd.lock',
  'usr/lib/udev/hwdb.bin',
  'usr/lib/udev/hwdb.d',
  'usr/share/nodejs/corepack',
  'usr/bin/corepack',
  'usr/lib/dpkg',
  'usr/share/initramfs-tools',
];
const emptied = ['etc/machine-id'];
/** Mount points that a read-only root must already have. */
const folders = [
  'boot',
  'boot/env',
  'boot/config',
  'boot/a',
  'boot/b',
  'data',
  'efi',
  'dev',
  'proc',
  'sys',
  'run',
  'tmp',
  'var',
];

const forEachEntry = async (
  root: string,
  path: string,
  visit: (path: string, facts: Awaited<ReturnType<typeof lstat>>) => Promise<void>,
): Promise<void> => {
  for (const name of (await readdir(join(root, path))).sort()) {
    const inner = path === '' ? name : `${path}/${name}`;
    const facts = await lstat(join(root, inner));
    await visit(inner, facts);
    if (facts.isDirectory()) await forEachEntry(root, inner, visit);
  }
};

const rulesFolders = ['usr/lib/tmpfiles.d', 'etc/tmpfiles.d'];

/** Texts of the `.conf` files of the folders, in the order of their names. */
const readConfFiles = async (root: string, folders: readonly string[]): Promise<readonly string[]> => {
  const texts: string[] = [];
  for (const folder of folders) {
    for (const name of (await readdir(join(root, folder)).catch((): string[] => [])).sort()) {
      if (name.endsWith('.conf')) texts.push(await readFile(join(root, folder, name), 'utf8'));
    }
  }
  return texts;
};

const turnVarIntoRules = async (root: string): Promise<void> => {
  const users = namesById(await readFile(join(root, 'etc/passwd'), 'utf8'));
  const groups = namesById(await readFile(join(root, 'etc/group'), 'utf8'));
  const found: VarFolder[] = [];
  await forEachEntry(root, 'var', async (path, facts) => {
    if (!facts.isDirectory()) return;
    const [owner, group] = [users.get(Number(facts.uid)) ?? 'root', groups.get(Number(facts.gid)) ?? 'root'];
    found.push({ path: `/${path}`, mode: Number(facts.mode) & 0o7777, owner, group });
  });
  const text = varRules(found, await readConfFiles(root, rulesFolders));
  await writeFile(join(root, 'usr/lib/tmpfiles.d', varRulesName), text);
  await rm(join(root, 'var'), { recursive: true });
};

/** Where layers fix numbers; then what fixes its own, as otad's users do. */
const idFolders = ['usr/lib/gateway/ids.d', 'usr/lib/sysusers.d'];

/** Numbers of users as every release has them. No file has to change hands: in the image all of them belong to root. */
const fixIds = async (root: string): Promise<void> => {
  const fixed = fixedIdsIn(await readConfFiles(root, idFolders));
  const [passwd, group] = [join(root, 'etc/passwd'), join(root, 'etc/group')];
  const files = { passwd: await readFile(passwd, 'utf8'), group: await readFile(group, 'utf8') };
  const problems = idProblems(files, fixed);
  if (problems.length > 0) {
    throw new OtadError('LAYER_INVALID', { layer: 'users and groups', problem: problems.join('; ') });
  }
  const pinned = withFixedIds(files, fixed);
  await writeFile(passwd, pinned.passwd);
  await writeFile(group, pinned.group);
};

/** Dates of password changes are those of the build. */
const fixShadow = async (root: string, epochS: number): Promise<void> => {
  const path = join(root, 'etc/shadow');
  const day = String(Math.floor(epochS / dayS));
  const text = (await readFile(path, 'utf8')).replaceAll(/^([^:\n]*:[^:\n]*):[0-9]+:/gm, `$1:${day}:`);
  await writeFile(path, text);
};

/** Everything belongs to root in the image, so a bit that lends the owner's rights would lend root's. */
const dropSetIdBits = (root: string): Promise<void> =>
  forEachEntry(root, '', async (path, facts) => {
    const mode = Number(facts.mode);
    if (!facts.isSymbolicLink() && (mode & setIdBits) !== 0) await chmod(join(root, path), mode & 0o1777);
  });

const removeHostKeys = async (root: string): Promise<void> => {
  const folder = join(root, 'etc/ssh');
  for (const name of await readdir(folder).catch(() => [])) {
    if (/^ssh_host_.*_key/.test(name)) await rm(join(folder, name));
  }
};

export const finishRoot = async (root: string, sourceDateEpochS: number): Promise<void> => {
  await runTool('systemd-sysusers', [`--root=${root}`], { environment: toolEnvironment(sourceDateEpochS) });
  await turnVarIntoRules(root);
  await fixIds(root);
  for (const path of removed) await rm(join(root, path), { recursive: true, force: true });
  await removeHostKeys(root);
  for (const path of emptied) await writeFile(join(root, path), '');
  for (const path of folders) {
    await rm(join(root, path), { recursive: true, force: true });
    await mkdir(join(root, path));
    await chmod(join(root, path), path === 'tmp' ? 0o1777 : 0o755);
    await lchown(join(root, path), 0, 0);
  }
  await fixShadow(root, sourceDateEpochS);
  await dropSetIdBits(root);
  await rm(join(root, 'etc/resolv.conf'), { force: true });
  await symlink('../run/systemd/resolve/stub-resolv.conf', join(root, 'etc/resolv.conf'));
};
