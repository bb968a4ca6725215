// The plain image in one stream: always possible, from any static server, with no index and no patch.

import { OtadError } from '../core/errors.ts';
import type { ReleaseSource } from '../core/ports.ts';
import type { FillWay } from './fill-way.ts';

export const createFullWay = (source: ReleaseSource): FillWay => ({
  name: 'full',
  bring: async ({ target, writer, tally, onBytes, signal }) => {
    const { artifact } = target;
    tally.toFetchBytes = artifact.lengthBytes - writer.arrivedBytes;
    onBytes();
    const startBytes = writer.arrivedBytes;
    const before = tally.fetchedBytes;
    let held: Promise<void> | null = null;
    const sink = (bytes: Uint8Array): void | Promise<void> => {
      const holding = writer.push(bytes);
      held = holding instanceof Promise ? holding : null;
      tally.fetchedBytes = before + writer.arrivedBytes - startBytes;
      tally.toFetchBytes = artifact.lengthBytes - writer.arrivedBytes;
      onBytes();
      return holding;
    };
    await source.stream(artifact, startBytes, sink, signal);
    await held;
    if (writer.fault !== null) throw writer.fault;
    if (writer.arrivedBytes < artifact.lengthBytes) {
      throw new OtadError('HTTP_TRUNCATED', { path: artifact.path, arrivedBytes: writer.arrivedBytes });
    }
    return null;
  },
});
