// The demonstration's result as JSON, made of the daemon's answers and nothing else.

import type { PatientReads } from './patience.ts';

export interface Report {
  readonly slots: readonly {
    readonly name: string;
    readonly version: string | null;
    readonly state: string;
    readonly booted: boolean;
    readonly path: string;
    readonly verityRoot: string | null;
    readonly hashOffset: number | null;
  }[];
  /** Oldest first; times as ISO 8601. */
  readonly history: readonly {
    readonly type: string;
    readonly time: string;
    readonly version: string | null;
    readonly reason: string | null;
  }[];
  readonly denylist: readonly { readonly version: string; readonly reason: string }[];
}

export const readReport = async (reads: PatientReads): Promise<Report> => {
  const [slots, history, denylist] = await Promise.all([reads.slots(), reads.history(), reads.denylist()]);
  return {
    slots: slots.map(({ name, version, state, booted, path, verityRoot, hashOffset }) => ({
      ...{ name, version, state, booted, path, verityRoot, hashOffset },
    })),
    history: history
      .map(({ type, timeMs, version, reason }) => ({ type, time: new Date(timeMs).toISOString(), version, reason }))
      .reverse(),
    denylist: denylist.map(({ version, reason }) => ({ version, reason })),
  };
};
