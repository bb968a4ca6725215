// Layers of an image: each is a folder with `files/` and an optional `layer.json`. Flattening copies them over each
// other into one tree; the later layer wins. Must never follow a symbolic link of a layer, because it may point into
// the machine that builds.

import { chmod, copyFile, lstat, mkdir, readdir, readFile, readlink, rm, symlink, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { OtadError } from '../../agent/core/errors.ts';
import { errorCodeOf } from '../durable-file.ts';

const layerFileBytesMax = 65_536;
const layersMax = 64;
const entriesMax = 2_000_000;
const removalsMax = 10_000;
const packagesMax = 1000;

const isPlainPath = (path: string): boolean =>
  path.split('/').every((part) => part !== '' && part !== '.' && part !== '..') && !path.includes('\0');

const layerSchema = z.strictObject({
  name: z.string().min(1).max(100).optional(),
  /** Folder of the layer that this one builds on, relative to this one. */
  base: z.string().min(1).max(4096).optional(),
  /** Paths inside the image that earlier layers brought and this one takes away. */
  remove: z
    .array(z.string().max(4096).refine(isPlainPath, 'a path without leading slash and dots'))
    .max(removalsMax)
    .default([]),
  /** Debian packages that lie below the files of all layers. */
  packages: z
    .array(z.string().regex(/^[a-z0-9][a-z0-9.+-]{0,99}$/))
    .max(packagesMax)
    .default([]),
  /** plain: folders are 0755, files 0644 or 0755, whatever the umask of whoever checked them out; kept: as they are. */
  modes: z.enum(['kept', 'plain']).default('kept'),
});

export interface Layer {
  readonly name: string;
  readonly folder: string;
  readonly base: string | null;
  readonly remove: readonly string[];
  readonly packages: readonly string[];
  readonly modes: 'kept' | 'plain';
}

const invalid = (layer: string, problem: string, path?: string, cause?: unknown): OtadError =>
  new OtadError('LAYER_INVALID', { layer, problem, path }, { cause });

const describeIssue = (error: unknown): string => {
  if (!(error instanceof z.ZodError)) return 'layer.json is not JSON';
  const issue = error.issues[0];
  return `layer.json: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`;
};

const readLayer = async (folder: string): Promise<Layer> => {
  const files = await lstat(join(folder, 'files')).catch(() => null);
  if (files === null || !files.isDirectory()) {
    const facts = await lstat(folder).catch(() => null);
    throw invalid(folder, facts === null ? 'there is no such folder' : 'has no folder named files');
  }
  let text: string;
  try {
    text = await readFile(join(folder, 'layer.json'), 'utf8');
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') {
      return { name: folder, folder, base: null, remove: [], packages: [], modes: 'kept' };
    }
    throw invalid(folder, 'layer.json cannot be read', undefined, error);
  }
  if (text.length > layerFileBytesMax) throw invalid(folder, `layer.json is larger than ${layerFileBytesMax} bytes`);
  try {
    const { name, base, ...others } = layerSchema.parse(JSON.parse(text));
    return { name: name ?? folder, folder, base: base === undefined ? null : resolve(folder, base), ...others };
  } catch (error) {
    throw invalid(folder, describeIssue(error), undefined, error);
  }
};

/** The layers in the order in which they are laid down: each after its bases, each once. */
export const readLayers = async (folders: readonly string[]): Promise<readonly Layer[]> => {
  const ordered: Layer[] = [];
  for (const folder of folders) {
    const chain: Layer[] = [];
    for (let next: string | null = resolve(folder); next !== null; next = chain[0]?.base ?? null) {
      const here: string = next;
      if (chain.some((layer) => layer.folder === here)) throw invalid(here, 'is a base of itself');
      if (chain.length >= layersMax) throw invalid(here, `has more than ${layersMax} bases`);
      chain.unshift(await readLayer(here));
    }
    for (const layer of chain) if (!ordered.some((known) => known.folder === layer.folder)) ordered.push(layer);
  }
  if (ordered.length === 0) throw new OtadError('LAYER_INVALID', { problem: 'no layer was given' });
  if (ordered.length > layersMax) throw new OtadError('LAYER_INVALID', { problem: `more than ${layersMax} layers` });
  return ordered;
};

