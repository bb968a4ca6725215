// The commands that order something and return: reboot, confirm, rollback, hold, release, undeny.

import type { DenylistBody, HistoryBody, SlotBody, StatusBody } from '../api/schema.ts';
import { OtadError } from '../core/errors.ts';
import { AnswerError } from './client.ts';
import { type CommandContext, type CommandRun, isAgreed, order } from './command.ts';
import { localTime, plain, table } from './layout.ts';

const reasonOf = ({ invocation }: CommandContext): { reason: string | null } => ({
  reason: invocation.words.length === 0 ? null : invocation.words.join(' '),
});

export const runConfirm: CommandRun = (context) => order(context, '/v1/confirm');
export const runHold: CommandRun = (context) => order(context, '/v1/hold', reasonOf(context));
export const runRelease: CommandRun = (context) => order(context, '/v1/release-hold');

export const runReboot: CommandRun = async (context) => {
  const { invocation, terminal } = context;
  if (!invocation.isYes && terminal.canAsk) {
    const { staged } = await context.api.get<StatusBody>('/v1/status');
    // With nothing staged there is nothing to ask about; otad says so itself.
    const question =
      staged === null
        ? null
        : `Reboot now into ${plain(staged.version)} in slot ${staged.slot}? Users of this gateway are cut off for the boot.`;
    if (question !== null && !(await isAgreed(context, question))) return 1;
  }
  return order(context, '/v1/reboot');
};

/** When that system last proved itself in that slot, from the history; null when the history does not reach back so far. */
const provenAt = ({ history }: HistoryBody, slot: SlotBody): string | null => {
  const entry = history.find(
    ({ type, version, slot: name }) =>
      version === slot.version && name === slot.name && (type === 'confirmed' || type === 'installed'),
  );
  if (entry === undefined) return null;
  const word = entry.type === 'confirmed' ? 'confirmed' : 'verified';
  return `${word} ${localTime(entry.timeMs, entry.isTimeSynced)}`;
};

const previewHistory = 200;

/** What it would leave and where it would go, or why there is nothing to go to. */
const rollbackLines = (status: StatusBody, history: HistoryBody, columns: number): string[] => {
  const to = status.slots.find((slot) => slot.name === status.wayBack);
  const other = status.slots.find((slot) => !slot.booted);
  const from = `${plain(status.version ?? 'an unnamed system')} in slot ${status.booted}, ${status.confirmed ? 'confirmed' : 'not confirmed'}`;
  const proof = to === undefined ? null : provenAt(history, to);
  const target =
    to === undefined
      ? `nothing: slot ${other?.name ?? '-'} holds ${plain(other?.version ?? 'no named system')}. ${plain(other?.note ?? '')}`
      : `${plain(to.version ?? 'an unnamed system')} in slot ${to.name}, ${proof ?? 'verified'}`;
  return table(
    [
      ['From', from],
      ['To', target],
    ],
    columns,
  );
};

export const runRollback: CommandRun = async (context) => {
  const { api, invocation, terminal } = context;
  const isAsking = terminal.canAsk && !invocation.isYes;
  // A program that reads JSON wants no prose beside it, and nobody to answer for.
  if (!invocation.isJson || isAsking) {
    const [status, history] = await Promise.all([
      api.get<StatusBody>('/v1/status'),
      api.get<HistoryBody>(`/v1/history?limit=${previewHistory}`),
    ]);
    for (const line of rollbackLines(status, history, terminal.columns)) {
      if (invocation.isJson) terminal.complain(line);
      else terminal.line(line);
    }
    if (isAsking && status.wayBack === null) throw new OtadError('NO_ROLLBACK_TARGET');
    const version = status.slots.find((slot) => slot.name === status.wayBack)?.version ?? 'the other system';
    if (!(await isAgreed(context, `Go back to ${plain(version)} and reboot now?`))) return 1;
  }
  return order(context, '/v1/rollback', reasonOf(context));
};

export const runUndeny: CommandRun = async (context) => {
  const wanted = context.invocation.words[0] ?? '';
  const { denylist } = await context.api.get<DenylistBody>('/v1/denylist');
  const sameVersion = denylist.filter((entry) => entry.version === wanted);
  const isId = denylist.some((entry) => entry.releaseId === wanted);
  if (!isId && sameVersion.length > 1) {
    throw new OtadError('BAD_REQUEST', {
      problem: `several releases are called ${wanted}; name one by its id`,
      ids: sameVersion.map((entry) => entry.releaseId).join(' '),
    });
  }
  if (!isId && sameVersion.length === 0) {
    const known = denylist.map((entry) => entry.version).join(', ');
    throw new AnswerError(
      'NOTHING_TO_DO',
      `${wanted} is not on the denylist${known === '' ? ', which is empty' : `; on it are: ${known}`}.`,
    );
  }
  return order(context, '/v1/undeny', { releaseId: isId ? wanted : (sameVersion[0]?.releaseId ?? wanted) });
};
