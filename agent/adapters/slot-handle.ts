// One open slot: whole writes, whole reads, typed errors. O_DIRECT wherever the medium takes it, so that what is read back
// is what the medium holds. Some FUSE and older memory file systems refuse it: reads of a file slot there come after
// fdatasync and may be answered by the page cache. A block device that refuses it is refused: what the page cache holds
// proves nothing about it.

import { constants, type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorCode, OtadError } from '../core/errors.ts';
import type { SlotHandle } from '../core/ports.ts';
import { blockSizeBytes, floorToBlock } from '../core/slot-layout.ts';
import type { SlotName } from '../core/types.ts';
import { allocateAligned } from './aligned-memory.ts';
import { errnoOf } from './file-pieces.ts';
import { deviceNumbers, identify, type KernelViews, type SlotIdentity } from './slot-identity.ts';

/** What is copied at once from memory that O_DIRECT does not take. */
const bounceBytes = 256 * 1024;

/** Largest read of one call. */
const readBytesMax = 4 * 1024 * 1024;

const codeOf: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'SLOT_MISSING',
  ENXIO: 'SLOT_MISSING',
  ENODEV: 'SLOT_MISSING',
  ENOMEDIUM: 'SLOT_MISSING',
  EBUSY: 'SLOT_BUSY',
  ETXTBSY: 'SLOT_BUSY',
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
};

/** What the system said about a slot, as one of ours. */
export const slotError = (error: unknown, details: Readonly<Record<string, string | number>>): OtadError => {
  if (error instanceof OtadError) return error;
  const errno = errnoOf(error);
  return new OtadError(codeOf[errno] ?? 'SLOT_IO', { ...details, errno }, { cause: error });
};

const isErrno = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

interface OpenFile {
  readonly file: FileHandle;
  readonly isDirect: boolean;
}

/** With O_DIRECT; without it only a file that refuses it. O_EXCL without O_CREAT fails with EBUSY on a block device that is mounted or held. */
const openFile = async (slot: SlotName, identity: SlotIdentity, isExclusive: boolean): Promise<OpenFile> => {
  const exclusive = isExclusive && identity.kind === 'block' ? constants.O_EXCL : 0;
  const flags = (isExclusive ? constants.O_RDWR : constants.O_RDONLY) | exclusive;
  try {
    return { file: await open(identity.path, flags | constants.O_DIRECT), isDirect: true };
  } catch (error) {
    if (!isErrno(error, 'EINVAL')) throw error;
    if (identity.kind === 'block') throw slotError(error, { slot, path: identity.path, step: 'open with O_DIRECT' });
    return { file: await open(identity.path, flags), isDirect: false };
  }
};

/** Size in whole blocks, of the very file that is open: a path that now leads elsewhere is refused. */
const sizeOf = async (
  file: FileHandle,
  slot: SlotName,
  identity: SlotIdentity,
  views: KernelViews,
): Promise<number> => {
  const facts = await file.stat({ bigint: true });
  const isSame =
    identity.device === null
      ? identity.key === `file ${deviceNumbers(facts.dev)}:${facts.ino}`
      : facts.isBlockDevice() && identity.device === deviceNumbers(facts.rdev);
  if (!isSame) throw new OtadError('SLOT_BUSY', { slot, path: identity.path, reason: 'replaced while it was opened' });
  if (identity.device === null) return floorToBlock(Number(facts.size));
  const sectors = Number(await readFile(join(views.sys, 'dev/block', identity.device, 'size'), 'utf8'));
  if (!Number.isSafeInteger(sectors)) throw new OtadError('SLOT_IO', { slot, path: identity.path, reason: 'no size' });
  return floorToBlock(sectors * 512);
};

/** One slot, open. One call at a time. */
export class OpenSlot implements SlotHandle {
  readonly sizeBytes: number;
  /** False where the medium refused O_DIRECT. */
  readonly isDirect: boolean;
  readonly #file: FileHandle;
  readonly #facts: { readonly slot: SlotName; readonly path: string };
  readonly #identity: SlotIdentity;
  readonly #unlock: () => Promise<void>;
  readonly #aligned = new WeakSet<ArrayBufferLike>();
  #scratch: Uint8Array | null = null;
  #isClosed = false;

  constructor(
    opened: OpenFile,
    sizeBytes: number,
    slot: SlotName,
    identity: SlotIdentity,
    unlock: () => Promise<void>,
  ) {
    this.#file = opened.file;
    this.isDirect = opened.isDirect;
    this.sizeBytes = sizeBytes;
    this.#facts = { slot, path: identity.path };
    this.#identity = identity;
    this.#unlock = unlock;
  }

