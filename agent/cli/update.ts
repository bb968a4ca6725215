// The commands that get an update and wait for how it ends: check and install.

import { existsSync } from 'node:fs';
import type { HistoryBody, StatusBody } from '../api/schema.ts';
import { type ExitCode, OtadError } from '../core/errors.ts';
import { UsageError } from './arguments.ts';
import { type CommandContext, type CommandRun, isAgreed, order } from './command.ts';
import { folderAdvice } from './folder-advice.ts';
import { type FolderOffer, offerFolder } from './folder-offer.ts';
import { createFollower } from './follower.ts';
import { failed, type Outcome, orderAndFollow, report } from './order-follow.ts';

const checkWaitMs = 300_000;
const nothingNew: readonly string[] = ['up-to-date', 'below-floor'];
const waitsForReboot: readonly string[] = ['reboot-window', 'manual-reboot'];

/** What the newest check found. */
const checkOutcome = (status: StatusBody): Outcome => {
  const { lastCheck, staged } = status;
  const version = lastCheck?.version ?? null;
  if (lastCheck === null) return failed(null, 'otad kept no result of the check.', null);
  if (lastCheck.failure !== null) return failed(lastCheck.failure.code, lastCheck.failure.message, version);
  const why = lastCheck.reasons.map((reason) => reason.sentence).join(' ');
  const codes = lastCheck.reasons.map((reason) => reason.code);
  if (staged !== null && (staged.version === version || codes.some((code) => waitsForReboot.includes(code)))) {
    const message = `${staged.version} is installed in slot ${staged.slot} and waits for its reboot. Now: otactl reboot`;
    return { result: 'staged', exit: 4, message, version: staged.version };
  }
  if (codes.length > 0 && codes.every((code) => nothingNew.includes(code))) {
    return { result: 'nothing-new', exit: 2, message: why, version };
  }
  const isNamed = version !== null && why.includes(version);
  const blocking = codes.filter((code) => code !== 'manual-install');
  if (blocking.length > 0)
    return {
      result: 'refused',
      exit: 3,
      message: [
        isNamed ? why : `${version ?? 'A release'} is not installed now. ${why}`,
        ...(status.todo === null ? [] : [status.todo]),
      ].join(' '),
      version,
    };
  const message =
    codes.length > 0
      ? `${version} is available. To install it: otactl install`
      : `${version} is new and is being installed. To follow: otactl watch`;
  return { result: 'new', exit: 0, message, version };
};

const isCheckOver = (before: StatusBody, status: StatusBody): boolean =>
  status.phase !== 'checking' && status.lastCheck !== null && status.lastCheck.timeMs !== before.lastCheck?.timeMs;

export const runCheck: CommandRun = async (context) => {
  const { invocation } = context;
  if (!invocation.isWaiting) return order(context, '/v1/check');
  const outcome = await orderAndFollow(
    context,
    '/v1/check',
    {},
    invocation.timeoutMs ?? checkWaitMs,
    async (before, status) => (isCheckOver(before, status) ? checkOutcome(status) : null),
    () => null,
  );
  return report(context, outcome);
};

const lastInstallFailure = async ({ api }: CommandContext): Promise<HistoryBody['history'][number] | null> => {
  const { history } = await api.get<HistoryBody>('/v1/history?limit=20');
  return history.find((entry) => entry.type === 'install-failed') ?? null;
};

const installed = ({ staged, next }: StatusBody, version: string | null): Outcome => {
  const name = staged?.version ?? version ?? 'The release';
  const where = staged === null ? '' : ` in slot ${staged.slot}`;
  return { result: 'installed', exit: 0, message: `${name} is installed and verified${where}. ${next}`, version: name };
};

const pastInstall: readonly StatusBody['phase'][] = ['staged', 'activating', 'rebooting'];

