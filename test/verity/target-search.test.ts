// TUF 4.5 and 5.6.7: who may speak for a path. Each test names roles and what they say; the client finds out.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, OtadError } from '../../agent/core/errors.ts';
import { isPathMatch, rolesVisitedMax } from '../../verity/target-search.ts';
import { createTufClient } from '../../verity/tuf-client.ts';
import {
  aRepository,
  keysOf,
  type Loose,
  memoryFiles,
  repositoryFetcher,
  sha256Hex,
  type TestKey,
  type TestRepository,
  testKey,
  testNowS,
} from '../support/tuf-repository.ts';

const signal = new AbortController().signal;

interface Role {
  readonly name: string;
  readonly paths?: readonly string[];
  readonly prefixes?: readonly string[];
  readonly isTerminating?: boolean;
  /** Targets that it lists; the length tells who answered. */
  readonly lists?: Readonly<Record<string, number>>;
  readonly children?: readonly Role[];
  readonly signers?: readonly TestKey[];
}

const delegate = (roles: readonly Role[]): Loose => ({
  keys: keysOf(roles.map((role) => testKey(role.name))),
  roles: roles.map((role) => ({
    name: role.name,
    keyids: [testKey(role.name).id],
    threshold: 1,
    terminating: role.isTerminating ?? false,
    ...(role.prefixes === undefined ? { paths: role.paths ?? ['*', '*/*'] } : { path_hash_prefixes: role.prefixes }),
  })),
});

const writeRoles = (repository: TestRepository, roles: readonly Role[]): void => {
  for (const role of roles) {
    const targets = Object.fromEntries(
      Object.entries(role.lists ?? {}).map(([path, length]) => [
        path,
        { length, hashes: { sha256: sha256Hex(Buffer.from(path)) } },
      ]),
    );
    const children = role.children ?? [];
    const signed = { targets, ...(children.length === 0 ? {} : { delegations: delegate(children) }) };
    repository.writeDelegated(role.name, signed, role.signers ?? [testKey(role.name)]);
    writeRoles(repository, children);
  }
};

const find = async (roles: readonly Role[], path: string, change?: (repository: TestRepository) => void) => {
  const repository = aRepository();
  repository.targets.delegations = delegate(roles);
  writeRoles(repository, roles);
  change?.(repository);
  repository.publish();
  const { fetcher, requests } = repositoryFetcher(repository.files);
  const client = createTufClient({ fetcher, files: memoryFiles(), initialRoot: repository.initialRoot });
  await client.refresh(testNowS, signal);
  requests.length = 0;
  return { target: await client.findTarget(path, signal), requests };
};

const rejectsWith = (promise: Promise<unknown>, code: ErrorCode): Promise<void> =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof OtadError, String(error));
    assert.equal(error.code, code);
    return true;
  });

test('a target of the top-level role wins over any delegation', async () => {
  const { target, requests } = await find([{ name: 'one', lists: { 'hello.txt': 99 } }], 'hello.txt');
  assert.equal(target.lengthBytes, 5);
  assert.equal(target.urlPath, `targets/${sha256Hex(Buffer.from('hello'))}.hello.txt`);
  assert.deepEqual(requests, []);
});

test('the first delegation that lists the target wins', async () => {
  const roles = [{ name: 'one' }, { name: 'two', lists: { x: 2 } }, { name: 'three', lists: { x: 3 } }];
  assert.equal((await find(roles, 'x')).target.lengthBytes, 2);
});

test('a delegation is searched to its depth before the next one', async () => {
  const roles = [
    { name: 'one', children: [{ name: 'deep', lists: { x: 11 } }] },
    { name: 'two', lists: { x: 2 } },
  ];
  assert.equal((await find(roles, 'x')).target.lengthBytes, 11);
});

test('a terminating delegation ends the search', async () => {
  const roles = [
    { name: 'one', isTerminating: true },
    { name: 'two', lists: { x: 2 } },
  ];
  await rejectsWith(find(roles, 'x'), 'TARGET_UNKNOWN');
});

test('a terminating delegation ends the search also when its role was visited before', async () => {
  const shared = { name: 'shared' };
  const last = { name: 'three', lists: { x: 3 } };
  const two = (isTerminating: boolean) => ({ name: 'two', children: [{ ...shared, isTerminating }] });
  const one = { name: 'one', children: [shared] };
  await rejectsWith(find([one, two(true), last], 'x'), 'TARGET_UNKNOWN');
  assert.equal((await find([one, two(false), last], 'x')).target.lengthBytes, 3);
});

test('a terminating delegation for other paths ends nothing', async () => {
  const roles = [
    { name: 'one', isTerminating: true, paths: ['other/*'] },
    { name: 'two', lists: { x: 2 } },
  ];
  assert.equal((await find(roles, 'x')).target.lengthBytes, 2);
});

