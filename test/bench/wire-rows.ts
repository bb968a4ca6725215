// The wire measurements as rows and as a table. Pure.

import type { Row } from './rows.ts';
import type { PairBesidePeers, WireCost } from './wire.ts';
import type { WireUpdate } from './wire-gateway.ts';
import type { PairWire } from './wire-pair.ts';
import type { ReleaseCost } from './wire-release.ts';
import { type Way, ways } from './wire-vendor.ts';

const mebibyte = 1024 * 1024;

export const sizeOf = (bytes: number): string =>
  bytes < mebibyte ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / mebibyte).toFixed(2)} MiB`;

/** A figure of another way than the row is about would be a lie; it is said, and the ratio stays what was measured. */
const wayFacts = (meant: Way, { way, wireBytes, requests, detours }: WireUpdate): string => {
  const why = detours.length === 0 ? '' : ` (${detours.join('; ')})`;
  const taken = way === meant ? '' : `, BY ${way.toUpperCase()}${why}`;
  return `${sizeOf(wireBytes)} in ${requests} requests${taken}`;
};

const besideZsync = (name: string, way: Way, budget: number | null, pair: PairBesidePeers): Row => {
  const { updates, peers } = pair;
  const { zsync, casync, ostree, full } = peers;
  const others = `casync ${sizeOf(casync.wireBytes)}, ostree ${sizeOf(ostree.deltaBytes)}, full ${sizeOf(full.wireBytes)}`;
  return {
    name,
    ratio: updates[way].wireBytes / zsync.wireBytes,
    budget,
    facts: `${wayFacts(way, updates[way])} beside ${sizeOf(zsync.wireBytes)} in ${zsync.requests}; ${others}`,
  };
};

const patchBudget = 1 / 11;
const indexBudget = 1.02;

export const wireRowNames = [
  'wire-patch/zsync',
  'wire-index/zsync',
  'wire-app-patch/zsync',
  'wire-app-index/zsync',
] as const;

export const wireRows = ({ security, application }: WireCost): readonly Row[] => [
  besideZsync(wireRowNames[0], 'patch', patchBudget, security),
  besideZsync(wireRowNames[1], 'index', indexBudget, security),
  besideZsync(wireRowNames[2], 'patch', null, application),
  besideZsync(wireRowNames[3], 'index', null, application),
];

const makingLine = (what: string, bytes: number | null, { wallS, cpuS, peakMib, problem }: ReleaseCost): string =>
  bytes === null
    ? `making the ${what}: none; ${problem ?? 'the publisher does not say why'}`
    : `making the ${what}: ${sizeOf(bytes)}, ${cpuS.toFixed(1)} s of CPU in ${wallS.toFixed(1)} s, ${peakMib.toFixed(0)} MiB at most`;

/** The ways of one pair, a line each. */
export const pairLines = ({ newBytes, updates, making }: PairWire): readonly string[] => [
  ...ways.map((way) => {
    const update = updates[way];
    const { fillCpuS, cpuS, wallS, peakMib } = update;
    const share = ((100 * update.wireBytes) / newBytes).toFixed(1);
    const cost = `${fillCpuS.toFixed(1)} s of CPU writing, ${cpuS.toFixed(1)} with reading back, ${wallS.toFixed(1)} s, ${peakMib.toFixed(0)} MiB`;
    return `${way.padEnd(6)} ${share.padStart(5)}%  ${wayFacts(way, update)}; ${cost}`;
  }),
  makingLine('index', making.index.indexBytes, making.index),
  makingLine('patch', making.patch.patchBytes, making.patch),
];
