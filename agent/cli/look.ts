// The commands that only look: status, why, history, slots, config.

import type { ConfigBody, HistoryBody, SlotBody, SlotsBody, StatusBody, WhyBody } from '../api/schema.ts';
import { limitMax } from './arguments.ts';
import { type CommandRun, print } from './command.ts';
import { durationText, localTime, type Paint, plain, sizeText, table, unsyncedMark, wrap } from './layout.ts';
import type { Terminal } from './terminal.ts';

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

const slotTable = (slots: readonly SlotBody[], { paint, columns }: Terminal): string[] =>
  table(
    [
      ['  SLOT', 'VERSION', 'BOOTLOADER', 'CONTENT', 'WHAT IT IS'],
      ...slots.map((slot) => [
        `${slot.booted ? '>' : ' '} ${slot.name}`,
        plain(slot.version ?? 'unknown'),
        bootWord(slot, paint),
        contentWord(slot, paint),
        plain(slot.note),
      ]),
    ],
    columns,
  );

const progressText = (status: StatusBody): string | null => {
  const { progress } = status;
  if (progress === null) return null;
  const sizes = `${sizeText(progress.doneBytes)} of ${sizeText(progress.totalBytes)}`;
  const saved = progress.savedBytes === 0 ? '' : `, ${sizeText(progress.savedBytes)} saved`;
  const rebuilt = progress.rebuiltBytes === 0 ? '' : `, ${sizeText(progress.rebuiltBytes)} by patch`;
  const copied = progress.copiedBytes === 0 ? '' : `, ${sizeText(progress.copiedBytes)} copied`;
  const left = progress.secondsLeft === null ? '' : `, ${durationText(progress.secondsLeft)} left`;
  const split = `${rebuilt}${copied}, ${sizeText(progress.fetchedBytes)} fetched`;
  return `${progress.percent} %, ${sizes}${split}${saved}${left}`;
};

/** What the last check said that does not stand above it already. */
const lastCheckText = ({ lastCheck, timeSynced, now, next, attention }: StatusBody): string => {
  if (lastCheck === null) return 'not yet';
  const said = [now, next, attention?.message ?? ''].join(' ');
  const isNews = (text: string) => !said.includes(text);
  const { failure, version, reasons } = lastCheck;
  const what =
    failure !== null
      ? [`failed${isNews(failure.message) ? `: ${failure.message}` : ', see above'}`]
      : [
          ...(version === null ? [] : [`offered ${version}.`]),
          ...reasons.filter(({ code }) => code !== 'hold').map(({ sentence }) => sentence),
        ].filter(isNews);
  return plain([`${localTime(lastCheck.timeMs, timeSynced)} `, ...what].join(' '));
};

/** Denied releases that no slot holds; of those in a slot the slot's note says why. */
const deniedText = ({ denylist, slots }: StatusBody): string | null => {
  const held = slots.filter((slot) => slot.recordStatus === 'denied').map((slot) => slot.version);
  const others = denylist.filter((version) => !held.includes(version));
  return others.length === 0 ? null : plain(`${others.join(', ')}; the reasons: otactl why`);
};

const rows = (facts: readonly (readonly [string, string | null])[], columns: number): string[] =>
  table(
    facts.filter((fact): fact is [string, string] => fact[1] !== null),
    columns,
  );

const statusLines = (status: StatusBody, terminal: Terminal): string[] => {
  const { paint, columns } = terminal;
  const { attention, hold, todo } = status;
  const isAttentionSaid = attention !== null && status.now.includes(attention.message);
  const happening: (readonly [string, string | null])[] = [
    ['now', status.phase === 'idle' ? null : plain(status.now)],
    ['progress', progressText(status)],
    ['next', plain(status.next)],
    [
      'held',
      hold === null
        ? null
        : paint(
            'warn',
            `since ${localTime(hold.sinceMs, status.timeSynced)}: ${plain(hold.reason ?? 'no reason given')}`,
          ),
    ],
    [
      'attention',
      attention === null
        ? null
        : paint('bad', `${isAttentionSaid ? '' : plain(attention.message)} [${attention.code}]`.trim()),
    ],
    ['to do', todo === null ? 'nothing' : paint(attention === null ? 'strong' : 'bad', plain(todo))],
  ];
  const facts: (readonly [string, string | null])[] = [
    ['next boot', `slot ${status.primary}${status.primary === status.booted ? '' : ', not the running one'}`],
    ['last check', lastCheckText(status)],
    ['denied', deniedText(status)],
    ['product', plain(`${status.compatible}, channel ${status.channel}, otad ${status.agentVersion}`)],
    ['clock', status.timeSynced ? null : `not synchronised; times marked ${unsyncedMark} may be wrong`],
  ];
  return [
    ...wrap(paint(status.confirmed ? 'strong' : 'warn', plain(status.runs)), columns),
    '',
    ...rows(happening, columns),
    '',
    ...slotTable(status.slots, terminal),
    '',
    ...rows(facts, columns),
  ];
};

