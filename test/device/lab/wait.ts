// Waiting for a gateway: for as long as it shows that it lives, and until it is known whose fault it is when it does not.

import { setTimeout as delay } from 'node:timers/promises';
import type { ConsoleLog } from './console-log.ts';
import { limits } from './limits.ts';
import { EmulatorDied, NoAnswer } from './verdict.ts';

/** What shows that a machine lives. */
export interface Signs {
  readonly console: Pick<ConsoleLog, 'lastHeardMs' | 'changed'>;
  /** How many lines came over the control channel. */
  lines(): number;
  /** Why nothing that this machine did says anything of the gateway; null: it does. */
  noEvidence(): string | null;
  /** Throws where the emulator itself does not answer. */
  askEmulator(): Promise<void>;
}

export interface Wait {
  /** For the error: what did not come. */
  readonly what: string;
  /** Whatever the signs say. */
  readonly limitMs: number;
}

/** Not a word for too long: the gateway's fault, if the emulator is well. */
const blameSilence = async (signs: Signs, what: string): Promise<never> => {
  await signs.askEmulator();
  throw new NoAnswer(`the gateway hangs: not a word for ${limits.silenceMs / 60_000} minutes, waiting for ${what}`);
};

/** Until `ask` gives something. Throws EmulatorDied, NoAnswer, and what `askEmulator` throws. */
export const waitWithSigns = async <T>(
  signs: Signs,
  { what, limitMs }: Wait,
  ask: () => T | null | undefined,
): Promise<T> => {
  const sinceMs = performance.now();
  let lines = signs.lines();
  let heardMs = sinceMs;
  for (;;) {
    const found = ask();
    if (found !== null && found !== undefined) return found;
    const fault = signs.noEvidence();
    if (fault !== null) throw new EmulatorDied(`${fault}, while waiting for ${what}`);
    const nowMs = performance.now();
    if (signs.lines() !== lines) heardMs = nowMs;
    lines = signs.lines();
    heardMs = Math.max(heardMs, signs.console.lastHeardMs());
    if (nowMs - heardMs > limits.silenceMs) await blameSilence(signs, what);
    if (nowMs - sinceMs > limitMs) throw new NoAnswer(`${what}: not within ${limitMs / 60_000} minutes`);
    await Promise.race([signs.console.changed(), delay(limits.lookAgainMs)]);
  }
};
