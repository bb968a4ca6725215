#!/usr/bin/env node
// The program `otapub`: hands the process's words, output and signals to the command line. Wires, decides nothing.

import { runCommandLine } from './command-line.ts';

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());

process.exitCode = await runCommandLine(process.argv.slice(2), {
  print: (line) => console.log(line),
  warn: (line) => console.error(line),
  signal: stop.signal,
  environment: process.env,
  nowMs: () => Date.now(),
});
