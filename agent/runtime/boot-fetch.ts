// Brings the boot files of a release onto the data partition, before the first byte of its image is fetched: they are the small
// part, and what has no room there would be no update. What a slot's boot place holds is copied from there: most releases change
// neither kernel nor initrd.

import type { BootFile } from '../core/boot-set.ts';
import { OtadError } from '../core/errors.ts';
import type { BootStage, InstallPorts, ReleaseSource, ServedSink } from '../core/ports.ts';
import { type Artifact, otherSlot, type SlotName } from '../core/types.ts';
import type { BootManifest } from './boot-manifest.ts';
import type { Report, Tally } from './progress-reporter.ts';
import { createSkipped } from './skipped-bytes.ts';

export interface BootFetchPorts extends Pick<InstallPorts, 'bootStage' | 'heldBootFiles' | 'source' | 'log'> {
  /** Being filled; the other one runs. */
  readonly slot: SlotName;
  readonly report: Report;
  readonly tally: Tally;
}

interface Counting {
  /** How much of the file is there, and how much of that came just now. */
  readonly onBytes: (arrivedBytes: number, fetchedBytes: number) => void;
  /** Of those that came: for nothing. */
  readonly onUseless: (lengthBytes: number) => void;
}

const fillOne = async (
  stage: BootStage,
  source: ReleaseSource,
  artifact: Artifact & { readonly name: string },
  { onBytes, onUseless }: Counting,
  signal: AbortSignal,
): Promise<void> => {
  for (let tries = 1; ; tries += 1) {
    /** Who began to send it: what is wrong is as a rule wrong from there on. */
    let server: string | null = null;
    let fetchedBytes = 0;
    try {
      return await stage.fill(artifact, async (offsetBytes, sink) => {
        let arrivedBytes = offsetBytes;
        server = null;
        const counting: ServedSink = (bytes, from) => {
          server ??= from;
          arrivedBytes += bytes.length;
          fetchedBytes += bytes.length;
          onBytes(arrivedBytes, bytes.length);
          return sink(bytes);
        };
        const skipped = createSkipped((lengthBytes) => {
          onBytes(arrivedBytes, lengthBytes);
          onUseless(lengthBytes);
        });
        await source.stream(artifact, offsetBytes, counting, signal, skipped.note).catch((error: unknown) => {
          throw arrivedBytes > offsetBytes ? error : skipped.asFault(error, artifact.path);
        });
        if (arrivedBytes < artifact.lengthBytes) {
          throw new OtadError('HTTP_TRUNCATED', { path: artifact.path, arrivedBytes });
        }
      });
    } catch (error) {
      if (!(error instanceof OtadError) || error.code !== 'TARGET_DIGEST_MISMATCH') throw error;
      onUseless(fetchedBytes);
      if (server !== null) source.distrust(server);
      if (tries >= source.serverCount) throw error;
    }
  }
};

/** From one boot place, or no byte of it. What is wrong there is no fault of this release: it is fetched. */
const copyFrom = async (
  place: SlotName,
  file: BootFile,
  { bootStage, heldBootFiles, log, tally }: BootFetchPorts,
  onBytes: (arrivedBytes: number) => void,
  signal: AbortSignal,
): Promise<boolean> => {
  let arrivedBytes = 0;
  let result: Awaited<ReturnType<BootStage['copy']>> = 'other';
  try {
    result = await bootStage.copy(file, async (sink) => {
      while (arrivedBytes < file.lengthBytes) {
        if (signal.aborted) throw new OtadError('CANCELLED', { step: 'boot files' });
        const piece = await heldBootFiles.read(place, file, arrivedBytes, signal);
        if (piece === null || piece.length === 0 || arrivedBytes + piece.length > file.lengthBytes) return;
        await sink(piece);
        arrivedBytes += piece.length;
        tally.copiedBytes += piece.length;
        onBytes(arrivedBytes);
      }
    });
  } catch (error) {
    if (!(error instanceof OtadError) || error.code === 'CANCELLED') throw error;
    log.info('A boot file is not copied from the boot place.', { slot: place, file: file.name, reason: error.message });
  } finally {
    if (result === 'other') tally.copiedBytes -= arrivedBytes;
  }
  if (result === 'other' && arrivedBytes > 0) {
    log.warn('The boot place gives other bytes than it said. The file is fetched.', { slot: place, file: file.name });
  }
  return result !== 'other';
};

/** All files whole on the data partition. Nothing that is there, or in a slot's boot place, is fetched again. */
export const fetchBootSet = async (
  { text, files, totalBytes }: BootManifest,
  ports: BootFetchPorts,
  signal: AbortSignal,
): Promise<void> => {
  const { bootStage, source, log, report, tally, slot } = ports;
  await bootStage.begin(text, files);
  const before = tally.fetchedBytes;
  let doneBytes = 0;
  report('fetching', 0);
  for (const file of files) {
    const onBytes = (arrivedBytes: number, fetchedBytes: number): void => {
      tally.fetchedBytes += fetchedBytes;
      report('fetching', doneBytes + arrivedBytes);
    };
    const onUseless = (lengthBytes: number): void => {
      tally.overheadBytes += lengthBytes;
    };
    if (signal.aborted) throw new OtadError('CANCELLED', { step: 'boot files' });
    const onCopied = (arrivedBytes: number): void => report('fetching', doneBytes + arrivedBytes);
    // The other one holds a set as well, after a release that failed here: the next one may bring the same kernel.
    const isHeld =
      (await copyFrom(otherSlot(slot), file, ports, onCopied, signal)) ||
      (await copyFrom(slot, file, ports, onCopied, signal));
    if (!isHeld) await fillOne(bootStage, source, file, { onBytes, onUseless }, signal);
    doneBytes += file.lengthBytes;
    report('fetching', doneBytes);
  }
  log.info('The boot files are on the data partition.', {
    ...{ files: files.length, totalBytes, fetchedBytes: tally.fetchedBytes - before },
    copiedBytes: tally.copiedBytes,
  });
  tally.copiedBootBytes = tally.copiedBytes;
};
