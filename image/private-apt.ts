// An apt of its own in a folder, for any architecture. Knows nothing of the packages of the machine and never touches them.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DebianMirrors, sourceLines } from './debian-mirror.ts';

export interface PrivateAptOptions {
  readonly folder: string;
  readonly architecture: string;
  readonly mirrors: DebianMirrors;
  /** Parts of the archive beside `main`. */
  readonly components?: readonly string[] | undefined;
  /** A lock may name a state of the archive that is no longer meant to be new; without one, apt refuses such a state. */
  readonly mayBeOld: boolean;
}

/** Options for apt-get and apt-cache that make them use the folder and nothing else. */
export const makePrivateApt = async (options: PrivateAptOptions): Promise<readonly string[]> => {
  const { folder, architecture, mirrors, components, mayBeOld } = options;
  for (const part of ['state/lists/partial', 'cache/archives/partial'])
    await mkdir(join(folder, part), { recursive: true });
  await writeFile(join(folder, 'sources.list'), `${sourceLines(mirrors, components).join('\n')}\n`);
  await writeFile(join(folder, 'status'), '');
  const settings = {
    'Dir::State': join(folder, 'state'),
    'Dir::State::status': join(folder, 'status'),
    'Dir::Cache': join(folder, 'cache'),
    'Dir::Etc::sourcelist': join(folder, 'sources.list'),
    'Dir::Etc::sourceparts': '-',
    'APT::Architecture': architecture,
    'APT::Architectures': architecture,
    'APT::Install-Recommends': 'false',
    'Acquire::Languages': 'none',
    'Acquire::Check-Valid-Until': String(!mayBeOld),
    'Debug::NoLocking': '1',
    'APT::Sandbox::User': 'root',
  };
  return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
};
