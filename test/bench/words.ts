// The words of `npm run bench` and `npm run bench:delta`. Pure; throws UsageError or node's own for words that are wrong.

import { parseArgs } from 'node:util';

export const benchUsage = 'usage: npm run bench [-- --json FILE] [-- --only NAME...]\n';
export const deltaUsage = 'usage: npm run bench:delta -- OLD.squashfs NEW.squashfs [--json FILE]\n';

/** Somebody asked for what there is not. Not RangeError: that comes out of work that failed as well. */
export class UsageError extends Error {}

export interface BenchWords {
  readonly jsonPath: string | undefined;
  /** Empty: everything. */
  readonly only: readonly string[];
}

/** Names may follow one `--only`, or each have their own. */
export const readBenchWords = (args: readonly string[]): BenchWords => {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { json: { type: 'string' }, only: { type: 'string', multiple: true } },
    allowPositionals: true,
  });
  const { json: jsonPath, only } = values;
  if (only === undefined && positionals.length > 0) throw new UsageError(`${positionals.join(' ')}: --only is missing`);
  return { jsonPath, only: [...(only ?? []), ...positionals] };
};

export interface DeltaWords {
  readonly jsonPath: string | undefined;
  readonly oldPath: string;
  readonly newPath: string;
}

export const readDeltaWords = (args: readonly string[]): DeltaWords => {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { json: { type: 'string' } },
    allowPositionals: true,
  });
  const [oldPath, newPath, ...rest] = positionals;
  if (oldPath === undefined || newPath === undefined || rest.length > 0) {
    throw new UsageError(`two images are wanted, the old and the new one; ${positionals.length} were named`);
  }
  return { jsonPath: values.json, oldPath, newPath };
};

/** Wrong words, rather than work that failed. */
export const isUsageError = (error: unknown): error is Error =>
  error instanceof UsageError ||
  (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
