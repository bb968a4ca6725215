// Makes a fresh clone ready: Debian packages, npm packages, the sqlite3 addon, the compiled tree and the bundles.
// Plain JavaScript without dependencies, because nothing else is there when it runs. Quiet and quick when all is ready;
// a line before and after each step when it works. What is done is read off the result (files that load, a stamp written last), so an
// interrupted run is never believed by the next one.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const nodeMin = [20, 19];
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const dist = join(root, 'dist');
const modules = join(root, 'node_modules');
const stampFile = join(dist, '.ready');
const sourceFolders = ['agent', 'bootctl', 'verity', 'delta', 'publish', 'image', 'test'];
// The cause often stands first and the place last.
const firstLinesShown = 12;
const lastLinesShown = 25;
const outputBytesMax = 1024 * 1024;
const stepTimeoutMs = 20 * 60 * 1000;

// Debian keeps half of these in sbin, which is not on an ordinary user's path.
const path = [dirname(process.execPath), process.env.PATH, '/usr/sbin', '/sbin', '/usr/bin', '/bin']
  .filter((part) => part !== undefined && part !== '')
  .join(':');
const environment = { ...process.env, PATH: path, npm_config_loglevel: 'error' };

/** Debian package, and the command or the file that shows it is there. `for`: which way of running wants it. */
const runPackages = [
  { name: 'squashfs-tools', command: 'mksquashfs' },
  { name: 'cryptsetup-bin', command: 'veritysetup' },
  { name: 'libubootenv-tool', command: 'fw_printenv' },
];
const testPackages = [
  { name: 'openssl', command: 'openssl' },
  { name: 'sqlite3', command: 'sqlite3' },
  { name: 'curl', command: 'curl' },
  { name: 'strace', command: 'strace' },
  { name: 'systemd', command: 'systemd-analyze' },
  { name: 'systemd-boot', command: 'bootctl' },
  { name: 'mtools', command: 'mcopy' },
  { name: 'dosfstools', command: 'mkfs.vfat' },
  { name: 'gdisk', command: 'sgdisk' },
  { name: 'softhsm2', command: 'softhsm2-util' },
  { name: 'opensc', command: 'pkcs11-tool' },
  { name: 'busybox', command: 'busybox' },
];
/** What builds the reference image; all else of the device lab comes from Debian 13, beside the system. */
const devicePackages = [
  { name: 'mmdebstrap', command: 'mmdebstrap' },
  { name: 'xz-utils', command: 'xz' },
];
/** What builds it for the other architecture as well. */
const imagePackages = [...devicePackages, { name: 'g++-aarch64-linux-gnu', command: 'aarch64-linux-gnu-g++' }];
/** The peers of the benchmarks, what compiles the one in C, and what builds the images. */
const benchPackages = [
  { name: 'curl', command: 'curl' },
  { name: 'zsync', command: 'zsync' },
  { name: 'casync', command: 'casync' },
  { name: 'ostree', command: 'ostree' },
  { name: 'bsdiff', command: 'bsdiff' },
  { name: 'time', command: 'time' },
  { name: 'gcc', command: 'cc' },
  { name: 'libc6-dev', file: '/usr/include/stdio.h' },
  { name: 'libssl-dev', file: '/usr/include/openssl/sha.h' },
  { name: 'mmdebstrap', command: 'mmdebstrap' },
];
const addonPackages = [
  { name: 'g++', command: 'g++' },
  { name: 'make', command: 'make' },
  { name: 'python3', command: 'python3' },
  { name: 'libsqlite3-dev', file: '/usr/include/sqlite3.h' },
];

const say = (line) => process.stderr.write(`set-up: ${line}\n`);

/** Minutes pass on the first day: what takes them is said before, and how many after. */
const step = async (line, work) => {
  const startMs = performance.now();
  say(line);
  await work();
  say(`${line}: ${Math.ceil((performance.now() - startMs) / 1000)} s`);
};

class SetupError extends Error {}

const findCommand = (name) =>
  path
    .split(':')
    .map((folder) => join(folder, name))
    .find((file) => existsSync(file));

const isMissing = (wanted) =>
  wanted.command !== undefined ? findCommand(wanted.command) === undefined : !existsSync(wanted.file);

