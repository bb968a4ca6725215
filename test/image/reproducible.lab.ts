// Builds the reference image twice, the second time with a Debian root made anew from the lock of the first, and compares
// every byte. Takes minutes and a mirror: `npm run test:image`, not part of `npm test`.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { boards } from '../../image/boards.ts';
import { buildGatewayImage } from '../../image/build.ts';
import { parseLock } from '../../image/package-lock.ts';

const projectFolder = fileURLToPath(new URL('../../..', import.meta.url));
const cacheFolder = join(projectFolder, '.image/cache');
const identity = { releaseId: 'twice-1.0', compatible: 'twice', version: '1.0', sequence: 1 };

const digestOf = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
};

const digestsOf = async (folder: string): Promise<Readonly<Record<string, string>>> =>
  Object.fromEntries(
    await Promise.all((await readdir(folder)).sort().map(async (name) => [name, await digestOf(join(folder, name))])),
  );

for (const architecture of ['amd64'] as const) {
  const chosen = boards.filter(({ root }) => root.architecture === architecture);
  const [{ root } = assert.fail(architecture)] = chosen;
  test(`${architecture}: the same inputs give the same bytes, image and disk`, async (t) => {
    const work = await mkdtemp(join(projectFolder, '.image/twice-'));
    t.after(() => rm(work, { recursive: true, force: true }));
    const build = (name: string, cache: string, lock: ReturnType<typeof parseLock> | null) =>
      buildGatewayImage({
        ...{
          root,
          boards: chosen,
          isDraft: true,
          firmwareFolder: null,
          ubootPath: null,
          projectFolder,
          cacheFolder: cache,
          outputFolder: join(work, name),
          identity,
          lock,
        },
        ...{ layers: [join(projectFolder, 'image/layers/product')], trustRootPath: null, settingsPath: null },
        sourceDateEpochS: null,
        changedAtS: 0,
        onStep: (line) => t.diagnostic(`${name}: ${line}`),
      });
    const first = await build('first', cacheFolder, null);
    // Only programs are shared; everything that goes into the image is made again.
    await cp(join(cacheFolder, 'toolbox'), join(work, 'cache/toolbox'), { recursive: true, verbatimSymlinks: true });
    await build('second', join(work, 'cache'), parseLock(await readFile(first.lock, 'utf8')));
    assert.deepEqual(await digestsOf(join(work, 'second')), await digestsOf(join(work, 'first')));
  });
}
