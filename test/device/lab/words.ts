// The words of `npm run test:device`. Pure: what was wished for, or what is wrong with it.

import { parseArgs } from 'node:util';

export interface Wish {
  readonly isHelp: boolean;
  readonly isList: boolean;
  readonly isSmoke: boolean;
  /** Goes on with the same run of the same tree. */
  readonly isContinued: boolean;
  /** Empty: all. */
  readonly cases: readonly string[];
  /** Power cuts a boot path; null: what the length of the run asks for. */
  readonly cuts: number | null;
  readonly seed: number;
  /** Machines at the same time. With one more than cores, these have work while a machine waits for a timer. */
  readonly jobs: number;
}

export const usage = `usage: npm run test:device -- [options]

Boots the reference image in QEMU, on every boot path, and does to it what gateways live through.

  --list           name every case and what it claims
  --case NAME      only this case, on every boot path, or NAME@PATH; may be repeated (power-cut: all of them)
  --smoke          the short run: both boot paths, install and confirm, two sick kinds, rollback,
                   sandbox, four power cuts
  --continue       go on with the same run of the same tree, after the cases that have ended
  --cuts N         power cuts a boot path (20; with --smoke 2)
  --seed S         where the power cuts strike (1)
  --jobs N         machines at the same time (3)
`;

const options = {
  help: { type: 'boolean', short: 'h' },
  list: { type: 'boolean' },
  smoke: { type: 'boolean' },
  continue: { type: 'boolean' },
  case: { type: 'string', multiple: true },
  cuts: { type: 'string' },
  seed: { type: 'string', default: '1' },
  jobs: { type: 'string', default: '3' },
} as const;

const bounds = { cuts: [0, 1000], seed: [0, 4_294_967_295], jobs: [1, 16] } as const;

const wholeNumber = (key: keyof typeof bounds, text: string): number => {
  const [least, most] = bounds[key];
  const value = Number(text);
  if (!/^[0-9]{1,10}$/.test(text) || value < least || value > most)
    throw new RangeError(`--${key} takes a whole number from ${least} to ${most}, not '${text}'`);
  return value;
};

/** Throws an error whose message is for the user. */
export const readWords = (words: readonly string[]): Wish => {
  const { values } = parseArgs({ args: [...words], options, strict: true });
  return {
    isHelp: values.help === true,
    isList: values.list === true,
    isSmoke: values.smoke === true,
    isContinued: values.continue === true,
    cases: values.case ?? [],
    cuts: values.cuts === undefined ? null : wholeNumber('cuts', values.cuts),
    seed: wholeNumber('seed', values.seed),
    jobs: wholeNumber('jobs', values.jobs),
  };
};
