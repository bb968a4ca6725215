// The questions of `otapub init` at a terminal. Every one has a default that Enter takes; a wrong answer is asked again a
// few times. Without a terminal nothing is asked and the defaults stand.

import { basename, resolve } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { type RoleName, roleNames } from '../keys/signing-key.ts';
import { dayS } from '../repository/expiry.ts';
import { defaultLifetimesS, lifetimesSchema } from '../repository/publisher-folder.ts';
import { defaultKeyPlan, type InitOptions, type KeyPlan } from '../repository/repository-init.ts';
import { splitList } from './ceremony.ts';
import { type CommandIo, usageError, wholeNumber } from './command.ts';

const triesMax = 3;

export const parsePlan = (role: RoleName, text: string): KeyPlan => {
  const match = /^(\d{1,2})\/(\d{1,2})$/.exec(text);
  const plan = { threshold: Number(match?.[1]), count: Number(match?.[2]) };
  if (match === null || plan.threshold < 1 || plan.threshold > plan.count) {
    throw usageError(`--${role} must be THRESHOLD/KEYS such as 2/3, not '${text}'`);
  }
  return plan;
};

export const daysMax = (lifetimesSchema.shape.root.maxValue ?? dayS) / dayS;

/** Asks until `parse` takes the answer. Null: nobody is there. Who leaves cancels all of it: nothing is made. */
const ask = async <T>(
  io: CommandIo,
  question: string,
  standard: string,
  parse: (answer: string) => T,
): Promise<T | null> => {
  for (let tries = 1; ; tries += 1) {
    const answer = await io.ask(`${question} [${standard}] `);
    if (answer === null) return null;
    try {
      return parse(answer.trim() === '' ? standard : answer.trim());
    } catch (error) {
      if (tries >= triesMax || !(error instanceof OtadError)) throw error;
      io.warn(String(error.details.problem ?? error.message));
    }
  }
};

const countOf =
  (what: string, count: number, oneIsEnough: boolean) =>
  (answer: string): readonly string[] => {
    const words = splitList(answer) ?? [];
    if (words.length === count || (oneIsEnough && words.length === 1)) return words;
    throw usageError(`${what}: ${count} are needed, separated by commas`);
  };

const askRootKeys = async (io: CommandIo, init: InitOptions, plan: KeyPlan): Promise<Partial<InitOptions> | null> => {
  const numbered = Array.from({ length: plan.count }, (_, index) => `root-${index + 1}`).join(',');
  const names = await ask(io, 'Names of the root keys, public', numbered, countOf('names', plan.count, false));
  if (names === null) return null;
  const keys = resolve(init.folder, 'keys');
  const parse = countOf('folders', plan.count, true);
  const folders = await ask(io, 'Folders for them, one or one each, such as sticks', keys, parse);
  if (folders === null) return null;
  const isDefault = folders.length === 1 && folders[0] === keys;
  return { keyNames: { root: names }, ...(isDefault ? {} : { keyFolders: { root: folders } }) };
};

const askLifetimes = async (io: CommandIo): Promise<InitOptions['lifetimesS'] | null> => {
  const standard = roleNames.map((role) => defaultLifetimesS[role] / dayS).join(',');
  const days = await ask(io, `Days that signatures stand (${roleNames.join(', ')})`, standard, (answer) =>
    countOf(
      'numbers of days',
      roleNames.length,
      false,
    )(answer).map((word) => wholeNumber('days', word, { min: 1, max: daysMax })),
  );
  if (days === null) return null;
  const pairs = roleNames.map((role, index): [RoleName, number] => [role, (days[index] ?? 1) * dayS]);
  return Object.fromEntries(pairs);
};

/** The options with the answers. Changes nothing when nobody is there to ask. */
export const askInit = async (init: InitOptions, io: CommandIo): Promise<InitOptions> => {
  const standard = `${defaultKeyPlan.root.threshold}/${defaultKeyPlan.root.count}`;
  const name = await ask(io, 'Name of the repository', basename(resolve(init.folder)), (answer) => answer);
  if (name === null) return init;
  const root = await ask(io, 'Root keys, as needed/made', standard, (answer) => parsePlan('root', answer));
  if (root === null) return init;
  const keys = await askRootKeys(io, init, root);
  const lifetimesS = await askLifetimes(io);
  if (keys === null || lifetimesS === null) return init;
  return { ...init, ...keys, name, keyPlan: { root }, lifetimesS };
};
