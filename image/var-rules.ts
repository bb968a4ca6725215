// /var as rules of systemd-tmpfiles. It lies on the data partition, which is empty at the first start and older than the image
// after an update: at each start its folders are made where they are missing. A rule that a package has itself is never
// replaced: it may say more, such as how long files are kept.

export interface VarFolder {
  /** Absolute. */
  readonly path: string;
  readonly mode: number;
  readonly owner: string;
  readonly group: string;
}

/** The last of all: where two rules make the same path, systemd-tmpfiles takes the one whose file comes first. */
export const varRulesName = 'zz-image-var.conf';

/** Of a package manager that a read-only root has no use for, and of what maintainer scripts remember for it. */
const unused =
  /^\/var\/(lib\/(dpkg|apt|ucf|systemd\/deb-systemd-(user-)?helper-enabled)|cache|log\/(apt|runit)|backups)(\/|$)/;

/** Paths that rules make: type with its modifiers, then the path. Types that only change or remove make nothing. */
export const madePaths = (rules: string): readonly string[] =>
  [...rules.matchAll(/^[dDvqQLC][-+!=~^$]*[ \t]+("[^"\n]*"|\S+)/gm)].map(([, path = '']) =>
    path.replaceAll('"', '').replace(/(?<=.)\/+$/, ''),
  );

/** Text of the file. `rules` are the texts of all others. */
export const varRules = (folders: readonly VarFolder[], rules: readonly string[]): string => {
  const made = new Set(rules.flatMap(madePaths));
  const lines = folders
    .filter(({ path }) => !unused.test(path) && !made.has(path))
    .map(({ path, mode, owner, group }) => `d ${path} ${mode.toString(8).padStart(4, '0')} ${owner} ${group} -\n`);
  return `# The folders that the packages of this image expect in /var, and that no other rule makes.\n${lines.join('')}`;
};
