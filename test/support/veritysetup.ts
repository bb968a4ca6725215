// The outside oracle for dm-verity: cryptsetup's own tool, on regular files.

import { spawnSync } from 'node:child_process';
import type { VerityParameters } from '../../agent/core/types.ts';

interface Outcome {
  readonly status: number | null;
  readonly text: string;
}

const run = (args: readonly string[]): Outcome => {
  const result = spawnSync('veritysetup', args, { encoding: 'utf8', timeout: 60_000 });
  if (result.error !== undefined) throw result.error;
  return { status: result.status, text: result.stdout + result.stderr };
};

const salt = (saltHex: string): string => `--salt=${saltHex === '' ? '-' : saltHex}`;

/** Appends superblock and tree to the image file and gives the root. */
export const formatWithVeritysetup = (path: string, imageLengthBytes: number, saltHex: string): string => {
  const outcome = run([
    'format',
    path,
    path,
    `--hash-offset=${imageLengthBytes}`,
    `--data-blocks=${imageLengthBytes / 4096}`,
    '--uuid=00000000-0000-0000-0000-000000000000',
    salt(saltHex),
  ]);
  const root = /^Root hash:\s+([0-9a-f]{64})$/m.exec(outcome.text)?.[1];
  if (outcome.status !== 0 || root === undefined) throw new Error(`veritysetup format: ${outcome.text}`);
  return root;
};

/** True when `veritysetup verify`, which reads all parameters from the superblock, accepts the file. */
export const isAcceptedByVeritysetup = (path: string, verity: Pick<VerityParameters, 'rootHex' | 'hashOffsetBytes'>) =>
  run(['verify', path, path, verity.rootHex, `--hash-offset=${verity.hashOffsetBytes}`]).status === 0;
