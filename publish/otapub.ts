#!/usr/bin/env node
// The program `otapub`: hands the process's words, output and signals to the command line. Wires, decides nothing.

import { createInterface } from 'node:readline/promises';
import { runCommandLine } from './command-line.ts';

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());

/** Questions go to standard error: standard output stays what programs read. */
const ask = async (question: string): Promise<string | null> => {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return null;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question, { signal: stop.signal });
  } catch {
    return null;
  } finally {
    lines.close();
  }
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
