// One side of the patch benchmark, as a process of its own with the flags of the service: applies a patch, and compresses its
// blocks again and nothing else, in turns. Prints the costs as JSON.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bytesSource } from '../../delta/byte-source.ts';
import { applyPatch } from '../../delta/patch-apply.ts';
import { openPatch } from '../../delta/patch-format.ts';
import { makePatch } from '../../delta/patch-make.ts';
import { loadZstd } from '../../delta/zstd-module.ts';
import { median, medianRatio } from './median.ts';

/** Of Node's own program: machine code, as large libraries are. */
const programBytes = 12 * 1024 * 1024;
/** About where a linker's addresses move. */
const changeEveryBytes = 397;
/** Level and block size that all releases of libzstd make the same bytes at, so that every mksquashfs serves. */
const zstdLevel = '9';
const blockBytes = '16384';
const rounds = 3;

export interface ApplyCost {
  /** Applying divided by compressing alone. */
  readonly ratio: number;
  /** CPU seconds, user and system: the median of the rounds. */
  readonly applyS: number;
  readonly recompressS: number;
  readonly imageBytes: number;
  readonly patchBytes: number;
  readonly blocks: number;
}

const cpuOf = async (run: () => Promise<void> | void): Promise<number> => {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
};

const imageOf = (folder: string, name: string, program: Buffer): Buffer => {
  const tree = join(folder, `${name}.tree`);
  mkdirSync(tree);
  writeFileSync(join(tree, 'program'), program);
  const image = join(folder, name);
  const args = ['-noappend', '-quiet', '-no-progress', '-all-time', '0', '-mkfs-time', '0', '-b', blockBytes];
  execFileSync('mksquashfs', [tree, image, ...args, '-comp', 'zstd', '-Xcompression-level', zstdLevel]);
  return readFileSync(image);
};

const measure = async (): Promise<ApplyCost> => {
  const folder = mkdtempSync(join(tmpdir(), 'otad-bench-'));
  try {
    const program = readFileSync(process.execPath).subarray(0, programBytes);
    const old = imageOf(folder, 'old', program);
    const changed = Buffer.from(program);
    for (let at = 0; at < changed.length; at += changeEveryBytes) changed[at] = ((changed[at] ?? 0) + 8) & 0xff;
    const image = imageOf(folder, 'new', changed);
    const zstd = await loadZstd();
    const { bytes } = await makePatch(bytesSource(old), bytesSource(image), { zstd });
    const raws: { readonly raw: Uint8Array; readonly level: number }[] = [];
    const noting = {
      ...zstd,
      compress: (raw: Uint8Array, level: number) => {
        raws.push({ raw: raw.slice(), level });
        return zstd.compress(raw, level);
      },
    };
    const apply = async (library: typeof zstd): Promise<void> => {
      const patch = await openPatch(bytesSource(bytes));
      for await (const piece of applyPatch(patch, bytesSource(old), { zstd: library })) {
        if (piece.kind === 'missing') throw new RangeError('the patch does not apply');
      }
    };
    await apply(noting);
    const [applyS, recompressS]: [number[], number[]] = [[], []];
    for (let round = 0; round < rounds; round += 1) {
      const alone = (): void => {
        for (const { raw, level } of raws) zstd.compress(raw, level);
      };
      recompressS.push(await cpuOf(alone));
      applyS.push(await cpuOf(() => apply(zstd)));
    }
    const sizes = { imageBytes: image.length, patchBytes: bytes.length, blocks: raws.length };
    const seconds = { applyS: median(applyS), recompressS: median(recompressS) };
    return { ratio: medianRatio(applyS, recompressS), ...seconds, ...sizes };
  } finally {
    rmSync(folder, { recursive: true });
  }
};

process.stdout.write(JSON.stringify(await measure()));
