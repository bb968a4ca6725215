// The client under test on targets: who may speak for a path and in which order, what is fetched, and what is kept.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { consistentName, keysOf, type Loose, type TestKey, testKey } from '../support/tuf-repository.ts';
import { aDevice, aSettledDevice, type Bench } from './bench.ts';
import { nextRoot, nextSnapshot, publishBare } from './publishing.ts';

/** 'A' delegates to roles by name; each with the patterns it is trusted for ('*' unless told) and whether it terminates. */
interface Delegation {
  readonly from: string;
  readonly to: string;
  readonly paths?: readonly string[];
  readonly isTerminating?: boolean;
  readonly key?: TestKey;
}

const delegate = (delegations: readonly Delegation[]): Loose => ({
  keys: keysOf(delegations.map(({ to, key = testKey(to) }) => key)),
  roles: delegations.map(({ to, paths = ['*'], isTerminating = false, key = testKey(to) }) => ({
    name: to,
    keyids: [key.id],
    threshold: 1,
    terminating: isTerminating,
    paths,
  })),
});

type Lists = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Publishes the delegations; `lists` are contents by role and path. */
const publishDelegations = ({ repository }: Bench, all: readonly Delegation[], lists: Lists = {}): void => {
  const toTargets = (role: string): Loose => {
    const contents = Object.entries(lists[role] ?? {});
    for (const [path, text] of contents) repository.addTarget(path, Buffer.from(text));
    const listed = contents.map(([path]) => [path, repository.targets.targets[path]] as const);
    if (role !== 'targets') for (const [path] of contents) delete repository.targets.targets[path];
    return Object.fromEntries(listed);
  };
  for (const role of new Set(all.map(({ to }) => to))) {
    const own = all.filter(({ from }) => from === role);
    const signed = { targets: toTargets(role), ...(own.length === 0 ? {} : { delegations: delegate(own) }) };
    const signers = all.filter(({ to }) => to === role).map(({ to, key = testKey(to) }) => key);
    repository.writeDelegated(role, signed, [...new Map(signers.map((key) => [key.id, key])).values()]);
  }
  toTargets('targets');
  repository.targets.delegations = delegate(all.filter(({ from }) => from === 'targets'));
  repository.publish();
};

const d = (from: string, to: string, more: Omit<Delegation, 'from' | 'to'> = {}): Delegation => ({ from, to, ...more });
const onlyPython = { paths: ['*.py'] };
const terminating = { isTerminating: true };

const graphs: readonly (readonly [claim: string, delegations: readonly Delegation[], visited: string])[] = [
  ['one role', [d('targets', 'A')], 'A'],
  ['two roles in order', [d('targets', 'A'), d('targets', 'B')], 'AB'],
  ['the last one has a role of its own', [d('targets', 'A'), d('targets', 'B'), d('B', 'C')], 'ABC'],
  ['depth first', [d('targets', 'A'), d('targets', 'B'), d('A', 'C'), d('A', 'D')], 'ACDB'],
  ['depth first, deeper', [d('targets', 'A'), d('targets', 'B'), d('A', 'C'), d('C', 'D')], 'ACDB'],
  [
    'a terminating role ends all that follows',
    [d('targets', 'A'), d('targets', 'B'), d('A', 'C', terminating), d('A', 'D')],
    'AC',
  ],
  [
    'a terminating role may still delegate',
    [d('targets', 'A'), d('targets', 'B'), d('A', 'C', terminating), d('C', 'D')],
    'ACD',
  ],
  ['a branch for other paths is left out', [d('targets', 'A', onlyPython), d('targets', 'B'), d('A', 'C')], 'B'],
  [
    'a deep branch for other paths is left out',
    [d('targets', 'A'), d('targets', 'B'), d('A', 'C', onlyPython), d('C', 'D')],
    'AB',
  ],
  ['a circle is cut', [d('targets', 'A'), d('targets', 'B'), d('B', 'C'), d('C', 'D'), d('D', 'B')], 'ABCD'],
  ['a role of two is visited once', [d('targets', 'A'), d('targets', 'B'), d('B', 'C'), d('A', 'C')], 'ACB'],
  [
    'a role of two is reached through the one that trusts it with the path',
    [d('targets', 'A'), d('targets', 'B'), d('B', 'C'), d('A', 'C', onlyPython)],
    'ABC',
  ],
];

