// Keeps the agent going when its database cannot be written (full or read-only disk): state and history stay in memory
// and every later commit tries the disk again, with all that is owed. Nothing is weakened by it: losing the database at
// any instant never changes what boots (I9), and `failure` says that history is not durable now (I11).
// A second running agent (STORE_BUSY) is never worked around.

import { type Failure, OtadError, toFailure } from '../core/errors.ts';
import type { Store } from '../core/ports.ts';
import type { State } from '../core/state.ts';
import type { HistoryEntry } from '../core/types.ts';

export interface StandbyOptions {
  /** History entries kept in memory; the oldest are dropped first. */
  readonly owedMax?: number;
  /** Told when the disk fails, and with null when it has taken everything that was owed. */
  readonly onChange?: (failure: Failure | null) => void;
}

export interface StandbyStore extends Store {
  /** Why commits are not durable now; null while they are. */
  readonly failure: Failure | null;
}

const owedMaxDefault = 1000;

/** Rethrows what must stop the agent. */
const tolerated = (error: unknown): Failure => {
  if (error instanceof OtadError && error.code === 'STORE_BUSY') throw error;
  return toFailure(error);
};

export const createStandbyStore = (disk: Store, options: StandbyOptions = {}): StandbyStore => {
  const owedMax = options.owedMax ?? owedMaxDefault;
  let failure: Failure | null = null;
  let state: State | null = null;
  let owed: readonly HistoryEntry[] = [];

  const change = (next: Failure | null): void => {
    const isNews = next?.code !== failure?.code;
    failure = next;
    if (isNews) options.onChange?.(next);
  };

  return {
    get failure() {
      return failure;
    },

    async load() {
      if (state !== null) return state;
      try {
        return await disk.load();
      } catch (error) {
        change(tolerated(error));
        return null;
      }
    },

    async commit(next, history) {
      const all = [...owed, ...history].slice(-owedMax);
      try {
        await disk.commit(next, all);
        state = null;
        owed = [];
        change(null);
      } catch (error) {
        const reason = tolerated(error);
        state = next;
        owed = all;
        change(reason);
      }
    },

    async readHistory(limit) {
      const newest = owed.toReversed().slice(0, limit);
      try {
        return [...newest, ...(await disk.readHistory(limit - newest.length))];
      } catch (error) {
        tolerated(error);
        return newest;
      }
    },
  };
};
