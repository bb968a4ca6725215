// When what came over a slow link is to be marked: every second, so that a cut costs no more than the link brings in one, unless the
// medium is what is slow. Counts what came and is not marked; knows nothing of where it stands.

/** A mark is 4 KiB and two flushes: however slow the link, less than a chunk is not worth one. */
export const markBytesMin = 128 * 1024;
/** So long what came may wait for its mark, where the medium takes it as fast as it comes. */
export const markEveryMs = 1000;
/** A mark that takes long is followed by a pause so many times as long: marks by time cost a fifth of the time at most. */
export const markPauseFactor = 4;

export interface MarkPace {
  /** Bytes that came over the network and that no mark covers. */
  readonly unmarkedBytes: number;
  came(lengthBytes: number): void;
  /** What comes has waited for the medium until now: so far the link is not what is slow, and marks would slow the medium further. */
  heldUp(): void;
  /** All that came is covered, and cost no mark. */
  renew(): void;
  /** All that came is covered by a mark that begins. */
  begin(): void;
  /** Makes that mark, and notes how long it takes. */
  timed(mark: () => Promise<void>): Promise<void>;
  /** True when what came should be marked before `comingBytes` more are here. Never while a mark is being made. */
  isDue(comingBytes: number): boolean;
}

export const createMarkPace = (monoMs: () => number): MarkPace => {
  let unmarkedBytes = 0;
  let markedAtMs = monoMs();
  let heldUpAtMs = Number.NEGATIVE_INFINITY;
  let tookMs = 0;
  let isMarking = false;
  return {
    get unmarkedBytes() {
      return unmarkedBytes;
    },
    came(lengthBytes) {
      unmarkedBytes += lengthBytes;
    },
    heldUp() {
      heldUpAtMs = monoMs();
    },
    renew() {
      unmarkedBytes = 0;
      markedAtMs = monoMs();
    },
    begin() {
      unmarkedBytes = 0;
      isMarking = true;
    },
    async timed(mark) {
      const beganMs = monoMs();
      await mark();
      markedAtMs = monoMs();
      tookMs = markedAtMs - beganMs;
      isMarking = false;
    },
    isDue(comingBytes) {
      if (isMarking || unmarkedBytes === 0 || unmarkedBytes + comingBytes < markBytesMin) return false;
      const nowMs = monoMs();
      const isPauseOver = nowMs - markedAtMs >= Math.max(markEveryMs, markPauseFactor * tookMs);
      return isPauseOver && nowMs - heldUpAtMs >= markEveryMs;
    },
  };
};
