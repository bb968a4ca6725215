// The plain image in one stream: always possible, from any static server, with no index and no patch. Knows who began to send it,
// so that a server whose bytes are not the image is not asked first again.

import { OtadError } from '../core/errors.ts';
import type { ReleaseSource, ServedSink } from '../core/ports.ts';
import type { FillWay } from './fill-way.ts';

export interface FullWay extends FillWay {
  /** What was brought is not the image: who began to send it is asked last from now on. False: there is nobody else to ask. */
  distrust(): boolean;
}

export const createFullWay = (source: ReleaseSource): FullWay => {
  let server: string | null = null;
  return {
    name: 'full',
    bring: async ({ target, writer, tally, onBytes, signal }) => {
      const { artifact } = target;
      server = null;
      tally.toFetchBytes = artifact.lengthBytes - writer.arrivedBytes;
      onBytes();
      const startBytes = writer.arrivedBytes;
      const before = tally.fetchedBytes;
      let held: Promise<void> | null = null;
      const sink: ServedSink = (bytes, from) => {
        server ??= from;
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
    distrust: () => {
      if (server !== null) source.distrust(server);
      return source.serverCount > 1;
    },
  };
};
