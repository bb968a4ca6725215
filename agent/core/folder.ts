// What differs where a release comes from a folder that a technician offers: the history says so, and the servers are asked
// when they would have been without it.

import type { Context } from './decision.ts';
import type { State } from './state.ts';
import type { OfferedFolder } from './types.ts';

/** The part of a phase or an effect that says where the release comes from; nothing for the servers. */
export const fromFolder = (folder: OfferedFolder | undefined) => (folder === undefined ? {} : { folder });

/** For the history, which keeps sentences. */
export const sourceSentence = (folder: OfferedFolder | undefined): string | null =>
  folder === undefined ? null : `From the folder ${folder.path}.`;

/**
 * A folder that failed says nothing about when the servers should be asked; only not at once, so that whoever ordered it can
 * read what became of it.
 */
export const afterFolder = (state: State, { moment, policy }: Context): State => ({
  ...state,
  nextPollMs: Math.max(state.nextPollMs, moment.monoMs + policy.backoffMinMs),
});
