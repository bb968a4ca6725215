// Known bugs of the TUF client: each takes away one clause of the client workflow, or a rule of how files are kept.

import { type Edit, one, type SuiteMutant } from './mutant.ts';

const verify = 'verity/tuf-verify.js';
const roles = 'verity/tuf-roles.js';
const search = 'verity/target-search.js';
const store = 'verity/trusted-store.js';
const root = 'verity/trusted-root.js';
const signatures = 'verity/role-signatures.js';

const workflow = ['verity/tuf-workflow.test.js', 'verity/tuf-clauses.test.js'];
const delegations = ['verity/target-search.test.js', 'verity/tuf-clauses.test.js'];
const files = ['verity/trusted-store.test.js'];

const mutant = (name: string, suite: readonly string[], edits: readonly Edit[]): SuiteMutant => ({
  name,
  edits,
  suite,
});

export const trustMutants: readonly SuiteMutant[] = [
  mutant(
    'tuf-root-without-old-keys',
    workflow,
    one(verify, "checkSignatures(signerOf, delegatorOf(trusted, 'root'), 'root');", ''),
  ),
  mutant(
    'tuf-root-without-its-own-keys',
    workflow,
    one(verify, "checkSignatures(signerOf, delegatorOf(file.signed, 'root'), 'root');", ''),
  ),
  mutant('tuf-root-skips-versions', workflow, one(verify, "checkVersion(version, trusted.version + 1, 'root');", '')),
  mutant('tuf-root-goes-back', workflow, one(verify, 'if (version <= trusted.version) {', 'if (version < 0) {')),
  mutant('tuf-root-expiry-unchecked', workflow, one(roles, "checkExpiry(roles.root.signed, nowS, 'root');", '')),
  mutant(
    'tuf-root-expiry-checked-on-the-way',
    workflow,
    one(roles, 'roles.root = next;', "checkExpiry(next.signed, nowS, 'root');\n        roles.root = next;"),
  ),
  mutant(
    'tuf-root-without-end',
    ['verity/tuf-root-chain.test.js'],
    one(roles, 'rotations < metadataLimits.rootRotationsMax', 'rotations < 10_000'),
  ),
  mutant('tuf-root-cap-missing', workflow, one(roles, 'checkCap(bytes, path, metadataLimits.rootBytesMax);', '')),
  mutant(
    'tuf-root-kept-before-it-is-verified',
    workflow,
    one(
      roles,
      'const next = verifyNextRoot(roles.root.signed, bytes, schemes);',
      "await files.write('root.json', bytes);\n        const next = verifyNextRoot(roles.root.signed, bytes, schemes);",
    ),
  ),
  mutant(
    'tuf-rotation-forgets-nothing',
    workflow,
    one(verify, 'before.roles[role].keyids.some((keyId) => !after.roles[role].keyids.includes(keyId))', 'false'),
  ),
  mutant('tuf-rotation-kept-in-memory', workflow, one(roles, 'roles.snapshot = null;', '')),
  mutant(
    'tuf-rotation-cut-not-made-good',
    workflow,
    one(root, 'if (before !== null && isRotated(before, root.signed)) {', 'if (before === undefined) {'),
  ),
  mutant(
    'tuf-added-key-forgets',
    workflow,
    one(root, 'if (isRotated(before, next.signed)) {', 'if (before !== next.signed) {'),
  ),
  mutant(
    'tuf-timestamp-unsigned',
    workflow,
    one(verify, "checkSignatures(createSignerCheck(file, schemes), delegatorOf(root, 'timestamp'), 'timestamp');", ''),
  ),
  mutant(
    'tuf-timestamp-goes-back',
    workflow,
    one(verify, 'if (offered.version < trusted.signed.version) {', 'if (offered.version < 0) {'),
  ),
  mutant(
    'tuf-timestamp-replaced-under-its-version',
    workflow,
    one(verify, 'if (offered.version === trusted.signed.version) {', 'if (offered.version === 0) {'),
  ),
  mutant('tuf-timestamp-lowers-the-snapshot', workflow, one(verify, 'if (after < before) {', 'if (after < 0) {')),
  mutant('tuf-timestamp-expiry-unchecked', workflow, one(verify, "checkExpiry(offered, nowS, 'timestamp');", '')),
  mutant(
    'tuf-trusted-timestamp-expiry-unchecked',
    workflow,
    one(verify, "checkExpiry(trusted.signed, nowS, 'timestamp');", ''),
  ),
  mutant(
    'tuf-trusted-snapshot-expiry-unchecked',
    workflow,
    one(roles, "checkExpiry(trusted.signed, nowS, 'snapshot');", ''),
  ),
  mutant(
    'tuf-trusted-targets-expiry-unchecked',
    workflow,
    one(roles, "checkExpiry(held.signed, refresh.nowS, 'targets');", ''),
  ),
  mutant('tuf-timestamp-not-kept', workflow, one(roles, "await files.write('timestamp.json', timestamp.bytes);", '')),
  mutant('tuf-snapshot-listing-unchecked', workflow, one(verify, "checkListing(bytes, listed, 'snapshot');", '')),
  mutant(
    'tuf-snapshot-unsigned',
    workflow,
    one(verify, "checkSignatures(createSignerCheck(file, schemes), delegatorOf(root, 'snapshot'), 'snapshot');", ''),
  ),
  mutant(
    'tuf-snapshot-version-unchecked',
    workflow,
    one(verify, "checkVersion(file.signed.version, listed.version, 'snapshot');", ''),
  ),
  mutant(
    'tuf-snapshot-drops-a-role',
    workflow,
    one(
      verify,
      'if (after === undefined || after.version < before.version) {',
      'if (after !== undefined && after.version < before.version) {',
    ),
  ),
  mutant(
    'tuf-snapshot-lowers-a-role',
    workflow,
    one(verify, 'if (after === undefined || after.version < before.version) {', 'if (after === undefined) {'),
  ),
  mutant('tuf-snapshot-expiry-unchecked', workflow, one(verify, "checkExpiry(file.signed, nowS, 'snapshot');", '')),
  mutant(
    'tuf-snapshot-cap-by-its-parent-alone',
    workflow,
    one(
      roles,
      'Math.min(listed.length ?? metadataLimits.snapshotBytesMax, metadataLimits.snapshotBytesMax)',
      'listed.length ?? Number.MAX_SAFE_INTEGER',
    ),
  ),
  mutant(
    'tuf-targets-cap-by-its-parent-alone',
    workflow,
    one(
      roles,
      'Math.min(listed.length ?? metadataLimits.targetsBytesMax, metadataLimits.targetsBytesMax)',
      'listed.length ?? Number.MAX_SAFE_INTEGER',
    ),
  ),
  mutant('tuf-targets-listing-unchecked', workflow, one(verify, 'checkListing(bytes, listed, role);', '')),
  mutant(
    'tuf-targets-unsigned',
    workflow,
    one(verify, 'checkSignatures(createSignerCheck(file, schemes), delegator, role);', ''),
  ),
  mutant(
    'tuf-targets-version-unchecked',
    workflow,
    one(verify, 'checkVersion(file.signed.version, listed.version, role);', ''),
  ),
  mutant('tuf-targets-expiry-unchecked', workflow, one(verify, 'checkExpiry(file.signed, nowS, role);', '')),
  mutant(
    'tuf-expiry-inclusive',
    workflow,
    one(verify, 'timeOf(signed.expires) <= nowS', 'timeOf(signed.expires) < nowS'),
  ),
  mutant('tuf-threshold-counts-key-ids', workflow, one(signatures, 'signers.add(signer);', 'signers.add(keyId);')),
  mutant(
    'tuf-threshold-minus-one',
    workflow,
    one(signatures, 'signers.size >= role.threshold', 'signers.size >= role.threshold - 1'),
  ),
  mutant('tuf-unknown-digests-pass', workflow, one('verity/listed-digests.js', "return 'unknown';", "return 'same';")),
  mutant(
    'tuf-one-digest-is-enough',
    workflow,
    one('verity/listed-digests.js', 'algorithms.every(', 'algorithms.some('),
  ),
  mutant('tuf-plain-names-ignored', workflow, one(roles, 'isConsistent ? `', 'isConsistent !== null ? `')),
  mutant(
    'tuf-cached-role-verified-by-nobody',
    delegations,
    one(
      roles,
      'const stored = await orAbsent(files, name, verify);',
      'const stored = await orAbsent(files, name, (bytes) => ({ signed: JSON.parse(Buffer.from(bytes)).signed, bytes }));',
    ),
  ),
  mutant(
    'tuf-cached-role-verified-once',
    delegations,
    one(
      signatures,
      'if (signers.size >= role.threshold) {',
      "if (signers.size >= role.threshold || name === 'release') {",
    ),
  ),
  mutant(
    'tuf-terminating-goes-on',
    delegations,
    one(search, 'if (role.terminating) {', 'if (role.terminating === undefined) {'),
  ),
  mutant(
    'tuf-terminating-forgotten-when-visited',
    delegations,
    one(search, 'if (role.terminating) {', 'if (role.terminating && [...visited].at(-1) === role.name) {'),
  ),
  mutant(
    'tuf-delegations-in-a-circle',
    delegations,
    one(search, 'visited.add(role.name);', "visited.add([role.name, visited.size].join(' '));"),
  ),
  mutant(
    'tuf-delegations-without-end',
    delegations,
    one(search, 'visited.size >= rolesVisitedMax', 'visited.size >= 10_000'),
  ),
  mutant('tuf-wildcard-spans-separators', delegations, one(search, 'patterns.length === names.length && ', '')),
  mutant('tuf-any-hash-prefix', delegations, one(search, 'digest.startsWith(prefix)', 'prefix.length > 0')),
  mutant('tuf-any-path', delegations, one(search, 'role.paths.some((pattern) => isPathMatch(pattern, path))', 'true')),
  mutant(
    'tuf-file-not-synchronised',
    files,
    one(store, 'await handle.writeFile(bytes);\n        await handle.sync();', 'await handle.writeFile(bytes);'),
  ),
  mutant(
    'tuf-folder-not-synchronised',
    files,
    one(
      store,
      'await rename(temporary, join(folder, name));\n    await syncFolder(folder);',
      'await rename(temporary, join(folder, name));',
    ),
  ),
  mutant('tuf-file-written-in-place', files, [
    ...one(store, "await open(temporary, 'wx', 0o644)", "await open(join(folder, name), 'w', 0o644)"),
    ...one(store, 'await rename(temporary, join(folder, name));', ''),
  ]),
];
