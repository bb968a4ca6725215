// `npm run bench`: what otad costs, as ratios against peers in the same run; absolute figures mean little on another machine.

import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { measureMemory } from './memory.ts';
import { measurePatch } from './patch.ts';
import { measureStream } from './stream.ts';
import { measureVerity } from './verity.ts';

interface Row {
  readonly name: string;
  readonly ratio: number;
  /** The ratio that docs/benchmarks.md promises. */
  readonly budget: number;
  readonly facts: string;
}

const print = ({ name, ratio, budget, facts }: Row): void => {
  const verdict = ratio <= budget ? 'within' : 'OVER';
  process.stdout.write(`${name.padEnd(22)} ${ratio.toFixed(2)}  ${verdict} ${budget}   ${facts}\n`);
};

const usage = 'Usage: npm run bench [-- --json FILE]\n';

const run = async (jsonPath: string | undefined): Promise<void> => {
  const stream = await measureStream();
  const verity = await measureVerity();
  const memory = await measureMemory();
  const patch = await measurePatch();
  const rows: readonly Row[] = [
    {
      name: 'stream/curl-tee-dd',
      ratio: stream.ratio,
      budget: 0.8,
      facts: `CPU ${stream.oursPerGib.toFixed(2)} s/GiB beside ${stream.theirsPerGib.toFixed(2)}; tree included on both sides`,
    },
    {
      name: 'verity/veritysetup',
      ratio: verity.ratio,
      budget: 1.1,
      facts: `CPU ${verity.ours.toFixed(2)} s beside ${verity.theirs.toFixed(2)} for 128 MiB`,
    },
    {
      name: 'rss-idle/node',
      ratio: memory.ratio,
      budget: 1.35,
      facts: `${memory.idleMib.toFixed(0)} MiB beside ${memory.bareNodeMib.toFixed(0)}; at most ${memory.peakMib.toFixed(0)} through an install`,
    },
    {
      name: 'patch/recompression',
      ratio: patch.ratio,
      budget: 1.3,
      facts: `CPU ${patch.applyS.toFixed(2)} s beside ${patch.recompressS.toFixed(2)} for ${patch.blocks} blocks; ${patch.patchBytes} bytes for ${patch.imageBytes}`,
    },
  ];
  for (const row of rows) print(row);
  if (jsonPath === undefined) return;
  const ratios = Object.fromEntries(rows.map(({ name, ratio }) => [name, ratio]));
  await writeFile(jsonPath, `${JSON.stringify({ ratios, details: { stream, verity, memory, patch } }, null, 2)}\n`);
};

try {
  const { values } = parseArgs({ options: { json: { type: 'string' } } });
  await run(values.json);
} catch (error) {
  const isUsage = error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
  process.stderr.write(isUsage ? `${(error as Error).message}\n${usage}` : `${String(error)}\n`);
  process.exitCode = isUsage ? 64 : 1;
}
