// The law of docs/architecture.md, kept by reading the sources: who may import whom, no cycles, a pure core.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..', '..');

/** Folder -> folders it may import besides itself. Longest matching prefix wins. */
const law: Readonly<Record<string, readonly string[]>> = {
  'agent/core': [],
  'agent/runtime': ['agent/core'],
  bootctl: ['agent/core'],
  verity: ['agent/core'],
  delta: ['agent/core', 'verity'],
  publish: ['agent/core', 'verity', 'delta', 'agent/edit-distance.ts', 'agent/version.ts'],
  'agent/adapters': ['agent/core', 'bootctl', 'verity', 'delta'],
  'agent/config': ['agent/core', 'agent/edit-distance.ts'],
  'agent/log': ['agent/core'],
  'agent/api': ['agent/core'],
  'agent/cli': ['agent/core', 'agent/api', 'agent/edit-distance.ts'],
  'agent/otactl.ts': ['agent/core', 'agent/cli', 'agent/api', 'agent/version.ts'],
  'agent/http-settings.ts': ['agent/adapters', 'agent/config', 'agent/version.ts'],
  'agent/daemon.ts': ['agent', 'bootctl', 'verity', 'delta'],
  'agent/otad-boot.ts': ['agent', 'bootctl', 'verity'],
  'agent/main.ts': ['agent', 'bootctl', 'verity', 'delta'],
  'agent/edit-distance.ts': [],
  'agent/version.ts': [],
  image: ['agent/core', 'verity', 'publish', 'bootctl'],
  test: ['agent', 'bootctl', 'verity', 'delta', 'publish', 'image'],
};

const sources = ['agent', 'bootctl', 'verity', 'delta', 'publish', 'image', 'test'].flatMap((folder) => {
  try {
    return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `${folder}/${name}`);
  } catch {
    return [];
  }
});

const textOf = (file: string): string => readFileSync(join(root, file), 'utf8');

interface Import {
  readonly from: string;
  readonly to: string;
  readonly isTypeOnly: boolean;
}

const importsOf = (file: string): Import[] => {
  const found = textOf(file).matchAll(/^\s*(?:import|export)\s+(type\s)?[^'"`;]*?from\s+'([^']+)'/gm);
  return [...found].map(([, type, to]) => ({
    from: file,
    to: to?.startsWith('.') ? normalize(join(dirname(file), to)) : (to ?? ''),
    isTypeOnly: type !== undefined,
  }));
};

const isIn = (file: string, place: string): boolean => file === place || file.startsWith(`${place}/`);

const placeOf = (file: string): string =>
  Object.keys(law)
    .filter((place) => isIn(file, place))
    .sort((a, b) => b.length - a.length)[0] ?? '';

const imports = sources.flatMap(importsOf);
const local = imports.filter(({ to }) => to.endsWith('.ts'));

test('sources and imports were found', () => {
  assert.ok(sources.length > 20 && local.length > 50, `${sources.length} sources, ${local.length} imports`);
});

test('every source has a place in the law', () => {
  assert.deepEqual(
    sources.filter((file) => placeOf(file) === ''),
    [],
  );
});

test('imports follow the law of the folders', () => {
  const broken = local.filter(({ from, to }) => {
    const place = placeOf(from);
    return !isIn(to, place) && !(law[place] ?? []).some((allowed) => isIn(to, allowed));
  });
  assert.deepEqual(broken, []);
});

test('the core imports nothing from outside, not even from Node', () => {
  const outside = imports.filter(({ from, to }) => isIn(from, 'agent/core') && !isIn(to, 'agent/core'));
  assert.deepEqual(outside, []);
});

test('the core reads no clock, no chance and no global', () => {
  const impure =
    /\b(Date\.now|new Date|Math\.random|performance\.|process\.|setTimeout|setInterval|globalThis|console\.|fetch\()/;
  const guilty = sources.filter((file) => isIn(file, 'agent/core') && impure.test(textOf(file)));
  assert.deepEqual(guilty, []);
});

test('the runtime keeps to the core as well', () => {
  const outside = imports.filter(
    ({ from, to }) => isIn(from, 'agent/runtime') && !isIn(to, 'agent/runtime') && !isIn(to, 'agent/core'),
  );
  assert.deepEqual(outside, []);
});

test('no circle of imports', () => {
  const next = new Map<string, string[]>();
  for (const { from, to, isTypeOnly } of local) {
    if (!isTypeOnly) next.set(from, [...(next.get(from) ?? []), to]);
  }
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), `circle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`);
    if (done.has(file)) return;
    for (const to of next.get(file) ?? []) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
});

test('only the verifier makes a verified value', () => {
  const makers = sources.filter((file) => !isIn(file, 'test') && /\bas (unknown as )?Verified\b/.test(textOf(file)));
  assert.ok(makers.length > 0);
  assert.deepEqual(
    makers.filter((file) => !isIn(file, 'verity')),
    [],
  );
});

test('every source opens by saying what it owns', () => {
  const silent = sources.filter((file) => !/^(#!.*\n)?\/\//.test(textOf(file)) && !file.endsWith('.test.ts'));
  assert.deepEqual(silent, []);
});

test('no default exports, no enums', () => {
  const guilty = sources.filter((file) => /^export default|^\s*(export )?(const )?enum /m.test(textOf(file)));
  assert.deepEqual(guilty, []);
});

test('no test is skipped or left for later', () => {
  const marks = /\b(?:test|it|describe|suite)\.(?:skip|only|todo)\b|\b(?:skip|todo): (?:true|')/;
  const guilty = sources.filter((file) => file !== 'test/tidy.test.ts' && marks.test(textOf(file)));
  assert.deepEqual(guilty, []);
});
