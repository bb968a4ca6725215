// Which versions of which packages an image was built from, as text to keep under version control and to build from again.
// Pure.

/** Lines of `NAME VERSION ARCHITECTURE`, sorted. */
export type Manifest = readonly string[];

export interface PackageLock {
  /** What is installed in the root. */
  readonly packages: Manifest;
  /** What is unpacked beside it: kernel and loader. */
  readonly boot: Manifest;
}

export const readManifest = (text: string): Manifest => text.split('\n').filter((line) => line !== '');

/** apt preferences that leave no other version to choose. */
export const pinsOf = ({ packages, boot }: PackageLock): string =>
  [...packages, ...boot]
    .map((line) => line.split(' '))
    .map(([name, version]) => `Package: ${name}\nPin: version ${version}\nPin-Priority: 1001\n\n`)
    .join('');

/** Sentences, empty when both are the same. */
export const differences = (wanted: Manifest, found: Manifest): readonly string[] => [
  ...wanted.filter((line) => !found.includes(line)).map((line) => `the lock has ${line}, the image has not`),
  ...found.filter((line) => !wanted.includes(line)).map((line) => `the image has ${line}, the lock has not`),
];

const bootMark = '# boot';

export const formatLock = ({ packages, boot }: PackageLock): string => [...packages, bootMark, ...boot, ''].join('\n');

export const parseLock = (text: string): PackageLock => {
  const lines = readManifest(text);
  const mark = lines.indexOf(bootMark);
  return mark < 0 ? { packages: lines, boot: [] } : { packages: lines.slice(0, mark), boot: lines.slice(mark + 1) };
};
