// Somebody with a key who comes in over SSH, as on a gateway in the field. Keys are TEST keys, made for one run of the lab or for one
// build of its releases.

import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { limits } from './limits.ts';
import type { Machine } from './machine.ts';

const run = promisify(execFile);
const sshPort = 22;

/** Gives the public half: one line, as authorized_keys has it. */
export const makeKey = async (path: string): Promise<string> => {
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'TEST', '-f', path]);
  return (await readFile(`${path}.pub`, 'utf8')).trim();
};

export interface Technician {
  /** Output of a command over SSH, from a gateway that has this host key; throws when it does not let in. */
  ssh(hostKey: string, command: string, ...options: readonly string[]): Promise<string>;
}

/** At the gateway as it runs now: the way in ends with its power. */
export const createTechnician = async (
  machine: Pick<Machine, 'folder' | 'forward'>,
  keyPath: string,
): Promise<Technician> => {
  const port = await machine.forward(sshPort);
  const hostsPath = join(machine.folder, 'known_hosts');
  const settings = [
    ...['StrictHostKeyChecking=yes', `UserKnownHostsFile=${hostsPath}`, 'IdentitiesOnly=yes', 'IdentityAgent=none'],
    ...['BatchMode=yes', `ConnectTimeout=${limits.answerMs / 1000}`],
  ].flatMap((setting) => ['-o', setting]);
  return {
    ssh: async (hostKey, command, ...options) => {
      await writeFile(hostsPath, `[127.0.0.1]:${port} ${hostKey.trim()}\n`);
      const place = ['-F', 'none', '-i', keyPath, '-p', String(port), 'root@127.0.0.1'];
      const said = await run('ssh', [...options, ...settings, ...place, command], { timeout: limits.commandMs });
      return said.stdout.trim();
    },
  };
};
