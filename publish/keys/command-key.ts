// Signs by running another program: PKCS#11 tools, a client of a cloud's key service, an own script. The contract: the exact
// bytes to sign are its standard input, the signature is its standard output (64 raw bytes, or those in hex or base64),
// exit code 0 means signed. Its standard error is the terminal's. Never a shell; never believes the signature by itself.

import { spawn } from 'node:child_process';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';
import { signatureBytes } from '../../verity/ed25519.ts';
import { errorCodeOf } from '../durable-file.ts';

/** Time for a person to touch a token or type a PIN. */
export const defaultCommandTimeoutS = 60;
const outputBytesMax = 4096;

export interface SigningCommand {
  /** Key file, for messages. */
  readonly path: string;
  /** Program and arguments. */
  readonly argv: readonly string[];
  /** Where it runs. */
  readonly folder: string;
  readonly timeoutS: number;
}

/** 64 bytes from what the program wrote; null when that is no signature. */
export const decodeSignature = (output: Buffer): Uint8Array | null => {
  if (output.length === signatureBytes) return new Uint8Array(output);
  const text = output.toString('latin1').replace(/\s+/g, '');
  if (/^[0-9a-fA-F]{128}$/.test(text)) return new Uint8Array(Buffer.from(text, 'hex'));
  if (/^[A-Za-z0-9+/]{86}==$/.test(text)) return new Uint8Array(Buffer.from(text, 'base64'));
  return null;
};

/**
 * The message as a file without a name, opened for reading: a pipe would do for most programs, but openssl wants to know
 * the length of what it signs with Ed25519.
 */
const openMessage = async (message: Uint8Array) => {
  const folder = await mkdtemp(join(tmpdir(), 'otapub-sign-'));
  try {
    await writeFile(join(folder, 'message'), message, { mode: 0o600 });
    return await open(join(folder, 'message'), 'r');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** Runs the program to its end and gives what it wrote. */
const runCommand = (command: SigningCommand, inputFd: number): Promise<Buffer> => {
  const { argv, folder, path, timeoutS } = command;
  const [program = '', ...args] = argv;
  const failed = (problem: string, cause?: unknown): OtadError =>
    new OtadError('KEY_UNUSABLE', { path, program, problem }, { cause });
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: folder, stdio: [inputFd, 'pipe', 'inherit'] });
    const pieces: Buffer[] = [];
    let length = 0;
    const end = (error: OtadError | null): void => {
      clearTimeout(timer);
      if (error === null) {
        resolve(Buffer.concat(pieces));
        return;
      }
      child.kill('SIGKILL');
      // A grandchild may hold the pipe open for ever.
      child.stdout?.destroy();
      reject(error);
    };
    const timer = setTimeout(() => end(failed(`the command did not answer within ${timeoutS} s`)), timeoutS * 1000);
    child.stdout?.on('data', (piece: Buffer) => {
      length += piece.length;
      pieces.push(piece);
      if (length > outputBytesMax) end(failed(`the command wrote more than ${outputBytesMax} bytes`));
    });
    child.once('error', (cause) => {
      const isMissing = errorCodeOf(cause) === 'ENOENT';
      end(isMissing ? new OtadError('TOOL_MISSING', { program, path }, { cause }) : failed('cannot be run', cause));
    });
    child.once('close', (code, signal) => {
      const problem = `the command ended with ${code === null ? signal : `exit code ${code}`} and without a signature`;
      end(code === 0 ? null : failed(problem));
    });
  });
};

/** Throws KEY_UNUSABLE or TOOL_MISSING. */
export const signWithCommand = async (command: SigningCommand, message: Uint8Array): Promise<Uint8Array> => {
  const input = await openMessage(message);
  try {
    const signature = decodeSignature(await runCommand(command, input.fd));
    if (signature !== null) return signature;
  } finally {
    await input.close();
  }
  const problem = 'the command wrote no signature: 64 bytes, or those in hex or base64, were expected';
  throw new OtadError('KEY_UNUSABLE', { path: command.path, program: command.argv[0], problem });
};
