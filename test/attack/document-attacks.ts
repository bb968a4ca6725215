// Attacks inside what is signed, or inside JSON itself: traversal, releases for others, parts that do not agree, tricks.

import { encodeRelease } from '../../verity/release-document.ts';
import { aRelease, type Loose, type TestRepository, testKey } from '../support/tuf-repository.ts';
import { type MetadataAttack, type Scene, through } from './metadata-attack.ts';
import { addRealRelease, delegateReleases, documentPath } from './vendor.ts';

/** The document's digest is right, so its bytes are kept; they are read anew, and refused anew, each time. */
const throughDocument = [...through.targets, 'release-document'];

/** Publishes release 1.2 with these bytes as its signed document. */
const publishDocument =
  (make: (repository: TestRepository) => string | Uint8Array) =>
  ({ repository }: Scene) => {
    addRealRelease(repository, 3);
    repository.addTarget(documentPath, Buffer.from(make(repository)));
    repository.publish();
  };

const documentText = (change: (release: Loose) => void): string => {
  const release: Loose = { schema: 1, ...aRelease({ id: 'gw-1.2', version: '1.2', sequence: 3 }) };
  change(release);
  return JSON.stringify(release);
};

const signedDocument = { code: 'RELEASE_MALFORMED', mayStore: throughDocument } as const;

const strayPaths = [
  '../../../../etc/passwd',
  '/etc/passwd',
  'images/../../slot',
  'images/./rootfs',
  'images//rootfs',
  '%2e%2e/%2e%2e/etc/passwd',
  'images\\..\\rootfs',
  'images/root\u0000fs',
  'images/root\nfs',
  '.hidden',
  'http://169.254.169.254/',
];

const pathAttacks: readonly MetadataAttack[] = [
  ...strayPaths.map(
    (path): MetadataAttack => ({
      attack: 'path traversal',
      claim: `a release whose image is called ${JSON.stringify(path)}`,
      ...signedDocument,
      spoil: publishDocument(({ targets }) => {
        const image = targets.targets['images/1.2/rootfs.squashfs'];
        targets.targets[path] = image;
        return documentText((release) => {
          const artifact = {
            role: 'rootfs',
            path,
            lengthBytes: image.length,
            sha256Hex: image.hashes.sha256,
            verity: null,
          };
          release.artifacts = [artifact];
        });
      }),
    }),
  ),
  {
    attack: 'path traversal',
    claim: 'a delegated role called ../../../escape',
    code: 'METADATA_SIGNATURE_INVALID',
    mayStore: through.targets,
    spoil: ({ repository }) => {
      delegateReleases('../../../escape', repository, [testKey('stranger')]);
      delete repository.targets.targets[documentPath];
      repository.publish();
    },
    recover: (repository) => delegateReleases('../../../escape', repository, [testKey('releases')]),
  },
];

const otherwise =
  (changes: Parameters<typeof addRealRelease>[2]) =>
  ({ repository }: Scene) => {
    const release = addRealRelease(repository, 3, changes);
    repository.addTarget(documentPath, encodeRelease(release));
    repository.publish();
  };

const productAttacks: readonly MetadataAttack[] = [
  {
    attack: 'wrong product',
    claim: 'a signed document of another product under this one’s name',
    code: 'RELEASE_INCOMPATIBLE',
    mayStore: throughDocument,
    spoil: otherwise({ compatible: 'other-gateway' }),
  },
  {
    attack: 'wrong product',
    claim: 'a signed document of another channel under this one’s name',
    code: 'RELEASE_INCOMPATIBLE',
    mayStore: throughDocument,
    spoil: otherwise({ channel: 'beta' }),
  },
  {
    attack: 'wrong hardware',
    claim: 'a release for another revision of the hardware, and an order to install it',
    code: 'hardware',
    mayStore: [...throughDocument, 'time-floor'],
    hardwareRevision: 'r1',
    spoil: otherwise({ hardwareRevisions: ['r2', 'r3'] }),
  },
];

const target = (repository: TestRepository): Loose => repository.targets.targets['images/1.2/rootfs.squashfs'];

/** Spoils the list of targets beside a good document. */
const publishSpoilt =
  (spoil: (repository: TestRepository) => void) =>
  ({ repository }: Scene) => {
    addRealRelease(repository, 3);
    spoil(repository);
    repository.publish();
  };

