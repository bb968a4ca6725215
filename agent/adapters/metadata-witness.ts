// Watches whether this process has fetched and verified metadata: an agent that cannot would never see the next release,
// so a new system must show that it can before it is confirmed.

import { OtadError } from '../core/errors.ts';
import type { ReleaseSource } from '../core/ports.ts';

export interface MetadataWitness {
  /** The source itself, watched. */
  readonly source: ReleaseSource;
  hasFetched(): boolean;
  /** Fetches and verifies now; throws what stood in the way. */
  fetch(signal: AbortSignal): Promise<void>;
}

export const createMetadataWitness = (source: ReleaseSource): MetadataWitness => {
  let hasFetched = false;
  const check: ReleaseSource['check'] = async (signal) => {
    const outcome = await source.check(signal);
    if (outcome.kind === 'release') hasFetched = true;
    return outcome;
  };
  return {
    // What a technician brings says nothing about the way to the server: `from` stays unwatched.
    source: { ...source, check },
    hasFetched: () => hasFetched,
    fetch: async (signal) => {
      const outcome = await check(signal);
      if (outcome.kind === 'failed') throw new OtadError(outcome.failure.code, { reason: outcome.failure.message });
    },
  };
};
