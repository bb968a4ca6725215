// Pairs of images for tests of patches: a tree with everything that squashfs lays out in its own way, before and after an
// update that touches all of it. Levels 1 and 9 of zstd give the same bytes in all releases that distributions have.

import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ByteSource } from '../../delta/byte-source.ts';
import { bytesSource } from '../../delta/byte-source.ts';
import { applyPatch } from '../../delta/patch-apply.ts';
import { openPatch } from '../../delta/patch-format.ts';
import type { Zstd } from '../../delta/zstd.ts';
import { createRandom } from '../bootctl/random.ts';

export const blockBytes = 16_384;

/** Words and numbers: compresses like a program does. */
const matter = (lengthBytes: number, seed: number): Buffer => {
  const random = createRandom(seed);
  const words = Array.from({ length: 200 }, () =>
    Buffer.from(Array.from({ length: 2 + random.below(9) }, () => random.below(256))),
  );
  const bytes = Buffer.alloc(lengthBytes);
  for (let at = 0; at < lengthBytes; ) at += random.pick(words).copy(bytes, at) || 1;
  return bytes;
};
const chaos = (lengthBytes: number, seed: number): Buffer => {
  const random = createRandom(seed);
  return Buffer.from(Array.from({ length: lengthBytes }, () => random.below(256)));
};

/** As a linker leaves it: a stretch more in the middle, and an address every few hundred bytes that moved. */
const relinked = (bytes: Buffer): Buffer => {
  const middle = bytes.length >> 1;
  const later = Buffer.concat([bytes.subarray(0, middle), Buffer.from('a new function'), bytes.subarray(middle)]);
  for (let at = 100; at < later.length; at += 397) later[at] = ((later[at] ?? 0) + 14) & 0xff;
  return later;
};

/** null: a directory. */
export type Tree = Readonly<Record<string, Buffer | null>>;

const library = matter(9 * blockBytes + 777, 1);
const sparse = Buffer.concat([matter(blockBytes, 2), Buffer.alloc(3 * blockBytes), matter(blockBytes + 50, 3)]);
const shared = matter(2 * blockBytes + 5000, 4);
const random = chaos(3 * blockBytes + 100, 5);

const many = (changed: boolean): Tree =>
  Object.fromEntries(
    Array.from({ length: 500 }, (_, index) => {
      const isOther = changed && index % 50 === 7;
      return [`many/a-rather-long-name-for-an-entry-${index}`, matter(40 + (index % 90), isOther ? 9000 : 100 + index)];
    }),
  );

export const oldTree: Tree = {
  'lib/libone.so.1.2.3': library,
  'lib/untouched': matter(5 * blockBytes, 6),
  'share/one': shared,
  'share/two': shared,
  'share/tail': matter(3000, 7),
  'share/tail-too': matter(3000, 7),
  sparse,
  'only-a-hole': Buffer.alloc(4 * blockBytes),
  random,
  'empty-becomes-full': Buffer.alloc(0),
  'full-becomes-empty': matter(3000, 8),
  'stays-empty': Buffer.alloc(0),
  'file-becomes-folder': matter(20_000, 10),
  'folder-becomes-file/inside': matter(20_000, 11),
  removed: matter(40_000, 12),
  ...many(false),
};

const newRandom = Buffer.from(random);
newRandom.fill('!', 20_000, 20_010);
const newSparse = Buffer.concat([
  sparse.subarray(0, blockBytes),
  Buffer.alloc(blockBytes),
  sparse.subarray(blockBytes),
]);

export const newTree: Tree = {
  'lib/libone.so.1.2.4': relinked(library),
  'lib/untouched': oldTree['lib/untouched'] ?? null,
  'share/one': relinked(shared),
  'share/two': relinked(shared),
  'share/tail': matter(3000, 7),
  'share/tail-too': relinked(matter(3000, 7)),
  sparse: relinked(newSparse),
  'only-a-hole': Buffer.alloc(6 * blockBytes),
  random: newRandom,
  'empty-becomes-full': matter(2000, 13),
  'full-becomes-empty': Buffer.alloc(0),
  'stays-empty': Buffer.alloc(0),
  'file-becomes-folder/inside': matter(20_000, 10),
  'folder-becomes-file': relinked(matter(20_000, 11)),
  added: matter(30_000, 14),
  ...many(true),
};

