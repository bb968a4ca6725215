// Decompression of single squashfs blocks on the publisher's machine: gzip and lz4 here, zstd and xz by the tools of those names.
// Never writes more than it is allowed to, whatever a block says of itself.

import { spawn } from 'node:child_process';
import { inflateSync } from 'node:zlib';
import { OtadError } from '../../agent/core/errors.ts';
import type { Decompress } from '../../delta/squashfs-metadata.ts';
import type { SquashfsCodec } from '../../delta/squashfs-superblock.ts';

const toolTimeoutMs = 60_000;

/** Pipes a block through `program -dc`; ends it as soon as it says more than it may. */
const decompressByTool = (
  program: string,
  packageName: string,
  bytes: Uint8Array,
  bytesMax: number,
): Promise<Uint8Array> =>
  new Promise((resolve, reject) => {
    const child = spawn(program, ['-dc'], { stdio: ['pipe', 'pipe', 'ignore'], timeout: toolTimeoutMs });
    const pieces: Buffer[] = [];
    let lengthBytes = 0;
    child.on('error', (cause) =>
      reject(new OtadError('TOOL_MISSING', { program, install: `apt-get install ${packageName}` }, { cause })),
    );
    child.stdout.on('data', (piece: Buffer) => {
      lengthBytes += piece.length;
      if (lengthBytes > bytesMax) child.kill('SIGKILL');
      else pieces.push(piece);
    });
    child.on('close', (code) => {
      if (lengthBytes > bytesMax) reject(new RangeError(`it grows beyond ${bytesMax} bytes`));
      else if (code !== 0) reject(new RangeError(`${program} ended with ${code}`));
      else resolve(Buffer.concat(pieces));
    });
    // It may end before it has read all: what it said then is what counts.
    child.stdin.on('error', () => {});
    child.stdin.end(bytes);
  });

/** One raw LZ4 block (lz4_Block_format): literals and matches in turn, lengths in nibbles and bytes. */
const decompressLz4 = (bytes: Uint8Array, bytesMax: number): Uint8Array => {
  const output = Buffer.alloc(bytesMax);
  let from = 0;
  let to = 0;
  const byte = (): number => {
    const value = bytes[from];
    if (value === undefined) throw new RangeError('it ends in the middle');
    from += 1;
    return value;
  };
  const lengthOf = (nibble: number): number => {
    let length = nibble;
    if (nibble < 15) return length;
    for (let more = 255; more === 255; ) {
      more = byte();
      length += more;
    }
    return length;
  };
  while (from < bytes.length) {
    const token = byte();
    const literals = lengthOf(token >> 4);
    if (from + literals > bytes.length || to + literals > bytesMax) throw new RangeError('literals run past an end');
    output.set(bytes.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from >= bytes.length) break;
    const distance = byte() | (byte() << 8);
    const length = lengthOf(token & 15) + 4;
    if (distance === 0 || distance > to || to + length > bytesMax) throw new RangeError('a match runs past an end');
    for (const end = to + length; to < end; to += 1) output[to] = output[to - distance] ?? 0;
  }
  return output.subarray(0, to);
};

/** Of compressors that nobody uses any more: such an image is published, and nothing in it can be looked into. */
export const isUnpackable = (codec: SquashfsCodec): boolean => codec !== 'lzma' && codec !== 'lzo';

/** Throws IMAGE_NOT_INDEXABLE for a compressor that nobody uses any more. */
export const decompressorOf = (codec: SquashfsCodec): Decompress => {
  switch (codec) {
    case 'gzip':
      return (bytes, bytesMax) => inflateSync(bytes, { maxOutputLength: bytesMax });
    case 'lz4':
      return decompressLz4;
    case 'zstd':
      return (bytes, bytesMax) => decompressByTool('zstd', 'zstd', bytes, bytesMax);
    case 'xz':
      return (bytes, bytesMax) => decompressByTool('xz', 'xz-utils', bytes, bytesMax);
    case 'lzma':
    case 'lzo':
      throw new OtadError('IMAGE_NOT_INDEXABLE', {
        problem: `it is compressed with ${codec}; use zstd, gzip, xz or lz4`,
      });
  }
};
