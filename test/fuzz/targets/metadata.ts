// TUF metadata: what parses means exactly what an independent reading of the same bytes says, and what verifies under the
// trusted keys is what was signed, to the last member.

import { isDeepStrictEqual } from 'node:util';
import { parseStrictJson } from '../../../verity/canonical-json.ts';
import {
  type AnyMetadata,
  type MetadataFile,
  parseMetadata,
  type TopLevelRole,
  topLevelRoles,
} from '../../../verity/tuf-metadata.ts';
import {
  targetsDelegator,
  verifyInitialRoot,
  verifyNextRoot,
  verifySnapshot,
  verifyTargets,
  verifyTimestamp,
} from '../../../verity/tuf-verify.ts';
import { aRepository, keysOf, type Loose, roleOf, testKey, testNowS } from '../../support/tuf-repository.ts';
import { canonicalOf, hasDoubleMembers, readJson } from '../json-oracle.ts';
import { attempt, Finding, type FuzzTarget, type Judge, mustEqual } from '../target.ts';

type Parse = (kind: TopLevelRole, bytes: Uint8Array) => MetadataFile<AnyMetadata>;

/** What a member that may be left out means then. */
const meantByAbsence: Readonly<Record<string, unknown>> = { terminating: false, consistent_snapshot: false };

/** True if every member of `known` stands in `raw` with the same value; members that only `raw` has are tolerated. */
const isPartOf = (known: Loose, raw: Loose): boolean => {
  if (typeof known !== 'object' || known === null) return known === raw;
  if (Array.isArray(known)) {
    return (
      Array.isArray(raw) && known.length === raw.length && known.every((item, index) => isPartOf(item, raw[index]))
    );
  }
  return Object.entries(known).every(([key, value]) =>
    isPartOf(value, Object.hasOwn(raw, key) ? raw[key] : meantByAbsence[key]),
  );
};

const judgeBy =
  (parse: Parse): Judge =>
  (input) => {
    const text = Buffer.from(input).toString('utf8');
    const named = topLevelRoles.find(
      (role) => text.includes(`"_type": "${role}"`) || text.includes(`"_type":"${role}"`),
    );
    const kind = named ?? topLevelRoles[input.length % topLevelRoles.length] ?? 'root';
    const { value: file, label } = attempt(['METADATA_MALFORMED'], () => parse(kind, input));
    if (file === null) return `${kind} ${label}`;
    if (hasDoubleMembers(text)) throw new Finding('accepted with a member that stands twice');
    const raw = readJson(input) as Loose;
    mustEqual(
      'the signed bytes are another document',
      Buffer.from(file.signedBytes).toString(),
      canonicalOf(raw.signed),
    );
    if (!isPartOf(file.signed, raw.signed)) throw new Finding(`read as ${JSON.stringify(file.signed)}`);
    if (!isPartOf(file.signatures, raw.signatures)) throw new Finding('other signatures than the file has');
    const again = parse(kind, Buffer.from(JSON.stringify(raw)));
    if (!isDeepStrictEqual(again, file)) throw new Finding('does not encode back to itself');
    return `accepted ${kind}`;
  };

/** Keeps the last of two members of one name, as JSON.parse does. */
const carelessParse: Parse = (kind, bytes) => {
  try {
    return parseMetadata(kind, Buffer.from(JSON.stringify(JSON.parse(Buffer.from(bytes).toString()))));
  } catch (error) {
    if (error instanceof SyntaxError) parseStrictJson(Buffer.from('!'));
    throw error;
  }
};

/** A repository with a delegation and a rotated root, and its files by name. */
const aFullRepository = () => {
  const repository = aRepository();
  const team = testKey('team');
  repository.targets.delegations = {
    keys: keysOf([team]),
    roles: [{ name: 'team', ...roleOf([team]), terminating: true, paths: ['team/*'] }],
  };
  repository.addRelease();
  repository.writeDelegated(
    'team',
    { targets: { 'team/x': { length: 1, hashes: { sha256: 'a'.repeat(64) }, custom: { n: 1 } } } },
    [team],
  );
  repository.publish();
  repository.root.version = 2;
  const nextRoot = repository.writeRoot();
  const file = (name: string): Uint8Array => repository.files.get(`metadata/${name}.json`) ?? new Uint8Array();
  const { version } = repository.targets;
  return {
    initialRoot: repository.initialRoot,
    nextRoot,
    timestamp: file('timestamp'),
    snapshot: file(`${version}.snapshot`),
    targets: file(`${version}.targets`),
    team: file('1.team'),
  };
};

