// A repository on a loopback server and the client under test as a child process, driven through its command line as the
// public conformance suite drives it. What is observed is what that suite can see: exit codes, files, requests.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { aServer, serveFiles } from '../support/loopback-server.ts';
import { aRepository, type Loose, type TestRepository } from '../support/tuf-repository.ts';

const entryPoint = fileURLToPath(new URL('../../../test/tuf-conformance', import.meta.url));
const commandMaxMs = 60_000;

export const farAway = '2099-01-01T00:00:00Z';
export const longAgo = '2020-01-01T00:00:00Z';

/** The exit code; null for a signal. */
export const runClient = (args: readonly string[]): Promise<number | null> =>
  new Promise((resolve) => {
    const child = execFile(entryPoint, [...args], { timeout: commandMaxMs }, () => resolve(child.exitCode));
  });

export interface Bench {
  readonly repository: TestRepository;
  init(root?: Uint8Array): Promise<number | null>;
  refresh(): Promise<number | null>;
  download(...names: string[]): Promise<number | null>;
  /** Paths of metadata asked for since the last call, without `/metadata/` and in order. */
  asked(): readonly string[];
  askedTargets(): readonly string[];
  /** What the device trusts: versions by role, read from its files. */
  trusted(): Promise<Readonly<Record<string, number>>>;
  stored(name: string): Promise<string | null>;
  store(name: string, bytes: Uint8Array): Promise<void>;
  /** Contents of what was downloaded, sorted. */
  downloaded(): Promise<readonly string[]>;
}

const readOrNull = (path: string): Promise<string | null> => readFile(path, 'utf8').catch(() => null);

/** A device without anything yet, and a repository whose version 1 is published. */
export const aBench = async (t: TestContext, repository = aRepository(farAway)): Promise<Bench> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-conformance-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const metadataDir = join(folder, 'metadata');
  const targetDir = join(folder, 'targets');
  await Promise.all([mkdir(metadataDir), mkdir(targetDir)]);
  const server = await aServer(t, serveFiles(repository.files));
  const seen: Record<string, number> = {};
  const since = (prefix: string): readonly string[] => {
    const all = server.paths().filter((path) => path.startsWith(prefix));
    const news = all.slice(seen[prefix] ?? 0).map((path) => path.slice(prefix.length));
    seen[prefix] = all.length;
    return news;
  };
  const onDevice = ['--metadata-dir', metadataDir];
  const online = [...onDevice, '--metadata-url', `${server.url}/metadata/`];
  return {
    repository,
    init: async (root = repository.initialRoot) => {
      const file = join(folder, 'initial_root.json');
      await writeFile(file, root);
      return await runClient([...onDevice, 'init', file]);
    },
    refresh: () => runClient([...online, 'refresh']),
    download: (...names) => {
      const wanted = names.flatMap((name) => ['--target-name', name]);
      const base = ['--target-dir', targetDir, '--target-base-url', `${server.url}/targets/`];
      return runClient([...online, ...wanted, ...base, 'download']);
    },
    asked: () => since('/metadata/'),
    askedTargets: () => since('/targets/'),
    trusted: async () => {
      const names = (await readdir(metadataDir)).filter((name) => name.endsWith('.json'));
      const versions = names.map(async (name) => {
        const file = JSON.parse((await readOrNull(join(metadataDir, name))) ?? 'null') as Loose;
        return [name.slice(0, -'.json'.length), Number(file.signed.version)] as const;
      });
      return Object.fromEntries(await Promise.all(versions));
    },
    stored: (name) => readOrNull(join(metadataDir, name)),
    store: (name, bytes) => writeFile(join(metadataDir, name), bytes),
    downloaded: async () => {
      const names = await readdir(targetDir);
      return (await Promise.all(names.map((name) => readFile(join(targetDir, name), 'utf8')))).sort();
    },
  };
};

/** A bench whose device has been given the repository's first root: the files that init leaves. */
export const aDevice = async (t: TestContext, repository?: TestRepository, root?: Uint8Array): Promise<Bench> => {
  const bench = await aBench(t, repository);
  for (const name of ['initial.root', 'root.json']) {
    await bench.store(name, root ?? bench.repository.initialRoot);
  }
  return bench;
};

/** A bench whose device has refreshed against version 1 of the repository: the files that such a refresh leaves. */
export const aSettledDevice = async (t: TestContext, repository?: TestRepository): Promise<Bench> => {
  const bench = await aDevice(t, repository);
  for (const [name, path] of [
    ['timestamp.json', 'timestamp.json'],
    ['snapshot.json', '1.snapshot.json'],
    ['targets.json', '1.targets.json'],
  ] as const) {
    await bench.store(name, bench.repository.files.get(`metadata/${path}`) ?? Buffer.of());
  }
  return bench;
};
