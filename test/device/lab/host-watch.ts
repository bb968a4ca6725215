// Notices that the host stood still: a pause that the guest's watchdog would take for a hang of the guest.

import { limits } from './limits.ts';

export interface HostWatch {
  /** The longest pause so far, in ms. */
  pauseMs(): number;
  close(): void;
}

export const watchHost = (): HostWatch => {
  let sinceMs = performance.now();
  let longestMs = 0;
  const look = (): void => {
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - sinceMs - limits.lookAgainMs);
    sinceMs = nowMs;
  };
  const timer = setInterval(look, limits.lookAgainMs);
  timer.unref();
  return {
    pauseMs: () => {
      look();
      return longestMs;
    },
    close: () => clearInterval(timer),
  };
};
