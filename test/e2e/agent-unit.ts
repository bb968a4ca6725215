// What units/otad.service says about starting Node, so that the virtual gateway and the benchmarks run the daemon as a
// device does.

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

export interface AgentUnit {
  readonly nodeFlags: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** From dist/test/e2e to the project's units. */
const unitPath = resolve(import.meta.dirname, '../../../units/otad.service');

/** Throws when the unit starts something else than Node with the agent's bundle. */
export const readAgentUnit = async (): Promise<AgentUnit> => {
  const text = await readFile(unitPath, 'utf8');
  const flags = /^ExecStart=\/usr\/bin\/node (.*)\/usr\/lib\/otad\/otad\.mjs$/m.exec(text)?.[1];
  if (flags === undefined) throw new Error(`${unitPath} does not start the bundle with Node`);
  const pairs = [...text.matchAll(/^Environment=(\w+)=(\S*)$/gm)].map(([, name = '', value = '']) => [name, value]);
  return { nodeFlags: flags.split(' ').filter((flag) => flag !== ''), environment: Object.fromEntries(pairs) };
};
