// Answers 'why is it not updating' and 'why did it roll back': every unmet condition as a sentence, the most pressing
// first and each fact once. Pure. A condition of the last check that no longer holds (a hold released since) is left out.

import type { Failure } from '../core/errors.ts';
import type { Snapshot } from '../core/ports.ts';
import type { Reason } from '../core/state.ts';
import type { HistoryEntry, Moment } from '../core/types.ts';
import { undenyCommand } from './advice.ts';
import type { Automation } from './context.ts';
import { conditionSentence, narrate, runningSentence } from './narrative.ts';
import type { WhyBody } from './schema.ts';
import { asSentence } from './sentence.ts';
import { attentionOf } from './status.ts';

type Answer = WhyBody['reasons'][number];

const isStillTrue = ({ boot }: Snapshot, moment: Moment, reason: Reason): boolean => {
  switch (reason.code) {
    case 'hold':
      // Said in its own words, with its reason, by holdAnswers.
      return false;
    case 'denied':
      // Said with its reason by denyAnswers.
      return false;
    case 'unconfirmed':
      return boot.slots[boot.booted].state !== 'good';
    case 'download-window':
      return !moment.windows.download;
    case 'reboot-window':
      return !moment.windows.reboot;
    default:
      return true;
  }
};

const holdAnswers = ({ state }: Snapshot): Answer[] => {
  if (state.hold === null) return [];
  const reason = state.hold.reason === null ? 'no reason was given' : state.hold.reason;
  return [
    {
      topic: 'hold',
      code: 'hold',
      sentence: `An operator holds updates: ${asSentence(reason)} To go on: otactl release`,
      timeMs: state.hold.sinceMs,
    },
  ];
};

const updateAnswers = (snapshot: Snapshot, moment: Moment): Answer[] => {
  const { lastCheck } = snapshot.state;
  if (lastCheck === null) {
    return [
      {
        topic: 'update',
        code: 'not-checked',
        sentence: 'The server has not been asked yet. To ask now: otactl check',
        timeMs: null,
      },
    ];
  }
  const { timeMs, failure } = lastCheck;
  const failed: Answer[] =
    failure === null
      ? []
      : [
          {
            topic: 'update',
            code: failure.code,
            sentence:
              failure.code === 'SERVER_UNSET'
                ? failure.message
                : `The last check failed: ${asSentence(failure.message)}`,
            timeMs,
          },
        ];
  const conditions = lastCheck.reasons
    .filter((reason) => isStillTrue(snapshot, moment, reason))
    // The failure above already says what the condition repeats.
    .filter((reason) => failure === null || reason.code !== 'check-failed')
    .map(
      (reason): Answer => ({
        topic: 'update',
        code: reason.code,
        sentence: conditionSentence(reason, lastCheck),
        timeMs,
      }),
    );
  return [...failed, ...conditions];
};

const denyAnswers = (snapshot: Snapshot): Answer[] =>
  snapshot.state.denylist.map(({ release, reason, timeMs }) => ({
    topic: 'denylist',
    code: 'denied',
    sentence: `${release.version} is denied here and not tried again by itself: ${asSentence(reason)} To allow it: ${undenyCommand(snapshot, release)}`,
    timeMs,
  }));

const rollbackAnswers = ({ state }: Snapshot, history: readonly HistoryEntry[]): Answer[] => {
  const last = history.find((entry) => entry.type === 'rolled-back');
  if (last === undefined) return [];
  // What was rolled back is denied, with the same reason: denyAnswers has said it.
  const isSaid = state.denylist.some(
    ({ release, reason }) => release.version === last.version && reason === last.reason,
  );
  if (isSaid) return [];
  const from = last.version === null ? 'Rolled back' : `Rolled back from ${last.version}`;
  return [
    {
      topic: 'rollback',
      code: last.code ?? 'rolled-back',
      sentence: `${from}: ${asSentence(last.reason ?? 'no reason was kept')}`,
      timeMs: last.timeMs,
    },
  ];
};

/** `history` is newest first. */
export const whyBody = (
  snapshot: Snapshot,
  moment: Moment,
  automation: Automation,
  history: readonly HistoryEntry[],
  configProblems: readonly Failure[],
): WhyBody => {
  const failure = attentionOf(snapshot, configProblems);
  const { now, next } = narrate(snapshot, moment, automation);
  const attention: Answer[] =
    failure === null
      ? []
      : [
          {
            topic: 'attention',
            code: failure.code,
            sentence: asSentence(failure.message),
            timeMs: null,
          },
        ];
  return {
    // Why it stopped is the first of the reasons.
    summary: `${snapshot.state.phase.kind === 'halted' ? runningSentence(snapshot) : now} ${next}`,
    reasons: [
      ...attention,
      ...holdAnswers(snapshot),
      ...updateAnswers(snapshot, moment),
      ...denyAnswers(snapshot),
      ...rollbackAnswers(snapshot, history),
    ],
  };
};
