// `otapub patch`: what an update from one image to another costs by each way, and the patch as a file.

import type { PatchReport } from '../../delta/patch-make.ts';
import type { PatchStep } from '../../delta/unit-fates.ts';
import { writeDurably } from '../durable-file.ts';
import { type PatchOutcome, patchImages, type WayFigures } from '../images/image-patch.ts';
import { createProgressLine, type ProgressLine } from '../progress-line.ts';
import { type Command, type CommandIo, formatBytes, formatTable, parseWords } from './command.ts';
import { checkOutput } from './output-file.ts';

const help = `usage: otapub patch OLD NEW [-o FILE]

Makes the patch from one squashfs image to another, proves it by applying it as a gateway does and
comparing every byte, and prints what each way to the new image costs on the wire.
Only images compressed with zstd can be patched; gateways update to others by the index,
and fetch those of lzo and lzma whole.

options:
  -o, --output FILE        write the patch; replaced when it is there
  --json                   print the figures as JSON
`;

const stepLabels: Readonly<Record<PatchStep, string>> = {
  read: 'reading',
  recompress: 'recompressing',
  search: 'comparing',
  write: 'packing',
  prove: 'proving',
};

export const patchProgress = (line: ProgressLine) => (step: PatchStep, done: number, total: number) =>
  line.show(stepLabels[step], done, total);

/** The line of this command's terminal, if there is one. */
export const progressLineOf = (io: CommandIo): ProgressLine =>
  createProgressLine(io.progress ?? null, () => performance.now());

const share = (bytes: number, { fullBytes }: WayFigures): string => `${((100 * bytes) / fullBytes).toFixed(1)}%`;

/** Of blocks that no gateway can compress again to the same bytes. */
export const describeLiterals = (literals: Pick<PatchReport, 'literalBlocks' | 'literalBytes'>): readonly string[] => [
  `${literals.literalBlocks} blocks (${formatBytes(literals.literalBytes)}) were made by another release of zstd and are in the patch as they are;`,
  'build both images with the mksquashfs of Debian 13 (zstd 1.5.7)',
];

const describe = (outcome: PatchOutcome, seconds: number, memoryBytes: number): readonly string[] => {
  const fullRow = (fullBytes: number) => ['full', formatBytes(fullBytes), '100.0%'];
  if (outcome.kind === 'full-only') {
    const { fullBytes, indexProblem, problem } = outcome;
    return [fullRow(fullBytes).join('   '), `index  none: ${indexProblem}`, `patch  none: ${problem}`];
  }
  const { ways } = outcome;
  const rows = [fullRow(ways.fullBytes), ['index', formatBytes(ways.indexBytes), share(ways.indexBytes, ways)]];
  if (outcome.kind === 'none') return [...formatTable(rows), `patch  none: ${outcome.problem}`];
  const { report } = outcome;
  return [
    ...formatTable([...rows, ['patch', formatBytes(report.patchBytes), share(report.patchBytes, ways)]]),
    `${formatBytes(report.copiedBytes)} copied, ${report.rebuiltBlocks} blocks compressed again; proven byte for byte`,
    ...(report.literalBlocks === 0 ? [] : describeLiterals(report)),
    `${seconds.toFixed(1)} s, ${formatBytes(memoryBytes)} of memory at the most`,
  ];
};

const figuresOf = (outcome: PatchOutcome) =>
  outcome.kind === 'full-only'
    ? { fullBytes: outcome.fullBytes, indexBytes: null, indexProblem: outcome.indexProblem }
    : { ...outcome.ways, indexProblem: null };

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    { output: { type: 'string', short: 'o' }, json: { type: 'boolean' } },
    { min: 2, max: 2, names: 'OLD NEW' },
  );
  const [oldPath = '', path = ''] = positionals;
  if (values.output !== undefined) await checkOutput(values.output, [oldPath, path]);
  const line = progressLineOf(io);
  const startMs = performance.now();
  const outcome = await patchImages(oldPath, path, { onProgress: patchProgress(line), signal: io.signal }).finally(
    line.end,
  );
  const seconds = (performance.now() - startMs) / 1000;
  const memoryBytes = process.resourceUsage().maxRSS * 1024;
  if (outcome.kind === 'made' && values.output !== undefined) await writeDurably(values.output, outcome.bytes);
  if (values.json === true) {
    const patch = outcome.kind === 'made' ? outcome.report : null;
    const problem = outcome.kind === 'made' ? null : outcome.problem;
    io.print(JSON.stringify({ ...figuresOf(outcome), patch, problem, seconds, memoryBytes }));
  } else for (const text of describe(outcome, seconds, memoryBytes)) io.print(text);
  // Asked for a file and there is none.
  return outcome.kind !== 'made' && values.output !== undefined ? 3 : 0;
};

export const patchCommand: Command = { name: 'patch', summary: 'make a patch between two images', help, run };
