// CPU of applying a patch beside compressing its blocks again and nothing else: what reading, unpacking and putting together cost
// on top. And what making one costs, in bytes, CPU and memory, beside Debian's bsdiff on the same file.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { runTool } from '../../image/tool.ts';
import { prepareToolbox } from '../../image/toolbox.ts';
import { readAgentUnit } from '../e2e/agent-unit.ts';
import type { BenchImages } from './image-pair.ts';
import type { ApplyCost } from './patch-applier.ts';

/** With the flags and the environment of the service. */
export const measureApply = async (): Promise<ApplyCost> => {
  const unit = await readAgentUnit();
  const applier = join(import.meta.dirname, 'patch-applier.js');
  const env = { ...process.env, ...unit.environment };
  const { stdout } = await promisify(execFile)(process.execPath, [...unit.nodeFlags, applier], { env });
  return JSON.parse(stdout) as ApplyCost;
};

/** Of one program that made a patch. */
export interface MakingCost {
  readonly patchBytes: number;
  /** Seconds, user and system. */
  readonly cpuS: number;
  readonly peakMib: number;
}

export interface LibraryCost {
  readonly library: string;
  readonly libraryBytes: number;
  readonly ours: MakingCost;
  readonly bsdiff: MakingCost;
}

/** GNU time counts what the program and its children took. */
const timed = async (folder: string, patchPath: string, words: readonly string[]): Promise<MakingCost> => {
  const said = join(folder, 'time');
  await runTool('time', ['-f', '%U %S %M', '-o', said, ...words]);
  const [userS = 0, systemS = 0, peakKib = 0] = (await readFile(said, 'utf8')).trim().split(' ').map(Number);
  const { size } = await stat(patchPath);
  return { patchBytes: size, cpuS: userS + systemS, peakMib: peakKib / 1024 };
};

interface Version {
  /** The file itself, and an image of it alone. */
  readonly path: string;
  readonly image: string;
}

/** The library of Node, the largest file of the image: its bytes, and an image that holds nothing else. */
const takeLibrary = async (folder: string, imagePath: string): Promise<Version> => {
  await mkdir(folder);
  const tree = join(folder, 'tree');
  await runTool('unsquashfs', [
    '-quiet',
    '-no-progress',
    '-no-xattrs',
    '-d',
    tree,
    imagePath,
    'usr/lib/*/libnode.so.*',
  ]);
  const names = await readdir(tree, { recursive: true, withFileTypes: true });
  const found = names.find((entry) => entry.isFile());
  if (found === undefined) throw new Error(`${imagePath} has no library of Node`);
  const [root, image] = [join(folder, 'root'), join(folder, 'image')];
  await mkdir(root);
  const path = join(root, found.name);
  await rename(join(found.parentPath, found.name), path);
  const args = ['-noappend', '-quiet', '-no-progress', '-all-time', '0', '-mkfs-time', '0', '-b', '131072'];
  await runTool('mksquashfs', [root, image, ...args, '-comp', 'zstd', '-Xcompression-level', '15']);
  return { path, image };
};

/** Takes minutes. Changes PATH of this process: the programs of Debian 13 come first. */
export const measureLibrary = async ({ before, after }: BenchImages): Promise<LibraryCost> => {
  const toolbox = await prepareToolbox(join(dirname(before), 'cache'), {});
  process.env.PATH = `${toolbox.path}:${process.env.PATH}`;
  const folder = await mkdtemp(join(tmpdir(), 'otad-bench-'));
  try {
    const old = await takeLibrary(join(folder, 'old'), before);
    const fresh = await takeLibrary(join(folder, 'new'), after);
    const [mine, theirs] = [join(folder, 'ours.patch'), join(folder, 'bsdiff.patch')];
    const otapub = join(import.meta.dirname, '../../publish/otapub.js');
    const ours = await timed(folder, mine, [process.execPath, otapub, 'patch', old.image, fresh.image, '-o', mine]);
    const bsdiff = await timed(folder, theirs, ['bsdiff', old.path, fresh.path, theirs]);
    const { size } = await stat(fresh.path);
    return { library: basename(fresh.path), libraryBytes: size, ours, bsdiff };
  } finally {
    await rm(folder, { recursive: true });
  }
};
