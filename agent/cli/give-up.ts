// The commands that give a system up: rollback and mark-bad. Both show what they would do before they ask, and wait until it
// is done or has failed, so that the exit code says what became of it.

import type { BootBody, HistoryBody, StatusBody } from '../api/schema.ts';
import { type ExitCode, OtadError } from '../core/errors.ts';
import { UsageError } from './arguments.ts';
import { lastGoodText } from './boot.ts';
import { type CommandContext, type CommandRun, isAgreed, order } from './command.ts';
import { createFollower } from './follower.ts';
import { plain, table } from './layout.ts';
import { failed, type Outcome, orderAndFollow, report } from './order-follow.ts';

const reasonOf = ({ invocation }: CommandContext, words: readonly string[]): string | null =>
  invocation.reason ?? (words.length === 0 ? null : words.join(' '));

const nameOf = (slot: BootBody['slots'][number] | undefined): string => plain(slot?.version ?? 'an unnamed system');

/** Prints what would be done; with --json on standard error, where it disturbs no program. */
const preview = ({ invocation, terminal }: CommandContext, rows: readonly (readonly string[])[]): void => {
  for (const line of table(rows, terminal.columns)) {
    if (invocation.isJson) terminal.complain(line);
    else terminal.line(line);
  }
};

const isSilent = ({ invocation, terminal }: CommandContext): boolean =>
  invocation.isJson && !invocation.isDryRun && (invocation.isYes || !terminal.canAsk);

type Entry = HistoryBody['history'][number];

/** The newest entry of one of these types that came after `sinceMs`. */
const newestOf = async (
  { api }: CommandContext,
  types: readonly string[],
  before: Entry | null,
): Promise<Entry | null> => {
  const { history } = await api.get<HistoryBody>('/v1/history?limit=20');
  const entry = history.find(({ type }) => types.includes(type)) ?? null;
  return entry === null || (before !== null && entry.timeMs === before.timeMs && entry.type === before.type)
    ? null
    : entry;
};

/** Gives the order and follows it; `done` names the phases or history that mean success. */
const follow = async (
  context: CommandContext,
  path: string,
  body: object,
  failures: readonly string[],
  done: (status: StatusBody) => Promise<Outcome | null>,
  atEnd: (last: StatusBody) => Outcome | null,
): Promise<ExitCode> => {
  if (!context.invocation.isWaiting) return order(context, path, body);
  const before = await newestOf(context, failures, null);
  const follower = context.invocation.isJson ? null : createFollower(context.terminal);
  try {
    const outcome = await orderAndFollow(
      context,
      path,
      body,
      context.invocation.timeoutMs,
      async (first, status) => {
        if (status.plan <= first.plan) return null;
        const outcome = await done(status);
        if (outcome !== null) return outcome;
        const failure = await newestOf(context, failures, before);
        if (failure !== null) return failed(failure.code, failure.reason ?? 'It failed.', failure.version);
        follower?.show(status);
        return null;
      },
      atEnd,
    );
    follower?.end();
    return report(context, outcome);
  } catch (error) {
    follower?.end();
    throw error;
  }
};

const rollbackRows = (boot: BootBody, reason: string | null): string[][] => {
  const from = boot.slots.find(({ booted }) => booted);
  const other = boot.slots.find(({ booted }) => !booted);
  const isReady = boot.wayBack !== null;
  const confirmed = from?.state === 'good' ? 'confirmed' : 'not confirmed';
  return [
    ['From', `${nameOf(from)} in slot ${boot.booted}, ${confirmed}`],
    isReady && other !== undefined
      ? ['To', `${nameOf(other)} in slot ${other.name}, ${lastGoodText(other) ?? 'no record of when it was good here'}`]
      : ['To', `nothing: slot ${other?.name ?? '-'} holds ${nameOf(other)}. ${plain(other?.note ?? '')}`],
    ...(isReady && other !== undefined
      ? [
          ['First', `all of slot ${other.name} is read back and verified; if a byte is wrong, nothing is changed`],
          ['Then', 'the gateway reboots; its users are cut off for the boot'],
          ['Denied', `${nameOf(from)} is not installed again by itself${reason === null ? '' : `: ${plain(reason)}`}`],
        ]
      : []),
  ];
};

