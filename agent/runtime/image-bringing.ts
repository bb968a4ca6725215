// Brings one image to its end: by one way after another, and once more where what they brought is not the image. Keeps what arrived
// when the link breaks, and nothing of what is known to be wrong.

import { OtadError } from '../core/errors.ts';
import type { InstallPorts, ReleaseSource } from '../core/ports.ts';
import type { SlotRecord } from '../core/types.ts';
import type { Doubt, Fill, FillWay } from './fill-way.ts';
import type { FullWay } from './full-way.ts';
import type { InstallTarget } from './install-target.ts';
import { forgetImage } from './progress-reporter.ts';
import type { Mark, SlotWriter } from './slot-writer.ts';

/** What of an attempt is about its image, and not about the slot. */
export interface ImageAttempt {
  readonly target: InstallTarget;
  readonly writer: SlotWriter;
  readonly doubt: Doubt;
  readonly commit: (mark: Mark) => Promise<SlotRecord>;
  readonly log: InstallPorts['log'];
}

export interface Ways {
  /** The shorter ways, in the order in which they are tried. */
  readonly ways: readonly FillWay[];
  /** The way that is always possible. */
  readonly fullWay: FullWay;
  readonly source: Pick<ReleaseSource, 'serverCount' | 'distrust'>;
}

export const isDigestWrong = ({ writer, target }: ImageAttempt): boolean =>
  writer.positionBytes === target.artifact.lengthBytes && writer.mark().prefixSha256Hex !== target.artifact.sha256Hex;

/** After the stream broke: makes durable what arrived, unless the whole is known to be wrong. */
const salvage = async (attempt: ImageAttempt): Promise<void> => {
  const { writer, commit } = attempt;
  await writer.settle();
  if (isDigestWrong(attempt)) writer.restart();
  await commit(writer.mark());
};

const isSourceFault = (fault: unknown): boolean => fault instanceof OtadError && fault.class === 'source';

/** How the image came to its end: by which way, and where that one began. */
interface Brought {
  readonly way: FillWay['name'];
  readonly fromBytes: number;
}

/** Tries the ways in turn until the image is whole. */
const bring = async (attempt: ImageAttempt, fill: Fill, ways: readonly FillWay[]): Promise<Brought> => {
  const { writer, log } = attempt;
  const { tally } = fill;
  try {
    for (const way of ways) {
      const fromBytes = writer.arrivedBytes;
      const closed = await way.bring(fill);
      if (writer.fault !== null) throw writer.fault;
      if (closed === null) {
        await writer.settle();
        return { way: way.name, fromBytes };
      }
      log.info('The image comes by the next way.', { way: way.name, reason: closed });
      tally.detours.push(`${way.name}: ${closed}`);
    }
    throw new OtadError('INTERNAL', { step: 'write', reason: 'no way brought the image' });
  } catch (error) {
    // A slot that failed is not written again; any other end keeps its bytes.
    if (writer.fault === null || isSourceFault(writer.fault)) await salvage(attempt);
    throw writer.fault ?? error;
  }
};

/** The whole file: once for what was made of it before, and once more from its first byte. */
const fullTriesMax = 2;

/**
 * All of the image, or what is not it, after each way to it that this attempt may take. Who sent all of what is not the image is
 * asked last from then on. Where that was nobody alone, neither the same pieces nor the same servers together would make it
 * the next time: that is remembered until it is whole.
 */
export const bringImage = async (
  attempt: ImageAttempt,
  fill: Fill,
  { ways, fullWay, source }: Ways,
  bootBytes: number,
): Promise<void> => {
  const { writer, target, doubt, commit, log } = attempt;
  const { path } = target.artifact;
  let { way, fromBytes } = await bring(attempt, fill, doubt.isFullOnly ? [fullWay] : [...ways, fullWay]);
  for (let fullTries = 0; isDigestWrong(attempt); ) {
    if (way === 'full') fullTries += 1;
    const liar = way === 'full' ? fullWay.sender() : null;
    if (liar === null) doubt.isFullOnly = true;
    else source.distrust(liar);
    // A server, or a folder, that did not send the beginning may have sent right all that it did send.
    const isAllThereIs = way === 'full' && fromBytes === 0 && source.serverCount === 1;
    if (fullTries >= fullTriesMax || isAllThereIs) return;
    if (way === 'full') log.warn('What came is another image. It comes once more, from its first byte.', { path });
    else log.warn('The pieces do not make the signed image. It comes whole.', { way, path });
    writer.restart();
    forgetImage(fill.tally, bootBytes);
    await commit(writer.mark());
    ({ way, fromBytes } = await bring(attempt, fill, [fullWay]));
  }
};
