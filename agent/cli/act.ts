// The commands that order something and return: reboot, confirm, hold, release, undeny.

import type { DenylistBody, StatusBody } from '../api/schema.ts';
import { OtadError } from '../core/errors.ts';
import { AnswerError } from './client.ts';
import { type CommandContext, type CommandRun, isAgreed, order } from './command.ts';
import { plain } from './layout.ts';

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
