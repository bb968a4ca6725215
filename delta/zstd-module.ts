// Finds the WebAssembly module of libzstd: beside the bundle on devices, else in its npm package. The only file of this folder
// that reads a disk, and it reads that one file.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OtadError } from '../agent/core/errors.ts';
import { createZstd, type Zstd } from './zstd.ts';

const moduleName = 'zstd.wasm';
const packageName = '@bokuweb/zstd-wasm';

const readModule = async (): Promise<Uint8Array> => {
  try {
    return await readFile(fileURLToPath(new URL(moduleName, import.meta.url)));
  } catch {
    // The package names no way to its module; it lies beside the entry.
    return await readFile(join(dirname(createRequire(import.meta.url).resolve(packageName)), moduleName));
  }
};

/** A fresh instance; its memory goes with it. Throws INTERNAL where the installation lacks the module. */
export const loadZstd = async (): Promise<Zstd> => {
  const wasm = await readModule().catch((cause: unknown) => {
    throw new OtadError('INTERNAL', { step: 'zstd', problem: `${moduleName} is not there` }, { cause });
  });
  return createZstd(wasm);
};
