// The counts of a run, from what became of each case and not from what was planned. Pure.

export interface Tally {
  /** Boot paths of the cases that ran; the bootloaders alone are on none. */
  readonly paths: readonly string[];
  readonly cases: number;
  /** Names of those that failed. */
  readonly failed: readonly string[];
  /** That struck a machine which was on. */
  readonly cuts: number;
  /** Of the emulator. */
  readonly restarts: number;
}

/** Takes in what a case that has ended adds; null: no case, what it took to make a stage. */
export type Count = (name: string | null, part: Tally) => Promise<void>;

export const noTally: Tally = { paths: [], cases: 0, failed: [], cuts: 0, restarts: 0 };

export const addTally = (one: Tally, other: Tally): Tally => ({
  paths: [...new Set([...one.paths, ...other.paths])],
  cases: one.cases + other.cases,
  failed: [...one.failed, ...other.failed],
  cuts: one.cuts + other.cuts,
  restarts: one.restarts + other.restarts,
});

/** The last word of the lab. */
export const closingLine = ({ paths, cases, failed, cuts, restarts }: Tally, minutes: number): string =>
  `device lab: ${cases} cases on ${paths.length} boot paths, ${failed.length} failed, ${cuts} power cuts, ` +
  `${restarts} restarts of the emulator, ${minutes.toFixed(1)} minutes`;

const inset = (line: string): string => `          ${line}`;

/** What a failed case leaves to its reader: what was seen, where to look, and `options` that the command alone needs as well. */
export const failureText = (title: string, lines: readonly string[], name: string, options = ''): string => {
  const command = `npm run test:device -- --case ${name}${options}`;
  return [`  FAILED  ${title}`, ...lines.map(inset), inset(`again, alone: ${command}`)].join('\n');
};

const restartsWords = 'device lab: the emulator was started again';

/** What a case that runs by itself says at its end, for `restartsIn`. */
export const restartsLine = (restarts: number): string => `${restartsWords} ${restarts} times`;

/** In the output of a case: the sum of its restarts lines. */
export const restartsIn = (output: string): number =>
  [...output.matchAll(new RegExp(`${restartsWords} (\\d+) times`, 'g'))].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