const words = [
  '"signed"',
  '"signatures"',
  '"keyid"',
  '"sig"',
  '_type',
  'root',
  'timestamp',
  'snapshot',
  'targets',
  'threshold',
  'keyids',
  'version',
  'expires',
  'meta',
  'length',
  'hashes',
  'sha256',
  'consistent_snapshot',
  'delegations',
  'terminating',
  'paths',
  'path_hash_prefixes',
  'constructor',
  'toString',
  'x-otad-floor-epoch',
  '"threshold": 1',
  '2026-02-30T00:00:00Z',
];

export const metadataTarget = (): FuzzTarget => ({
  name: 'metadata',
  seeds: Object.values(aFullRepository()),
  dictionary: words,
  judge: judgeBy(parseMetadata),
  canary: { bug: 'the last of two members of one name counts', judge: judgeBy(carelessParse) },
});

const verifyCodes = [
  'METADATA_MALFORMED',
  'METADATA_SIGNATURE_INVALID',
  'METADATA_ROLLBACK',
  'METADATA_MISMATCH',
  'METADATA_EXPIRED',
] as const;

/** Mutants under the keys that signed the originals: accepted is only what says the same. */
const judgeSigned = (unwrap: (bytes: Uint8Array) => Uint8Array): Judge => {
  const files = aFullRepository();
  const trustedRoot = verifyInitialRoot(files.initialRoot).signed;
  const timestamp = verifyTimestamp(trustedRoot, null, files.timestamp, testNowS).signed;
  // Without lengths and digests, so that the signature alone decides.
  const bareTimestamp = {
    ...timestamp,
    meta: { 'snapshot.json': { version: timestamp.meta['snapshot.json'].version } },
  };
  const snapshot = verifySnapshot(trustedRoot, bareTimestamp, null, files.snapshot, testNowS).signed;
  const bareSnapshot = {
    ...snapshot,
    meta: Object.fromEntries(Object.entries(snapshot.meta).map(([name, { version }]) => [name, { version }])),
  };
  const targets = verifyTargets(targetsDelegator(trustedRoot), bareSnapshot, 'targets', files.targets, testNowS).signed;
  const delegation = targets.delegations?.roles[0];
  const team = { keys: targets.delegations?.keys ?? {}, role: delegation ?? { keyids: [], threshold: 1 } };
  const doors: readonly (readonly [name: string, verify: (bytes: Uint8Array) => unknown])[] = [
    ['initial root', (bytes) => verifyInitialRoot(bytes)],
    ['next root', (bytes) => verifyNextRoot(trustedRoot, bytes)],
    ['timestamp', (bytes) => verifyTimestamp(trustedRoot, null, bytes, testNowS)],
    ['snapshot', (bytes) => verifySnapshot(trustedRoot, bareTimestamp, null, bytes, testNowS)],
    ['targets', (bytes) => verifyTargets(targetsDelegator(trustedRoot), bareSnapshot, 'targets', bytes, testNowS)],
    ['delegated targets', (bytes) => verifyTargets(team, bareSnapshot, 'team', bytes, testNowS)],
  ];
  const meaningOf = (bytes: Uint8Array): string => canonicalOf((readJson(bytes) as Loose).signed);
  const signed = new Set(Object.values(files).map(meaningOf));
  return (input) => {
    const outcomes = doors.map(([name, verify]) => {
      const { label } = attempt(verifyCodes, () => verify(unwrap(input)));
      // A root that is first signs itself: that is the only door where other keys than the trusted ones count.
      if (label === null && name !== 'initial root' && !signed.has(meaningOf(input))) {
        throw new Finding(`${name} accepted what nobody signed`);
      }
      return label === null ? name : label.split(' ')[0];
    });
    const taken = outcomes.filter((_, index) => outcomes[index] === doors[index]?.[0]);
    return taken.length > 0 ? `accepted as ${taken.join(' and ')}` : outcomes.join(' ');
  };
};

/** Verifies the genuine timestamp whatever it is given: a cache that was filled before the check. */
const poisoned = (): ((bytes: Uint8Array) => Uint8Array) => {
  const { timestamp } = aFullRepository();
  return (bytes) =>
    bytes.length > timestamp.length / 2 && Buffer.from(bytes).includes('"timestamp"') ? timestamp : bytes;
};

export const signedMetadataTarget = (): FuzzTarget => ({
  name: 'signed-metadata',
  seeds: Object.values(aFullRepository()),
  dictionary: words,
  judge: judgeSigned((bytes) => bytes),
  canary: { bug: 'what is verified is not what is used', judge: judgeSigned(poisoned()) },
});
