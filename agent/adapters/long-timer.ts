// A timer of any length: setTimeout fires at once where a delay is longer than it takes, 24.8 days.

/** The longest delay that setTimeout takes; longer ones are set in steps. */
const timerStepMs = 2 ** 31 - 1;

export interface LongTimer {
  cancel(): void;
}

export const setLongTimer = (delayMs: number, fire: () => void): LongTimer => {
  let handle: NodeJS.Timeout;
  const arm = (leftMs: number): void => {
    const stepMs = Math.min(Math.max(leftMs, 0), timerStepMs);
    handle = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : fire()), stepMs);
  };
  arm(delayMs);
  return { cancel: () => clearTimeout(handle) };
};
