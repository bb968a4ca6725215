// Keeps updates going when trusted metadata cannot be written (full, read-only or failing disk): what was accepted stays
// in memory for this run, and goes to the disk in its old order when that works again. It owns no check: every file comes
// here after all of them. Since nothing overtakes a change that is owed, the disk always holds what a power cut at an
// earlier instant would have left: never less protection against a rollback than such a cut leaves.

import type { TrustedFiles } from '../../verity/trusted-store.ts';
import { type Failure, OtadError, toFailure } from '../core/errors.ts';

export interface StandbyFiles extends TrustedFiles {
  /** Tries to give the disk all that is owed to it. Never throws for a disk that still fails. */
  settle(): Promise<void>;
}

/** Told when the disk fails, and with null when it has taken everything that was owed. */
export type OnDiskChange = (failure: Failure | null) => void;

/** More than one refresh brings of any repository that is not there to fill memory. */
const owedFilesMax = 64;
const owedBytesMax = 8 * 1024 * 1024;

/** Only a disk that does not take a change is worked around. Rethrows the rest. */
const tolerated = (error: unknown): Failure => {
  if (error instanceof OtadError && (error.code === 'DISK_FULL' || error.code === 'STORE_IO')) return toFailure(error);
  throw error;
};

export const createStandbyFiles = (disk: TrustedFiles, onChange: OnDiskChange): StandbyFiles => {
  /** What the disk has not taken, oldest first; null: removed. */
  const owed = new Map<string, Uint8Array | null>();

  const give = (name: string, bytes: Uint8Array | null): Promise<void> =>
    bytes === null ? disk.remove(name) : disk.write(name, bytes);

  const owe = (name: string, bytes: Uint8Array | null): void => {
    const others = [...owed].filter(([other]) => other !== name);
    const owedBytes = others.reduce((sum, [, kept]) => sum + (kept?.length ?? 0), bytes?.length ?? 0);
    if (others.length >= owedFilesMax || owedBytes > owedBytesMax) {
      throw new OtadError('DISK_FULL', { name, keptInMemory: others.length, keptBytes: owedBytes });
    }
    // A newer change of the same file takes its place at the end: what it relies on was changed before it.
    owed.delete(name);
    owed.set(name, bytes);
  };

  const change = async (name: string, bytes: Uint8Array | null): Promise<void> => {
    if (owed.size > 0) return owe(name, bytes);
    try {
      await give(name, bytes);
    } catch (error) {
      const failure = tolerated(error);
      owe(name, bytes);
      onChange(failure);
    }
  };

  return {
    read: async (name) => owed.get(name) ?? (owed.has(name) ? null : await disk.read(name)),
    write: (name, bytes) => change(name, bytes),
    remove: (name) => change(name, null),
    settle: async () => {
      if (owed.size === 0) return;
      try {
        for (const [name, bytes] of owed) {
          await give(name, bytes);
          owed.delete(name);
        }
        onChange(null);
      } catch (error) {
        tolerated(error);
      }
    },
  };
};
