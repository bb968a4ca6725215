// `otactl boot status`: everything that a technician asks of boot control, from the device as it stands now.

import type { BootBody } from '../api/schema.ts';
import { UsageError } from './arguments.ts';
import { type CommandRun, print } from './command.ts';
import { localTime, type Paint, plain, sizeText, table, wrap } from './layout.ts';
import type { Terminal } from './terminal.ts';

type SlotBoot = BootBody['slots'][number];

const bootloaderNames: Readonly<Record<BootBody['bootloader'], string>> = {
  uboot: 'U-Boot',
  'systemd-boot': 'systemd-boot',
  tryboot: 'Raspberry Pi firmware (tryboot)',
};

const stateWord = ({ state }: SlotBoot, paint: Paint): string =>
  paint(({ good: 'good', pending: 'warn', bad: 'bad' } as const)[state], state);

/** What stands behind the version: when it last proved itself in this slot. */
export const lastGoodText = ({ lastGood }: SlotBoot): string | null =>
  lastGood === null ? null : `${lastGood.what} ${localTime(lastGood.timeMs, lastGood.isTimeSynced)}`;

const deviceText = ({ path, device, label, sizeBytes }: SlotBoot): string => {
  const facts = [...(label === null ? [] : [`label ${label}`]), sizeBytes === 0 ? 'not there' : sizeText(sizeBytes)];
  const leads = device === null || device === path ? '' : ` -> ${device}`;
  return plain(`${path}${leads} (${facts.join(', ')})`);
};

const rootText = ({ bootloaderRoot, recordRoot }: SlotBoot): string => {
  if (bootloaderRoot === null)
    return recordRoot === null ? 'none' : `${recordRoot} (its record; the bootloader has none)`;
  if (recordRoot === null) return `${bootloaderRoot} (the bootloader; no record)`;
  return recordRoot === bootloaderRoot
    ? recordRoot
    : `${bootloaderRoot} (the bootloader), ${recordRoot} (its record): they differ`;
};

const slotLines = (slot: SlotBoot, { columns }: Terminal): string[] =>
  table(
    [
      [`  ${slot.name} device`, deviceText(slot)],
      [`  ${slot.name} root`, rootText(slot)],
    ],
    columns,
  );

const bootLines = (body: BootBody, terminal: Terminal, isVerbose: boolean): string[] => {
  const { paint, columns } = terminal;
  const isElsewhere = body.primary !== body.booted;
  const head: string[][] = [
    ['bootloader', plain(`${bootloaderNames[body.bootloader]}; ${body.foundBy}`)],
    ['next boot', isElsewhere ? paint('warn', `slot ${body.primary}, not the running one`) : `slot ${body.primary}`],
    ['pending', body.pending === null ? 'nothing' : paint('warn', plain(body.pending))],
    ['way back', body.wayBack === null ? 'none' : `slot ${body.wayBack}`],
    ['tied to', body.bootedRoot === null ? 'no verity root' : `verity root ${body.bootedRoot}`],
  ];
  const slots = [
    ['  SLOT', 'STATE', 'TRIES', 'VERSION', 'LAST GOOD HERE'],
    ...body.slots.map((slot) => [
      `${slot.booted ? '>' : ' '} ${slot.name}`,
      stateWord(slot, paint),
      slot.triesLeft === null ? '-' : String(slot.triesLeft),
      plain(slot.version ?? 'unknown'),
      lastGoodText(slot) ?? 'no record',
    ]),
  ];
  const witnesses = [
    ['WITNESS', 'SLOT', 'WHAT IT SAYS'],
    ...body.witnesses.map(({ name, says, slot }) => [name, slot ?? '-', plain(says)]),
  ];
  const problems = body.problems.flatMap(({ code, message }) =>
    wrap(paint('bad', `${plain(message)} [${code}]`), columns),
  );
  const details = [
    '',
    paint('strong', 'Evidence'),
    ...body.evidence.flatMap((sentence) => wrap(plain(sentence), columns)),
    '',
    paint('strong', 'Records of the bootloader'),
    ...body.records.flatMap(({ name, value }) =>
      value.includes('\n')
        ? [`${plain(name)}:`, ...value.split('\n').map((line) => `    ${plain(line)}`)]
        : [`${plain(name)}=${plain(value)}`],
    ),
  ];
  return [
    ...wrap(paint('strong', plain(body.runs)), columns),
    '',
    ...table(head, columns),
    '',
    ...table(slots, columns),
    ...body.slots.flatMap((slot) => slotLines(slot, terminal)),
    '',
    ...table(witnesses, columns),
    '',
    ...(problems.length === 0 ? [paint('good', 'No problem was found.')] : problems),
    ...(isVerbose ? details : []),
  ];
};

export const runBoot: CommandRun = async (context) => {
  const { invocation, api, terminal } = context;
  const [what = 'status'] = invocation.words;
  if (what !== 'status') throw new UsageError(`'otactl boot' does not understand '${what}'.`, 'boot');
  const body = await api.get<BootBody>('/v1/boot');
  print(context, body, () => bootLines(body, terminal, invocation.isVerbose));
  return 0;
};
