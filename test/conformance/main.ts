// Entry point of test/tuf-conformance: 0 when the command succeeded, 1 when anything failed, with the reason on stderr.

import { OtadError } from '../../agent/core/errors.ts';
import { runCommand } from './client.ts';
import { parseCommand, usage } from './command-line.ts';

const command = parseCommand(process.argv.slice(2));
if (command === null) {
  console.error(usage);
  process.exitCode = 1;
} else {
  try {
    await runCommand(command);
  } catch (error) {
    console.error(error instanceof OtadError ? `${error.code}: ${error.message}` : error);
    process.exitCode = 1;
  }
}
