// What --help prints, in general and for one command, laid out for 80 columns. Commands and options come from their tables;
// only the frame is written here.

import { wrap } from './layout.ts';
import { globalOptions, type OptionName, options } from './options.ts';
import { type CommandName, commandDoc, commandGroups, exitCodeMeanings } from './usage.ts';

/** A serial console has 80 columns. */
const columns = 80;
const leftColumns = 24;

const entryLines = (left: string, text: string): string[] =>
  wrap(text, columns - leftColumns - 4).map(
    (line, index) => `  ${(index === 0 ? left : '').padEnd(leftColumns)}  ${line}`,
  );

const optionLines = (names: readonly OptionName[]): string[] =>
  names.flatMap((name) => {
    const { short, value, text } = options[name];
    return entryLines(`${short === null ? '    ' : `-${short}, `}--${name}${value === null ? '' : ` ${value}`}`, text);
  });

export const generalHelp = (): string => {
  const blocks = commandGroups.map(([title, names]) =>
    [
      `${title}:`,
      ...names.flatMap((name) => {
        const doc = commandDoc(name as CommandName);
        return entryLines(`${name} ${doc.arguments}`.trimEnd(), doc.summary);
      }),
    ].join('\n'),
  );
  return [
    'otactl: look at and steer the updates of this gateway.',
    '',
    'Usage: otactl COMMAND [ARGUMENTS] [OPTIONS]',
    '',
    blocks.join('\n\n'),
    '',
    'Options:',
    ...optionLines(globalOptions),
    '',
    'In trouble?',
    '  otactl status            what runs, and is it confirmed?',
    '  otactl why               what stands in the way?',
    '  otactl rollback          back to the system before',
    '  otactl hold              stop further updates',
    '',
    ...wrap(
      `Exit codes: ${exitCodeMeanings.map(([code, meaning]) => `${code} ${meaning.split(';')[0]}`).join(', ')}.`,
      columns,
    ),
    'More on a command: otactl COMMAND --help',
    '',
  ].join('\n');
};

export const commandHelp = (name: CommandName): string => {
  const doc = commandDoc(name);
  return [
    `Usage: otactl ${`${name} ${doc.arguments}`.trimEnd()} [OPTIONS]`,
    '',
    ...[doc.summary, ...doc.text].flatMap((text) => wrap(text, columns)),
    '',
    `Example: ${doc.example}`,
    '',
    'Options:',
    ...optionLines([...doc.options, ...globalOptions]),
    ...(doc.exits.length === 0 ? [] : ['', 'Exit codes:', ...doc.exits.map((line) => `  ${line}`)]),
    '',
  ].join('\n');
};
