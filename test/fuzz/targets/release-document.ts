// The release document: strict, so an accepted one is its own canonical form's equal in every member.

import { encodeCanonicalJson, type JsonValue } from '../../../verity/canonical-json.ts';
import { encodeRelease, parseRelease } from '../../../verity/release-document.ts';
import { aRepository, type Loose } from '../../support/tuf-repository.ts';
import { canonicalOf, hasDoubleMembers, readJson } from '../json-oracle.ts';
import { attempt, Finding, type FuzzTarget, type Judge, mustEqual } from '../target.ts';

type Parse = typeof parseRelease;

const judgeBy =
  (parse: Parse): Judge =>
  (input) => {
    const { value: release, label } = attempt(['RELEASE_MALFORMED'], () => parse(input));
    if (release === null) return label;
    if (hasDoubleMembers(Buffer.from(input).toString())) throw new Finding('accepted with a member that stands twice');
    const encoded = encodeRelease(release);
    mustEqual(
      'the release is another one than the bytes name',
      Buffer.from(encoded).toString(),
      canonicalOf(readJson(input)),
    );
    mustEqual(
      'does not encode back to itself',
      Buffer.from(encodeRelease(parse(encoded))).toString(),
      Buffer.from(encoded).toString(),
    );
    return `accepted with ${release.artifacts.length} artifacts and ${release.waves.length} waves`;
  };

/** Drops members that it does not know, as a parser does that is not strict. */
const tolerantParse: Parse = (input) => {
  try {
    return parseRelease(input);
  } catch (error) {
    let document: Loose;
    try {
      document = readJson(input);
    } catch {
      throw error;
    }
    const known = readJson(seeds()[0] ?? new Uint8Array()) as object;
    if (typeof document !== 'object' || document === null) throw error;
    const kept = Object.fromEntries(Object.entries(document).filter(([key]) => Object.hasOwn(known, key)));
    return parseRelease(encodeCanonicalJson(kept as JsonValue));
  }
};

const seeds = (): readonly Uint8Array[] => {
  const repository = aRepository();
  const plain = repository.addRelease();
  const full = repository.addRelease({
    version: '1.2~rc1',
    id: 'gw-1.2~rc1',
    sequence: 3,
    hardwareRevisions: ['r1', 'r2'],
    agentVersionMin: '0.1.0',
    notesUrl: 'https://example.org/notes',
    floorEpoch: 1,
    rollbackFloor: 2,
    waves: [
      { startAtS: 1_767_000_000, percent: 5 },
      { startAtS: 1_767_100_000, percent: 100 },
    ],
    health: { deadlineS: 300, checks: ['network', 'app@1'] },
    from: ['1.0', '1.1'],
  });
  return [plain, full].map((release) => encodeRelease(release));
};

export const releaseDocumentTarget = (): FuzzTarget => ({
  name: 'release-document',
  seeds: seeds(),
  dictionary: [
    'rootfs',
    'boot',
    'uki',
    'app',
    'sequence',
    'rollbackFloor',
    'waves',
    'artifacts',
    'verity',
    'saltHex',
    'hashOffsetBytes',
    'lengthBytes',
    'sha256Hex',
    'images/../../etc',
    'a/../b',
    '"x":1',
    '"percent":101',
    'null',
    'health',
    'dataSchema',
    'from',
  ],
  judge: judgeBy(parseRelease),
  canary: { bug: 'unknown members are dropped instead of refused', judge: judgeBy(tolerantParse) },
});
