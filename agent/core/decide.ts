// The decision core's one entry: a state, an event and a moment give a new state and what to do about it.
// Pure: the same arguments always give the same decision.

import { proceedStaged } from './activating.ts';
import { startAssess } from './assessing.ts';
import { startCheck } from './checking.ts';
import { onCommand } from './commands.ts';
import { type Context, type Decision, stay } from './decision.ts';
import { assertNever, OtadError } from './errors.ts';
import type { Event } from './events.ts';
import { onEffectDone } from './outcomes.ts';
import { isRebootDue, startReboot } from './rebooting.ts';
import { recover } from './recover.ts';
import { waitsForDownloadWindow } from './schedule.ts';
import type { State } from './state.ts';
import type { Moment, Policy } from './types.ts';

export type { Decision } from './decision.ts';

const onTick = (state: State, context: Context): Decision => {
  const { phase, staged } = state;
  const { moment, policy } = context;
  switch (phase.kind) {
    case 'idle':
    case 'staged':
    case 'halted': {
      const proceeding = proceedStaged(state, context);
      if (proceeding.effects.length > 0 || proceeding.history.length > 0) return proceeding;
      if (phase.kind === 'halted' && staged !== null && isRebootDue(staged, context)) {
        return startReboot(state, context, staged, staged.failureReason === null ? 'rebooting' : 'reverting');
      }
      const isDue = moment.monoMs >= state.nextPollMs;
      const windowOpened = waitsForDownloadWindow(state) && moment.windows.download;
      if (!isDue && !windowOpened) return stay(state);
      // An unconfirmed system that could not be left: its health may have come back.
      if (!state.isBootedConfirmed && staged !== null) return startAssess(state, context, staged, moment.monoMs);
      return startCheck(state, false);
    }
    case 'rebooting':
    case 'reverting': {
      const isWaiting = phase.kind === 'rebooting' || phase.step === 'reboot';
      const isOver = moment.monoMs - phase.sinceMs >= policy.rebootTimeoutMs;
      return isWaiting && isOver && staged !== null ? startReboot(state, context, staged, phase.kind) : stay(state);
    }
    case 'checking':
    case 'fetching':
    case 'verifying':
    case 'activating':
    case 'assessing':
    case 'confirming':
    case 'marking':
    // Whoever marked it bad decides when users are cut off for the boot.
    case 'leaving':
      return stay(state);
    default:
      return assertNever(phase);
  }
};

/** `state` is null only for a `started` event of a device whose store is empty or lost. */
export const decide = (state: State | null, event: Event, moment: Moment, policy: Policy): Decision => {
  const context: Context = { moment, policy };
  if (event.kind === 'started') return recover(state, event.facts, context);
  if (state === null) throw new OtadError('INTERNAL', { event: event.kind, state: 'none' });
  switch (event.kind) {
    case 'tick':
      return onTick(state, context);
    case 'command':
      return onCommand(state, context, event.command, event.boot);
    case 'effect-done':
      return onEffectDone(state, context, event.done);
    default:
      return assertNever(event);
  }
};