/** Runs a step without showing its output, unless it fails: then its last lines and what to do. */
const run = (command, args, { cwd = root, env = environment, advice, mayFail = false } = {}) =>
  new Promise((done, fail) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: stepTimeoutMs });
    let output = '';
    const keep = (bytes) => {
      output = (output + bytes).slice(-outputBytesMax);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => fail(new SetupError(`${command}: ${error.message}\n${advice ?? ''}`)));
    child.on('close', (code, signal) => {
      if (code === 0 || mayFail) return done(code);
      const lines = output.trimEnd().split('\n');
      const tail = lines.slice(Math.max(firstLinesShown, lines.length - lastLinesShown));
      const shown = [...lines.slice(0, firstLinesShown), ...tail].join('\n');
      const how = signal === null ? `exit status ${code}` : `signal ${signal}`;
      fail(new SetupError(`${shown}\n\nset-up: this failed (${how}): ${command} ${args.join(' ')}\n${advice ?? ''}`));
    });
  });

const checkNode = () => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > nodeMin[0] || (major === nodeMin[0] && minor >= nodeMin[1])) return;
  throw new SetupError(
    `Node ${process.versions.node} is too old: otad needs Node ${nodeMin.join('.')} or newer (Debian 13 has it; elsewhere see https://nodejs.org/download).`,
  );
};

/** Empty for root, sudo when it asks for no password, null when there is neither. */
const privilege = () => {
  if (process.getuid?.() === 0) return [];
  const sudo = findCommand('sudo');
  if (sudo === undefined) return null;
  return spawnSync(sudo, ['-n', 'true'], { stdio: 'ignore', timeout: 10_000 }).status === 0 ? [sudo, '-n'] : null;
};

const installDebian = async (wanted) => {
  const missing = wanted.filter(isMissing).map(({ name }) => name);
  if (missing.length === 0) return;
  const prefix = privilege();
  const byHand = `Install ${missing.length === 1 ? 'this package' : 'these packages'} and try again: sudo apt-get install ${missing.join(' ')}`;
  if (prefix === null || findCommand('apt-get') === undefined) throw new SetupError(byHand);
  const apt = (args, options) => {
    const [command, ...rest] = [...prefix, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', ...args];
    return run(command, rest, options);
  };
  await step(`installing Debian packages: ${missing.join(' ')}`, async () => {
    // One unreachable third-party source fails the update and need not matter; the installation decides.
    await apt(['update'], { mayFail: true });
    await apt(['-y', '--no-install-recommends', 'install', ...missing], { advice: byHand });
  });
  const still = wanted.filter(isMissing).map(({ name }) => name);
  if (still.length > 0)
    throw new SetupError(`apt-get installed ${still.join(' ')}, but what otad needs of it is not there.`);
};

const readJson = (file) => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
};

/** Compares what npm wrote last when it finished with the lock file; a cut before that leaves nothing to believe. */
const areModulesCurrent = () => {
  const locked = readJson(join(root, 'package-lock.json'))?.packages;
  const installed = readJson(join(modules, '.package-lock.json'))?.packages;
  if (locked === undefined)
    throw new SetupError('package-lock.json cannot be read. Restore it: git checkout package-lock.json');
  if (installed === undefined) return false;
  return Object.entries(locked).every(([name, entry]) => {
    if (name === '') return true;
    const found = installed[name];
    return found === undefined ? entry.optional === true : found.version === entry.version;
  });
};

const installModules = async () => {
  if (areModulesCurrent()) return;
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) {
    throw new SetupError(
      'node_modules is a link to packages that do not match package-lock.json. Run npm ci where it points to.',
    );
  }
  // npm itself as it was started, when it was: on an odd path, another npm may come first.
  const cli = process.env.npm_execpath;
  const isKnown = cli?.endsWith('.js') === true && existsSync(cli);
  const [command, ...args] = isKnown ? [process.execPath, cli] : ['npm'];
  // Not `npm ci`: it refuses the whole tree when a registry lacks an optional package of another platform. What came
  // is compared with the lock file instead.
  rmSync(modules, { recursive: true, force: true });
  const advice = 'Check that the npm registry can be reached and that the disk has room, then try again.';
  const install = [...args, 'install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund'];
  await step('installing npm packages', () => run(command, install, { advice }));
  if (!areModulesCurrent()) {
    throw new SetupError(
      'npm installed other versions than package-lock.json names. Restore it: git checkout package-lock.json',
    );
  }
};

const addonProbe = `new (require('sqlite3').Database)(':memory:', (error) => process.exit(error ? 1 : 0))`;

