// `npm run bench:delta -- OLD.squashfs NEW.squashfs`: what an update from one image to the other costs on the wire, with the real
// daemon, whole, by the index and by a patch.

import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { checkSquashfs } from '../../publish/images/squashfs.ts';
import { measurePair } from './wire-pair.ts';
import { pairLines, sizeOf } from './wire-rows.ts';
import { deltaUsage, isUsageError, readDeltaWords } from './words.ts';

const usageStatus = 64;

/** Before minutes are spent. Throws IMAGE_UNUSABLE. */
const checkImage = async (path: string): Promise<void> => {
  const handle = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    throw new OtadError('IMAGE_UNUSABLE', { path, problem: `cannot be read: ${cause.code}` }, { cause });
  });
  try {
    await checkSquashfs(handle, path);
  } finally {
    await handle.close();
  }
};

const run = async (args: readonly string[]): Promise<void> => {
  const words = readDeltaWords(args);
  const [oldPath, newPath] = [resolve(words.oldPath), resolve(words.newPath)];
  for (const path of [oldPath, newPath]) await checkImage(path);
  const folder = await mkdtemp(join(tmpdir(), 'otad-bench-'));
  try {
    const onStep = (line: string): void => void process.stderr.write(`bench: ${line}\n`);
    const pair = await measurePair({ folder, oldPath, newPath, onStep });
    process.stdout.write(`${sizeOf(pair.oldBytes)} to ${sizeOf(pair.newBytes)}\n${pairLines(pair).join('\n')}\n`);
    if (words.jsonPath === undefined) return;
    const { full, index, patch } = pair.updates;
    const ratios = { 'index/full': index.wireBytes / full.wireBytes, 'patch/full': patch.wireBytes / full.wireBytes };
    await writeFile(words.jsonPath, `${JSON.stringify({ ratios, details: pair }, null, 2)}\n`);
  } finally {
    await rm(folder, { recursive: true });
  }
};

try {
  await run(process.argv.slice(2));
} catch (error) {
  process.stderr.write(
    isUsageError(error) ? `bench:delta: ${error.message}\n${deltaUsage}` : `bench:delta: ${String(error)}\n`,
  );
  process.exitCode = isUsageError(error) ? usageStatus : 1;
}
