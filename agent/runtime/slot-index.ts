// The chunk index of an image in its slot, behind the tree: written when the image comes, found again by whoever has the slot
// and nothing else. What it says is only ever a hint where bytes may be; every chunk is checked by the index that is signed.

import { OtadError } from '../core/errors.ts';
import type { ChunkTable, Indexing, ReleaseSource, Sealing, SlotHandle, SlotReader } from '../core/ports.ts';
import { blockSizeBytes, ceilToBlock, indexOffsetBytes, isIndexRoom } from '../core/slot-layout.ts';
import type { SlotRecord } from '../core/types.ts';
import { asReason, type FileTrouble } from './file-trouble.ts';
import { fetchIndex, type IndexFetch, keptPart } from './index-fetch.ts';
import type { InstallTarget } from './install-target.ts';
import { isMediumFault, transferBytes } from './slot-medium.ts';

export interface IndexFile {
  readonly bytes: Uint8Array;
  readonly table: ChunkTable;
}

/** A slot's own index, for finding chunks in that slot. */
export interface HeldIndex {
  readonly table: ChunkTable;
}

/** What finding an index takes. */
export interface IndexPorts {
  readonly sealing: Sealing;
  readonly indexing: Indexing;
}

const placeOf = ({ verity, imageLengthBytes }: Pick<SlotRecord, 'verity' | 'imageLengthBytes'>, sealing: Sealing) =>
  indexOffsetBytes(verity.hashOffsetBytes, sealing.treeLengthBytes(imageLengthBytes));

/** The bytes of the index that stands at this place; null where none does. */
const readStored = async (
  reader: Pick<SlotReader, 'sizeBytes' | 'read'>,
  offsetBytes: number,
  { indexing }: IndexPorts,
  signal: AbortSignal,
): Promise<Uint8Array | null> => {
  if (!isIndexRoom(offsetBytes, blockSizeBytes, reader.sizeBytes)) return null;
  const lengthBytes = indexing.lengthOf(await reader.read(offsetBytes, blockSizeBytes, signal));
  if (lengthBytes === null || !isIndexRoom(offsetBytes, lengthBytes, reader.sizeBytes)) return null;
  const bytes = new Uint8Array(ceilToBlock(lengthBytes));
  for (let done = 0; done < bytes.length; done += transferBytes) {
    const pieceBytes = Math.min(transferBytes, bytes.length - done);
    bytes.set(await reader.read(offsetBytes + done, pieceBytes, signal), done);
  }
  return bytes.subarray(0, lengthBytes);
};

/** The index that a slot with this record carries, or null where it carries none of its own image. */
export const findIndex = async (
  reader: Pick<SlotReader, 'sizeBytes' | 'read'>,
  record: SlotRecord,
  ports: IndexPorts,
  signal: AbortSignal,
): Promise<HeldIndex | null> => {
  try {
    const bytes = await readStored(reader, placeOf(record, ports.sealing), ports, signal);
    if (bytes === null) return null;
    const table = ports.indexing.decode(bytes);
    const isItsOwn =
      table.imageSha256Hex === record.imageSha256Hex && table.imageLengthBytes === record.imageLengthBytes;
    return isItsOwn ? { table } : null;
  } catch (error) {
    // A slot that rotted there still boots; there is just nothing to copy by.
    if (isMediumFault(error) || (error instanceof OtadError && error.code === 'INDEX_MALFORMED')) return null;
    throw error;
  }
};

export const sha256Of = (bytes: Uint8Array, sealing: Pick<Sealing, 'createHasher'>): string => {
  const hasher = sealing.createHasher();
  hasher.update(bytes);
  return hasher.digestHex();
};

export interface IndexRequest extends IndexPorts {
  readonly target: InstallTarget;
  readonly handle: SlotHandle;
  readonly source: ReleaseSource;
  readonly onFetched: (lengthBytes: number) => void;
  readonly trouble: FileTrouble;
}

/**
 * The target's index: out of the slot, where an attempt before this one left it, or fetched, and then left there. Checked by its
 * signed digest either way. A sentence where there is none to go by.
 */
export const loadIndex = async (request: IndexRequest, signal: AbortSignal): Promise<IndexFile | string> => {
  const { target, handle, source, sealing, indexing, onFetched, trouble } = request;
  const { artifact, verity } = target;
  const file = artifact.index;
  if (file === null) return 'the release names no chunk index';
  if (file.lengthBytes > indexing.indexBytesMax)
    return `its chunk index is longer than ${indexing.indexBytesMax} bytes`;
  const offsetBytes = placeOf({ verity, imageLengthBytes: artifact.lengthBytes }, sealing);
  const stored = await readStored(handle, offsetBytes, request, signal).catch((error: unknown) => {
    if (!isMediumFault(error)) throw error;
    return null;
  });
  const isRight = (bytes: Uint8Array): boolean => sha256Of(bytes, sealing) === file.sha256Hex;
  const isStored = stored !== null && isRight(stored);
  try {
    const kept = stored?.length === file.lengthBytes ? keptPart(stored) : new Uint8Array(0);
    const fetch: IndexFetch = { file, source, isRight, onFetched, handle, offsetBytes, trouble };
    const bytes = isStored ? stored : await fetchIndex(fetch, kept, signal);
    const table = indexing.decode(bytes);
    if (table.imageSha256Hex !== artifact.sha256Hex || table.imageLengthBytes !== artifact.lengthBytes) {
      throw new OtadError('INDEX_MALFORMED', { path: file.path, reason: 'it is of another image' });
    }
    if (!isStored) await storeIndex(handle, offsetBytes, bytes, signal);
    return { bytes, table };
  } catch (error) {
    return asReason(error, 'its chunk index', file.path, trouble);
  }
};

/** Where there is no room the slot goes without: the next update of it copies nothing. */
const storeIndex = async (
  handle: SlotHandle,
  offsetBytes: number,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<void> => {
  if (!isIndexRoom(offsetBytes, bytes.length, handle.sizeBytes)) return;
  const padded = new Uint8Array(ceilToBlock(bytes.length));
  padded.set(bytes);
  await handle.write(offsetBytes, padded, signal);
};
