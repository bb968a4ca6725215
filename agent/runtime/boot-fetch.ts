// Brings the boot files of a release onto the data partition, before the first byte of its image is fetched: they are the small
// part, and what has no room there would be no update.

import { OtadError } from '../core/errors.ts';
import type { BootStage, InstallPorts, ReleaseSource, ServedSink } from '../core/ports.ts';
import type { Artifact } from '../core/types.ts';
import type { BootManifest } from './boot-manifest.ts';
import type { Report, Tally } from './progress-reporter.ts';

export interface BootFetchPorts extends Pick<InstallPorts, 'bootStage' | 'source' | 'log'> {
  readonly report: Report;
  readonly tally: Tally;
}

const fillOne = async (
  stage: BootStage,
  source: ReleaseSource,
  artifact: Artifact & { readonly name: string },
  onBytes: (arrivedBytes: number, fetchedBytes: number) => void,
  signal: AbortSignal,
): Promise<void> => {
  for (let tries = 1; ; tries += 1) {
    /** Who began to send it: what is wrong is as a rule wrong from there on. */
    let server: string | null = null;
    try {
      return await stage.fill(artifact, async (offsetBytes, sink) => {
        let arrivedBytes = offsetBytes;
        server = null;
        const counting: ServedSink = (bytes, from) => {
          server ??= from;
          arrivedBytes += bytes.length;
          onBytes(arrivedBytes, bytes.length);
          return sink(bytes);
        };
        await source.stream(artifact, offsetBytes, counting, signal);
        if (arrivedBytes < artifact.lengthBytes) {
          throw new OtadError('HTTP_TRUNCATED', { path: artifact.path, arrivedBytes });
        }
      });
    } catch (error) {
      if (!(error instanceof OtadError) || error.code !== 'TARGET_DIGEST_MISMATCH') throw error;
      if (server !== null) source.distrust(server);
      if (tries >= source.serverCount) throw error;
    }
  }
};

/** All files whole on the data partition. Nothing that is there already is fetched again. */
export const fetchBootSet = async (
  { text, files, totalBytes }: BootManifest,
  { bootStage, source, log, report, tally }: BootFetchPorts,
  signal: AbortSignal,
): Promise<void> => {
  await bootStage.begin(text, files);
  const before = tally.fetchedBytes;
  let doneBytes = 0;
  report('fetching', 0);
  for (const file of files) {
    const onBytes = (arrivedBytes: number, fetchedBytes: number): void => {
      tally.fetchedBytes += fetchedBytes;
      report('fetching', doneBytes + arrivedBytes);
    };
    if (signal.aborted) throw new OtadError('CANCELLED', { step: 'boot files' });
    await fillOne(bootStage, source, file, onBytes, signal);
    doneBytes += file.lengthBytes;
    report('fetching', doneBytes);
  }
  log.info('The boot files are on the data partition.', {
    ...{ files: files.length, totalBytes, fetchedBytes: tally.fetchedBytes - before },
  });
};