  async write(offsetBytes: number, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    this.#check('write', offsetBytes, bytes.length, signal);
    if (!this.isDirect || (this.#aligned.has(bytes.buffer) && bytes.byteOffset % blockSizeBytes === 0)) {
      return this.#writeWhole(offsetBytes, bytes);
    }
    for (let done = 0; done < bytes.length; done += bounceBytes) {
      const piece = bytes.subarray(done, done + bounceBytes);
      const bounce = this.#scratchOf(bounceBytes).subarray(0, piece.length);
      bounce.set(piece);
      await this.#writeWhole(offsetBytes + done, bounce);
    }
  }

  async flush(signal: AbortSignal): Promise<void> {
    this.#check('flush', 0, 0, signal);
    await this.#file.datasync().catch((error: unknown) => {
      throw slotError(error, { ...this.#facts, step: 'flush' });
    });
  }

  async read(offsetBytes: number, lengthBytes: number, signal: AbortSignal): Promise<Uint8Array> {
    this.#check('read', offsetBytes, lengthBytes, signal);
    if (lengthBytes > readBytesMax) throw new OtadError('INTERNAL', { step: 'read', lengthBytes, readBytesMax });
    const target = this.#scratchOf(lengthBytes).subarray(0, lengthBytes);
    const facts = { ...this.#facts, step: 'read', offsetBytes, lengthBytes };
    try {
      for (let done = 0; done < lengthBytes; ) {
        const { bytesRead } = await this.#file.read(target, done, lengthBytes - done, offsetBytes + done);
        if (bytesRead === 0) throw new OtadError('SLOT_IO', { ...facts, reason: 'the medium ends early' });
        done += bytesRead;
      }
    } catch (error) {
      throw slotError(error, facts);
    }
    return target;
  }

  allocate(lengthBytes: number): Uint8Array {
    const bytes = allocateAligned(lengthBytes);
    this.#aligned.add(bytes.buffer);
    return bytes;
  }

  async requireSamePlace(): Promise<void> {
    const { slot, path } = this.#facts;
    const { key } = await identify(slot, path);
    if (key !== this.#identity.key)
      throw new OtadError('SLOT_BUSY', { slot, path, reason: 'replaced while it was open' });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      await this.#file.close();
    } catch (error) {
      throw slotError(error, { ...this.#facts, step: 'close' });
    } finally {
      await this.#unlock();
    }
  }

  #check(step: string, offsetBytes: number, lengthBytes: number, signal: AbortSignal): void {
    if (signal.aborted) throw new OtadError('CANCELLED', { ...this.#facts, step });
    const isAligned = offsetBytes % blockSizeBytes === 0 && lengthBytes % blockSizeBytes === 0;
    if (!isAligned || offsetBytes < 0 || offsetBytes + lengthBytes > this.sizeBytes || this.#isClosed) {
      throw new OtadError('INTERNAL', { ...this.#facts, step, offsetBytes, lengthBytes, sizeBytes: this.sizeBytes });
    }
  }

  async #writeWhole(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    const facts = { ...this.#facts, step: 'write', offsetBytes, lengthBytes: bytes.length };
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, offsetBytes + done);
        if (bytesWritten === 0) throw new OtadError('SLOT_IO', { ...facts, reason: 'the medium took nothing' });
        done += bytesWritten;
      }
    } catch (error) {
      throw slotError(error, facts);
    }
  }

  #scratchOf(lengthBytes: number): Uint8Array {
    if (this.#scratch === null || this.#scratch.length < lengthBytes) this.#scratch = allocateAligned(lengthBytes);
    return this.#scratch;
  }
}

/** Opens what `identity` names: exclusively for writing, or for reading only. `unlock` is called when it is closed. */
export const openSlot = async (
  slot: SlotName,
  identity: SlotIdentity,
  views: KernelViews,
  isExclusive: boolean,
  unlock: () => Promise<void>,
): Promise<OpenSlot> => {
  const { path } = identity;
  const opened = await openFile(slot, identity, isExclusive).catch((error: unknown) => {
    throw slotError(error, { slot, path, step: 'open' });
  });
  try {
    return new OpenSlot(opened, await sizeOf(opened.file, slot, identity, views), slot, identity, unlock);
  } catch (error) {
    await opened.file.close();
    throw slotError(error, { slot, path, step: 'open' });
  }
};
