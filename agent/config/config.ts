// The settings of this gateway and where each one comes from. Refuses what it does not know: a mistyped key that is
// ignored is a window or a limit that does not hold. Reads files only; never writes one.

import type * as z from 'zod';
import { type Failure, OtadError, toFailure } from '../core/errors.ts';
import { emptyMerged, isPlainObject, listDropIns, type Merged, merge, readDropIn } from './drop-ins.ts';
import { configJsonSchema, expectationOf, leaves, nodeAt } from './expectation.ts';
import { type Config, configSchema } from './schema.ts';
import { suggestKey } from './suggestion.ts';

/** Lowest precedence first. */
export const defaultConfigDirs: readonly string[] = [
  '/usr/lib/otad/config.d',
  '/run/otad/config.d',
  '/etc/otad/config.d',
];

/** For each setting (dotted key), the file it came from, or 'default'. */
export type ConfigOrigin = Readonly<Record<string, string>>;

export interface LoadedConfig {
  readonly config: Config;
  readonly origin: ConfigOrigin;
}

const foundLengthMax = 80;

const show = (value: unknown): string => {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > foundLengthMax ? `${text.slice(0, foundLengthMax)}…` : text;
};

const valueAt = (root: unknown, path: readonly string[]): unknown =>
  path.reduce<unknown>((value, key) => {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    return (value as Record<string, unknown>)[key];
  }, root);

/** The file that gave the value at `path`: of the key itself, of something in it, or of what holds it. */
const fileOf = (merged: Merged, path: readonly string[]): string => {
  for (let length = path.length; length > 0; length--) {
    const key = path.slice(0, length).join('.');
    const exact = merged.origin.get(key);
    if (exact !== undefined) return exact;
    const inside = [...merged.origin].find(([known]) => known.startsWith(`${key}.`));
    if (inside !== undefined) return inside[1];
  }
  return 'default';
};

const unknownKey = (merged: Merged, path: readonly string[]): OtadError => {
  const root = configJsonSchema();
  const key = path.join('.');
  const known = leaves(root).map(([name]) => name);
  const groups = Object.keys(root.properties ?? {});
  const suggestion = suggestKey(key, [...known, ...groups]);
  return new OtadError('CONFIG_INVALID', {
    file: fileOf(merged, path),
    key,
    problem: 'there is no such setting',
    suggestion: suggestion === null ? null : `did you mean ${suggestion}?`,
  });
};

const invalidValue = (merged: Merged, issue: z.core.$ZodIssue): OtadError => {
  const path = issue.path.map(String);
  const node = nodeAt(configJsonSchema(), path);
  const isCrossCheck = issue.code === 'custom' && issue.message !== 'Invalid input';
  return new OtadError('CONFIG_INVALID', {
    file: fileOf(merged, path),
    key: path.join('.'),
    expected: isCrossCheck || node === null ? issue.message : expectationOf(node),
    found: show(valueAt(merged.value, path)),
  });
};

/** The first finding, unknown keys before bad values: a key in the wrong place explains the other. */
const explain = (merged: Merged, issues: readonly z.core.$ZodIssue[]): OtadError => {
  for (const issue of issues) {
    const key = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    if (key !== undefined) return unknownKey(merged, [...issue.path.map(String), key]);
  }
  const [first] = issues;
  return first === undefined ? new OtadError('CONFIG_INVALID') : invalidValue(merged, first);
};

const originOf = (value: unknown, merged: Merged, path: readonly string[]): readonly (readonly [string, string])[] => {
  if (isPlainObject(value)) {
    return Object.entries(value).flatMap(([key, inner]) => originOf(inner, merged, [...path, key]));
  }
  const key = path.join('.');
  return [[key, merged.origin.get(key) ?? 'default']];
};

/** Checks merged settings and fills in the defaults. */
export const resolveConfig = (merged: Merged): LoadedConfig => {
  const parsed = configSchema.safeParse(merged.value);
  if (!parsed.success) throw explain(merged, parsed.error.issues);
  return { config: parsed.data, origin: Object.fromEntries(originOf(parsed.data, merged, [])) };
};

/** Reads the drop-ins of `dirs`, lowest precedence first. Throws CONFIG_UNREADABLE or CONFIG_INVALID. */
export const loadConfig = async (
  dirs: readonly string[],
  leftOut: ReadonlySet<string> = new Set(),
): Promise<LoadedConfig> => {
  let merged = emptyMerged;
  for (const file of await listDropIns(dirs, leftOut)) merged = merge(merged, await readDropIn(file), file);
  return resolveConfig(merged);
};

export interface TolerantConfig extends LoadedConfig {
  /** One for each drop-in that was left out: it names file, key and what was expected. */
  readonly problems: readonly Failure[];
}

/** Among what was left out may be a window: install, but leave the reboot to a person. */
const withoutReboot = ({ config, origin }: LoadedConfig): LoadedConfig => ({
  config: { ...config, autoReboot: false },
  origin: config.autoReboot ? { ...origin, autoReboot: 'off while a settings file is left out' } : origin,
});

/**
 * As {@link loadConfig}, but without the drop-ins that are wrong: an updater that a typo keeps from starting could not be
 * mended from afar. Throws only what names no file.
 */
export const loadConfigTolerantly = async (dirs: readonly string[]): Promise<TolerantConfig> => {
  const leftOut = new Map<string, Failure>();
  while (true) {
    try {
      const loaded = await loadConfig(dirs, new Set(leftOut.keys()));
      const problems = [...leftOut.values()];
      return problems.length === 0 ? { ...loaded, problems } : { ...withoutReboot(loaded), problems };
    } catch (error) {
      const file = error instanceof OtadError ? error.details.file : undefined;
      // Each round leaves out one file more, so this ends.
      if (typeof file !== 'string' || leftOut.has(file)) throw error;
      leftOut.set(file, toFailure(error));
    }
  }
};
