// The chunk index over the network: in one stream like an image, within the attempt's time, going on where the attempt before broke off.
// What arrived is kept in the slot where the index will stand, and counts for nothing before all of it has the signed digest.

import { OtadError } from '../core/errors.ts';
import type { ReleaseSource, ServedSink, SlotHandle } from '../core/ports.ts';
import { blockSizeBytes, floorToBlock, isIndexRoom } from '../core/slot-layout.ts';
import type { ArtifactFile } from '../core/types.ts';
import { type FileTrouble, forgetTrouble } from './file-trouble.ts';
import { isMediumFault, transferBytes } from './slot-medium.ts';

/** At most this much of an index comes again after a cut. */
export const indexKeepBytes = 256 * 1024;

export interface IndexFetch {
  readonly file: ArtifactFile;
  readonly source: ReleaseSource;
  readonly isRight: (bytes: Uint8Array) => boolean;
  readonly onFetched: (lengthBytes: number) => void;
  readonly handle: SlotHandle;
  /** Where it will stand. */
  readonly offsetBytes: number;
  readonly trouble: FileTrouble;
}

/** The blocks before the first one of zeros, of which no index has any: {@link keep} put it behind what had arrived. */
export const keptPart = (stored: Uint8Array): Uint8Array => {
  for (let at = 0; at < stored.length; at += blockSizeBytes) {
    if (stored.subarray(at, at + blockSizeBytes).every((byte) => byte === 0)) return stored.subarray(0, at);
  }
  return stored.subarray(0, 0);
};

/** Leaves the whole blocks that have arrived in the slot, durably. Gives up to where; `fromBytes` where there is no room for it. */
const keep = async (
  { handle, offsetBytes, file }: IndexFetch,
  bytes: Uint8Array,
  [fromBytes, arrivedBytes]: readonly [number, number],
): Promise<number> => {
  // Finished when the attempt is cancelled: it is bounded, and what is here was paid for.
  const steady = new AbortController().signal;
  const endBytes = floorToBlock(arrivedBytes);
  if (endBytes <= fromBytes || endBytes >= file.lengthBytes) return fromBytes;
  if (!isIndexRoom(offsetBytes, file.lengthBytes, handle.sizeBytes)) return fromBytes;
  const blocks = new Uint8Array(endBytes - fromBytes + blockSizeBytes);
  blocks.set(bytes.subarray(fromBytes, endBytes));
  for (let done = 0; done < blocks.length; done += transferBytes) {
    await handle.write(offsetBytes + fromBytes + done, blocks.subarray(done, done + transferBytes), steady);
  }
  await handle.flush(steady);
  return endBytes;
};

interface Sent {
  readonly bytes: Uint8Array;
  /** Who sent all of it; null: several, or an attempt before this one began it. */
  readonly server: string | null;
}

/** The rest of the file behind what is kept of it. */
const fetchRest = async (fetch: IndexFetch, kept: Uint8Array, signal: AbortSignal): Promise<Sent> => {
  const { file, source, onFetched, trouble } = fetch;
  const bytes = new Uint8Array(file.lengthBytes);
  bytes.set(kept);
  const servers = new Set<string>();
  let arrivedBytes = kept.length;
  let keptBytes = kept.length;
  const sink: ServedSink = (piece, server) => {
    if (arrivedBytes + piece.length > bytes.length) throw new OtadError('FILE_TOO_LARGE', { path: file.path });
    bytes.set(piece, arrivedBytes);
    arrivedBytes += piece.length;
    servers.add(server);
    onFetched(piece.length);
    return arrivedBytes - keptBytes < indexKeepBytes ? undefined : keepAll();
  };
  const keepAll = async (): Promise<void> => {
    keptBytes = await keep(fetch, bytes, [keptBytes, arrivedBytes]);
  };
  try {
    await source.stream(file, kept.length, sink, signal, onFetched);
    if (arrivedBytes < bytes.length) throw new OtadError('HTTP_TRUNCATED', { path: file.path, arrivedBytes });
  } catch (error) {
    await keepAll().catch((fault: unknown) => {
      if (!isMediumFault(fault)) throw fault;
    });
    // It comes further with every attempt: that is a slow link, and not one that never brings it.
    if (keptBytes > kept.length) forgetTrouble(trouble, file.path);
    throw error;
  }
  const [server = null] = servers;
  return { bytes, server: kept.length === 0 && servers.size === 1 ? server : null };
};

/** Even where there is one server only: what is kept, or something on the way, may be what is wrong. */
const triesMin = 2;

/** Throws TARGET_DIGEST_MISMATCH where no server sends the signed bytes, and what ended the stream. */
export const fetchIndex = async (fetch: IndexFetch, kept: Uint8Array, signal: AbortSignal): Promise<Uint8Array> => {
  const { source, file, isRight } = fetch;
  let start = kept;
  for (let tries = 0; tries < Math.max(triesMin, source.serverCount); tries += 1) {
    const { bytes, server } = await fetchRest(fetch, start, signal);
    if (isRight(bytes)) return bytes;
    if (server !== null) source.distrust(server);
    start = kept.subarray(0, 0);
  }
  throw new OtadError('TARGET_DIGEST_MISMATCH', { path: file.path });
};
