// What the link brought in about the last second, by the clock that is handed in: how much may be under way on it, as long as
// a cut is to cost no more than that. Knows nothing before bytes came.

const secondMs = 1000;

export interface LinkPace {
  /** So many bytes have come. */
  note(lengthBytes: number): void;
  secondBytes(): number;
}

export const createLinkPace = (monoMs: () => number): LinkPace => {
  let sinceMs = monoMs();
  let bytes = 0;
  let beforeBytes = 0;
  const turn = (): void => {
    const passedMs = monoMs() - sinceMs;
    if (passedMs < secondMs) return;
    beforeBytes = (bytes * secondMs) / passedMs;
    bytes = 0;
    sinceMs += passedMs;
  };
  return {
    note(lengthBytes) {
      turn();
      bytes += lengthBytes;
    },
    secondBytes() {
      turn();
      return Math.max(beforeBytes, bytes);
    },
  };
};
