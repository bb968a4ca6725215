// What the link brought in about the last second, and how long its answers take, by the clock that is handed in: how much may be
// under way on it, as long as a cut is to cost little. Knows nothing before bytes came.

const secondMs = 1000;
/** What was asked for before a request may come for so long after the request's own bytes could begin to. */
const aheadMs = 500;
/** An answer that takes longer says nothing of the link: the server was slow. */
const latencyMsMax = 1000;

export interface LinkPace {
  /** So many bytes have come. */
  note(lengthBytes: number): void;
  secondBytes(): number;
  /** A request was sent. Gives what to call when its first bytes are here. */
  asked(): () => void;
  /**
   * So much may be missing when the next request is sent. Its bytes come a latency later, and by then half a second of the link is
   * missing: so a cut costs that, whatever the latency, and the link is not idle meanwhile. The shortest latency counts.
   */
  aheadBytes(): number;
}

export const createLinkPace = (monoMs: () => number): LinkPace => {
  let sinceMs = monoMs();
  let bytes = 0;
  let beforeBytes = 0;
  let latencyMs = Number.POSITIVE_INFINITY;
  const turn = (): void => {
    const passedMs = monoMs() - sinceMs;
    if (passedMs < secondMs) return;
    beforeBytes = (bytes * secondMs) / passedMs;
    bytes = 0;
    sinceMs += passedMs;
  };
  const secondBytes = (): number => {
    turn();
    return Math.max(beforeBytes, bytes);
  };
  return {
    note(lengthBytes) {
      turn();
      bytes += lengthBytes;
    },
    secondBytes,
    asked() {
      const askedMs = monoMs();
      return () => {
        latencyMs = Math.min(latencyMs, monoMs() - askedMs);
      };
    },
    aheadBytes: () => {
      const earlyMs = Number.isFinite(latencyMs) ? Math.min(latencyMs, latencyMsMax) : 0;
      return (secondBytes() * (aheadMs + earlyMs)) / secondMs;
    },
  };
};
