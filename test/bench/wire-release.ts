// Publishes one release of the wire rows in a process of its own, so that what making an index or a patch takes can be told
// from the rest. Prints what it cost.

import { toFailure } from '../../agent/core/errors.ts';
import { publishRelease, type ReleaseOptions } from '../../publish/releases/release.ts';
import { cpuSecondsOf, residentMib } from './process-cost.ts';

/** What came of it, and what it cost with the start of Node. */
export interface ReleaseCost {
  readonly wallS: number;
  readonly cpuS: number;
  readonly peakMib: number;
  /** Null: there is none. */
  readonly indexBytes: number | null;
  readonly patchBytes: number | null;
  /** Why there is no index, or no patch where one was wished for. */
  readonly problem: string | null;
}

const run = async (options: ReleaseOptions): Promise<ReleaseCost> => {
  const startMs = performance.now();
  const { release, indexProblem, patches } = await publishRelease(options);
  const [artifact] = release.artifacts;
  return {
    wallS: (performance.now() - startMs) / 1000,
    cpuS: await cpuSecondsOf('self'),
    peakMib: await residentMib('self', 'VmHWM'),
    indexBytes: artifact?.index?.lengthBytes ?? null,
    patchBytes: artifact?.patches?.[0]?.lengthBytes ?? null,
    problem: indexProblem ?? patches[0]?.problem ?? null,
  };
};

try {
  process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2] ?? '{}') as ReleaseOptions))}\n`);
} catch (error) {
  const { code, message } = toFailure(error);
  process.stderr.write(`${code}: ${message}\n`);
  process.exitCode = 1;
}
