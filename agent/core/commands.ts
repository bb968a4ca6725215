// What a technician may ask for, and the answer. A refusal names its code and changes nothing.

import { proceedStaged, startActivation } from './activating.ts';
import { startCheck } from './checking.ts';
import { startConfirm } from './confirming.ts';
import { accepted, type Context, type Decision, note, refuse, rest, stay } from './decision.ts';
import { assertNever } from './errors.ts';
import type { Command } from './events.ts';
import { markBad } from './marking.ts';
import { startReboot } from './rebooting.ts';
import { startRevertVerified } from './reverting.ts';
import { newStaged } from './staged.ts';
import type { Staged, State } from './state.ts';
import { type BootStatus, type OfferedFolder, otherSlot, type SlotRecord } from './types.ts';

/** Nothing is under way that a person would have to wait for: asking the server can be dropped at any time. */
const isFree = (state: State): boolean => ['idle', 'staged', 'halted', 'checking'].includes(state.phase.kind);

const leavingText = (state: State): string =>
  `The running slot ${state.booted} is marked bad; the next reboot starts slot ${otherSlot(state.booted)}.`;

const check = (state: State, isForced: boolean, folder?: OfferedFolder): Decision => {
  const { phase } = state;
  if (phase.kind === 'leaving') return refuse(state, 'UNCONFIRMED', `${leavingText(state)} To keep it: otactl confirm`);
  if (!isFree(state)) return refuse(state, 'BUSY');
  if (!state.isBootedConfirmed && isForced) return refuse(state, 'UNCONFIRMED');
  if (folder !== undefined) return accepted(startCheck(state, isForced, folder), `Reading the folder ${folder.path}.`);
  // What a technician's folder holds says nothing of the server, and is waited for.
  if (phase.kind === 'checking' && phase.folder !== undefined) return refuse(state, 'BUSY');
  // A check that is under way answers this one too.
  const asking =
    phase.kind === 'checking'
      ? stay({ ...state, phase: { ...phase, isForced: phase.isForced || isForced } })
      : startCheck(state, isForced);
  return accepted(asking, 'Asking the server.');
};

const reboot = (state: State, context: Context): Decision => {
  const { staged } = state;
  if (state.phase.kind === 'leaving' && staged !== null) {
    const way = startReboot(state, context, { ...staged, reboots: 0, notBeforeMs: 0 }, 'reverting');
    return accepted(way, `Starting slot ${otherSlot(state.booted)}.`);
  }
  if (!isFree(state)) return refuse(state, 'BUSY');
  if (staged === null || staged.slot === state.booted)
    return refuse(state, 'NOTHING_TO_DO', 'Nothing is installed that waits for a reboot.');
  // A person stands by: the cap on reboots starts anew.
  const forced: Staged = { ...staged, isForced: true, notBeforeMs: 0, reboots: 0 };
  return accepted(proceedStaged(rest({ ...state, staged: forced }), context), `Starting ${staged.release.version}.`);
};

/** An unconfirmed system that nothing is being done to. */
const isOnTrial = (state: State): boolean => ['assessing', 'leaving'].includes(state.phase.kind) || isFree(state);

const confirm = (state: State): Decision => {
  if (state.isBootedConfirmed) return refuse(state, 'NOTHING_TO_DO', 'The running system is confirmed already.');
  return isOnTrial(state) ? accepted(startConfirm(state), 'Confirming the running system.') : refuse(state, 'BUSY');
};

/**
 * The system that ran before, if its slot still holds it whole and it was not found bad. A slot that the bootloader holds as bad
 * is none: it failed, or power went between its record and the flip, and what it holds never ran here.
 */
export const rollbackTarget = (state: State, boot?: BootStatus): SlotRecord | null => {
  const other = otherSlot(state.booted);
  const record = state.records[other];
  if (record?.status !== 'activated' || state.staged !== null || !isFree(state)) return null;
  if (boot?.slots[other].state === 'bad') return null;
  return state.denylist.some((entry) => entry.release.id === record.release.id) ? null : record;
};

const rollback = (state: State, context: Context, reason: string | null, boot?: BootStatus): Decision => {
  const text = `A technician rolled back${reason === null ? '.' : `: ${reason}`}`;
  const { staged } = state;
  if (!state.isBootedConfirmed) {
    if (!isOnTrial(state) || staged === null) return refuse(state, 'BUSY');
    const sinceMs = state.phase.kind === 'assessing' ? state.phase.sinceMs : context.moment.monoMs;
    const way = startRevertVerified(state, context, staged, text, sinceMs);
    const noted = note(way, context, 'rollback-requested', { release: staged.release, reason });
    return accepted(
      noted,
      `Verifying slot ${otherSlot(state.booted)}, then going back from ${staged.release.version}.`,
    );
  }
  // While the other slot is being written there is nothing in it to return to, and waiting does not bring it back.
  const isWriting = state.phase.kind === 'fetching' || state.phase.kind === 'verifying';
  if (!isFree(state) && !isWriting) return refuse(state, 'BUSY');
  const target = rollbackTarget(state, boot);
  if (target === null) return refuse(state, 'NO_ROLLBACK_TARGET');
  const way = newStaged({
    slot: otherSlot(state.booted),
    release: target.release,
    verity: target.verity,
    intent: 'rollback',
    isForced: true,
    request: text,
    healthDeadlineMs: context.policy.healthDeadlineMs,
  });
  // What a look at the other slot found before is looked at anew.
  const noted = note(startActivation({ ...state, attention: null }, way), context, 'rollback-requested', {
    release: target.release,
    slot: way.slot,
    reason,
  });
  return accepted(noted, `Verifying slot ${way.slot}, then going back to ${target.release.version}.`);
};

const hold = (state: State, context: Context, reason: string | null): Decision => {
  const held = note(stay({ ...state, hold: { reason, sinceMs: context.moment.wallMs } }), context, 'held', { reason });
  return accepted(held, 'Updates are held. What is under way up to the next activation goes on.');
};

const releaseHold = (state: State, context: Context): Decision => {
  if (state.hold === null) return refuse(state, 'NOTHING_TO_DO', 'Nothing is held.');
  const released = note(stay({ ...state, hold: null }), context, 'released');
  const proceeding = proceedStaged(released.state, context);
  return accepted({ ...proceeding, history: [...released.history, ...proceeding.history] }, 'Updates go on.');
};

const undeny = (state: State, context: Context, releaseId: string): Decision => {
  const entry = state.denylist.find(
    (denied) => denied.release.id === releaseId || denied.release.version === releaseId,
  );
  if (entry === undefined) return refuse(state, 'NOT_FOUND', `${releaseId} is not on the denylist.`);
  const denylist = state.denylist.filter((denied) => denied !== entry);
  return accepted(
    note(stay({ ...state, denylist }), context, 'undenied', { release: entry.release }),
    `${entry.release.version} may be installed again.`,
  );
};

/** `boot`: as the bootloader was last read, where the caller knows it. */
export const onCommand = (state: State, context: Context, command: Command, boot?: BootStatus): Decision => {
  switch (command.command) {
    case 'check':
      return check(state, false);
    case 'install':
      return check(state, true, command.folder);
    case 'reboot':
      return reboot(state, context);
    case 'confirm':
      return confirm(state);
    case 'rollback':
      return rollback(state, context, command.reason, boot);
    case 'mark-bad':
      return markBad(state, context, command, boot);
    case 'hold':
      return hold(state, context, command.reason);
    case 'release-hold':
      return releaseHold(state, context);
    case 'undeny':
      return undeny(state, context, command.releaseId);
    default:
      return assertNever(command);
  }
};
