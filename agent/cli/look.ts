// The commands that only look: status, why, history, slots, config.

import type { ConfigBody, HistoryBody, SlotBody, SlotsBody, StatusBody, WhyBody } from '../api/schema.ts';
import { type CommandRun, print } from './command.ts';
import { localTime, type Paint, plain, sizeText, table, unsyncedMark } from './layout.ts';

const bootWord = (slot: SlotBody, paint: Paint): string => {
  switch (slot.state) {
    case 'good':
      return paint('good', 'good');
    case 'pending':
      return paint('warn', slot.triesLeft === null ? 'pending' : `pending, ${slot.triesLeft} left`);
    case 'bad':
      return paint(slot.recordStatus === 'denied' ? 'bad' : 'dim', 'not bootable');
  }
};

const contentWord = (slot: SlotBody, paint: Paint): string => {
  if (slot.verified) return paint('good', 'verified');
  return slot.recordStatus === null ? 'no record' : paint('warn', slot.recordStatus);
};

const slotTable = (slots: readonly SlotBody[], paint: Paint): string[] =>
  table([
    ['  SLOT', 'VERSION', 'BOOTLOADER', 'CONTENT', 'WHAT IT IS'],
    ...slots.map((slot) => [
      `${slot.booted ? '>' : ' '} ${slot.name}`,
      plain(slot.version ?? 'unknown'),
      bootWord(slot, paint),
      contentWord(slot, paint),
      plain(slot.note),
    ]),
  ]);

const progressText = (status: StatusBody): string | null => {
  const { progress } = status;
  if (progress === null) return null;
  const sizes = `${sizeText(progress.doneBytes)} of ${sizeText(progress.totalBytes)}`;
  return `${progress.percent} %, ${sizes}, ${sizeText(progress.fetchedBytes)} over the network`;
};

const lastCheckText = ({ lastCheck, timeSynced }: StatusBody): string => {
  if (lastCheck === null) return 'not yet';
  const what =
    lastCheck.failure !== null
      ? `failed: ${lastCheck.failure.message}`
      : [
          lastCheck.version === null ? [] : [`offered ${lastCheck.version}`],
          lastCheck.reasons.map((reason) => reason.sentence),
        ]
          .flat()
          .join('; ');
  return plain(`${localTime(lastCheck.timeMs, timeSynced)}  ${what}`);
};

const statusLines = (status: StatusBody, paint: Paint): string[] => {
  const facts: (readonly [string, string | null])[] = [
    ['progress', progressText(status)],
    ['next boot', `slot ${status.primary}${status.primary === status.booted ? '' : ', not the running one'}`],
    ['last check', lastCheckText(status)],
    ['denied', status.denylist.length === 0 ? null : plain(status.denylist.join(', '))],
    ['product', plain(`${status.compatible}, channel ${status.channel}, otad ${status.agentVersion}`)],
    ['clock', status.timeSynced ? null : `not synchronised; times marked ${unsyncedMark} may be wrong`],
  ];
  return [
    paint('strong', plain(status.now)),
    plain(status.next),
    ...(status.attention === null
      ? []
      : ['', paint('bad', `Needs attention: ${plain(status.attention.message)} [${status.attention.code}]`)]),
    ...(status.hold === null
      ? []
      : [
          '',
          paint(
            'warn',
            `Held since ${localTime(status.hold.sinceMs)}: ${plain(status.hold.reason ?? 'no reason given')}`,
          ),
        ]),
    '',
    ...slotTable(status.slots, paint),
    '',
    ...table(facts.filter((fact): fact is [string, string] => fact[1] !== null)),
  ];
};

export const runStatus: CommandRun = async (context) => {
  const status = await context.api.get<StatusBody>('/v1/status');
  print(context, status, () => statusLines(status, context.terminal.paint));
  return 0;
};

export const runWhy: CommandRun = async (context) => {
  const why = await context.api.get<WhyBody>('/v1/why');
  print(context, why, () => [
    context.terminal.paint('strong', plain(why.summary)),
    ...why.reasons.flatMap((reason) => {
      const when = reason.timeMs === null ? '' : `  (${localTime(reason.timeMs)})`;
      return ['', `${context.terminal.paint('warn', reason.topic)}: ${plain(reason.sentence)}${when}`];
    }),
  ]);
  return 0;
};

export const runHistory: CommandRun = async (context) => {
  const body = await context.api.get<HistoryBody>(`/v1/history?limit=${context.invocation.limit}`);
  print(context, body, () => {
    if (body.history.length === 0) return ['Nothing has happened yet.'];
    const isMarked = body.history.some((entry) => !entry.isTimeSynced);
    return [
      ...table([
        ['TIME', 'WHAT', 'VERSION', 'SLOT', 'REASON'],
        ...body.history.map((entry) => [
          localTime(entry.timeMs, entry.isTimeSynced),
          plain(entry.type),
          plain(entry.version ?? '-'),
          entry.slot ?? '-',
          plain([entry.reason ?? '', entry.code === null ? '' : `[${entry.code}]`].join(' ')),
        ]),
      ]),
      ...(isMarked ? ['', `${unsyncedMark} the clock was not synchronised then`] : []),
    ];
  });
  return 0;
};

export const runSlots: CommandRun = async (context) => {
  const body = await context.api.get<SlotsBody>('/v1/slots');
  print(context, body, () => [
    ...slotTable(body.slots, context.terminal.paint),
    ...body.slots.flatMap((slot) => [
      '',
      ...table([
        [`slot ${slot.name}`, plain(slot.path)],
        ['verity root', slot.verityRoot ?? 'none'],
        ['hash offset', slot.hashOffset === null ? 'unknown' : String(slot.hashOffset)],
      ]),
    ]),
  ]);
  return 0;
};

export const runConfig: CommandRun = async (context) => {
  const body = await context.api.get<ConfigBody>('/v1/config');
  print(context, body, () =>
    table([
      ['KEY', 'VALUE', 'ORIGIN'],
      ...body.config.map(({ key, value, origin }) => [plain(key), plain(JSON.stringify(value) ?? '-'), plain(origin)]),
    ]),
  );
  return 0;
};
