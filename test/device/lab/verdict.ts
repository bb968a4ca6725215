// Whether a run says anything of the gateway. Pure. An emulator that died and a host that stood still are no evidence, and
// the only things that are tried again; a gateway that hangs, or gives a wrong answer, is not.

import { AssertionError } from 'node:assert';

/** The emulator died, or the host did not let it work: the run is no evidence for or against the gateway. */
export class EmulatorDied extends Error {}

/** The guest answered, and that is wrong. */
export class WrongAnswer extends Error {}

/** The guest fell silent, or did not get where it should, for too long. */
export class NoAnswer extends Error {}

/** An answer that was given counts, whatever became of emulator and host: it is never the reason to try again. */
export const isAnswer = (error: unknown): boolean => error instanceof WrongAnswer || error instanceof AssertionError;

/** What was seen of the machine around the gateway. */
export interface Circumstances {
  /** Exit status and last words of a process that nobody ended; null: it runs, or was ended. */
  readonly lastWords: string | null;
  readonly console: string;
  /** Longest time in which the lab itself was not given the processor. */
  readonly hostPauseMs: number;
}

/** What an emulator that errs does to a kernel. A kernel that panics of itself says other words. */
const doubleFault = /traps: double fault|PANIC: double fault/;

/** Why the run is no evidence; null: it is. `hostPauseMsMax`: what a guest's watchdog bears. */
export const noEvidence = (
  { lastWords, console, hostPauseMs }: Circumstances,
  hostPauseMsMax: number,
): string | null => {
  if (lastWords !== null) return `the emulator ended: ${lastWords}`;
  if (hostPauseMs > hostPauseMsMax) return `the host stood still for ${Math.round(hostPauseMs / 1000)} s`;
  return doubleFault.test(console) ? "the guest's kernel reported a double fault" : null;
};