const writeTree = (folder: string, tree: Tree): void => {
  mkdirSync(folder, { recursive: true });
  for (const [path, bytes] of Object.entries(tree)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    if (bytes !== null) writeFileSync(join(folder, path), bytes);
  }
  const first = Object.keys(tree)[0] ?? '';
  linkSync(join(folder, first), join(folder, 'hard-link'));
  symlinkSync(first, join(folder, 'soft-link'));
  execFileSync('mkfifo', [join(folder, 'fifo')]);
};

const fixedTimes = ['-all-time', '1', '-mkfs-time', '1'];
export const quick = ['-comp', 'zstd', '-Xcompression-level', '1'];

export interface ImageFolder {
  /** `tree` as an image; `args` for mksquashfs. */
  image(name: string, tree: Tree, args?: readonly string[]): Buffer;
  /** Files with an extended attribute each, by way of a tar archive, which needs no rights. */
  imageWithAttributes(name: string, tree: Tree, value: string): Buffer;
  readonly path: string;
  remove(): void;
}

/** One header and its content, padded (POSIX ustar). */
const tarEntry = (name: string, type: string, content: Buffer): Buffer => {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000001\0', 136);
  header.write('        ', 148);
  header.write(type, 156);
  header.write('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
};

const paxRecord = (key: string, value: string): string => {
  const body = ` ${key}=${value}\n`;
  const digits = `${body.length + 2}`.length;
  return `${body.length + digits}${body}`;
};

export const anImageFolder = (): ImageFolder => {
  const path = mkdtempSync(join(tmpdir(), 'otad-patch-'));
  return {
    path,
    image: (name, tree, args = quick) => {
      writeTree(join(path, `${name}.tree`), tree);
      const fixed = ['-noappend', '-quiet', '-no-progress', '-b', `${blockBytes}`, '-all-root', ...fixedTimes];
      execFileSync('mksquashfs', [join(path, `${name}.tree`), join(path, name), ...fixed, ...args]);
      rmSync(join(path, `${name}.tree`), { recursive: true });
      return readFileSync(join(path, name));
    },
    imageWithAttributes: (name, tree, value) => {
      const entries = Object.entries(tree).flatMap(([file, bytes], index) => {
        const record = Buffer.from(paxRecord('SCHILY.xattr.user.origin', `${value} ${index % 40}`));
        return bytes === null ? [] : [tarEntry('PaxHeader', 'x', record), tarEntry(file, '0', bytes)];
      });
      // sqfstar 4.5 takes no options of the compressor.
      const fixed = ['-quiet', '-no-progress', '-b', `${blockBytes}`, '-comp', 'zstd', ...fixedTimes];
      const input = Buffer.concat([...entries, Buffer.alloc(1024)]);
      execFileSync('sqfstar', [...fixed, join(path, name)], { input, stdio: ['pipe', 'ignore', 'inherit'] });
      return readFileSync(join(path, name));
    },
    remove: () => rmSync(path, { recursive: true }),
  };
};

export interface Applied {
  /** Zeros where a piece is missing. */
  readonly image: Buffer;
  readonly missing: readonly { readonly offsetBytes: number; readonly lengthBytes: number }[];
  readonly copiedBytes: number;
}

/** What a gateway would write, from `fromBytes` on; throws when pieces leave a gap or overlap. */
export const applyAll = async (
  patch: Uint8Array,
  base: ByteSource,
  options: { readonly zstd: Zstd; readonly fromBytes?: number; readonly signal?: AbortSignal },
): Promise<Applied> => {
  const pieces: Uint8Array[] = [];
  const missing: { offsetBytes: number; lengthBytes: number }[] = [];
  let at = options.fromBytes ?? 0;
  let copiedBytes = 0;
  for await (const piece of applyPatch(await openPatch(bytesSource(patch)), base, options)) {
    if (piece.offsetBytes !== at) throw new RangeError(`a piece at ${piece.offsetBytes} instead of ${at}`);
    if (piece.kind !== 'bytes') missing.push({ offsetBytes: at, lengthBytes: piece.lengthBytes });
    else if (piece.origin === 'old') copiedBytes += piece.bytes.length;
    pieces.push(piece.kind !== 'bytes' ? Buffer.alloc(piece.lengthBytes) : Buffer.from(piece.bytes));
    at += pieces.at(-1)?.length ?? 0;
  }
  return { image: Buffer.concat(pieces), missing, copiedBytes };
};