/** A tree that is being flattened. Folder modes wait until the end, so that a read-only folder can still be filled. */
export interface FlatTree {
  readonly root: string;
  readonly folderModes: Map<string, number>;
  entries: number;
}

const lstatOrNull = async (path: string) => {
  try {
    return await lstat(path);
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return null;
    throw error;
  }
};

const removePath = async (tree: FlatTree, layer: Layer, path: string): Promise<void> => {
  // Each parent must be a real folder of the tree: a link could lead out of it.
  for (let parent = dirname(path); parent !== '.'; parent = dirname(parent)) {
    const facts = await lstatOrNull(join(tree.root, parent));
    if (facts === null || !facts.isDirectory()) throw invalid(layer.name, 'removes what no earlier layer has', path);
  }
  if ((await lstatOrNull(join(tree.root, path))) === null) {
    throw invalid(layer.name, 'removes what no earlier layer has', path);
  }
  await rm(join(tree.root, path), { recursive: true });
  for (const known of tree.folderModes.keys()) {
    if (known === path || known.startsWith(`${path}/`)) tree.folderModes.delete(known);
  }
};

/** The mode that the entry gets in the image. */
const modeOf = (layer: Layer, mode: number, isFolder: boolean): number => {
  if (layer.modes === 'kept') return mode & 0o7777;
  return isFolder || (mode & 0o100) !== 0 ? 0o755 : 0o644;
};

const layEntry = async (tree: FlatTree, layer: Layer, path: string): Promise<void> => {
  tree.entries += 1;
  if (tree.entries > entriesMax) throw invalid(layer.name, `more than ${entriesMax} files`);
  const from = join(layer.folder, 'files', path);
  const to = join(tree.root, path);
  const source = await lstat(from);
  const target = await lstatOrNull(to);
  if (target !== null && target.isDirectory() !== source.isDirectory()) {
    throw invalid(layer.name, 'a folder here is a file or link in another layer; name it in "remove" first', path);
  }
  if (source.isDirectory()) {
    if (target === null) await mkdir(to, { mode: 0o700 });
    // A plain layer has no opinion of a folder that is there already.
    if (layer.modes === 'kept' || target === null) tree.folderModes.set(path, modeOf(layer, source.mode, true));
    await layFolder(tree, layer, path);
    return;
  }
  if (target !== null) await unlink(to);
  if (source.isSymbolicLink()) {
    await symlink(await readlink(from), to);
  } else if (source.isFile()) {
    await copyFile(from, to);
    await chmod(to, modeOf(layer, source.mode, false));
  } else {
    throw invalid(layer.name, 'neither file, folder nor symbolic link', path);
  }
};

const layFolder = async (tree: FlatTree, layer: Layer, path: string): Promise<void> => {
  for (const name of (await readdir(join(layer.folder, 'files', path))).sort()) {
    await layEntry(tree, layer, path === '' ? name : `${path}/${name}`);
  }
};

/** Lays all layers into the tree, whose root is an empty folder. Call {@link sealTree} when nothing more is added. */
export const flattenLayers = async (layers: readonly Layer[], tree: FlatTree): Promise<void> => {
  for (const layer of layers) {
    for (const path of layer.remove) await removePath(tree, layer, path);
    await layFolder(tree, layer, '');
  }
};

/** Gives the folders their modes; the root is 0755 whatever the layers' own folders are. */
export const sealTree = async (tree: FlatTree): Promise<void> => {
  await chmod(tree.root, 0o755);
  for (const path of [...tree.folderModes.keys()].sort().reverse()) {
    await chmod(join(tree.root, path), tree.folderModes.get(path) ?? 0o755);
  }
};

/** Removes a flattened tree, its read-only folders too. */
export const dropTree = async (tree: FlatTree): Promise<void> => {
  for (const path of [...tree.folderModes.keys()].sort()) {
    await chmod(join(tree.root, path), 0o700).catch(() => undefined);
  }
  await rm(tree.root, { recursive: true, force: true });
};
