#!/usr/bin/env node
// otactl, the technician's command. Talks to otad's API only; works without otad's packages being loaded.

import { runProgram } from './cli/program.ts';
import { createTerminal } from './cli/terminal.ts';
import { agentVersion } from './version.ts';

const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort());
process.once('SIGTERM', () => interrupt.abort());
// `otactl history | head` closes the pipe early: that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await runProgram(
  process.argv.slice(2),
  createTerminal(process),
  process.env,
  agentVersion,
  interrupt.signal,
);