/** In a process of its own: an addon that was built for a newer Node does not throw, it crashes. */
const doesAddonLoad = () =>
  spawnSync(process.execPath, ['-e', addonProbe], { cwd: root, stdio: 'ignore', timeout: 20_000 }).status === 0;

/** Built against the system's SQLite, so that it gets the distribution's security fixes. */
const buildAddon = async () => {
  if (doesAddonLoad()) return;
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  const headers = join(prefix, 'include/node/node.h');
  const isDebianNode = prefix === '/usr' && existsSync('/usr/share/doc/nodejs/changelog.Debian.gz');
  await installDebian([...addonPackages, ...(isDebianNode ? [{ name: 'libnode-dev', file: headers }] : [])]);
  const folder = join(modules, 'sqlite3');
  const args = [join(modules, 'node-gyp/bin/node-gyp.js'), 'rebuild', '--sqlite=/usr', '--loglevel=warn'];
  if (existsSync(headers)) args.push(`--nodedir=${prefix}`);
  const advice = 'Without headers beside Node, they come from nodejs.org: check the network, or install libnode-dev.';
  await step('building the sqlite3 addon, which takes minutes', () =>
    run(process.execPath, args, { cwd: folder, advice }),
  );
  if (!doesAddonLoad())
    throw new SetupError('The sqlite3 addon was built but does not load. Remove node_modules and try again.');
};

const listFiles = (folder, keep) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = join(folder, entry.name);
    if (entry.isDirectory()) return listFiles(file, keep);
    return keep(entry.name) ? [file] : [];
  });

const existing = (folders) => folders.filter((folder) => existsSync(folder));

const listSources = () =>
  existing(sourceFolders.map((name) => join(root, name))).flatMap((folder) =>
    listFiles(folder, (name) => name.endsWith('.ts')),
  );

const sourceDigest = (sources) => {
  const hash = createHash('sha256');
  for (const file of [...sources, join(root, 'tsconfig.json'), join(root, 'package-lock.json')].sort()) {
    const { mtimeMs, size } = statSync(file);
    hash.update(`${relative(root, file)} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
};

const outputOf = (source) => join(dist, relative(root, source)).replace(/\.ts$/, '.js');

/** A compiled file whose source is gone would still be imported, and its tests would still run. */
const clearStale = (outputs) => {
  const wanted = new Set(outputs);
  const found = existing(sourceFolders.map((name) => join(dist, name))).flatMap((folder) =>
    listFiles(folder, (name) => name.endsWith('.js')),
  );
  for (const file of found) if (!wanted.has(file)) rmSync(file);
  // The compiler believes its notes about what it wrote; they are wrong once an output is missing.
  if (!outputs.every((file) => existsSync(file))) rmSync(join(dist, '.tsbuildinfo'), { force: true });
};

const compile = async () => {
  const sources = listSources();
  const digest = sourceDigest(sources);
  const outputs = sources.filter((file) => !file.endsWith('.d.ts')).map(outputOf);
  const bundles = ['otad.mjs', 'otad-boot.mjs', 'otactl.mjs', 'node_sqlite3.node', 'zstd.wasm'].map((name) =>
    join(dist, 'bundle', name),
  );
  const isReady = readJson(stampFile)?.sources === digest && [...outputs, ...bundles].every((file) => existsSync(file));
  if (isReady) return;
  rmSync(stampFile, { force: true });
  clearStale(outputs);
  await step('compiling', async () => {
    await run(process.execPath, [join(modules, 'typescript/bin/tsc')], { advice: 'Correct the sources named above.' });
    const { bundleAgent } = await import(pathToFileURL(join(dist, 'image/bundle.js')).href);
    await bundleAgent({ projectDir: root, outDir: join(dist, 'bundle') });
  });
  writeFileSync(stampFile, JSON.stringify({ sources: digest }));
};

const main = async () => {
  checkNode();
  const isFor = (what) => process.argv.includes(`--for-${what}`);
  await installDebian([
    ...runPackages,
    ...(isFor('tests') ? testPackages : []),
    ...(isFor('device') ? devicePackages : []),
    ...(isFor('image') ? imagePackages : []),
    ...(isFor('bench') ? benchPackages : []),
  ]);
  await installModules();
  await buildAddon();
  await compile();
};

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof SetupError ? error.message : error.stack}\n`);
  process.exitCode = 1;
}