test('a terminating delegation deep inside ends the whole search', async () => {
  const roles = [
    { name: 'one', children: [{ name: 'deep', isTerminating: true }] },
    { name: 'two', lists: { x: 2 } },
  ];
  await rejectsWith(find(roles, 'x'), 'TARGET_UNKNOWN');
});

test('a role speaks for the paths of its whole chain of delegations only', async () => {
  const roles = [{ name: 'one', paths: ['a/*'], children: [{ name: 'deep', paths: ['*/*'], lists: { 'b/x': 1 } }] }];
  await rejectsWith(find(roles, 'b/x'), 'TARGET_UNKNOWN');
});

test('hash prefixes choose the bin', async () => {
  const digest = sha256Hex(Buffer.from('bin/x'));
  const other = digest.startsWith('0') ? '1' : '0';
  const roles = [
    { name: 'wrong', prefixes: [other], lists: { 'bin/x': 1 } },
    { name: 'right', prefixes: [digest.slice(0, 2)], lists: { 'bin/x': 2 } },
  ];
  assert.equal((await find(roles, 'bin/x')).target.lengthBytes, 2);
});

test('a delegated role is verified with the keys of its delegator', async () => {
  const roles = [{ name: 'one', lists: { x: 1 }, signers: [testKey('targets')] }];
  await rejectsWith(find(roles, 'x'), 'METADATA_SIGNATURE_INVALID');
});

test('a role that cannot be fetched ends the search instead of leaving the word to the next', async () => {
  const roles = [
    { name: 'one', lists: { x: 1 } },
    { name: 'two', lists: { x: 2 } },
  ];
  await rejectsWith(
    find(roles, 'x', (r) => void r.files.delete('metadata/1.one.json')),
    'METADATA_MISSING',
  );
});

test('a role that the snapshot does not list is refused', async () => {
  const roles = [{ name: 'one', lists: { x: 1 } }];
  await rejectsWith(
    find(roles, 'x', (r) => void delete r.snapshot.meta['one.json']),
    'METADATA_MISMATCH',
  );
});

test('a cycle of delegations is cut', async () => {
  const roles: readonly Role[] = [{ name: 'one' }, { name: 'two', lists: { x: 2 } }];
  const change = (repository: TestRepository): void => {
    repository.writeDelegated('one', { delegations: delegate([{ name: 'one' }]) }, [testKey('one')]);
  };
  assert.equal((await find(roles, 'x', change)).target.lengthBytes, 2);
});

test('a search is cut after the maximum of roles', async () => {
  const roles = Array.from({ length: rolesVisitedMax + 5 }, (_, index) => ({ name: `role-${index}` }));
  const last = { name: 'last', lists: { x: 1 } };
  await rejectsWith(find([...roles, last], 'x'), 'TARGET_UNKNOWN');
  assert.equal((await find([...roles.slice(0, rolesVisitedMax - 2), last], 'x')).target.lengthBytes, 1);
});

test('a role named like a path never becomes one', async () => {
  const { target } = await find([{ name: '../../etc/passwd', lists: { x: 1 } }], 'x');
  assert.equal(target.lengthBytes, 1);
});

test('a role may not take the name of a top-level one, nor one name twice', async () => {
  await rejectsWith(find([{ name: 'snapshot' }], 'x'), 'METADATA_MALFORMED');
  await rejectsWith(find([{ name: 'one' }, { name: 'one' }], 'x'), 'METADATA_MALFORMED');
});

test('names of the language are no targets', async () => {
  for (const path of ['constructor', 'toString', 'hasOwnProperty']) {
    await rejectsWith(find([], path), 'TARGET_UNKNOWN');
  }
});

test('a target path that means something else in a URL is refused', async () => {
  for (const path of ['a/../b', './x', '/x', 'a//b', '..']) {
    const change = (r: TestRepository) => r.addTarget(path, Buffer.from('x'));
    await rejectsWith(find([], path, change), 'METADATA_MALFORMED');
  }
});

test('wildcards match within one segment', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['targets/*.tgz', 'targets/foo.tgz', true],
    ['targets/*.tgz', 'targets/foo.txt', false],
    ['targets/*.tgz', 'targets/a/foo.tgz', false],
    ['foo-version-?.tgz', 'foo-version-2.tgz', true],
    ['foo-version-?.tgz', 'foo-version-alpha.tgz', false],
    ['*.tgz', 'targets/foo.tgz', false],
    ['a/*', 'a/b/c', false],
    ['*', 'a/b', false],
    ['a/*/*', 'a/b', false],
    ['*', '', true],
    ['a*b*c', 'aXXbYYc', true],
    ['a*b*c', 'aXXbYY', false],
    ['**', 'x', true],
    ['[ab]', 'a', false],
    ['x', 'x', true],
  ];
  for (const [pattern, path, wanted] of cases) {
    assert.equal(isPathMatch(pattern, path), wanted, `${pattern} on ${path}`);
  }
  assert.equal(isPathMatch(`${'a*'.repeat(200)}b`, 'a'.repeat(400)), false);
});
