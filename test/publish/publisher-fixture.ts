// Builders for the publisher's tests: temporary folders, small layers, and a repository with TEST keys at a fixed time.

import { rmSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { type PublishedRelease, publishRelease, type ReleaseOptions } from '../../publish/releases/release.ts';
import { type InitOptions, initRepository } from '../../publish/repository/repository-init.ts';

export const testNowMs = Date.parse('2026-03-01T12:00:00Z');
export const compatible = 'test-gateway';
export const channel = 'stable';
/** One block of bytes would do; a fixed salt makes equal images equal releases. */
export const testSaltHex = 'a5'.repeat(32);

/** A folder that goes away with the test. */
export const aFolder = async (t: TestContext): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'otapub-test-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
};

/** Content by path; `->target` makes a symbolic link, `!content` an executable. */
export type LayerFiles = Readonly<Record<string, string>>;

export const aLayer = async (folder: string, files: LayerFiles, description?: unknown): Promise<string> => {
  await mkdir(join(folder, 'files'), { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    const file = join(folder, 'files', path);
    await mkdir(dirname(file), { recursive: true });
    if (content.startsWith('->')) {
      await symlink(content.slice(2), file);
    } else {
      await writeFile(file, content.replace(/^!/, ''));
      await chmod(file, content.startsWith('!') ? 0o755 : 0o644);
    }
  }
  if (description !== undefined) await writeFile(join(folder, 'layer.json'), JSON.stringify(description));
  return folder;
};

export interface Publisher {
  readonly folder: string;
  /** A layer for releases. */
  readonly layer: string;
  release(options?: Partial<ReleaseOptions>): Promise<PublishedRelease>;
}

/** Folders that are made once in a test file and copied by its tests: keys and images take most of their time. */
const shared = new Map<string, Promise<string>>();

const copyShared = async (name: string, folder: string, make: (folder: string) => Promise<unknown>): Promise<void> => {
  const makeOnce = async (): Promise<string> => {
    const work = await mkdtemp(join(tmpdir(), 'otapub-test-'));
    process.once('exit', () => rmSync(work, { recursive: true, force: true }));
    await make(join(work, name));
    return join(work, name);
  };
  const made = shared.get(name) ?? makeOnce();
  shared.set(name, made);
  await cp(await made, folder, { recursive: true });
};

const initOrCopy = async (folder: string, options: Partial<InitOptions>): Promise<void> => {
  const init = (at: string) => initRepository({ folder: at, nowMs: testNowMs, ...options });
  if (Object.keys(options).length > 0) await init(folder);
  else await copyShared('publisher', folder, init);
};

/** A publisher's folder with TEST keys; without options the keys are those of every other one in the test file. */
export const aPublisher = async (t: TestContext, options: Partial<InitOptions> = {}): Promise<Publisher> => {
  const work = await aFolder(t);
  const folder = join(work, 'publisher');
  const layer = await aTestLayer(join(work, 'layer'));
  await initOrCopy(folder, options);
  return publisherIn(folder, layer);
};

/** A publisher that has released 1.0 to the channel, with sequence 5; all signed at `nowMs`. */
export const aPublisherWithRelease = async (t: TestContext, nowMs: number = testNowMs): Promise<Publisher> => {
  const work = await aFolder(t);
  const folder = join(work, 'publisher');
  const layer = await aTestLayer(join(work, 'layer'));
  await copyShared(`released-${nowMs}`, folder, async (at) => {
    await initOrCopy(at, nowMs === testNowMs ? {} : { nowMs });
    await publisherIn(at, layer).release({ sequence: 5, nowMs });
  });
  return publisherIn(folder, layer);
};

const aTestLayer = (folder: string): Promise<string> =>
  aLayer(folder, { 'usr/lib/os-release': 'NAME="Test"\n', 'opt/app': 'application\n' });

const publisherIn = (folder: string, layer: string): Publisher => ({
  folder,
  layer,
  release: (wish = {}) =>
    publishRelease({
      folder,
      channel,
      compatible,
      version: '1.0',
      image: { layers: [layer] },
      saltHex: testSaltHex,
      nowMs: testNowMs,
      ...wish,
    }),
});

/** For assert.rejects: an OtadError of this code. */
export const withCode =
  (code: string, pattern?: RegExp) =>
  (error: unknown): boolean =>
    error instanceof Error &&
    'code' in error &&
    error.code === code &&
    (pattern === undefined || pattern.test(error.message));
