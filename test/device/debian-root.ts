// Programs of Debian 13 beside the system: packages from the machine's own mirror, unpacked under .device/debian13 and run
// with their own libraries. QEMU of Debian 12 is not reliable under emulation, and the loader is wanted as devices have it.

import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const suite = 'trixie';
const stepMs = 600_000;
const packages = ['qemu-system-x86', 'qemu-utils', 'ovmf', 'systemd-boot-efi', 'systemd-boot-tools'];
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
const folder = fileURLToPath(new URL('../../../.device', import.meta.url));

export interface DebianRoot {
  /** Where the packages lie. */
  readonly root: string;
  /** Program and first arguments that start a program of it with its own libraries. */
  command(program: string): readonly [string, ...string[]];
  /** Package and version, one a line, for the record. */
  readonly versions: string;
}

/** The mirror that apt is set up with, whatever its name is. */
const mirror = async (): Promise<string> => {
  const { stdout } = await run('apt-get', [
    'indextargets',
    '--format',
    '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)',
  ]);
  const lines = stdout.split('\n').map((line) => line.split(' '));
  const found = lines.find(
    ([what, uri = '', release = '', component]) =>
      what === 'Packages' &&
      component === 'main' &&
      !/security|updates/.test(`${uri} ${release}`) &&
      /debian/.test(uri),
  );
  if (found?.[1] === undefined) throw new Error('apt knows no Debian mirror: the device lab needs one');
  return found[1];
};

const unpack = async (root: string): Promise<string> => {
  const apt = join(folder, 'apt');
  await rm(root, { recursive: true, force: true });
  for (const part of ['state/lists/partial', 'cache/archives/partial'])
    await mkdir(join(apt, part), { recursive: true });
  await mkdir(root, { recursive: true });
  await writeFile(join(apt, 'sources.list'), `deb [signed-by=${keyring}] ${await mirror()} ${suite} main\n`);
  await writeFile(join(apt, 'status'), '');
  const settings = {
    'Dir::State': join(apt, 'state'),
    'Dir::State::status': join(apt, 'status'),
    'Dir::Cache': join(apt, 'cache'),
    'Dir::Etc::sourcelist': join(apt, 'sources.list'),
    'Dir::Etc::sourceparts': '-',
    'APT::Architecture': 'amd64',
    'APT::Install-Recommends': 'false',
    'Debug::NoLocking': '1',
  };
  const args = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  await run('apt-get', [...args, 'update'], { timeout: stepMs });
  await run('apt-get', [...args, '-y', '--download-only', 'install', ...packages], {
    timeout: stepMs,
    maxBuffer: 1 << 26,
  });
  const archives = join(apt, 'cache/archives');
  const files = (await readdir(archives)).filter((name) => name.endsWith('.deb'));
  for (const file of files) await run('dpkg-deb', ['-x', join(archives, file), root], { timeout: stepMs });
  return files.filter((file) => packages.some((name) => file.startsWith(`${name}_`))).join('\n');
};

/** Downloads about 50 MB the first time; afterwards what is there is used. */
export const prepareDebianRoot = async (): Promise<DebianRoot> => {
  const root = join(folder, 'debian13');
  const stamp = join(folder, 'debian13.ready');
  const wanted = `${packages.join(' ')}\n`;
  let versions = await readFile(stamp, 'utf8').catch(() => '');
  if (!versions.startsWith(wanted)) {
    console.log('device lab: fetching QEMU, OVMF and systemd-boot of Debian 13');
    versions = `${wanted}${await unpack(root)}`;
    await writeFile(stamp, versions);
  }
  const libraries = ['usr/lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu/systemd'].map((path) => join(root, path));
  return {
    root,
    command: (program) => [
      join(root, 'usr/lib64/ld-linux-x86-64.so.2'),
      '--library-path',
      libraries.join(':'),
      join(root, program),
    ],
    versions: versions.slice(wanted.length),
  };
};
