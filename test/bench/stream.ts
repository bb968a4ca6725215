// HTTP -> SHA-256 -> dm-verity tree -> slot: CPU of otad's pipeline beside curl, tee, sha256sum, dd and veritysetup, and beside a
// small C program, all doing the same work, from the same server process in the same run. Rounds alternate; medians of the
// ratios round by round.

import { type ChildProcess, execFile, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createTreeBuilder } from '../../verity/dm-verity.ts';
import { readAgentUnit } from '../e2e/agent-unit.ts';
import { noise } from '../support/noise.ts';
import { bashCpuSeconds } from './bash-cpu.ts';
import { compileCDirect, runCDirect } from './c-direct.ts';
import { median, medianRatio } from './median.ts';

const imageBytes = 256 * 1024 * 1024;
const slotBytes = imageBytes + 8 * 1024 * 1024;
const rounds = 5;
const saltHex = '5a'.repeat(32);
const gib = 1024 ** 3;

/** One pass over the bytes as they come; the tree is made afterwards from the page cache, which is kinder than the medium. */
const peerScript = `
  rm -f "$2.pipe"; mkfifo "$2.pipe"; sha256sum < "$2.pipe" > "$2.sum" & sum=$!
  curl -s "$1" | tee "$2.pipe" | dd of="$2" bs=1M iflag=fullblock oflag=direct conv=notrunc,fsync status=none
  wait $sum
  veritysetup format "$2" "$2" --hash-offset="$3" --data-blocks="$4" --salt="$5" > /dev/null`;

export interface StreamCost {
  /** Ours divided by theirs. */
  readonly toolsRatio: number;
  readonly cRatio: number;
  /** CPU seconds for a GiB, medians. */
  readonly oursPerGib: number;
  readonly toolsPerGib: number;
  readonly cPerGib: number;
  readonly peakMib: number;
}

interface Work {
  readonly folder: string;
  readonly url: string;
  readonly sha256Hex: string;
  readonly rootHex: string;
}

/** What one side took for the image. */
type Contestant = () => Promise<{ readonly cpuS: number; readonly peakMib: number }>;

const startServer = async (folder: string): Promise<{ readonly url: string; readonly child: ChildProcess }> => {
  const child = fork(join(import.meta.dirname, 'file-server.js'), [folder]);
  const [url] = (await once(child, 'message')) as [string];
  return { url, child };
};

const treeRoot = (image: Buffer): string => {
  const tree = createTreeBuilder({ saltHex }, image.length, () => undefined);
  tree.update(image);
  return tree.finish().rootHex;
};

const emptySlot = async (path: string): Promise<string> => {
  await writeFile(path, '');
  await truncate(path, slotBytes);
  return path;
};

const ours = async ({ folder, url, sha256Hex, rootHex }: Work): Promise<Contestant> => {
  const unit = await readAgentUnit();
  const env = { ...process.env, ...unit.environment };
  const receiver = join(import.meta.dirname, 'stream-receiver.js');
  const facts = [String(slotBytes), String(imageBytes), sha256Hex, rootHex, saltHex];
  const args = [...unit.nodeFlags, receiver, `${url}image`, folder, ...facts];
  return async () => {
    const { stdout } = await promisify(execFile)(process.execPath, args, { env });
    return JSON.parse(stdout) as { readonly cpuS: number; readonly peakMib: number };
  };
};

const tools =
  ({ folder, url }: Work): Contestant =>
  async () => {
    const target = await emptySlot(join(folder, 'tools-slot'));
    const args = [`${url}image`, target, String(imageBytes), String(imageBytes / 4096), saltHex];
    return { cpuS: bashCpuSeconds(peerScript, args), peakMib: 0 };
  };

const cProgram = ({ folder, url, ...facts }: Work): Contestant => {
  const program = compileCDirect(folder);
  return async () => {
    const target = await emptySlot(join(folder, 'c-slot'));
    const work = { url: `${url}image`, target, lengthBytes: imageBytes, saltHex, ...facts };
    return { cpuS: runCDirect(program, work), peakMib: 0 };
  };
};

const perGib = (cpuS: readonly number[]): number => (median(cpuS) * gib) / imageBytes;

export const measureStream = async (): Promise<StreamCost> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-bench-'));
  const image = noise(imageBytes);
  await writeFile(join(folder, 'image'), image);
  const sha256Hex = createHash('sha256').update(image).digest('hex');
  const { url, child } = await startServer(folder);
  try {
    const work = { folder, url, sha256Hex, rootHex: treeRoot(image) };
    const contestants = [tools(work), await ours(work), cProgram(work)] as const;
    const cpuS: [number[], number[], number[]] = [[], [], []];
    let peakMib = 0;
    for (let round = 0; round < rounds; round += 1) {
      for (const [index, contestant] of contestants.entries()) {
        const cost = await contestant();
        cpuS[index]?.push(cost.cpuS);
        peakMib = Math.max(peakMib, cost.peakMib);
      }
    }
    const [toolsS, oursS, cS] = cpuS;
    return {
      ...{ toolsRatio: medianRatio(oursS, toolsS), cRatio: medianRatio(oursS, cS), peakMib },
      ...{ oursPerGib: perGib(oursS), toolsPerGib: perGib(toolsS), cPerGib: perGib(cS) },
    };
  } finally {
    child.kill();
    await rm(folder, { recursive: true });
  }
};