/** How the install ended, or null while it goes on. */
const installOutcome = async (
  context: CommandContext,
  failureBefore: { readonly timeMs: number } | null,
  before: StatusBody,
  status: StatusBody,
): Promise<Outcome | null> => {
  if (status.plan <= before.plan) return null;
  const isSameAsBefore = before.staged !== null && before.staged.releaseId === status.staged?.releaseId;
  if (status.phase === 'staged' && isSameAsBefore) return isCheckOver(before, status) ? checkOutcome(status) : null;
  if (pastInstall.includes(status.phase)) return installed(status, status.lastCheck?.version ?? null);
  if (status.phase === 'halted') {
    return failed(status.attention?.code ?? null, status.attention?.message ?? status.now, null);
  }
  if (status.phase !== 'idle') return null;
  const failure = await lastInstallFailure(context);
  if (failure !== null && failure.timeMs !== failureBefore?.timeMs) {
    return failed(failure.code, failure.reason ?? 'The install failed. See: otactl history', failure.version);
  }
  return isCheckOver(before, status) ? checkOutcome(status) : null;
};

/** Up to here otactl itself hands over the files. */
const readsFolder: readonly StatusBody['phase'][] = ['checking', 'fetching'];

const installText = (folder: FolderOffer | null): string =>
  folder === null
    ? 'Install what the server offers into the slot that is not running? This system goes on running.'
    : `Install what ${folder.folder.path} holds into the slot that is not running? This system goes on running.`;

/** The outcome in words for the one who holds the stick: what this program saw of it, and what to do. */
const forFolder = (outcome: Outcome, offer: FolderOffer | null): Outcome => {
  if (offer === null || outcome.result !== 'failed') return outcome;
  const seen = offer.failure();
  const advice = folderAdvice(outcome.code ?? null);
  const parts = [seen?.message ?? outcome.message, ...(advice === null ? [] : [advice])];
  return { ...outcome, message: parts.join(' ') };
};

const stopped = (offer: FolderOffer | null, phase: StatusBody['phase'] | null): OtadError =>
  offer !== null && (phase === null || readsFolder.includes(phase))
    ? new OtadError('CANCELLED', { install: 'stopped; what is written is kept, and the same command goes on there' })
    : new OtadError('CANCELLED', { watching: 'stopped', install: 'goes on; otactl status shows how far it is' });

const followInstall = async (context: CommandContext, offer: FolderOffer | null): Promise<ExitCode> => {
  const { invocation, terminal } = context;
  if (!(await isAgreed(context, installText(offer)))) return 1;
  const body = offer === null ? {} : { folder: offer.folder };
  if (!invocation.isWaiting) return order(context, '/v1/install', body);
  const failureBefore = await lastInstallFailure(context);
  const follower = invocation.isJson ? null : createFollower(terminal);
  let phase: StatusBody['phase'] | null = null;
  try {
    const outcome = await orderAndFollow(
      context,
      '/v1/install',
      body,
      invocation.timeoutMs,
      async (before, status) => {
        phase = status.phase;
        const outcome = await installOutcome(context, failureBefore, before, status);
        // The end is told once, by the outcome.
        if (outcome === null) follower?.show(status);
        return outcome;
      },
      // A reboot that comes at once takes otad with it.
      (last) => (pastInstall.includes(last.phase) ? installed(last, null) : null),
    );
    follower?.end();
    return report(context, forFolder(outcome, offer));
  } catch (error) {
    follower?.end();
    if (!context.signal.aborted) throw error;
    throw stopped(offer, phase);
  }
};

/** A folder may be called like a version; what is not there was meant as one. */
const refuseVersion = (word: string): void => {
  if (!/^v?\d[0-9A-Za-z.~^+_-]*$/.test(word) || existsSync(word)) return;
  throw new UsageError(
    `There is no folder '${word}', and a version cannot be chosen here: 'otactl install' takes the release that the server offers, and 'otactl undeny ${word}' lets a denied one be tried again.`,
    'install',
  );
};

export const runInstall: CommandRun = async (context) => {
  const { invocation, api } = context;
  const [path] = invocation.words;
  if (path === undefined) return followInstall(context, null);
  refuseVersion(path);
  if (!invocation.isWaiting) {
    throw new UsageError('otactl hands the files of a folder over itself: it takes no --no-wait then.', 'install');
  }
  const offer = await offerFolder(api, path);
  try {
    return await followInstall(context, offer);
  } finally {
    offer.close();
  }
};
