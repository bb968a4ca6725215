// What a command of `otapub` is, and how its words are read: strict options, plain messages, no guessing.

import { stat } from 'node:fs/promises';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { OtadError } from '../../agent/core/errors.ts';
import { nearest } from '../../agent/edit-distance.ts';
import { type RoleName, roleNames } from '../keys/signing-key.ts';

export interface CommandIo {
  /** One line for the reader, or for the program behind `--json`. */
  print(line: string): void;
  /** One line for the person, beside the output proper. */
  warn(line: string): void;
  /** Asks the person at the terminal; null when there is none. An empty answer is ''. Throws CANCELLED when they leave. */
  ask(question: string): Promise<string | null>;
  /** Terminal text for a line that changes; absent when nobody watches. */
  readonly progress?: ((text: string) => void) | undefined;
  /** Ends long commands (`serve`) and cancels the others. */
  readonly signal: AbortSignal;
  readonly environment: Readonly<Record<string, string | undefined>>;
  nowMs(): number;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly help: string;
  /** Resolves to the exit code. */
  run(args: readonly string[], io: CommandIo): Promise<number>;
}

export const usageError = (problem: string): OtadError => new OtadError('BAD_REQUEST', { problem });

/** `; did you mean '--channel'?`, or nothing when no known word is near. */
export const suggestion = (word: string, known: readonly string[], prefix = ''): string => {
  const near = nearest(word, known);
  return near === null ? '' : `; did you mean '${prefix}${near}'?`;
};

const describeMisuse = (error: unknown, names: readonly string[]): string => {
  const message = error instanceof Error ? error.message : String(error);
  const unknown = /^Unknown option '-{1,2}([^'=\s]+)/.exec(message)?.[1];
  if (unknown === undefined) return message;
  // `--version` for `--release-version`: too far for a slip of the finger, and still meant.
  const ending = names.find((name) => name.endsWith(`-${unknown}`));
  const near = suggestion(unknown, names, '--');
  return `there is no option '--${unknown}'${near === '' && ending !== undefined ? `; did you mean '--${ending}'?` : near}`;
};

type OptionsConfig = NonNullable<ParseArgsConfig['options']>;

/** Options and operands. Unknown options, missing values and a wrong number of operands are usage errors. */
export const parseWords = <T extends OptionsConfig>(
  args: readonly string[],
  options: T,
  operands: { readonly min: number; readonly max: number; readonly names: string },
) => {
  let words: ReturnType<typeof parseArgs<{ options: T; allowPositionals: true; strict: true }>>;
  try {
    words = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw usageError(describeMisuse(error, Object.keys(options)));
  }
  const count = words.positionals.length;
  if (count < operands.min) throw usageError(`missing ${operands.names}`);
  if (count > operands.max) throw usageError(`too many operands: ${words.positionals.slice(operands.max).join(' ')}`);
  return words;
};

/** A whole number of an option, or undefined when it was not given. */
export const wholeNumber = (
  name: string,
  text: string | undefined,
  range: { readonly min: number; readonly max: number },
): number | undefined => {
  if (text === undefined) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= range.min && value <= range.max)) {
    throw usageError(`--${name} must be a whole number from ${range.min} to ${range.max}, not '${text}'`);
  }
  return value;
};

/** The values of options that must be given; what is missing is said all at once. */
export const required = <K extends string>(
  values: Readonly<Partial<Record<K, string | undefined>>>,
  names: readonly K[],
): Readonly<Record<K, string>> => {
  const missing = names.filter((name) => (values[name] ?? '') === '').map((name) => `--${name}`);
  if (missing.length > 0) throw usageError(`${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} required`);
  return values as Readonly<Record<K, string>>;
};

export const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (facts) => facts.isDirectory(),
    () => false,
  );

export const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (facts) => facts.isFile(),
    () => false,
  );

/** Rows with columns as wide as their widest cell. */
export const formatTable = (rows: readonly (readonly string[])[]): readonly string[] => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
};

const unitNames = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export const formatBytes = (bytes: number): string => {
  const power = bytes < 1024 ? 0 : Math.min(unitNames.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${power === 0 ? bytes : (bytes / 1024 ** power).toFixed(1)} ${unitNames[power]}`;
};

/** The role that a word names. */
export const parseRole = (word: string): RoleName => {
  const role = roleNames.find((known) => known === word);
  if (role === undefined)
    throw usageError(`'${word}' is no role: ${roleNames.join(', ')}${suggestion(word, roleNames)}`);
  return role;
};

/** True for yes; a person who is not there has not agreed. */
export const isYes = (answer: string | null): boolean => /^y(es)?$/i.test(answer?.trim() ?? '');