const tree: readonly Delegation[] = [
  d('targets', 'A', { paths: ['*.doc', '*.md', 'foo-?.tgz'] }),
  d('targets', 'B', { paths: ['releases/*/*'] }),
  d('B', 'C', { paths: ['releases/x/*'] }),
  d('B', 'D', { paths: ['releases/y/*.zip'] }),
];
const treeLists: Lists = {
  targets: { top: 'listed at the top' },
  A: { 'README.md': 'A', 'releases/README.md': 'A below', 'foo-1.tgz': 'foo', 'foo-alpha.tgz': 'foo alpha' },
  C: { 'releases/x/x_v1': 'x' },
  D: { 'releases/y/y_v1.zip': 'y', 'releases/z/z_v1.zip': 'z' },
};

/** Contents, or null where nobody may speak for the path; and the roles that were asked. */
const searches: readonly (readonly [path: string, found: string | null, visited: string])[] = [
  ['top', 'listed at the top', ''],
  ['README.md', 'A', 'A'],
  ['releases/x/x_v1', 'x', 'BC'],
  ['releases/y/y_v1.zip', 'y', 'BD'],
  ['releases/z/z_v1.zip', null, 'B'],
  ['releases/README.md', null, ''],
  ['foo-1.tgz', 'foo', 'A'],
  ['foo-alpha.tgz', null, ''],
  ['README.MD', null, ''],
];

const topFiles = 4;
const named = (visited: string): readonly string[] => [...visited].map((role) => `1.${role}.json`);

describe('conformance: delegations', { concurrency: 2 }, () => {
  for (const [claim, delegations, visited] of graphs) {
    test(`5.6.7: ${claim}`, async (t) => {
      const bench = await aDevice(t);
      publishDelegations(bench, delegations);
      assert.equal(await bench.download('missing'), 1);
      assert.deepEqual(bench.asked().slice(topFiles), named(visited));
    });
  }

  for (const [path, found, visited] of searches) {
    test(`4.5: ${path} ${found === null ? 'is nobody’s to list' : 'is found'}`, async (t) => {
      const bench = await aDevice(t);
      publishDelegations(bench, tree, treeLists);
      assert.equal(await bench.download(path), found === null ? 1 : 0);
      assert.deepEqual(bench.asked().slice(topFiles), named(visited));
      assert.deepEqual(await bench.downloaded(), found === null ? [] : [found]);
    });
  }

  test('5.6.3: a role that is stored already is verified again with the keys of whoever delegates to it now', async (t) => {
    const bench = await aDevice(t);
    const { repository } = bench;
    const byB = testKey('TEST release key of B');
    const delegations = [
      d('targets', 'A', { paths: ['a/*'] }),
      d('targets', 'B', { paths: ['b/*'] }),
      d('A', 'release', { paths: ['a/*'] }),
      d('B', 'release', { paths: ['b/*'], key: byB }),
    ];
    publishDelegations(bench, delegations, { release: { 'a/x': 'trusted by A', 'b/x': 'not trusted by B' } });
    // Signed by the key that A trusts, and not by the one that B trusts.
    const file = JSON.parse(Buffer.from(repository.files.get('metadata/1.release.json') ?? []).toString());
    repository.writeDelegated('release', file.signed, [testKey('release')]);
    repository.publish();
    assert.equal(await bench.download('a/x', 'b/x'), 1);
    assert.deepEqual(await bench.downloaded(), ['trusted by A']);
    assert.equal(await bench.download('b/x'), 1);
    assert.equal(await bench.download('a/x'), 0);
  });

  test('5.6.2: a role that the snapshot does not list is not asked for', async (t) => {
    const bench = await aDevice(t);
    publishDelegations(bench, [d('targets', 'A')]);
    delete bench.repository.snapshot.meta['A.json'];
    nextSnapshot(bench.repository);
    assert.equal(await bench.refresh(), 0);
    bench.asked();
    assert.equal(await bench.download('x'), 1);
    assert.deepEqual(bench.asked(), ['2.root.json', 'timestamp.json']);
    assert.equal(await bench.stored('A.json'), null);
  });

  for (const name of ['?', '#', '/delegated', '../delegated']) {
    test(`a role named ${name} is asked for by its encoded name, and stored inside the folder`, async (t) => {
      const bench = await aDevice(t);
      publishDelegations(bench, [d('targets', name)]);
      assert.equal(await bench.download('missing'), 1);
      assert.equal(bench.asked().at(-1), `1.${encodeURIComponent(name)}.json`);
      assert.equal(Object.keys(await bench.trusted()).length, 5);
    });
  }
});

