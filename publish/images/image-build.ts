// From layers to one image file: flatten, stamp the release's identity, make the squashfs, pad to whole blocks.
// Equal layers, identity and time give equal bytes on every machine with the same squashfs-tools.

import { mkdir, mkdtemp, open, rm, truncate } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { commitFile, temporaryName } from '../durable-file.ts';
import { dropTree, flattenLayers, type Layer, readLayers, sealTree } from './layers.ts';
import { type ImageIdentity, writeIdentity } from './os-release.ts';
import { type Compression, imageBlockBytes, makeSquashfs } from './squashfs.ts';

export interface BuildOptions {
  /** Folders of layers, the lowest first. Their bases come before them by themselves. */
  readonly layers: readonly string[];
  readonly outputPath: string;
  /** Written into /usr/lib/os-release of the image. */
  readonly identity: ImageIdentity;
  /** Default `zstd`. */
  readonly compression?: Compression | undefined;
  /** Default: the one of releases. */
  readonly zstdLevel?: number | undefined;
  /** Seconds since 1970 for all times in the image. Default 0. */
  readonly sourceDateEpochS?: number | undefined;
  /** Fills the tree below all layers with the packages that they name. Without it, layers may name none. */
  readonly prepare?: ((root: string, packages: readonly string[]) => Promise<void>) | undefined;
  /** Has the last word on the tree, before the identity is written into it. */
  readonly finish?: ((root: string) => Promise<void>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BuiltImage {
  readonly path: string;
  readonly lengthBytes: number;
  readonly layers: readonly string[];
  readonly files: number;
}

/** Pads with zeros to whole dm-verity blocks, makes the file durable, and gives its length. */
const padAndSync = async (path: string): Promise<number> => {
  const handle = await open(path, 'r+');
  try {
    const { size } = await handle.stat();
    const lengthBytes = Math.ceil(size / imageBlockBytes) * imageBlockBytes;
    if (lengthBytes !== size) await truncate(path, lengthBytes);
    await handle.chmod(0o644);
    await handle.sync();
    return lengthBytes;
  } finally {
    await handle.close();
  }
};

const packagesOf = (layers: readonly Layer[], options: BuildOptions): readonly string[] => {
  const named = layers.find((layer) => layer.packages.length > 0);
  if (named !== undefined && options.prepare === undefined) {
    const problem = 'names Debian packages, which only the build of a whole image installs';
    throw new OtadError('LAYER_INVALID', { layer: named.name, problem });
  }
  return [...new Set(layers.flatMap((layer) => layer.packages))].sort();
};

/** Builds the image; `outputPath` is replaced only by a whole one. */
export const buildImage = async (options: BuildOptions): Promise<BuiltImage> => {
  const outputPath = resolve(options.outputPath);
  const layers = await readLayers(options.layers);
  const packages = packagesOf(layers, options);
  await mkdir(dirname(outputPath), { recursive: true });
  const work = await mkdtemp(join(dirname(outputPath), `.${basename(outputPath)}.`));
  const temporary = temporaryName(outputPath);
  const tree = { root: join(work, 'tree'), folderModes: new Map<string, number>(), entries: 0 };
  try {
    await mkdir(tree.root);
    await options.prepare?.(tree.root, packages);
    await flattenLayers(layers, tree);
    await options.finish?.(tree.root);
    const sourceDateEpochS = options.sourceDateEpochS ?? 0;
    await writeIdentity(tree.root, options.identity, sourceDateEpochS);
    await sealTree(tree);
    await makeSquashfs(tree.root, temporary, {
      compression: options.compression ?? 'zstd',
      zstdLevel: options.zstdLevel,
      sourceDateEpochS,
      signal: options.signal,
    });
    const lengthBytes = await padAndSync(temporary);
    await commitFile(temporary, outputPath);
    return { path: outputPath, lengthBytes, layers: layers.map((layer) => layer.name), files: tree.entries };
  } finally {
    await dropTree(tree);
    await rm(temporary, { force: true });
    await rm(work, { recursive: true, force: true });
  }
};
