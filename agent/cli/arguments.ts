// Reads the command line. Pure but for util.parseArgs, which is. What it does not understand is a UsageError: exit 64,
// with the nearest word that would have been right.

import { parseArgs } from 'node:util';
import { nearest } from '../edit-distance.ts';
import { globalOptions, type OptionName, options } from './options.ts';
import { type CommandName, commandDoc, commandNames } from './usage.ts';

export class UsageError extends Error {
  readonly command: CommandName | null;

  constructor(message: string, command: CommandName | null = null) {
    super(message);
    this.name = 'UsageError';
    this.command = command;
  }
}

export interface Invocation {
  readonly command: CommandName;
  readonly words: readonly string[];
  readonly isJson: boolean;
  readonly isYes: boolean;
  readonly isWaiting: boolean;
  readonly socket: string | null;
  readonly timeoutMs: number | null;
  readonly limit: number;
  readonly isDryRun: boolean;
  readonly isVerbose: boolean;
  /** Given as --reason. */
  readonly reason: string | null;
}

export type Request =
  | { readonly kind: 'run'; readonly invocation: Invocation }
  | { readonly kind: 'help'; readonly command: CommandName | null }
  | { readonly kind: 'version' };

const limitDefault = 20;
export const limitMax = 1000;
const timeoutSecondsMax = 7 * 86_400;

const isCommand = (word: string): word is CommandName => (commandNames as readonly string[]).includes(word);

const commandOf = (word: string): CommandName => {
  if (isCommand(word)) return word;
  const guess = nearest(word, commandNames);
  throw new UsageError(
    `otactl has no command '${word}'.${guess === null ? '' : ` Did you mean: otactl ${guess}`}`,
    guess as CommandName | null,
  );
};

const parsed = (argv: readonly string[]) =>
  parseArgs({
    args: [...argv],
    allowPositionals: true,
    strict: false,
    tokens: true,
    options: Object.fromEntries(
      Object.entries(options).map(([name, { short, value }]) => [
        name,
        { type: value === null ? ('boolean' as const) : ('string' as const), ...(short === null ? {} : { short }) },
      ]),
    ),
  });

const isOption = (name: string): name is OptionName => Object.hasOwn(options, name);

const checkOptions = (tokens: ReturnType<typeof parsed>['tokens'], command: CommandName | null): void => {
  const allowed: readonly string[] = [...globalOptions, ...(command === null ? [] : commandDoc(command).options)];
  for (const token of tokens ?? []) {
    if (token.kind !== 'option') continue;
    if (!isOption(token.name)) {
      const guess = nearest(token.name, allowed);
      throw new UsageError(
        `otactl has no option '${token.rawName}'.${guess === null ? '' : ` Did you mean: --${guess}`}`,
        command,
      );
    }
    if (!allowed.includes(token.name) && command !== null) {
      throw new UsageError(`'otactl ${command}' takes no ${token.rawName}.`, command);
    }
    const wantsValue = options[token.name].value;
    // '--limit --json' would take '--json' for the value: a forgotten value, not a strange one.
    const hasValue =
      token.value !== undefined && token.value !== '' && (token.inlineValue || !token.value.startsWith('-'));
    if (wantsValue !== null && !hasValue)
      throw new UsageError(`${token.rawName} needs a value: ${wantsValue}.`, command);
    if (wantsValue === null && token.value !== undefined)
      throw new UsageError(`${token.rawName} takes no value.`, command);
  }
};

const numberOf = (name: string, text: unknown, min: number, max: number, command: CommandName): number | null => {
  if (typeof text !== 'string') return null;
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw new UsageError(`--${name} must be a number from ${min} to ${max}, not '${text}'.`, command);
  }
  return value;
};

const checkWords = (command: CommandName, words: readonly string[]): void => {
  const doc = commandDoc(command);
  if (words.length > doc.argumentsMax) {
    throw new UsageError(`'otactl ${command}' does not understand '${words[doc.argumentsMax]}'.`, command);
  }
  if (words.length < doc.argumentsMin) throw new UsageError(`'otactl ${command}' needs ${doc.arguments}.`, command);
};

/** Throws UsageError. */
export const readArguments = (argv: readonly string[]): Request => {
  const { values, positionals, tokens } = parsed(argv);
  const [first, ...words] = positionals;
  if (first === undefined || first === 'help') {
    checkOptions(tokens, null);
    if (values.version === true) return { kind: 'version' };
    if (first === undefined && values.help !== true) throw new UsageError('otactl needs a command.');
    return { kind: 'help', command: words[0] === undefined ? null : commandOf(words[0]) };
  }
  const command = commandOf(first);
  checkOptions(tokens, command);
  if (values.help === true) return { kind: 'help', command };
  if (values.version === true) return { kind: 'version' };
  checkWords(command, words);
  const limit = numberOf('limit', values.limit, 1, limitMax, command) ?? limitDefault;
  if (!Number.isInteger(limit)) throw new UsageError('--limit must be a whole number.', command);
  const timeoutS = numberOf('timeout', values.timeout, 0.001, timeoutSecondsMax, command);
  return {
    kind: 'run',
    invocation: {
      command,
      words,
      isJson: values.json === true,
      isYes: values.yes === true,
      isWaiting: values['no-wait'] !== true,
      socket: typeof values.socket === 'string' ? values.socket : null,
      timeoutMs: timeoutS === null ? null : timeoutS * 1000,
      limit,
      isDryRun: values['dry-run'] === true,
      isVerbose: values.verbose === true,
      reason: typeof values.reason === 'string' ? values.reason : null,
    },
  };
};