describe('conformance: targets', { concurrency: 2 }, () => {
  for (const path of ['file.txt', 'path/to/a/file.txt']) {
    test(`5.7.3: ${path} is fetched by a name with its digest, and not a second time`, async (t) => {
      const bench = await aSettledDevice(t);
      bench.repository.addTarget(path, Buffer.from('contents'));
      bench.repository.publish();
      assert.equal(await bench.download(path), 0);
      assert.equal(await bench.download(path), 0);
      assert.deepEqual(await bench.downloaded(), ['contents']);
      const digest = createHash('sha256').update('contents').digest('hex');
      assert.deepEqual(bench.askedTargets(), [consistentName(path, digest).slice('targets/'.length)]);
    });
  }

  test('5.7.3: what the server puts in a target’s place is not taken, and what is there stays', async (t) => {
    const bench = await aSettledDevice(t);
    const { repository } = bench;
    const one = Buffer.from('contents of one');
    repository.addTarget('one', one);
    repository.addTarget('two', Buffer.from('contents of two'));
    repository.publish();
    assert.equal(await bench.download('one'), 0);
    for (const path of repository.files.keys()) {
      if (/\.(one|two)$/.test(path)) repository.files.set(path, Buffer.from('contents of bad'));
    }
    assert.equal(await bench.download('one'), 0);
    assert.equal(await bench.download('two'), 1);
    assert.deepEqual(await bench.downloaded(), ['contents of one']);
  });

  test('a target that changes lawfully is replaced, over versions that the device never saw', async (t) => {
    const bench = await aSettledDevice(t);
    const { repository } = bench;
    for (let round = 0; round < 3; round += 1) {
      for (const text of [`unseen ${round}`, `seen ${round}`]) {
        repository.addTarget('file.txt', Buffer.from(text));
        repository.publish();
      }
      assert.equal(await bench.download('file.txt'), 0);
      assert.deepEqual(await bench.downloaded(), [`seen ${round}`]);
    }
  });

  for (const algorithms of [['sha256'], ['sha512'], ['sha256', 'sha512']]) {
    test(`5.7.3: a target listed by ${algorithms.join(' and ')} is taken`, async (t) => {
      const bench = await aSettledDevice(t);
      const bytes = Buffer.from('contents');
      const hashes = algorithms.map((name) => [name, createHash(name).update(bytes).digest('hex')] as const);
      bench.repository.targets.targets['file.txt'] = { length: bytes.length, hashes: Object.fromEntries(hashes) };
      for (const [, digest] of hashes) bench.repository.files.set(consistentName('file.txt', digest), bytes);
      bench.repository.publish();
      assert.equal(await bench.download('file.txt'), 0);
      assert.equal(bench.askedTargets().length, 1);
      assert.deepEqual(await bench.downloaded(), ['contents']);
    });
  }

  test('a target listed by an unknown digest alone is refused', async (t) => {
    const bench = await aSettledDevice(t);
    const { repository } = bench;
    repository.addTarget('file.txt', Buffer.from('contents'));
    const listed = repository.targets.targets['file.txt'];
    listed.hashes = { crc32: listed.hashes.sha256 };
    repository.publish();
    assert.equal(await bench.download('file.txt'), 1);
    assert.deepEqual(await bench.downloaded(), []);
  });

  test('6.2: without consistent snapshots all but the root goes by plain names', async (t) => {
    const bench = await aDevice(t);
    const { repository } = bench;
    nextRoot(repository, (root) => {
      delete root.consistent_snapshot;
    });
    repository.targets.delegations = delegate([d('targets', 'A')]);
    repository.writeDelegated('A', {}, [testKey('A')]);
    repository.addTarget('path/file.txt', Buffer.from('contents'));
    publishBare(repository);
    const plain = new Map(
      [...repository.files].map(([path, bytes]) => [
        path.replace(/\/2\.(?!root)|\/1\.A/, (match) => (match.endsWith('A') ? '/A' : '/')),
        bytes,
      ]),
    );
    for (const [path, bytes] of plain) repository.files.set(path.replace(/\/[0-9a-f]{64}\./, '/'), bytes);
    assert.equal(await bench.download('path/file.txt'), 0);
    assert.deepEqual(bench.asked(), ['2.root.json', '3.root.json', 'timestamp.json', 'snapshot.json', 'targets.json']);
    assert.deepEqual(bench.askedTargets(), ['path/file.txt']);
    assert.equal(await bench.download('other'), 1);
    assert.equal(bench.asked().at(-1), 'A.json');
  });
});
