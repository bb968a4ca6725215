// Numbers of users and groups. /var outlives the image and its files know their owners by number, so a user must have the
// same one in every release: packages take whatever is free in the order of their installation, and this gives each the
// number that the layers fix. Pure; never gives out a number by itself.

export interface UserFiles {
  readonly passwd: string;
  readonly group: string;
}

export interface FixedIds {
  readonly users: ReadonlyMap<string, number>;
  readonly groups: ReadonlyMap<string, number>;
}

/** What a product may take; Debian's own tools begin at the ends of 100 to 999. */
const productIds = { first: 600, last: 799 } as const;

const rowsOf = (text: string): readonly (readonly string[])[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(':'));

/** Names in the text of a passwd or group file. */
export const namesById = (text: string): ReadonlyMap<number, string> =>
  new Map(rowsOf(text).map(([name = '', , id = '']) => [Number(id), name]));

/** Lines of sysusers.d that name a number, `u NAME UID`, `u NAME UID:GID` and `g NAME GID`; the first of a name counts. */
export const fixedIdsIn = (texts: readonly string[]): FixedIds => {
  const users = new Map<string, number>();
  const groups = new Map<string, number>();
  const keep = (ids: Map<string, number>, name: string, id: string): void => {
    if (!ids.has(name)) ids.set(name, Number(id));
  };
  for (const line of texts.flatMap((text) => text.split('\n'))) {
    const [, kind, name = '', id = '', group] = /^([ug])!?\s+(\S+)\s+([0-9]+)(:\S+)?(?:\s|$)/.exec(line) ?? [];
    if (kind === 'u') keep(users, name, id);
    // A user without a group of its own is in one that has a line of its own.
    if (kind === 'g' || (kind === 'u' && group === undefined)) keep(groups, name, id);
  }
  return { users, groups };
};

/** Lines that would give numbers, for those who have none; a user's line is for its group as well. */
const missingLines = ({ passwd, group }: UserFiles, { users, groups }: FixedIds): readonly string[] => {
  const taken = new Set([...users.values(), ...groups.values()]);
  const namesIn = (text: string): readonly string[] => rowsOf(text).map(([name = '']) => name);
  const nobodies = namesIn(passwd).filter((name) => !users.has(name));
  const orphans = namesIn(group).filter((name) => !groups.has(name) && !nobodies.includes(name));
  return [...nobodies.map((name) => `u ${name}`), ...orphans.map((name) => `g ${name}`)].map((line) => {
    let free: number = productIds.first;
    while (taken.has(free) && free < productIds.last) free += 1;
    taken.add(free);
    return `${line} ${free}`;
  });
};

/** Pairs that have one number. */
const sharedNumbers = (text: string, ids: ReadonlyMap<string, number>): readonly string[] => {
  const seen = new Map<number, string>();
  return rowsOf(text).flatMap(([name = '']) => {
    const id = ids.get(name);
    if (id === undefined) return [];
    const other = seen.get(id);
    seen.set(id, name);
    return other === undefined ? [] : [`${other} and ${name} have the same number ${id}`];
  });
};

/** Sentences; empty when each has a number and no number belongs to two. */
export const idProblems = (files: UserFiles, fixed: FixedIds): readonly string[] => [
  ...missingLines(files, fixed).map(
    (line) => `no fixed number: put a line such as '${line}' into a file of your layer in usr/lib/gateway/ids.d`,
  ),
  ...sharedNumbers(files.passwd, fixed.users),
  ...sharedNumbers(files.group, fixed.groups),
];

/** The same users and groups with the numbers that are fixed for them. */
export const withFixedIds = ({ passwd, group }: UserFiles, fixed: FixedIds): UserFiles => {
  const groupNames = namesById(group);
  const groupId = (id: string): string => String(fixed.groups.get(groupNames.get(Number(id)) ?? '') ?? id);
  const text = (rows: readonly (readonly string[])[]): string => rows.map((row) => `${row.join(':')}\n`).join('');
  return {
    passwd: text(
      rowsOf(passwd).map(([name = '', word = '', id = '', gid = '', ...rest]) => [
        ...[name, word, String(fixed.users.get(name) ?? id), groupId(gid)],
        ...rest,
      ]),
    ),
    group: text(
      rowsOf(group).map(([name = '', word = '', id = '', ...rest]) => [
        ...[name, word, String(fixed.groups.get(name) ?? id)],
        ...rest,
      ]),
    ),
  };
};
