// The running system becomes the one to come back to: floors, denylist and counters follow. The one place where the sequence
// floor moves while the agent runs (I5).

import { andThen, begin, type Context, type Decision, note, rest, stay } from './decision.ts';
import { deny } from './denylist.ts';
import { refOf } from './select.ts';
import type { State } from './state.ts';
import { otherSlot } from './types.ts';

export const startConfirm = (state: State): Decision =>
  begin(state, { kind: 'confirming' }, (plan) => ({ kind: 'confirm', plan, slot: state.booted }));

/** The bootloader holds the running slot as good: the trial is over and won. Also reached when only the record of that was lost. */
export const finishConfirm = (state: State, context: Context): Decision => {
  const { staged } = state;
  const release = staged?.release ?? state.records[state.booted]?.release ?? null;
  const left = state.confirmed;
  // The floor never falls (I5): a rollback lowers what runs, not what may come. A new epoch, which root signs, sets it anew.
  const isNewEpoch = (staged?.floorEpoch ?? 0) > state.floorEpoch;
  const floorBefore = isNewEpoch ? 0 : state.sequenceFloor;
  const confirmed: State = rest({
    ...state,
    staged: null,
    isBootedConfirmed: true,
    confirmed: release === null ? state.confirmed : refOf(release),
    sequenceFloor: Math.max(floorBefore, staged?.rollbackFloor ?? 0, release?.sequence ?? 0),
    floorEpoch: Math.max(state.floorEpoch, staged?.floorEpoch ?? 0),
    // What is confirmed after all, by itself or by a technician, has not failed here.
    denylist: state.denylist.filter((entry) => entry.release.id !== release?.id),
    failures: 0,
    installFailures: null,
    installSpent: null,
    attention: null,
  });
  const noted = note(stay(confirmed), context, 'confirmed', { release, slot: state.booted });
  if (staged?.intent !== 'rollback' || left === null || left.id === release?.id) return noted;
  const reason = staged.request ?? 'A technician rolled back from it.';
  return andThen(
    note(noted, context, 'rolled-back', { release: left, slot: otherSlot(state.booted), reason }),
    (next) => deny(next, context, left, reason),
  );
};