export const runStatus: CommandRun = async (context) => {
  const status = await context.api.get<StatusBody>('/v1/status');
  print(context, status, () => statusLines(status, context.terminal));
  return 0;
};

export const runWhy: CommandRun = async (context) => {
  const why = await context.api.get<WhyBody>('/v1/why');
  const { paint, columns } = context.terminal;
  print(context, why, () => [
    ...wrap(paint('strong', plain(why.summary)), columns),
    ...why.reasons.flatMap((reason) => {
      const when = reason.timeMs === null ? '' : `  (${localTime(reason.timeMs)})`;
      return ['', ...wrap(`${paint('warn', reason.topic)}: ${plain(reason.sentence)}${when}`, columns)];
    }),
  ]);
  return 0;
};

type Entry = HistoryBody['history'][number];

/** The reason and the code; of a reason that the entry right above has given for the same release, only what it left out. */
const reasonText = (entry: Entry, above: Entry | undefined): string => {
  const { reason, version, code } = entry;
  const said = above?.version === version ? (above.reason ?? '') : '';
  const isSaid = reason !== null && said !== '' && `${reason} `.startsWith(`${said} `);
  return plain(
    [isSaid ? `(as above)${reason.slice(said.length)}` : (reason ?? ''), code === null ? '' : `[${code}]`].join(' '),
  );
};

export const runHistory: CommandRun = async (context) => {
  const { limit } = context.invocation;
  const body = await context.api.get<HistoryBody>(`/v1/history?limit=${limit}`);
  print(context, body, () => {
    const { history } = body;
    if (history.length === 0) return ['Nothing has happened yet.'];
    const marked = history.filter((entry) => !entry.isTimeSynced).length;
    const isAllMarked = marked === history.length;
    return [
      ...table(
        [
          ['TIME', 'WHAT', 'VERSION', 'SLOT', 'REASON'],
          ...history.map((entry, index) => [
            localTime(entry.timeMs, entry.isTimeSynced || isAllMarked),
            plain(entry.type),
            plain(entry.version ?? '-'),
            entry.slot ?? '-',
            reasonText(entry, history[index - 1]),
          ]),
        ],
        context.terminal.columns,
      ),
      ...(isAllMarked
        ? ['', 'The clock was not synchronised at any of these times; they may be wrong.']
        : marked > 0
          ? ['', `${unsyncedMark} the clock was not synchronised then; the time may be wrong`]
          : []),
      ...(history.length === limit && limit < limitMax
        ? ['', `There may be older entries: otactl history --limit ${Math.min(limitMax, 5 * limit)}`]
        : []),
    ];
  });
  return 0;
};

export const runSlots: CommandRun = async (context) => {
  const body = await context.api.get<SlotsBody>('/v1/slots');
  print(context, body, () => [
    ...slotTable(body.slots, context.terminal),
    ...body.slots.flatMap((slot) => [
      '',
      ...table(
        [
          [`slot ${slot.name}`, plain(slot.path)],
          ['verity root', slot.verityRoot ?? 'none'],
          ['hash offset', slot.hashOffset === null ? 'unknown' : String(slot.hashOffset)],
        ],
        context.terminal.columns,
      ),
    ]),
  ]);
  return 0;
};

export const runConfig: CommandRun = async (context) => {
  const body = await context.api.get<ConfigBody>('/v1/config');
  const { paint, columns } = context.terminal;
  print(context, body, () => [
    ...body.leftOut.flatMap(({ message, code }) => [
      ...wrap(paint('bad', `Left out: ${plain(message)} [${code}]`), columns),
      '',
    ]),
    ...table(
      [
        ['KEY', 'VALUE', 'ORIGIN'],
        ...body.config.map(({ key, value, origin }) => [
          plain(key),
          plain(JSON.stringify(value) ?? '-'),
          plain(origin),
        ]),
      ],
      columns,
    ),
  ]);
  return 0;
};
