// Walks the guides: every command in them is run as it is written. `otapub` runs in this process, with the guide's clock and
// a person who says yes; everything else is a shell's. Comments in a guide (`test: ...`) say what happens between commands.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { loadPublished } from '../../../publish/repository/published-state.ts';
import { publisherPaths } from '../../../publish/repository/publisher-folder.ts';
import { keyNamesOf } from '../../../publish/repository/root-document.ts';
import { createFolderReader } from '../../../publish/serving/repository-reader.ts';
import { createTrustedStore } from '../../../verity/trusted-store.ts';
import { createTufClient } from '../../../verity/tuf-client.ts';
import { readRelease } from '../../../verity/verified-release.ts';
import { treeRoot } from '../../support/reference.ts';
import { aFolder, aLayer, testNowMs } from '../publisher-fixture.ts';
import { type Outcome, otapub } from '../run-otapub.ts';

const run = promisify(execFile);
const sticks = ['ALICE', 'BOB', 'BOB2', 'SAFE', 'RELEASE', 'RELEASE2'] as const;

type Step =
  | { readonly kind: 'command'; readonly line: string }
  | { readonly kind: 'shell'; readonly line: string }
  | { readonly kind: 'clock'; readonly nowMs: number };

/** Commands and directives of a guide, in order. */
const stepsOf = (markdown: string): readonly Step[] => {
  const steps: Step[] = [];
  for (const [, directive, block] of markdown.matchAll(/^<!-- test: (.*) -->$|^```sh\n([\s\S]*?)^```$/gm)) {
    if (directive?.startsWith('at ')) steps.push({ kind: 'clock', nowMs: Date.parse(directive.slice(3)) });
    else if (directive !== undefined) steps.push({ kind: 'shell', line: directive });
    for (const line of (block ?? '').split('\n').filter((each) => each.trim() !== '')) {
      steps.push({ kind: line.startsWith('otapub ') ? 'command' : 'shell', line });
    }
  }
  return steps;
};

interface Walk {
  readonly outcomes: Map<string, Outcome>;
  nowMs: number;
}

/** Exit codes with which a guide goes on: done, waiting for a person, and `status` of what has expired. */
const isFine = (line: string, exitCode: number): boolean =>
  exitCode === 0 || exitCode === 4 || (line.startsWith('otapub status') && exitCode === 5);

const walk = async (guide: string, state: Walk): Promise<void> => {
  const markdown = await readFile(join(treeRoot(), 'docs/guides', `${guide}.md`), 'utf8');
  const steps = stepsOf(markdown);
  assert.ok(steps.filter(({ kind }) => kind === 'command').length >= 5, `${guide} has commands`);
  for (const step of steps) {
    if (step.kind === 'clock') {
      state.nowMs = step.nowMs;
    } else if (step.kind === 'shell') {
      await run('sh', ['-ec', step.line]);
    } else {
      // The shell expands variables and patterns as it would for the reader.
      const { stdout } = await run('sh', ['-c', `printf '%s\\0' ${step.line}`]);
      const [, ...args] = stdout.split('\0').slice(0, -1);
      const outcome = await otapub(args, { nowMs: state.nowMs, answers: ['yes'] });
      assert.ok(isFine(step.line, outcome.exitCode), `${step.line}\n${outcome.exitCode} ${outcome.stderr}`);
      state.outcomes.set(step.line, outcome);
      state.nowMs += 60_000;
    }
  }
};

/** A desk with empty sticks and a layer, as the working folder of this process. */
const aDesk = async (t: TestContext): Promise<Walk> => {
  const desk = await aFolder(t);
  const before = process.cwd();
  process.chdir(desk);
  t.after(() => process.chdir(before));
  for (const name of sticks) {
    await mkdir(join(desk, name), { mode: 0o700 });
    process.env[name] = join(desk, name);
  }
  t.after(() => {
    for (const name of sticks) delete process.env[name];
  });
  await aLayer('layers/app', { 'opt/app': 'application\n' });
  return { outcomes: new Map(), nowMs: testNowMs };
};

/** A desk as the key ceremony leaves it. */
const aDeskAfterCeremony = async (t: TestContext, done: string): Promise<Walk> => {
  const state = await aDesk(t);
  await cp(done, '.', { recursive: true });
  return { ...state, nowMs: testNowMs + 86_400_000 };
};

/** The release that a gateway with this root in its image ends on. */
const gatewaySees = async (t: TestContext, folder: string, root: Uint8Array, nowMs: number): Promise<string> => {
  const signal = new AbortController().signal;
  const fetcher = createFolderReader(publisherPaths(folder).repository);
  const files = createTrustedStore(await aFolder(t));
  const client = createTufClient({ fetcher, files, initialRoot: root });
  const set = await client.refresh(Math.floor(nowMs / 1000), signal);
  const query = { channel: 'stable', compatible: 'acme-gw1' };
  return (await readRelease({ client, fetcher, files, root: set.root }, query, signal)).version;
};

const keysOf = async (folder: string): Promise<readonly string[]> =>
  [...keyNamesOf((await loadPublished(publisherPaths(folder))).root).values()].sort();

const replaced = ['alice', 'bob-2', 'release-2', 'safe', 'snapshot-2', 'timestamp-2'];

const bakedRoot = () => readFile('layers/app/files/usr/lib/otad/root.json');

test('the key ceremony leaves no offline key behind, gateways follow, and lost and stolen keys are replaced', async (t) => {
  const state = await aDesk(t);
  const done = process.cwd();
  await walk('key-ceremony', state);
  assert.equal(await gatewaySees(t, 'vendor', await bakedRoot(), state.nowMs), '1.0');
  const status = await otapub(['status', 'vendor'], { nowMs: state.nowMs });
  assert.match(status.stdout, /^root +2 .*2 of 3/m);
  assert.match(status.stdout, /^root .* -$/m);
  assert.match(status.stdout, /^targets .* -$/m);

  await t.test('the guide to a lost key brings every gateway along', async (t) => {
    const after = await aDeskAfterCeremony(t, done);
    await walk('lost-key', after);
    assert.equal(await gatewaySees(t, 'vendor', await bakedRoot(), after.nowMs), '1.0');
    assert.deepEqual(await keysOf('vendor'), replaced);
  });

  await t.test('the guide to a stolen key leaves nothing to the thief', async (t) => {
    const after = await aDeskAfterCeremony(t, done);
    await walk('stolen-key', after);
    assert.equal(await gatewaySees(t, 'vendor', await bakedRoot(), after.nowMs), '1.1');
    assert.deepEqual(await keysOf('vendor'), replaced);
  });
});

test('a gateway that slept for two years follows an expired root to the newest release', async (t) => {
  const state = await aDesk(t);
  await walk('slept-two-years', state);
  assert.equal(await gatewaySees(t, 'yearly', await readFile('in-the-box.json'), state.nowMs), '1.2');
  const verified = state.outcomes.get('otapub verify yearly --root in-the-box.json --channel stable');
  assert.match(verified?.stdout ?? '', /stable \/ acme-gw1: 1\.2 \(sequence 3\); all gateways at once/);
  const statuses = [...state.outcomes].filter(([line]) => line === 'otapub status yearly');
  assert.equal(statuses.at(-1)?.[1].exitCode, 5);
});
