// I11: the stored state and the history never claim more than bootloader and bytes show; what was answered is stored; nothing is
// done that was not stored first. I12: nothing that the world does is a bug of ours.

import type { Command, Reply } from '../../agent/core/events.ts';
import type { State } from '../../agent/core/state.ts';
import type { HistoryEntry, SlotName } from '../../agent/core/types.ts';
import { slotState } from '../../bootctl/model.ts';
import { contentOf } from './ground.ts';
import type { CheckContext } from './verdict.ts';

export type Deed = 'invalidate' | 'activate' | 'mark-good' | 'mark-bad' | 'write' | 'reboot';

export interface ClaimRules {
  /** The newest stored state must be one that asks for this. */
  requirePhase(deed: Deed, slot: SlotName): void;
  beforeCommit(state: State, history: readonly HistoryEntry[], isLost: boolean): void;
  onReply(command: Command, reply: Reply): void;
  onLog(fields: Readonly<Record<string, unknown>>): void;
}

const asksFor = (state: State, deed: Deed, slot: SlotName): boolean => {
  const { phase, denylist, booted } = state;
  // Retiring a failed slot happens beside any phase, and only ever after its denial.
  const isRetiring = denylist.length > 0;
  switch (deed) {
    case 'invalidate':
      return phase.kind === 'fetching' && phase.step === 'invalidate';
    case 'write':
      return ['fetching', 'verifying', 'activating', 'marking'].includes(phase.kind) || isRetiring;
    case 'activate':
      return phase.kind === 'activating' && phase.step === 'flip';
    case 'mark-good':
      return phase.kind === 'confirming';
    case 'mark-bad':
      return (
        (phase.kind === 'reverting' && phase.step === 'flip') ||
        (phase.kind === 'marking' && phase.slot === slot) ||
        (isRetiring && slot !== booted)
      );
    case 'reboot':
      return phase.kind === 'rebooting' || (phase.kind === 'reverting' && phase.step === 'reboot');
  }
};

export const createClaimRules = ({ ground, plan, verdict }: CheckContext): ClaimRules => {
  let stored: State | null = null;
  let storedLosses = 0;
  /** The newest commit failed: from here to the next the process works without its database, as it should. */
  let isStoreFailing = false;

  const stateOf = (slot: SlotName) => (ground.env === null ? null : slotState(ground.env, slot));
  const isStoreKnown = (): boolean => !isStoreFailing && storedLosses === ground.databaseLosses;
  /** Since the environment was lost in this boot, the process may honestly hold an older view of it. */
  const isEnvKnown = (): boolean => ground.env !== null && ground.envLostInBoot !== ground.bootCount;

  const checkEntry = (entry: HistoryEntry): void => {
    const { type, slot, version } = entry;
    if (entry.code === 'INTERNAL') verdict.violate('I12', `history tells of a bug: ${entry.reason}`);
    const isServerWrong = plan.struck().some(({ fault }) => fault === 'piece-wrong' || fault === 'read-garbage');
    if (entry.code === 'IMAGE_DIGEST_MISMATCH' && !isServerWrong) {
      verdict.violate('I11', 'history blames the server for bytes that the slot lost');
    }
    if (slot === null || !isEnvKnown()) return;
    const claim = `history claims '${type}' of ${version} in slot ${slot}`;
    if (type === 'confirmed' && stateOf(slot) !== 'good') verdict.violate('I11', `${claim}; it is ${stateOf(slot)}`);
    if (type === 'activated' && stateOf(slot) === 'bad') verdict.violate('I11', `${claim}; it is bad`);
    if (type === 'installed' && contentOf(ground, slot)?.release.version !== version && !ground.broken.has(slot)) {
      verdict.violate('I11', `${claim}; its bytes are others`);
    }
    // Both slots may have got one release, where the record of the other one could not be read; and one of them may have lost it.
    const left = slot === ground.running ? null : contentOf(ground, slot);
    const running = contentOf(ground, ground.running)?.release.version;
    const isLeft = slot !== ground.running && (left === null || left.release.version === running);
    if (type === 'rolled-back' && !isLeft && running === version) {
      verdict.violate('I11', `${claim}; it is what runs`);
    }
  };

  const checkState = (state: State): void => {
    if (state.booted !== ground.running) verdict.violate('I11', `the state claims that slot ${state.booted} runs`);
    for (const failure of [state.attention, state.lastCheck?.failure]) {
      if (failure?.class === 'bug') verdict.violate('I12', `the state tells of a bug: ${failure.message}`);
    }
    if (!isEnvKnown()) return;
    if (state.isBootedConfirmed && stateOf(ground.running) !== 'good') {
      verdict.violate('I11', `the state claims that slot ${ground.running} is confirmed`);
    }
    // With its record unreadable at the start, what runs is honestly called unknown.
    const isResting =
      !state.confirmed?.id.startsWith('unknown-') &&
      state.phase.kind === 'idle' &&
      state.isBootedConfirmed &&
      state.records[state.booted] !== null;
    const running = contentOf(ground, ground.running);
    if (isResting && running !== null && state.confirmed !== null && state.confirmed.id !== running.release.id) {
      verdict.violate('I11', `the state claims ${state.confirmed.version} while ${running.release.version} runs`);
    }
  };

  return {
    requirePhase: (deed, slot) => {
      if (!isStoreKnown()) return;
      if (stored === null || !asksFor(stored, deed, slot)) {
        verdict.violate('I11', `${deed} of slot ${slot} in stored phase ${stored?.phase.kind ?? 'none'}`);
      }
    },
    beforeCommit: (state, history, isLost) => {
      checkState(state);
      for (const entry of history) checkEntry(entry);
      isStoreFailing = isLost;
      if (isLost) return;
      stored = state;
      storedLosses = ground.databaseLosses;
    },
    onReply: (command, reply) => {
      if (!reply.isAccepted && reply.code === 'INTERNAL') verdict.violate('I12', reply.message);
      if (reply.isAccepted && command.command === 'hold' && isStoreKnown() && stored?.hold === null) {
        verdict.violate('I11', 'a hold was acknowledged and is not stored');
      }
    },
    onLog: (fields) => {
      if (fields.class === 'bug') verdict.violate('I12', `a bug was logged: ${String(fields.message)}`);
    },
  };
};
