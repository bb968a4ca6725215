// The plain image in one stream: always possible, from any static server, with no index and no patch. Knows who sent it, so that a
// server whose bytes are not the image is not asked first again. Never says so of a server that did not send them all.

import { OtadError } from '../core/errors.ts';
import type { ReleaseSource, ServedSink } from '../core/ports.ts';
import type { Fill, FillWay } from './fill-way.ts';

/** Who sent what the slot holds of an image: remembered from one attempt to the next. */
export interface Sender {
  sha256Hex: string;
  endBytes: number;
  /** null: several, or nobody knows who. */
  server: string | null;
}

export const noSender = (): Sender => ({ sha256Hex: '', endBytes: 0, server: null });

export interface FullWay extends FillWay {
  /** Who sent the image that it brought, from the first byte to the last. null: several, or nobody knows who. */
  sender(): string | null;
}

/** Bytes before these that somebody sent whom nobody remembers, or another way brought, are nobody's. */
const turnTo = (sender: Sender, { sha256Hex }: { readonly sha256Hex: string }, startBytes: number): void => {
  if (sender.sha256Hex !== sha256Hex || startBytes === 0 || startBytes > sender.endBytes) sender.server = null;
  sender.sha256Hex = sha256Hex;
};

/**
 * Notes whose bytes come. Of an image that was wrong before, an attempt takes those of one server only: what several of them
 * make together could be wrong for ever, and none of them would be known to lie.
 */
const watchSender = (sender: Sender, { doubt, target }: Fill, startBytes: number): ((from: string) => void) => {
  let sending: string | null = null;
  return (from) => {
    if (from === sending) return;
    if (sending !== null && doubt.isFullOnly) {
      throw new OtadError('HTTP_TRUNCATED', { path: target.artifact.path, reason: 'it comes from one server only' });
    }
    const isBeginning = sending === null && startBytes === 0;
    sender.server = isBeginning || sender.server === from ? from : null;
    sending = from;
  };
};

export const createFullWay = (source: ReleaseSource, sender: Sender): FullWay => ({
  name: 'full',
  bring: async (fill) => {
    const { target, writer, tally, onBytes, signal } = fill;
    const { artifact } = target;
    tally.toFetchBytes = artifact.lengthBytes - writer.arrivedBytes;
    onBytes();
    const startBytes = writer.arrivedBytes;
    const before = tally.fetchedBytes;
    turnTo(sender, artifact, startBytes);
    const note = watchSender(sender, fill, startBytes);
    let held: Promise<void> | null = null;
    const sink: ServedSink = (bytes, from) => {
      note(from);
      const holding = writer.push(bytes);
      held = holding instanceof Promise ? holding : null;
      tally.fetchedBytes = before + writer.arrivedBytes - startBytes;
      tally.toFetchBytes = artifact.lengthBytes - writer.arrivedBytes;
      onBytes();
      return holding;
    };
    try {
      await source.stream(artifact, startBytes, sink, signal);
      await held;
    } finally {
      sender.endBytes = writer.arrivedBytes;
    }
    if (writer.fault !== null) throw writer.fault;
    if (writer.arrivedBytes < artifact.lengthBytes) {
      throw new OtadError('HTTP_TRUNCATED', { path: artifact.path, arrivedBytes: writer.arrivedBytes });
    }
    return null;
  },
  sender: () => sender.server,
});
