// What a signing request would change, in words for the person who signs. Made from the very bytes that are signed and from
// signed files alone, never from words that somebody else put into the request. Pure.

import { floorEpochMember, type MetadataOf, type RootMetadata, topLevelRoles } from '../../verity/tuf-metadata.ts';
import { isRotated } from '../../verity/tuf-verify.ts';
import type { RoleName } from '../keys/signing-key.ts';
import { nameOfKey, shortId } from '../repository/root-document.ts';
import { judgesOf, type RequestDocument, rootSteps, type SigningRequest } from './request.ts';

const linesMax = 200;

export const describeKey = (root: RootMetadata, keyId: string): string =>
  `${nameOfKey(root, keyId)} (${shortId(keyId)})`;

const listKeys = (root: RootMetadata, keyIds: readonly string[]): string =>
  keyIds.map((keyId) => describeKey(root, keyId)).join(', ');

const roleLine = (root: RootMetadata, role: RoleName): string => {
  const { keyids, threshold } = root.roles[role];
  return `    ${role.padEnd(9)} ${threshold} of ${keyids.length}: ${listKeys(root, keyids)}`;
};

const roleChanges = (before: RootMetadata, after: RootMetadata, role: RoleName): readonly string[] => {
  const [old, next] = [before.roles[role], after.roles[role]];
  const gone = old.keyids.filter((keyId) => !next.keyids.includes(keyId));
  const added = next.keyids.filter((keyId) => !old.keyids.includes(keyId));
  return [
    ...(gone.length === 0 ? [] : [`    ${role} loses ${listKeys(before, gone)}`]),
    ...(added.length === 0 ? [] : [`    ${role} gets ${listKeys(after, added)}`]),
    ...(old.threshold === next.threshold
      ? []
      : [`    ${role} needs ${next.threshold} signatures instead of ${old.threshold}`]),
  ];
};

const renamed = (before: RootMetadata, after: RootMetadata): readonly string[] =>
  Object.keys(after.keys)
    .filter((keyId) => Object.hasOwn(before.keys, keyId) && nameOfKey(before, keyId) !== nameOfKey(after, keyId))
    .map((keyId) => `    key ${shortId(keyId)} is called ${nameOfKey(after, keyId)}, not ${nameOfKey(before, keyId)}`);

const rootLines = (before: RootMetadata, after: RootMetadata, isBridge: boolean): readonly string[] => {
  const changes = topLevelRoles.flatMap((role) => roleChanges(before, after, role));
  const [oldEpoch, epoch] = [before[floorEpochMember] ?? 0, after[floorEpochMember] ?? 0];
  return [
    `Root ${after.version}, after root ${before.version}, valid until ${after.expires}`,
    ...(isBridge ? ['  A step in between: old and new keys count side by side until the next root.'] : []),
    '  changes:',
    ...(changes.length === 0 ? ['    no key and no threshold'] : changes),
    ...renamed(before, after),
    ...(oldEpoch === epoch
      ? []
      : [`    releases may use floor epoch ${epoch} instead of ${oldEpoch}: older ones come back`]),
    ...(isRotated(before, after)
      ? ['    devices forget which snapshot and timestamp they have seen (recovery from fast-forward)']
      : []),
    '  keys from then on:',
    ...topLevelRoles.map((role) => roleLine(after, role)),
  ];
};

type Targets = MetadataOf['targets'];

const describeTarget = (targets: Targets, path: string): string => {
  const target = targets.targets[path];
  return `${path}  ${target?.length ?? 0} bytes  sha256 ${target?.hashes.sha256 ?? '-'}`;
};

const targetsLines = (before: Targets, after: Targets): readonly string[] => {
  const paths = [...new Set([...Object.keys(before.targets), ...Object.keys(after.targets)])].sort();
  const isIn = (targets: Targets, path: string): boolean => Object.hasOwn(targets.targets, path);
  const same = (path: string): boolean => JSON.stringify(before.targets[path]) === JSON.stringify(after.targets[path]);
  const changes = paths.flatMap((path) => {
    if (!isIn(before, path)) return [`    new       ${describeTarget(after, path)}`];
    if (!isIn(after, path)) return [`    removed   ${describeTarget(before, path)}`];
    return same(path) ? [] : [`    changed   ${describeTarget(after, path)}`];
  });
  const shown = changes.slice(0, linesMax);
  const hasDelegations = JSON.stringify(before.delegations) !== JSON.stringify(after.delegations);
  return [
    `Targets ${after.version}, after targets ${before.version}, valid until ${after.expires}`,
    '  changes:',
    ...(changes.length === 0 ? ['    no file: signed again as it stands'] : shown),
    ...(changes.length > shown.length ? [`    and ${changes.length - shown.length} more`] : []),
    ...(hasDelegations ? ['    DELEGATIONS to other keys differ'] : []),
    `  files from then on: ${Object.keys(after.targets).length}`,
  ];
};

const documentLines = (request: SigningRequest, document: RequestDocument): readonly string[] => {
  if (document.role === 'targets') return targetsLines(request.targets, document.signed as Targets);
  const [before, after] = judgesOf(request, document);
  if (before === undefined || after === undefined) return [];
  return rootLines(before, after, after.version !== rootSteps(request).at(-1)?.version);
};

/** Lines for a terminal. Names and paths have no control characters in them: their schemas forbid it or it is cut here. */
export const summarize = (request: SigningRequest): readonly string[] =>
  [
    `Signing request ${request.sha256Hex.slice(0, 8)} of repository '${request.repository}', made ${request.createdAt}`,
    ...request.documents.flatMap((document) => ['', ...documentLines(request, document)]),
  ].map((line) => line.replace(/\p{C}/gu, '?'));
