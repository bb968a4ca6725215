// `npm run bench`: what otad costs, as ratios against peers in the same run; absolute figures mean little on another machine.

import { writeFile } from 'node:fs/promises';
import { parts } from './parts.ts';
import { choose, type Row, reportOf, rowLine } from './rows.ts';
import { benchUsage, isUsageError, readBenchWords } from './words.ts';

const usageStatus = 64;

const run = async (args: readonly string[]): Promise<void> => {
  const { jsonPath, only } = readBenchWords(args);
  const rows: Row[] = [];
  const details: Record<string, unknown> = {};
  for (const part of choose(parts, only)) {
    const measured = await part.measure();
    for (const line of [...measured.rows.map(rowLine), ...(measured.lines ?? [])]) process.stdout.write(`${line}\n`);
    rows.push(...measured.rows);
    details[part.name] = measured.details;
  }
  if (jsonPath !== undefined) await writeFile(jsonPath, `${JSON.stringify(reportOf(rows, details), null, 2)}\n`);
};

try {
  await run(process.argv.slice(2));
} catch (error) {
  process.stderr.write(isUsageError(error) ? `bench: ${error.message}\n${benchUsage}` : `bench: ${String(error)}\n`);
  process.exitCode = isUsageError(error) ? usageStatus : 1;
}
