// How far a run has come, kept as it goes: `--continue` leaves out the cases that have ended, passed or failed, on the very tree
// that is asked about. What failed stays failed there; only another run judges it anew.

import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { noTally, type Tally } from './tally.ts';

interface Ended {
  /** Digest of the tree that they ran on. */
  readonly tree: string;
  readonly names: readonly string[];
  readonly tally: Tally;
  readonly ms: number;
}

export interface RunRecord {
  /** What has ended before; nothing where there is no record, or one of another tree. */
  readonly earlier: Omit<Ended, 'tree'>;
  /** `tally` and `ms`: of the whole run up to now. */
  note(name: string, tally: Tally, ms: number): Promise<void>;
}

const readEnded = async (path: string): Promise<Ended | null> => {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Ended;
  } catch {
    return null;
  }
};

/** Begins a record, or goes on with the one that is there. What cannot be read is none. */
export const openRunRecord = async (path: string, tree: string, isContinued: boolean): Promise<RunRecord> => {
  const found = isContinued ? await readEnded(path) : null;
  const earlier = found?.tree === tree ? found : { names: [], tally: noTally, ms: 0 };
  const names = [...earlier.names];
  await mkdir(dirname(path), { recursive: true });
  if (!isContinued) await rm(path, { force: true });
  return {
    earlier,
    note: async (name, tally, ms) => {
      names.push(name);
      const ended: Ended = { tree, names, tally, ms };
      await writeFile(`${path}.new`, JSON.stringify(ended));
      await rename(`${path}.new`, path);
    },
  };
};
