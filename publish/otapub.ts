#!/usr/bin/env node
// The program `otapub`: hands the process's words, output and signals to the command line. Wires, decides nothing.

import { createInterface } from 'node:readline';
import { OtadError } from '../agent/core/errors.ts';
import { runCommandLine } from './command-line.ts';

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());

/** Questions go to standard error: standard output stays what programs read. */
const ask = async (question: string): Promise<string | null> => {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return null;
  const lines = createInterface({ input: process.stdin, output: process.stderr, signal: stop.signal });
  return await new Promise<string>((answer, fail) => {
    // Ctrl-C, Ctrl-D and a terminal that went away all close it, and come as no signal while a question is open.
    const leave = (): void => {
      process.stderr.write('\n');
      fail(new OtadError('CANCELLED', { reason: 'no answer was given, so nothing was done' }));
    };
    lines.once('close', leave);
    lines.question(question, (text) => {
      lines.off('close', leave);
      answer(text);
    });
  }).finally(() => lines.close());
};

process.exitCode = await runCommandLine(process.argv.slice(2), {
  print: (line) => console.log(line),
  warn: (line) => console.error(line),
  ask,
  progress: process.stderr.isTTY ? (text) => void process.stderr.write(text) : undefined,
  signal: stop.signal,
  environment: process.env,
  nowMs: () => Date.now(),
});
