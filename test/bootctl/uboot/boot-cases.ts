// Random environments for the boot logic: sane, odd, broken and hostile values alike. The same seed gives the same cases.

import { type SlotName, slotNames } from '../../../agent/core/types.ts';
import { sequenceName, type Variables } from '../../../bootctl/uboot/environment.ts';
import { hashOffsetName, leftName, orderName, rootName, trialName } from '../../../bootctl/uboot/variables.ts';
import { createRandom, type Random } from '../random.ts';

export interface BootCase {
  readonly variables: Variables;
  readonly bootable: readonly SlotName[];
  readonly isWritable: boolean;
}

/** What the boot logic saves. */
export const savedNames = [orderName, trialName, ...slotNames.flatMap((slot) => [leftName[slot], rootName[slot]])];

export interface Oddities {
  readonly order: readonly (string | undefined)[];
  readonly left: readonly (string | undefined)[];
  readonly trial: readonly (string | undefined)[];
  readonly root: readonly (string | undefined)[];
  readonly sequence: readonly (string | undefined)[];
}

/** undefined: not set. */
export const oddities: Oddities = {
  order: ['A B', 'B A', 'A', 'B', 'B B A', '', 'C', 'A X B', 'a b', undefined],
  left: ['0', '0', '1', '2', '3', '9', '10', '0x3', 'three', '', undefined],
  trial: ['A', 'B', 'A B', 'B A', '', 'C', undefined, undefined],
  root: ['ab'.repeat(32), undefined],
  sequence: ['1', '2f', undefined],
};

/** Values that a shell may take for something else. A POSIX shell does for some; U-Boot's must not for any. */
export const hostileOddities: Oddities = {
  order: [
    ...oddities.order,
    'A;reset',
    'B A; reset',
    '$(reset)',
    '${BOOT_ORDER} A',
    '"A',
    "A' B",
    '*',
    '-n A',
    '! A',
    '#A B',
    'A=B',
  ],
  left: [
    ...oddities.left,
    '4',
    '5',
    '6',
    '7',
    '8',
    '-1',
    '1;reset',
    '"',
    "'",
    '${BOOT_A_LEFT}',
    '-z',
    '= 3',
    '1 2',
    '03',
  ],
  trial: [...oddities.trial, 'A;B', '"', '${BOOT_ORDER}', '-o A', 'B=1'],
  root: [...oddities.root, 'cd'.repeat(32)],
  sequence: [...oddities.sequence, 'ff', 'fffe', '9', '10'],
};

const randomCase = (random: Random, from: Oddities): BootCase => {
  const variables = new Map<string, string>();
  const put = (name: string, value: string | undefined): void => {
    if (value !== undefined) variables.set(name, value);
  };
  put(orderName, random.pick(from.order));
  put(trialName, random.pick(from.trial));
  put(sequenceName, random.pick(from.sequence));
  for (const slot of slotNames) {
    put(leftName[slot], random.pick(from.left));
    put(rootName[slot], random.pick(from.root));
    if (variables.has(rootName[slot])) put(hashOffsetName[slot], random.pick(['4096', '8192', undefined]));
  }
  return {
    variables,
    bootable: slotNames.filter(() => random.below(4) > 0),
    isWritable: random.below(5) > 0,
  };
};

export const randomCases = (seed: number, count: number, from: Oddities = oddities): readonly BootCase[] => {
  const random = createRandom(seed);
  return Array.from({ length: count }, () => randomCase(random, from));
};

export const showCase = ({ variables, bootable, isWritable }: BootCase): string =>
  JSON.stringify({ ...Object.fromEntries(variables), bootable, isWritable });

/** The variables that are saved, for comparison: not set and empty are the same to U-Boot's shell. */
export const savedOf = (variables: Variables) =>
  Object.fromEntries(savedNames.map((name) => [name, variables.get(name) ?? '']));
