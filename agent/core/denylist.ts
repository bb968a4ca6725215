// What failed here and is not tried again by itself (I6): its denial, and the end of a slot that holds it.

import { andThen, type Context, type Decision, note, rest, stay } from './decision.ts';
import { refOf } from './select.ts';
import type { Staged, State } from './state.ts';
import type { ReleaseRef } from './types.ts';

/** Puts a release on the denylist. Bounded: the oldest entries fall off, which a channel that goes forward offers no more. */
export const deny = (state: State, context: Context, release: ReleaseRef, reason: string): Decision => {
  if (state.denylist.some((entry) => entry.release.id === release.id)) return stay(state);
  const entry = { release: refOf(release), reason, timeMs: context.moment.wallMs };
  const denylist = [...state.denylist, entry].slice(-context.policy.denylistMax);
  return note(stay({ ...state, denylist }), context, 'denied', { release, reason });
};

/** What is in the other slot failed for good: denied, unselectable, and its record says so. */
export const retire = (state: State, context: Context, staged: Staged, reason: string): Decision =>
  andThen(deny(state, context, staged.release, reason), (denied) => {
    const record = denied.records[staged.slot];
    const records =
      record === null ? denied.records : { ...denied.records, [staged.slot]: { ...record, status: 'denied', reason } };
    const cleared = rest({ ...denied, records, staged: null, plan: denied.plan + 1 });
    return { ...stay(cleared), effects: [{ kind: 'retire', plan: cleared.plan, slot: staged.slot, reason }] };
  });
