// Answers 'why is it not updating' and 'why did it roll back': every unmet condition as a sentence, the most pressing
// first. Pure. A condition of the last check that no longer holds (a hold released since) is not repeated.

import type { Snapshot } from '../core/ports.ts';
import type { Reason } from '../core/state.ts';
import type { HistoryEntry, Moment } from '../core/types.ts';
import type { Automation } from './context.ts';
import { aboutRelease, asSentence, narrate } from './narrative.ts';
import type { WhyBody } from './schema.ts';

type Answer = WhyBody['reasons'][number];

const isStillTrue = ({ state, boot }: Snapshot, moment: Moment, reason: Reason): boolean => {
  switch (reason.code) {
    case 'hold':
      // Said in its own words, with its reason, by holdAnswers.
      return false;
    case 'denied':
      return state.denylist.length > 0;
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
  const { timeMs, release, failure } = lastCheck;
  const failed: Answer[] =
    failure === null
      ? []
      : [
          {
            topic: 'update',
            code: failure.code,
            sentence: `The last check failed: ${asSentence(failure.message)}`,
            timeMs,
          },
        ];
  const conditions = lastCheck.reasons
    .filter((reason) => isStillTrue(snapshot, moment, reason))
    // The failure above already says what the condition repeats.
    .filter((reason) => failure === null || reason.code !== 'check-failed')
    .map(({ code, sentence }): Answer => {
      const version = failure === null && code !== 'up-to-date' ? (release?.version ?? null) : null;
      return { topic: 'update', code, sentence: aboutRelease(version, sentence), timeMs };
    });
  return [...failed, ...conditions];
};

const denyAnswers = ({ state }: Snapshot): Answer[] =>
  state.denylist.map(({ release, reason, timeMs }) => ({
    topic: 'denylist',
    code: 'denied',
    sentence: `${release.version} failed here and is never retried by itself: ${asSentence(reason)} To allow it: otactl undeny ${release.id}`,
    timeMs,
  }));

const rollbackAnswers = (history: readonly HistoryEntry[]): Answer[] => {
  const last = history.find((entry) => entry.type === 'rolled-back');
  if (last === undefined) return [];
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
): WhyBody => {
  const { state } = snapshot;
  const { now, next } = narrate(snapshot, moment, automation);
  const attention: Answer[] =
    state.attention === null
      ? []
      : [
          {
            topic: 'attention',
            code: state.attention.code,
            sentence: asSentence(state.attention.message),
            timeMs: null,
          },
        ];
  const waiting: Answer[] =
    state.phase.kind === 'idle'
      ? []
      : [{ topic: 'now', code: state.phase.kind, sentence: `${now} ${next}`, timeMs: null }];
  return {
    summary: `${now} ${next}`,
    reasons: [
      ...attention,
      ...holdAnswers(snapshot),
      ...waiting,
      ...updateAnswers(snapshot, moment),
      ...denyAnswers(snapshot),
      ...rollbackAnswers(history),
    ],
  };
};
