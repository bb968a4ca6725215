// Inputs that are kept: each once showed a bug, or a corner that mutation seldom reaches. test/fuzz/corpus/TARGET/ holds them
// under the digest of their content.

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = fileURLToPath(new URL('../../../test/fuzz/corpus', import.meta.url));

export const readCorpus = async (target: string): Promise<readonly Uint8Array[]> => {
  const names = await readdir(join(home, target)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return Promise.all(names.sort().map((name) => readFile(join(home, target, name))));
};

/** Gives the path. */
export const keepInput = async (target: string, input: Uint8Array): Promise<string> => {
  const name = createHash('sha256').update(input).digest('hex').slice(0, 16);
  await mkdir(join(home, target), { recursive: true });
  const path = join(home, target, name);
  await writeFile(path, input);
  return path;
};
