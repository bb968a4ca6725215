// The technician of the demonstration: runs otactl, shows what it printed, and keeps how each call ended. The daemon may
// be killed under any call: one that got no answer is made again, unless the daemon's history says that it was obeyed.

import { setTimeout as delay } from 'node:timers/promises';
import type { HistoryType } from '../../agent/core/types.ts';
import type { ProgramResult } from './child-process.ts';
import type { Gateway } from './gateway.ts';
import type { Narrator } from './narrator.ts';
import { type PatientReads, silenceMsMax } from './patience.ts';

const retryMs = 200;
/** otactl's words for: nobody answered, or the daemon that just started is not free yet. */
const isUnanswered = ({ exitCode, stderr }: ProgramResult): boolean =>
  exitCode !== 0 && /\[(AGENT_UNREACHABLE|BUSY)\]/.test(stderr);

export interface Expectation {
  readonly exitCode: number;
  /** What the daemon's history says once it obeyed; null for a command that changes nothing. */
  readonly entry: HistoryType | null;
}

export interface ShownCall {
  readonly command: string;
  readonly expectedExitCode: number;
  readonly exitCode: number | null;
  /** The daemon ended before it could answer, and obeyed nevertheless. */
  readonly isObeyedUnanswered: boolean;
}

export class Technician {
  readonly #gateway: Gateway;
  readonly #reads: PatientReads;
  readonly #narrator: Narrator;
  readonly #signal: AbortSignal;
  readonly #calls: ShownCall[] = [];

  constructor(gateway: Gateway, reads: PatientReads, narrator: Narrator, signal: AbortSignal) {
    this.#gateway = gateway;
    this.#reads = reads;
    this.#narrator = narrator;
    this.#signal = signal;
  }

  get calls(): readonly ShownCall[] {
    return this.#calls;
  }

  async otactl(args: readonly string[], expected: Expectation = { exitCode: 0, entry: null }): Promise<void> {
    const command = `otactl ${args.map((word) => (/\s/.test(word) ? `'${word}'` : word)).join(' ')}`;
    const before = await this.#count(expected.entry);
    let isObeyedUnanswered = false;
    const run = async (): Promise<ProgramResult> => {
      const sinceMs = performance.now();
      for (;;) {
        const result = await this.#gateway.otactl(...args);
        if (!isUnanswered(result) || performance.now() - sinceMs > silenceMsMax) return result;
        isObeyedUnanswered = (await this.#count(expected.entry)) > before;
        if (isObeyedUnanswered) return result;
        await delay(retryMs, undefined, { signal: this.#signal });
      }
    };
    const { exitCode } = await this.#narrator.transcript(command, run);
    this.#calls.push({ command, expectedExitCode: expected.exitCode, exitCode, isObeyedUnanswered });
  }

  async #count(type: HistoryType | null): Promise<number> {
    if (type === null) return 0;
    return (await this.#reads.history()).filter((entry) => entry.type === type).length;
  }
}