export const runRollback: CommandRun = async (context) => {
  const { api, invocation, terminal } = context;
  const reason = reasonOf(context, invocation.words);
  if (!isSilent(context)) {
    const boot = await api.get<BootBody>('/v1/boot');
    preview(context, rollbackRows(boot, reason));
    const isAsking = terminal.canAsk && !invocation.isYes;
    if ((isAsking || invocation.isDryRun) && boot.wayBack === null) throw new OtadError('NO_ROLLBACK_TARGET');
    if (invocation.isDryRun) return 0;
    const version = nameOf(boot.slots.find(({ name }) => name === boot.wayBack));
    if (!(await isAgreed(context, `Go back to ${version} and reboot now?`))) return 1;
  }
  const goesBack = (status: StatusBody): Outcome | null =>
    status.phase === 'rebooting' || (status.phase === 'reverting' && status.primary !== status.booted)
      ? { result: 'going-back', exit: 0, message: `The other slot verified. ${status.now}`, version: status.version }
      : null;
  // The reboot takes otad with it, sometimes before it has told of it; killed before that, it goes on by itself.
  const atEnd = (last: StatusBody): Outcome | null =>
    goesBack(last) ??
    (last.phase === 'activating' || last.phase === 'reverting'
      ? { result: 'going-back', exit: 0, message: 'otad ended on the way to the reboot.', version: last.version }
      : null);
  const failures = ['rollback-failed', 'activate-failed'];
  return follow(context, '/v1/rollback', { reason }, failures, async (status) => goesBack(status), atEnd);
};

const slotOf = ({ invocation }: CommandContext): 'a' | 'b' | null => {
  const [word] = invocation.words;
  if (word === undefined) return null;
  const slot = word.toLowerCase();
  if (slot !== 'a' && slot !== 'b') throw new UsageError(`'${word}' is no slot; there are a and b.`, 'mark-bad');
  return slot;
};

const markRows = (boot: BootBody, slot: string, reason: string | null): string[][] => {
  const marked = boot.slots.find(({ name }) => name === slot);
  const other = boot.slots.find(({ name }) => name !== slot);
  const isRunning = slot === boot.booted;
  const bad = ['Bad', `slot ${slot}, ${nameOf(marked)}${isRunning ? ', which runs now' : ''}`];
  // What is going to be refused must not read like a promise.
  if (isRunning && other?.state !== 'good') return [bad, ['Then', 'nothing: the other slot is not good']];
  return [
    bad,
    [
      'Then',
      isRunning
        ? `it runs on until the next reboot, which starts ${nameOf(other)} in slot ${other?.name ?? '-'}; to reboot: otactl reboot`
        : `${marked?.state === 'bad' ? 'as before: it is not started' : 'it is not started any more'}, and there is no way back to it; ${nameOf(other)} runs on`,
    ],
    ['Denied', `${nameOf(marked)} is not installed again by itself${reason === null ? '' : `: ${plain(reason)}`}`],
  ];
};

export const runMarkBad: CommandRun = async (context) => {
  const { api, invocation } = context;
  const slot = slotOf(context);
  const reason = reasonOf(context, []);
  if (!isSilent(context)) {
    const boot = await api.get<BootBody>('/v1/boot');
    const name = slot ?? (boot.booted === 'a' ? 'b' : 'a');
    preview(context, markRows(boot, name, reason));
    const other = boot.slots.find((candidate) => candidate.name !== name);
    if (invocation.isDryRun && name === boot.booted && other?.state !== 'good')
      throw new OtadError('NO_ROLLBACK_TARGET');
    if (invocation.isDryRun) return 0;
    if (!(await isAgreed(context, `Mark slot ${name} bad?`))) return 1;
  }
  const before = await newestOf(context, ['marked-bad'], null);
  const marked = async (status: StatusBody): Promise<Outcome | null> => {
    if (status.phase === 'marking') return null;
    const entry = await newestOf(context, ['marked-bad'], before);
    if (entry === null) return null;
    const next = status.phase === 'leaving' ? ` ${status.next}${status.todo === null ? '' : ` ${status.todo}`}` : '';
    const message = `Slot ${entry.slot} is marked bad.${next}`;
    return { result: 'marked-bad', exit: 0, message, version: entry.version };
  };
  return follow(context, '/v1/mark-bad', { slot, reason }, ['mark-bad-failed'], marked, () => null);
};
