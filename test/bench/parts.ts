// All that `npm run bench` measures, in the order in which it runs, with the budgets of docs/benchmarks.md.

import { measureMemory } from './memory.ts';
import { type MakingCost, measureApply, measureLibrary } from './patch.ts';
import type { Part } from './rows.ts';
import { measureStream } from './stream.ts';
import { measureVerity } from './verity.ts';
import { measureWire, readImages } from './wire.ts';
import { pairLines, sizeOf, wireRowNames, wireRows } from './wire-rows.ts';

const stream: Part = {
  name: 'stream',
  rows: ['stream/curl-tee-dd', 'stream/c-direct'],
  measure: async () => {
    const cost = await measureStream();
    const ours = `CPU ${cost.oursPerGib.toFixed(2)} s/GiB beside`;
    const facts = (theirs: number) => `${ours} ${theirs.toFixed(2)}; tree included on both sides`;
    return {
      rows: [
        { name: 'stream/curl-tee-dd', ratio: cost.toolsRatio, budget: 0.8, facts: facts(cost.toolsPerGib) },
        { name: 'stream/c-direct', ratio: cost.cRatio, budget: 1.7, facts: facts(cost.cPerGib) },
      ],
      details: cost,
    };
  },
};

const verity: Part = {
  name: 'verity',
  rows: ['verity/veritysetup'],
  measure: async () => {
    const cost = await measureVerity();
    const facts = `CPU ${cost.ours.toFixed(2)} s beside ${cost.theirs.toFixed(2)} for 128 MiB`;
    return { rows: [{ name: 'verity/veritysetup', ratio: cost.ratio, budget: 1.1, facts }], details: cost };
  },
};

const memory: Part = {
  name: 'memory',
  rows: ['rss-idle/node'],
  measure: async () => {
    const cost = await measureMemory();
    const facts = `${cost.idleMib.toFixed(0)} MiB beside ${cost.bareNodeMib.toFixed(0)}; at most ${cost.peakMib.toFixed(0)} through an install`;
    return { rows: [{ name: 'rss-idle/node', ratio: cost.ratio, budget: 1.35, facts }], details: cost };
  },
};

const patch: Part = {
  name: 'patch',
  rows: ['patch/recompression'],
  measure: async () => {
    const cost = await measureApply();
    const sizes = `${cost.blocks} blocks; ${cost.patchBytes} bytes for ${cost.imageBytes}`;
    const facts = `CPU ${cost.applyS.toFixed(2)} s beside ${cost.recompressS.toFixed(2)} for ${sizes}`;
    return { rows: [{ name: 'patch/recompression', ratio: cost.ratio, budget: 1.3, facts }], details: cost };
  },
};

const making = ({ patchBytes, cpuS, peakMib }: MakingCost): string =>
  `${patchBytes} bytes, CPU ${cpuS.toFixed(1)} s, ${peakMib.toFixed(0)} MiB`;

const library: Part = {
  name: 'library',
  rows: ['patch-bytes/bsdiff'],
  measure: async () => {
    const cost = await measureLibrary(await readImages());
    const { ours, bsdiff } = cost;
    const facts = `${making(ours)} beside ${making(bsdiff)} for ${cost.library}, ${sizeOf(cost.libraryBytes)}`;
    return {
      rows: [{ name: 'patch-bytes/bsdiff', ratio: ours.patchBytes / bsdiff.patchBytes, budget: 1.05, facts }],
      details: cost,
    };
  },
};

const wire: Part = {
  name: 'wire',
  rows: wireRowNames,
  measure: async () => {
    const cost = await measureWire();
    const { security, application, changedPackages } = cost;
    const lines = [
      `security updates of ${changedPackages.length} packages, ${sizeOf(security.newBytes)}:`,
      ...pairLines(security),
      `the application alone, ${sizeOf(application.newBytes)}:`,
      ...pairLines(application),
    ];
    return { rows: wireRows(cost), lines, details: cost };
  },
};

export const parts: readonly Part[] = [stream, verity, memory, patch, library, wire];
