// The ways by which an image comes into a slot, tried in order: a patch, the chunk index with this gateway's own slots, the whole
// file. Each goes on where the one before it left off. None is trusted: what decides is the signed digest at the end.

import type { RuntimeLog, SlotReader } from '../core/ports.ts';
import type { SlotName } from '../core/types.ts';
import type { InstallTarget } from './install-target.ts';
import type { LinkPace } from './link-pace.ts';
import type { Tally } from './progress-reporter.ts';
import type { HeldIndex, IndexFile } from './slot-index.ts';
import type { SlotWriter } from './slot-writer.ts';

export interface Doubt {
  /** It has been wrong, and nobody could say whose fault that was: it comes whole, and each attempt from one server. */
  isFullOnly: boolean;
}

/** What a way works on: one attempt to fill one slot, behind the prefix that it holds already. */
export interface Fill {
  readonly slot: SlotName;
  readonly target: InstallTarget;
  /** Takes the image's bytes from `arrivedBytes` on, in order. */
  readonly writer: SlotWriter;
  /** The slot itself: before the writer's position it holds the image. */
  readonly medium: SlotReader;
  /** The image's chunk index, or the reason why there is none to go by. */
  readonly index: IndexFile | string;
  /** So many bytes of this very image an attempt before this one had written; not all of them may still be there. */
  readonly writtenBytes: number;
  /** What the slot held before this image, as far as it is not overwritten. */
  readonly before: HeldIndex | null;
  /** What is known of the image beyond this attempt: its records say it. */
  readonly doubt: Doubt;
  readonly tally: Tally;
  /** Of the link, as far as Range requests measure it. */
  readonly pace: LinkPace;
  /** Called after every change of the tally. */
  readonly onBytes: () => void;
  readonly signal: AbortSignal;
  readonly log: Pick<RuntimeLog, 'info' | 'warn'>;
}

export interface FillWay {
  readonly name: 'patch' | 'index' | 'full';
  /**
   * Gives the writer the image's bytes up to the end. Null: they are all there. A sentence: this way cannot go on, and why;
   * the next one goes on from the writer's position. Throws what another way could not help against either.
   */
  bring(fill: Fill): Promise<string | null>;
}
