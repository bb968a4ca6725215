// Bytes on the wire for the benchmark's own images, ours and the peers': Debian's security updates, and an application alone.

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { BenchImages } from './image-pair.ts';
import { measurePair, type PairWire } from './wire-pair.ts';
import { measurePeers, type PeersWire } from './wire-peers.ts';

const buildMs = 3_600_000;

export interface PairBesidePeers extends PairWire {
  readonly peers: PeersWire;
}

export interface WireCost {
  readonly security: PairBesidePeers;
  readonly application: PairBesidePeers;
  readonly changedPackages: readonly string[];
}

const say = (line: string): void => void process.stderr.write(`bench: ${line}\n`);

/** Those of an earlier run, or new ones, which takes minutes. */
export const readImages = async (): Promise<BenchImages> => {
  const script = join(import.meta.dirname, 'build-images.js');
  const building = promisify(execFile)(process.execPath, [script], { timeout: buildMs });
  building.child.stderr?.pipe(process.stderr);
  return JSON.parse((await building).stdout) as BenchImages;
};

const measureBoth = async (folder: string, name: string, oldPath: string, newPath: string) => {
  const onStep = (line: string): void => say(`${name}: ${line}`);
  const pair = await measurePair({ folder: join(folder, name), oldPath, newPath, onStep });
  onStep('zsync, casync, ostree');
  return { ...pair, peers: await measurePeers(join(folder, `${name}-peers`), oldPath, newPath) };
};

export const measureWire = async (): Promise<WireCost> => {
  const { before, after, application, changedPackages } = await readImages();
  const folder = await mkdtemp(join(tmpdir(), 'otad-bench-'));
  try {
    return {
      security: await measureBoth(folder, 'security', before, after),
      application: await measureBoth(folder, 'application', after, application),
      changedPackages,
    };
  } finally {
    await rm(folder, { recursive: true });
  }
};