const partAttacks: readonly MetadataAttack[] = [
  {
    attack: 'signed part is not the used part',
    claim: 'a document that gives the image another length than the targets do',
    ...signedDocument,
    spoil: publishSpoilt((repository) => {
      target(repository).length += 1;
    }),
  },
  {
    attack: 'signed part is not the used part',
    claim: 'a document that gives the image another digest than the targets do',
    ...signedDocument,
    spoil: publishSpoilt((repository) => {
      target(repository).hashes.sha256 = '0'.repeat(64);
    }),
  },
  {
    attack: 'signed part is not the used part',
    claim: 'a document whose image is no signed target',
    code: 'TARGET_UNKNOWN',
    mayStore: throughDocument,
    spoil: publishSpoilt(({ targets }) => void delete targets.targets['images/1.2/rootfs.squashfs']),
  },
  {
    attack: 'signed part is not the used part',
    claim: 'a second signed member beside the one that is signed',
    code: 'METADATA_MALFORMED',
    spoil: ({ repository }) => {
      const text = Buffer.from(repository.files.get('metadata/timestamp.json') ?? '').toString();
      const forged = text.replace(/\}\s*$/, ',"signed":{"_type":"timestamp","version":9}}');
      repository.files.set('metadata/timestamp.json', Buffer.from(forged));
    },
  },
];

/** The timestamp as text, with one thing replaced; what a lenient parser makes of it would be signed. */
const timestampText =
  (from: RegExp, to: string) =>
  ({ repository }: Scene) => {
    repository.timestamp.version += 1;
    const text = Buffer.from(repository.writeTimestamp()).toString();
    repository.files.set('metadata/timestamp.json', Buffer.from(text.replace(from, to)));
  };

const inTimestamp = (attack: MetadataAttack['attack'], claim: string, from: RegExp, to: string): MetadataAttack => ({
  attack,
  claim: `${claim} in a timestamp`,
  code: 'METADATA_MALFORMED',
  spoil: timestampText(from, to),
});

const inDocument = (attack: MetadataAttack['attack'], claim: string, from: RegExp, to: string): MetadataAttack => ({
  attack,
  claim: `${claim} in a signed release document`,
  ...signedDocument,
  spoil: publishDocument(({ files: _, ...repository }) => {
    const release = addRealRelease({ ...repository, files: new Map() } as TestRepository, 3);
    return Buffer.from(encodeRelease(release)).toString().replace(from, to);
  }),
});

const version = /"version": \d+/;
const sequence = /"sequence":3/;
const deep = `${'['.repeat(100)}${']'.repeat(100)}`;
const veryDeep = `${'['.repeat(2000)}${']'.repeat(2000)}`;

const jsonAttacks: readonly MetadataAttack[] = [
  inTimestamp('duplicate members', 'a version given twice, the signed one last', version, '"version": 99, $&'),
  inTimestamp('duplicate members', 'a version given twice, once in escapes', version, '"v\\u0065rsion": 99, $&'),
  inTimestamp('__proto__', 'a member __proto__', version, '"__proto__": {"version": 99}, $&'),
  inTimestamp('__proto__', 'a member __proto__ in escapes', version, '"__pro\\u0074o__": {"version": 99}, $&'),
  inTimestamp('depth', 'lists in lists, a hundred deep', version, `"x": ${deep}, $&`),
  inTimestamp('depth', 'lists in lists, two thousand deep', version, `"x": ${veryDeep}, $&`),
  inTimestamp('huge numbers', 'a version beyond 2^53', version, '"version": 9007199254740993'),
  inTimestamp('huge numbers', 'a version of 1e400', version, '"version": 1e400'),
  inTimestamp('huge numbers', 'a version with a fraction', version, '"version": 3.0'),
  inTimestamp('huge numbers', 'a number of ten thousand digits', version, `"x": ${'9'.repeat(10_000)}, $&`),
  inDocument('duplicate members', 'a sequence given twice', sequence, '"sequence":1,$&'),
  inDocument('__proto__', 'a member __proto__', sequence, '"__proto__":{"sequence":9},$&'),
  inDocument('__proto__', 'a member constructor', sequence, '"constructor":{"prototype":{}},$&'),
  inDocument('depth', 'lists in lists, a hundred deep', sequence, `"x":${deep},$&`),
  inDocument('huge numbers', 'a sequence of 1e999', sequence, '"sequence":1e999'),
  inDocument('huge numbers', 'a sequence beyond 2^53', sequence, '"sequence":9007199254740993'),
];

export const documentAttacks: readonly MetadataAttack[] = [
  ...pathAttacks,
  ...productAttacks,
  ...partAttacks,
  ...jsonAttacks,
];
