// Chooses the command of `otapub` and turns what it throws into a message and an exit code. Never prints a stack for what
// a person can mend.

import { errorCodes, OtadError, toFailure } from '../agent/core/errors.ts';
import { agentVersion } from '../agent/version.ts';
import { buildCommand } from './commands/build.ts';
import { type Command, type CommandIo, suggestion } from './commands/command.ts';
import { initCommand } from './commands/init.ts';
import { keygenCommand } from './commands/keygen.ts';
import { patchCommand } from './commands/patch.ts';
import { releaseCommand } from './commands/release.ts';
import { renewCommand } from './commands/renew.ts';
import { revokeCommand } from './commands/revoke.ts';
import { rotateCommand } from './commands/rotate.ts';
import { serveCommand } from './commands/serve.ts';
import { signCommand } from './commands/sign.ts';
import { statusCommand } from './commands/status.ts';
import { verifyCommand } from './commands/verify.ts';

export const commands: readonly Command[] = [
  initCommand,
  buildCommand,
  releaseCommand,
  patchCommand,
  renewCommand,
  rotateCommand,
  revokeCommand,
  signCommand,
  keygenCommand,
  statusCommand,
  verifyCommand,
  serveCommand,
];

const overview = (): string =>
  [
    'usage: otapub COMMAND ...',
    '',
    'Publishes signed releases for otad as a folder of plain files.',
    '',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(9)} ${summary}`),
    '',
    'otapub COMMAND --help explains one of them, otapub --version names the version.',
    'exit codes: 0 done, 1 error, 2 nothing to do, 3 refused, 4 waits for a person, 5 verification failed,',
    '6 busy, 64 usage',
  ].join('\n');

const describeError = (error: unknown, commandName: string): string => {
  if (error instanceof OtadError && error.code === 'BAD_REQUEST' && typeof error.details.problem === 'string') {
    return `otapub: ${error.details.problem}\nSee: otapub ${commandName} --help`;
  }
  return `otapub: ${toFailure(error).message}`;
};

/** Runs one command line (without node and script) to its exit code. */
export const runCommandLine = async (args: readonly string[], io: CommandIo): Promise<number> => {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const topic = commands.find((command) => command.name === rest[0]);
    (name === undefined ? io.warn : io.print)(
      name === 'help' && topic !== undefined ? topic.help.trimEnd() : overview(),
    );
    return name === undefined ? errorCodes.BAD_REQUEST.exitCode : 0;
  }
  if (name === '--version') {
    io.print(`otapub ${agentVersion}`);
    return 0;
  }
  const names = commands.map((known) => known.name);
  const command = commands.find((known) => known.name === name);
  if (command === undefined) {
    io.warn(`otapub: there is no command '${name}'${suggestion(name, names)}\nSee: otapub --help`);
    return errorCodes.BAD_REQUEST.exitCode;
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    io.print(command.help.trimEnd());
    return 0;
  }
  try {
    return await command.run(rest, io);
  } catch (error) {
    io.warn(describeError(error, name));
    return errorCodes[error instanceof OtadError ? error.code : 'INTERNAL'].exitCode;
  }
};
