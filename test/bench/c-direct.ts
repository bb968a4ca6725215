// The C program beside the streaming row: compiled for the machine that measures, and run.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { bashCpuSeconds } from './bash-cpu.ts';

/** From dist/test/bench to the source beside this file's own. */
const sourcePath = resolve(import.meta.dirname, '../../../test/bench/c-direct.c');
const compileMs = 60_000;

/** Path of the program. `-O2` as Debian builds its packages; OpenSSL's one-shot functions, which cost less than EVP. */
export const compileCDirect = (folder: string): string => {
  const program = join(folder, 'c-direct');
  const args = ['-O2', '-Wall', '-Werror', '-Wno-deprecated-declarations', '-o', program, sourcePath, '-lcrypto'];
  execFileSync('cc', args, { stdio: ['ignore', 'ignore', 'inherit'], timeout: compileMs });
  return program;
};

export interface CDirectWork {
  readonly url: string;
  readonly target: string;
  readonly lengthBytes: number;
  readonly saltHex: string;
  /** What must come out; otherwise it did not do the same work. */
  readonly sha256Hex: string;
  readonly rootHex: string;
}

/** CPU seconds. Throws when it writes something else than otad does. */
export const runCDirect = (program: string, work: CDirectWork): number => {
  const { hostname, port, pathname } = new URL(work.url);
  const output = `${program}.out`;
  const args = [program, hostname, port, pathname, work.target, String(work.lengthBytes), work.saltHex, output];
  const cpuS = bashCpuSeconds('"$1" "$2" "$3" "$4" "$5" "$6" "$7" > "$8"', args);
  const [digest, root] = readFileSync(output, 'utf8').split('\n');
  if (digest !== work.sha256Hex || root !== work.rootHex) throw new Error(`c-direct made ${digest} with root ${root}`);
  return cpuS;
};
