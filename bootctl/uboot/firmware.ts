// What boot.cmd does at power-on, as a pure function over the environment's variables: the virtual gateway's
// firmware and the tests' link between script and model. Written at the level of the script on purpose, so that a slip
// in either shows as a difference from the model.

import type { SlotName } from '../../agent/core/types.ts';
import { sequenceName, type Variables } from './environment.ts';
import { hashOffsetName, leftName, orderName, rootName, trialName } from './variables.ts';

export interface BootChoice {
  /** null: nothing could be opened; the board resets and tries again. */
  readonly slot: SlotName | null;
  /** What is saved before the slot starts. Empty: nothing is written, as on every boot of a good slot. */
  readonly changes: ReadonlyMap<string, string>;
  /** Arguments for the kernel command line. */
  readonly cmdline: string;
}

const toSlot = { A: 'a', B: 'b' } as const;
const letterOf = { a: 'A', b: 'B' } as const;
type Letter = keyof typeof toSlot;
const isLetter = (word: string): word is Letter => word === 'A' || word === 'B';

const lettersIn = (text: string | undefined): readonly Letter[] =>
  (text ?? '').split(/\s+/).filter((word): word is Letter => isLetter(word));

const fullTries = '3';

/** The steps before the walk: fill in what is missing, and give tries back when none are left. Changes `env`. */
const prepare = (env: Map<string, string>): void => {
  if ((env.get(sequenceName) ?? '') === '') env.set(trialName, 'A B');
  for (const name of [leftName.a, leftName.b]) {
    if (!/^[0-9]$/.test(env.get(name) ?? '')) env.set(name, fullTries);
  }
  const hasRoot = (letter: Letter): boolean => (env.get(rootName[toSlot[letter]]) ?? '') !== '';
  const rooted = (['A', 'B'] as const).filter(hasRoot);
  const candidates: readonly Letter[] = rooted.length > 0 ? rooted : ['A', 'B'];
  if (lettersIn(env.get(orderName)).length === 0) env.set(orderName, candidates.join(' '));
  const order = lettersIn(env.get(orderName));
  if (order.some((letter) => env.get(leftName[toSlot[letter]]) !== '0')) return;
  env.set(orderName, (candidates.length === 2 && order[0] === 'B' ? ['B', 'A'] : candidates).join(' '));
  env.set(trialName, candidates.join(' '));
  for (const letter of candidates) env.set(leftName[toSlot[letter]], fullTries);
};

const kernelArguments = (env: Variables, slot: SlotName, isTrial: boolean): string => {
  const root = env.get(rootName[slot]) ?? '';
  const hashOffset = env.get(hashOffsetName[slot]) ?? '';
  return [
    `otad.slot=${slot}`,
    ...(root === '' ? [] : [`otad.root=${root}`]),
    ...(hashOffset === '' ? [] : [`otad.hashoffset=${hashOffset}`]),
    ...(isTrial ? ['otad.trial=1'] : []),
  ].join(' ');
};

const differences = (before: Variables, after: Variables): ReadonlyMap<string, string> =>
  new Map([...after].filter(([name, value]) => before.get(name) !== value));

/**
 * `isBootable` false: the slot's kernel cannot be loaded, or its initramfs refuses the verity root; that one takes the try
 * of a confirmed slot itself (image/initramfs/leave-slot) and starts the board again. `isWritable` false: the environment cannot
 * be saved, so nothing is counted, and a slot on trial starts only when no other one does.
 */
export const chooseBoot = (
  variables: Variables,
  isBootable: (slot: SlotName) => boolean = () => true,
  isWritable = true,
): BootChoice => {
  const env = new Map(variables);
  prepare(env);
  const isOnTrial = (letter: Letter): boolean => lettersIn(env.get(trialName)).includes(letter);
  const order = [...new Set(lettersIn(env.get(orderName)))];
  const takeTry = (slot: SlotName): void => {
    env.set(leftName[slot], String(Number(env.get(leftName[slot])) - 1));
  };
  const settle = (slot: SlotName | null): BootChoice => {
    const changes = new Map(isWritable ? differences(variables, env) : []);
    const sequence = Number.parseInt(env.get(sequenceName) ?? '', 16);
    if (changes.size > 0 && sequence >= 0) changes.set(sequenceName, (sequence + 1).toString(16));
    return { slot, changes, cmdline: slot === null ? '' : kernelArguments(env, slot, isOnTrial(letterOf[slot])) };
  };
  const skipped: SlotName[] = [];
  for (const letter of order) {
    const slot = toSlot[letter];
    if (env.get(leftName[slot]) === '0') continue;
    if (isOnTrial(letter) && !isWritable) {
      skipped.push(slot);
      continue;
    }
    // Before it starts: a slot that hangs must find its counter lower next time.
    if (isOnTrial(letter)) takeTry(slot);
    if (isBootable(slot)) return settle(slot);
    // A confirmed slot pays only for not opening, so that it cannot hold the board in a loop.
    if (!isOnTrial(letter)) takeTry(slot);
  }
  return settle(skipped.find(isBootable) ?? null);
};
