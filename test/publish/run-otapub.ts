// Runs a command line of otapub in this process: with a clock of the test's, and with a person at the terminal or nobody.

import { runCommandLine } from '../../publish/command-line.ts';
import { testNowMs } from './publisher-fixture.ts';

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What the person was asked. */
  readonly questions: readonly string[];
}

export interface Surroundings {
  readonly environment?: Readonly<Record<string, string>>;
  readonly nowMs?: number;
  /** What the person answers, one after the other, and the last one for ever. None: nobody is there. */
  readonly answers?: readonly string[];
  /** Who watches. */
  readonly progress?: (text: string) => void;
}

export const otapub = async (args: readonly string[], surroundings: Surroundings = {}): Promise<Outcome> => {
  const lines = { out: [] as string[], err: [] as string[] };
  const questions: string[] = [];
  const answers = surroundings.answers ?? [];
  const exitCode = await runCommandLine(args, {
    print: (line) => lines.out.push(line),
    warn: (line) => lines.err.push(line),
    ask: async (question) => {
      questions.push(question);
      return answers[questions.length - 1] ?? answers.at(-1) ?? null;
    },
    progress: surroundings.progress,
    signal: new AbortController().signal,
    environment: surroundings.environment ?? {},
    nowMs: () => surroundings.nowMs ?? testNowMs,
  });
  return { exitCode, stdout: lines.out.join('\n'), stderr: lines.err.join('\n'), questions };
};
