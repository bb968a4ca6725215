// What an image was built from, as text to keep under version control and to build from again: which versions of which
// packages, and the state that Debian's archive had. Pure.

import { OtadError } from '../agent/core/errors.ts';

/** Lines of `NAME VERSION ARCHITECTURE`, sorted. */
export type Manifest = readonly string[];

export interface PackageLock {
  /** What is installed in the root. */
  readonly packages: Manifest;
  /** What is unpacked beside it: kernel and loader. */
  readonly boot: Manifest;
  /** The programs that made it, for the machine that built. */
  readonly tools: Manifest;
  /** `SUITE DATE SHA256` of each suite of the archive. */
  readonly suites: Manifest;
}

export const readManifest = (text: string): Manifest => text.split('\n').filter((line) => line !== '');

const pin = (name: string, version: string): string =>
  `Package: ${name}\nPin: version ${version}\nPin-Priority: 1001\n\n`;

const fieldsOf = (line: string): readonly [name: string, version: string] => {
  const [name = '', version = ''] = line.split(' ');
  return [name, version];
};

/** apt preferences that leave no other version to choose. */
export const pinsOf = ({ packages, boot }: PackageLock): string =>
  [...packages, ...boot].map((line) => pin(...fieldsOf(line))).join('');

/** Builds of one source differ between architectures by a number that is added when one of them was built again. */
const rebuild = /\+b[0-9]+$/;

/** Name and version of a line without what differs between architectures. */
export const sourceOf = (line: string): string => {
  const [name, version] = fieldsOf(line);
  return `${name} ${version.replace(rebuild, '')}`;
};

/** apt preferences for the same sources on another architecture. */
export const sourcePinsOf = ({ packages }: PackageLock): string =>
  packages
    .map((line) => fieldsOf(sourceOf(line)))
    .map(([name, version]) => pin(name, `/^${version.replaceAll(/[.+^$*?()[\]{}|\\/]/g, '\\$&')}(\\+b[0-9]+)?$/`))
    .join('');

/** Sentences, empty when both are the same. */
export const differences = (wanted: Manifest, found: Manifest): readonly string[] => [
  ...wanted.filter((line) => !found.includes(line)).map((line) => `the lock has ${line}, the image has not`),
  ...found.filter((line) => !wanted.includes(line)).map((line) => `the image has ${line}, the lock has not`),
];

/** The first part has no heading. */
const parts = ['packages', 'boot', 'tools', 'suites'] as const;
const headingOf = (part: (typeof parts)[number]): readonly string[] => (part === 'packages' ? [] : [`# ${part}`]);

export const formatLock = (lock: PackageLock): string =>
  [...parts.flatMap((part) => [...headingOf(part), ...lock[part]]), ''].join('\n');

const lineShape = /^[a-z0-9][a-z0-9.+-]* [A-Za-z0-9.+~:-]+ [a-z0-9-]+$/;

/** A lock without tools and suites is one of an earlier otad. Throws LAYER_INVALID. */
export const parseLock = (text: string): PackageLock => {
  const lock: Record<(typeof parts)[number], string[]> = { packages: [], boot: [], tools: [], suites: [] };
  let current = lock.packages;
  for (const line of readManifest(text)) {
    const part = parts.find((name) => headingOf(name)[0] === line);
    if (part !== undefined) current = lock[part];
    else if (lineShape.test(line)) current.push(line);
    else throw new OtadError('LAYER_INVALID', { layer: 'the lock of the packages', problem: `no package: ${line}` });
  }
  return lock;
};
