// libzstd as a WebAssembly module: the very release that mksquashfs used, on every Node and architecture, so that a block
// compresses to the same bytes on a gateway. Takes the module's bytes; reads no file, keeps no state outside of an instance.

import { createHash } from 'node:crypto';
import { OtadError } from '../agent/core/errors.ts';

interface Memory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}
// The types of Node leave it out.
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ readonly instance: { readonly exports: object } }>;
};

/** The release inside of the npm package `@bokuweb/zstd-wasm` 0.0.27, which Debian 13 has as well. */
export const zstdRelease = 'zstd 1.5.7';
export const zstdLevelMax = 22;
/** Level 22 on blocks of 1 MiB takes about 40 MiB; level 15 on 128 KiB less than the 16 MiB that the module starts with. */
const memoryBytesMax = 128 * 1024 * 1024;
const pageBytes = 65_536;
const inputBytesMax = 2 * 1024 * 1024;
const selfTestBytes = 65_536;
export const selfTestDigestBytes = 16;

export interface Zstd {
  /** One frame, as ZSTD_compressCCtx makes it. */
  compress(bytes: Uint8Array, level: number): Uint8Array;
  /** Throws a RangeError on damage, and on more than `bytesMax`. */
  decompress(bytes: Uint8Array, bytesMax: number): Uint8Array;
}

/** Names that the package's build gave to what it exports. */
interface Exports {
  readonly f: Memory;
  readonly g: () => void;
  readonly h: (code: number) => number;
  readonly i: (length: number) => number;
  readonly j: () => number;
  readonly l: (...args: readonly number[]) => number;
  readonly n: () => number;
  readonly q: (...args: readonly number[]) => number;
  readonly s: (length: number) => number;
  readonly t: (pointer: number) => void;
}

const unusable = (problem: string): never => {
  throw new OtadError('INTERNAL', { step: 'zstd', problem });
};

/** Starts an instance of the module; what it allocates is freed with it. */
export const createZstd = async (wasm: Uint8Array): Promise<Zstd> => {
  const abort = (): never => unusable('the module gave up');
  const grow = (wantedBytes: number): number => {
    const missing = Math.ceil(((wantedBytes >>> 0) - exports.f.buffer.byteLength) / pageBytes);
    if (wantedBytes >>> 0 > memoryBytesMax) return 0;
    try {
      exports.f.grow(Math.max(0, missing));
      return 1;
    } catch {
      return 0; // the machine has no more: the module says so where it was to be used
    }
  };
  const imports = { a: { a: abort, b: () => undefined, c: abort, d: () => 0, e: grow } };
  const { instance } = await WebAssembly.instantiate(new Uint8Array(wasm), imports);
  const exports = instance.exports as unknown as Exports;
  exports.g();
  const compressor = exports.j();
  const decompressor = exports.n();

  const withBuffers = (bytes: Uint8Array, outputBytes: number, run: (from: number, to: number) => number) => {
    if (bytes.length > inputBytesMax || outputBytes > inputBytesMax) throw new RangeError('longer than any block');
    const from = exports.s(Math.max(1, bytes.length));
    const to = exports.s(Math.max(1, outputBytes));
    try {
      if (from === 0 || to === 0) return unusable('no memory is left');
      new Uint8Array(exports.f.buffer, from, bytes.length).set(bytes);
      const length = run(from, to);
      if (exports.h(length) !== 0) throw new RangeError('no whole frame of the length that it should have');
      return new Uint8Array(exports.f.buffer, to, length).slice();
    } finally {
      exports.t(from);
      exports.t(to);
    }
  };
  return {
    compress: (bytes, level) => {
      const outputBytes = exports.i(bytes.length);
      return withBuffers(bytes, outputBytes, (from, to) => {
        const length = exports.l(compressor, to, outputBytes, from, bytes.length, 0, 0, level);
        // There is room for whatever comes out: all that can be short is memory, and would be with the next block again.
        return exports.h(length) === 0 ? length : unusable('it does not compress here');
      });
    },
    decompress: (bytes, bytesMax) =>
      withBuffers(bytes, bytesMax, (from, to) => exports.q(decompressor, to, bytesMax, from, bytes.length, 0, 0)),
  };
};

/** Short runs and repeats near and far, with many ways to choose between them: where releases and levels differ. */
const selfTestVector = (): Uint8Array => {
  const bytes = new Uint8Array(selfTestBytes);
  let state = 0x2545_f491;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % limit;
  };
  for (let at = 0; at < bytes.length; ) {
    const isRepeat = at > 64 && below(8) < 5;
    const distance = isRepeat ? 1 + below(Math.min(at, 1 << (4 + below(12)))) : 0;
    const end = Math.min(bytes.length, at + (isRepeat ? 3 + below(24) : 1 + below(6)));
    for (; at < end; at += 1) bytes[at] = isRepeat ? (bytes[at - distance] as number) : 32 + below(64);
  }
  return bytes;
};

/** What a library makes of a fixed input: two that differ here are two. */
export const selfTestDigest = (zstd: Zstd, level: number): Buffer =>
  createHash('sha256').update(zstd.compress(selfTestVector(), level)).digest().subarray(0, selfTestDigestBytes);
