// The state of Debian's archive that an image is built from: for each suite the date and the digest of the signed file that
// names all its packages. Says how old an image's packages are, and when newer ones have come.

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OtadError } from '../agent/core/errors.ts';
import type { DebianMirrors } from './debian-mirror.ts';
import type { Manifest } from './package-lock.ts';
import { makePrivateApt } from './private-apt.ts';
import { runTool } from './tool.ts';

const dayMs = 86_400_000;

/** Line of a signed release file: `SUITE DATE SHA256`. Throws TOOL_FAILED where it has no name or date. */
export const suiteLine = (inRelease: string): string => {
  const field = (name: string): string => new RegExp(`^${name}: (.+)$`, 'm').exec(inRelease)?.[1] ?? '';
  const [name, dateMs] = [field('Codename'), Date.parse(field('Date'))];
  if (name === '' || Number.isNaN(dateMs)) {
    throw new OtadError('TOOL_FAILED', { program: 'apt-get', problem: 'a release file without a name or a date' });
  }
  const digest = createHash('sha256').update(inRelease).digest('hex');
  return `${name} ${new Date(dateMs).toISOString().replace('.000', '')} ${digest}`;
};

const datesMs = (suites: Manifest): readonly number[] => suites.map((line) => Date.parse(line.split(' ')[1] ?? ''));

/** Seconds since 1970 of the newest suite; 0 where none is known. */
export const newestSuiteS = (suites: Manifest): number => Math.max(0, ...datesMs(suites)) / 1000;

/** For the one who builds: `trixie-security of 2026-11-20 (1 day old)`. */
export const describeSuites = (suites: Manifest, nowMs: number): string =>
  suites
    .map((line, index) => {
      const [name, date = ''] = line.split(' ');
      const days = Math.max(0, Math.floor((nowMs - (datesMs(suites)[index] ?? nowMs)) / dayMs));
      return `${name} of ${date.slice(0, 10)} (${days} ${days === 1 ? 'day' : 'days'} old)`;
    })
    .join(', ');

const withoutLists = ['Packages', 'Translations'].flatMap((name) => [
  '-o',
  `Acquire::IndexTargets::deb::${name}::DefaultEnabled=false`,
]);

/** Reads the signed files, and nothing else, anew; apt has checked their signatures and that they are not out of date. */
export const readSuites = async (
  folder: string,
  mirrors: DebianMirrors,
  architecture: string,
  signal?: AbortSignal,
): Promise<Manifest> => {
  const options = await makePrivateApt({ folder, architecture, mirrors, mayBeOld: false });
  await runTool('apt-get', [...options, ...withoutLists, '-o', 'APT::Update::Error-Mode=any', 'update'], { signal });
  const lists = join(folder, 'state/lists');
  const names = (await readdir(lists)).filter((name) => name.endsWith('_InRelease')).sort();
  return (await Promise.all(names.map((name) => readFile(join(lists, name), 'utf8')))).map(suiteLine).sort();
};
