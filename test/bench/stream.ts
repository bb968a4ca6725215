// HTTP -> SHA-256 -> dm-verity tree -> slot: CPU of otad's pipeline beside curl, tee, sha256sum, dd and veritysetup doing the same
// work, from the same server process in the same run. Rounds alternate; medians of the ratios pair by pair.

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
import { median } from './median.ts';

const imageBytes = 256 * 1024 * 1024;
const slotBytes = imageBytes + 8 * 1024 * 1024;
const rounds = 3;
const saltHex = '5a'.repeat(32);
const gib = 1024 ** 3;

/** One pass over the bytes as they come; the tree is made afterwards from the page cache, which is kinder than the medium. */
const peerScript = `
  rm -f "$2.pipe"; mkfifo "$2.pipe"; sha256sum < "$2.pipe" > "$2.sum" & sum=$!
  curl -s "$1" | tee "$2.pipe" | dd of="$2" bs=1M iflag=fullblock oflag=direct conv=notrunc,fsync status=none
  wait $sum
  veritysetup format "$2" "$2" --hash-offset="$3" --data-blocks="$4" --salt="$5" > /dev/null`;

export interface StreamCost {
  readonly ratio: number;
  /** CPU seconds for a GiB, medians. */
  readonly oursPerGib: number;
  readonly theirsPerGib: number;
  readonly peakMib: number;
}

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

export const measureStream = async (): Promise<StreamCost> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-bench-'));
  const image = noise(imageBytes);
  await writeFile(join(folder, 'image'), image);
  const facts = [createHash('sha256').update(image).digest('hex'), treeRoot(image), saltHex];
  const { url, child } = await startServer(folder);
  const ours: number[] = [];
  const theirs: number[] = [];
  let peakKib = 0;
  try {
    const receiver = join(import.meta.dirname, 'stream-receiver.js');
    const target = join(folder, 'peer-slot');
    const unit = await readAgentUnit();
    const env = { ...process.env, ...unit.environment };
    for (let round = 0; round < rounds; round += 1) {
      await writeFile(target, '');
      await truncate(target, slotBytes);
      const blocks = String(imageBytes / 4096);
      theirs.push(bashCpuSeconds(peerScript, [`${url}image`, target, String(imageBytes), blocks, saltHex]));
      const args = [
        ...unit.nodeFlags,
        receiver,
        `${url}image`,
        folder,
        String(slotBytes),
        String(imageBytes),
        ...facts,
      ];
      const { stdout } = await promisify(execFile)(process.execPath, args, { env });
      const cost = JSON.parse(stdout) as { readonly cpuS: number; readonly peakKib: number };
      ours.push(cost.cpuS);
      peakKib = Math.max(peakKib, cost.peakKib);
    }
  } finally {
    child.kill();
    await rm(folder, { recursive: true });
  }
  return {
    ratio: median(ours.map((cpuS, round) => cpuS / (theirs[round] ?? Number.NaN))),
    oursPerGib: (median(ours) * gib) / imageBytes,
    theirsPerGib: (median(theirs) * gib) / imageBytes,
    peakMib: peakKib / 1024,
  };
};
