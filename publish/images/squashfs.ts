// Squashfs images as the publisher needs them: made by mksquashfs so that equal trees give equal bytes, recognised by
// their superblock, and asked for their os-release with unsquashfs. Children get an argument array, never a shell.

import { execFile } from 'node:child_process';
import type { FileHandle } from 'node:fs/promises';
import { OtadError } from '../../agent/core/errors.ts';
import { parseSuperblock, superblockBytes } from '../../delta/squashfs-superblock.ts';
import { errorCodeOf } from '../durable-file.ts';
import { type ImageIdentity, identityOf, parseOsRelease, vendorPath } from './os-release.ts';

export const imageBlockBytes = 4096;
const squashfsBlockBytes = 131_072;
const zstdLevelDefault = 15;
const toolTimeoutMs = 30 * 60_000;
const toolOutputBytesMax = 1024 * 1024;

export const compressions = ['zstd', 'gzip'] as const;
export type Compression = (typeof compressions)[number];

interface ToolOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one of squashfs-tools. Resolves whatever the exit code; throws when it could not run or did not end. */
const runTool = (tool: string, args: readonly string[], signal: AbortSignal | undefined): Promise<ToolOutcome> => {
  // SOURCE_DATE_EPOCH contradicts explicit times; the locale would change messages, HOME holds recovery files.
  const env = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC', HOME: '/nonexistent' };
  const options = { env, timeout: toolTimeoutMs, maxBuffer: toolOutputBytesMax, ...(signal ? { signal } : {}) };
  return new Promise((resolve, reject) => {
    execFile(tool, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve({ exitCode: 0, stdout, stderr });
      if (errorCodeOf(error) === 'ENOENT') {
        const install = 'apt-get install squashfs-tools';
        return reject(new OtadError('TOOL_MISSING', { program: tool, install }, { cause: error }));
      }
      if (signal?.aborted === true) return reject(new OtadError('CANCELLED', { program: tool }, { cause: error }));
      if (typeof error.code === 'number') return resolve({ exitCode: error.code, stdout, stderr });
      reject(new OtadError('TOOL_FAILED', { program: tool, signal: error.signal, problem: error.message }));
    });
  });
};

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

export interface SquashfsOptions {
  readonly compression: Compression;
  /** Of zstd; default 15, the level of releases. Patches are made and applied at the level of the image. */
  readonly zstdLevel?: number | undefined;
  /** Seconds since 1970 that every file and the file system carry. */
  readonly sourceDateEpochS: number;
  readonly signal?: AbortSignal | undefined;
}

/** Makes `outputPath` (which must not exist) from the tree. Order, owners, times and block size are fixed. */
export const makeSquashfs = async (tree: string, outputPath: string, options: SquashfsOptions): Promise<void> => {
  const time = String(options.sourceDateEpochS);
  const level =
    options.compression === 'zstd' ? ['-Xcompression-level', String(options.zstdLevel ?? zstdLevelDefault)] : [];
  const args = [
    ...[tree, outputPath, '-noappend', '-no-recovery', '-no-progress', '-quiet'],
    ...['-reproducible', '-all-root', '-no-xattrs', '-no-exports', '-mkfs-time', time, '-all-time', time],
    ...['-b', String(squashfsBlockBytes), '-comp', options.compression, ...level],
  ];
  const outcome = await runTool('mksquashfs', args, options.signal);
  if (outcome.exitCode !== 0) {
    throw new OtadError('TOOL_FAILED', {
      program: 'mksquashfs',
      exitCode: outcome.exitCode,
      problem: lastLine(outcome.stderr),
    });
  }
};

/** Throws IMAGE_UNUSABLE unless the file starts as a squashfs 4.0 image and is as long as that says. */
export const checkSquashfs = async (handle: FileHandle, path: string): Promise<{ readonly lengthBytes: number }> => {
  const facts = await handle.stat();
  if (!facts.isFile()) throw new OtadError('IMAGE_UNUSABLE', { path, problem: 'not a plain file' });
  const header = Buffer.alloc(superblockBytes);
  const { bytesRead } = await handle.read(header, 0, superblockBytes, 0);
  try {
    parseSuperblock(header.subarray(0, bytesRead), facts.size);
  } catch (error) {
    throw error instanceof OtadError ? new OtadError(error.code, { path, ...error.details }) : error;
  }
  return { lengthBytes: facts.size };
};

/** A small text file of the image; null where there is none. */
export const readImageFile = async (
  imagePath: string,
  innerPath: string,
  signal?: AbortSignal,
): Promise<string | null> => {
  const outcome = await runTool('unsquashfs', ['-cat', imagePath, innerPath], signal);
  return outcome.exitCode === 0 ? outcome.stdout : null;
};

/** Whether the image has this path, however large the file is. */
export const hasImageFile = async (imagePath: string, innerPath: string, signal?: AbortSignal): Promise<boolean> => {
  const { stdout } = await runTool('unsquashfs', ['-l', imagePath, innerPath], signal);
  return stdout.split('\n').includes(`squashfs-root/${innerPath}`);
};

/** The identity that `buildImage` put into the image; null where there is none. */
export const readImageIdentity = async (path: string, signal?: AbortSignal): Promise<ImageIdentity | null> => {
  const text = await readImageFile(path, vendorPath, signal);
  return text === null ? null : identityOf(parseOsRelease(text));
};
