// What a decision is, and the moves that each is made of: stay, begin an effect under a new plan, note in the history, answer,
// halt. None of them looks at where it is called from.

import type { Effect } from './effects.ts';
import { type ErrorCode, errorCodes, type Failure } from './errors.ts';
import type { Reply } from './events.ts';
import type { Phase, State } from './state.ts';
import type { HistoryEntry, HistoryType, Moment, Policy, ReleaseRef, SlotName, SlotRecord } from './types.ts';

export interface Decision {
  readonly state: State;
  readonly effects: readonly Effect[];
  readonly history: readonly HistoryEntry[];
  readonly reply: Reply | null;
}

export interface Context {
  readonly moment: Moment;
  readonly policy: Policy;
}

export const stay = (state: State): Decision => ({ state, effects: [], history: [], reply: null });

/** Does `step` on the state that `first` left, keeping what both want. */
export const andThen = (first: Decision, step: (state: State) => Decision): Decision => {
  const next = step(first.state);
  return {
    state: next.state,
    effects: [...first.effects, ...next.effects],
    history: [...first.history, ...next.history],
    reply: next.reply ?? first.reply,
  };
};

export const accepted = (decision: Decision, message: string): Decision => ({
  ...decision,
  reply: { isAccepted: true, message },
});

export const refuse = (state: State, code: ErrorCode, message: string = errorCodes[code].sentence): Decision => ({
  ...stay(state),
  reply: { isAccepted: false, code, message },
});

interface NoteFacts {
  readonly release?: ReleaseRef | null;
  readonly slot?: SlotName;
  readonly reason?: string | null;
  readonly code?: string;
}

export const note = (decision: Decision, { moment }: Context, type: HistoryType, facts: NoteFacts = {}): Decision => ({
  ...decision,
  history: [
    ...decision.history,
    {
      type,
      timeMs: moment.wallMs,
      isTimeSynced: moment.isSynced,
      version: facts.release?.version ?? null,
      slot: facts.slot ?? null,
      reason: facts.reason ?? null,
      code: facts.code ?? null,
    },
  ],
});

/** Where nothing is under way: `staged` when something waits, else `idle`. */
export const rest = (state: State): State => ({ ...state, phase: { kind: state.staged === null ? 'idle' : 'staged' } });

export const setRecord = (state: State, slot: SlotName, record: SlotRecord): State => ({
  ...state,
  records: { ...state.records, [slot]: record },
});

/** A new plan: results of effects of the old one no longer count. */
export const begin = (state: State, phase: Phase, effect: (plan: number) => Effect): Decision => {
  const plan = state.plan + 1;
  return { ...stay({ ...state, plan, phase }), effects: [effect(plan)] };
};

export const halt = (state: State, context: Context, why: Failure): Decision =>
  note(
    stay({ ...state, plan: state.plan + 1, phase: { kind: 'halted', failure: why }, attention: why }),
    context,
    'halted',
    {
      reason: why.message,
      code: why.code,
    },
  );
