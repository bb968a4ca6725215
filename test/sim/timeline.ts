// Virtual time: timers fire in order of their due time, only when nothing else can run. Monotonic per boot; the wall clock
// is a separate offset that may be absurd. Never reads the machine's clock.

export interface TimerHandle {
  cancel(): void;
}

interface Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly fire: () => void;
}

export interface Timeline {
  /** Milliseconds since the life began; never jumps. */
  nowMs(): number;
  advance(byMs: number): void;
  setTimer(delayMs: number, fire: () => void): TimerHandle;
  /** Due time of the earliest timer, or null. */
  nextDueMs(): number | null;
  /** Moves time to the earliest timer and fires it. */
  fireNext(): void;
  /** Forgets every timer: the machine lost power, or the process died. */
  clear(): void;
}

/** As Node's timers: shorter ones take this long, so that time goes on whatever is asked for. */
const timerMsMin = 1;
/** More timers than this at once means that something arms them in a loop. */
const timersMax = 64;

export const createTimeline = (): Timeline => {
  let now = 0;
  let order = 0;
  const timers: Timer[] = [];

  const earliest = (): Timer | null => {
    let best: Timer | null = null;
    for (const timer of timers) {
      if (best === null || timer.dueMs < best.dueMs || (timer.dueMs === best.dueMs && timer.order < best.order)) {
        best = timer;
      }
    }
    return best;
  };
  const remove = (timer: Timer): void => {
    const index = timers.indexOf(timer);
    if (index >= 0) timers.splice(index, 1);
  };

  return {
    nowMs: () => now,
    advance: (byMs) => {
      now += byMs;
    },
    setTimer: (delayMs, fire) => {
      if (!Number.isFinite(delayMs)) throw new RangeError(`timer delay is ${delayMs}`);
      if (timers.length >= timersMax) throw new RangeError(`more than ${timersMax} timers are armed`);
      order += 1;
      const timer: Timer = { dueMs: now + Math.max(timerMsMin, delayMs), order, fire };
      timers.push(timer);
      return { cancel: () => remove(timer) };
    },
    nextDueMs: () => earliest()?.dueMs ?? null,
    fireNext: () => {
      const timer = earliest();
      if (timer === null) throw new RangeError('no timer is armed');
      remove(timer);
      now = Math.max(now, timer.dueMs);
      timer.fire();
    },
    clear: () => {
      timers.length = 0;
    },
  };
};
