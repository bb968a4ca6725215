// One command of the conformance client, from its arguments to its exit status. It keeps nothing between two commands but the
// files of its folders: the next command may as well be another process.

import { OtadError } from '../../agent/core/errors.ts';
import { runCommand } from './client.ts';
import { parseCommand, usage } from './command-line.ts';

/** 0 when the command succeeded, 1 when anything failed, with the reason told. */
export const runConformance = async (args: readonly string[], tell: (reason: unknown) => void): Promise<0 | 1> => {
  const command = parseCommand(args);
  if (command === null) {
    tell(usage);
    return 1;
  }
  try {
    await runCommand(command);
    return 0;
  } catch (error) {
    tell(error instanceof OtadError ? `${error.code}: ${error.message}` : error);
    return 1;
  }
};
