// What a run of the benchmarks says: rows with their budgets as lines, and the same as JSON. Pure.

import { UsageError } from './words.ts';

export interface Row {
  readonly name: string;
  readonly ratio: number;
  /** The ratio that docs/benchmarks.md promises; null: none is promised. */
  readonly budget: number | null;
  readonly facts: string;
}

export interface Measured {
  readonly rows: readonly Row[];
  /** What stands below the rows. */
  readonly lines?: readonly string[];
  readonly details: unknown;
}

/** Rows that come from one measurement. */
export interface Part {
  readonly name: string;
  readonly rows: readonly string[];
  measure(): Promise<Measured>;
}

export interface Report {
  readonly ratios: Readonly<Record<string, number>>;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Below a tenth, two digits would hide how much is missing. */
const shown = (ratio: number): string => ratio.toFixed(ratio < 0.095 ? 3 : 2);

const verdictOf = ({ ratio, budget }: Row): string => {
  if (budget === null) return '';
  return `${ratio <= budget ? 'within' : 'OVER'} ${shown(budget)}`;
};

export const rowLine = (row: Row): string =>
  `${row.name.padEnd(22)} ${shown(row.ratio).padEnd(5)}  ${verdictOf(row).padEnd(13)} ${row.facts}`.trimEnd();

export const reportOf = (rows: readonly Row[], details: Report['details']): Report => ({
  ratios: Object.fromEntries(rows.map(({ name, ratio }) => [name, ratio])),
  details,
});

/**
 * The parts that have a row which is asked for by its name, by what stands before its slash, or by its part's name. All, when
 * nothing is asked for. Throws UsageError for a name that nothing has.
 */
export const choose = (parts: readonly Part[], names: readonly string[]): readonly Part[] => {
  const namesOf = ({ name, rows }: Part): readonly string[] => [
    name,
    ...rows.flatMap((row) => [row, row.split('/')[0] ?? row]),
  ];
  const known = new Set(parts.flatMap(namesOf));
  const unknown = names.filter((name) => !known.has(name));
  if (unknown.length > 0) {
    const all = parts.flatMap(({ rows }) => rows).join(', ');
    throw new UsageError(`there is no row ${unknown.join(', ')}; the rows are ${all}`);
  }
  return names.length === 0 ? parts : parts.filter((part) => namesOf(part).some((name) => names.includes(name)));
};
