// Attacks with signed files of another time: roots that skip or come back, rollback, freeze, fast-forward, mix-and-match.

import {
  keysOf,
  type Loose,
  pastExpiry,
  roleOf,
  signFile,
  type TestRepository,
  testKey,
  testNowS,
} from '../support/tuf-repository.ts';
import { type MetadataAttack, offerRoot, type Scene, through } from './metadata-attack.ts';
import { addRealRelease, nextRoot } from './vendor.ts';

const dayS = 86_400;
const attackers = [testKey('attacker 1'), testKey('attacker 2')];

/** A root that the attacker's keys signed, and its own rules would be met. */
const attackersRoot = (repository: TestRepository): void => {
  nextRoot(repository);
  Object.assign(repository.root.keys, keysOf(attackers));
  repository.root.roles.root = roleOf(attackers);
  repository.root.roles.timestamp = roleOf(attackers.slice(0, 1));
  offerRoot(repository, attackers);
};

const rootAttacks: readonly MetadataAttack[] = [
  {
    attack: 'root version skipped',
    claim: 'version 3 of the root in the place of version 2',
    code: 'METADATA_MISMATCH',
    spoil: ({ repository }) => {
      repository.root = { ...repository.root, version: 3 };
      offerRoot(repository);
      repository.files.set('metadata/2.root.json', signFile(repository.root, repository.signers.root));
    },
  },
  {
    attack: 'root version skipped',
    claim: 'the trusted root in the place of the next one',
    code: 'METADATA_ROLLBACK',
    spoil: ({ repository }) => {
      offerRoot(repository);
      repository.files.set('metadata/2.root.json', repository.initialRoot);
    },
  },
  {
    attack: 'failed root trusted later',
    claim: 'a root that only its own keys signed, and the next one after it',
    code: 'METADATA_SIGNATURE_INVALID',
    spoil: ({ repository }) => {
      attackersRoot(repository);
      attackersRoot(repository);
    },
  },
  {
    attack: 'failed root trusted later',
    claim: 'a root that the trusted keys signed, and too few of its own',
    code: 'METADATA_SIGNATURE_INVALID',
    spoil: ({ repository }) => {
      attackersRoot(repository);
      offerRoot(repository, [...repository.signers.root, ...attackers.slice(0, 1)]);
    },
  },
];

const publishNext = ({ repository }: Scene): void => {
  addRealRelease(repository, 3);
  repository.publish();
};

/** The vendor had a second targets role. */
const withExtraRole = (repository: TestRepository): void => {
  repository.writeDelegated('extra', { version: 2 }, [testKey('extra')]);
  repository.publish();
};

/** Takes the roles away from keys that were stolen; by that alone the versions may fall again (TUF 5.3.11). */
const rotate =
  (...roles: readonly ('timestamp' | 'snapshot')[]) =>
  (repository: TestRepository) => {
    nextRoot(repository);
    for (const role of roles) {
      const keys = [testKey(`${role} after the theft`)];
      repository.signers[role] = keys;
      Object.assign(repository.root.keys, keysOf(keys));
      repository.root.roles[role] = roleOf(keys);
    }
    repository.writeRoot();
  };

const far = 2 ** 31;

const expiring = (role: 'timestamp' | 'snapshot' | 'targets') => (scene: Scene) => {
  scene.repository[role].expires = pastExpiry;
  publishNext(scene);
};

/** A validly signed file of the same version with other content. */
const equivocate = (role: 'snapshot' | 'targets') => (scene: Scene) => {
  publishNext(scene);
  const { repository } = scene;
  const other: Loose = { ...repository[role], expires: '2028-02-02T00:00:00Z' };
  repository.files.set(`metadata/${other.version}.${role}.json`, signFile(other, repository.signers[role]));
};

const orderAttacks: readonly MetadataAttack[] = [
  {
    attack: 'rollback',
    claim: 'an older timestamp',
    code: 'METADATA_ROLLBACK',
    spoil: ({ repository }) => {
      repository.timestamp.version -= 1;
      repository.writeTimestamp();
    },
  },
  {
    attack: 'rollback',
    claim: 'a new timestamp that names an older snapshot',
    code: 'METADATA_ROLLBACK',
    spoil: ({ repository }) => {
      repository.timestamp.version += 1;
      repository.timestamp.meta['snapshot.json'].version -= 1;
      repository.writeTimestamp();
    },
  },
  {
    attack: 'rollback',
    claim: 'a new snapshot that names older targets',
    code: 'METADATA_ROLLBACK',
    mayStore: through.timestamp,
    spoil: (scene) => {
      scene.repository.targets.version -= 2;
      publishNext(scene);
    },
  },
  {
    attack: 'rollback',
    claim: 'a new snapshot that names an older delegated role',
    code: 'METADATA_ROLLBACK',
    lure: withExtraRole,
    mayStore: through.timestamp,
    spoil: (scene) => {
      scene.repository.snapshot.meta['extra.json'].version = 1;
      publishNext(scene);
    },
    recover: withExtraRole,
  },
  {
    attack: 'role removal',
    claim: 'a new snapshot without a role that was there',
    code: 'METADATA_ROLLBACK',
    lure: withExtraRole,
    mayStore: through.timestamp,
    spoil: (scene) => {
      delete scene.repository.snapshot.meta['extra.json'];
      publishNext(scene);
    },
    recover: withExtraRole,
  },
  {
    attack: 'freeze',
    claim: 'the same files for longer than the timestamp is good for',
    code: 'METADATA_EXPIRED',
    lure: (repository) => {
      repository.timestamp.expires = '2026-01-03T00:00:00Z';
      repository.publish();
    },
    spoil: ({ setTime }) => setTime(testNowS + 3 * dayS),
  },
  {
    attack: 'freeze',
    claim: 'a timestamp that has expired already',
    code: 'METADATA_EXPIRED',
    spoil: expiring('timestamp'),
  },
  {
    attack: 'freeze',
    claim: 'a snapshot that has expired',
    code: 'METADATA_EXPIRED',
    mayStore: through.timestamp,
    spoil: expiring('snapshot'),
  },
  {
    attack: 'freeze',
    claim: 'targets that have expired',
    code: 'METADATA_EXPIRED',
    mayStore: through.snapshot,
    spoil: expiring('targets'),
  },
  {
    attack: 'fast-forward',
    claim: 'a stolen timestamp key has signed version 2^31: the vendor’s own is refused until root takes the key away',
    code: 'METADATA_ROLLBACK',
    lure: (repository) => {
      repository.timestamp = { ...repository.timestamp, version: far };
      repository.writeTimestamp();
      repository.timestamp.version = 2;
    },
    spoil: publishNext,
    recover: rotate('timestamp'),
  },
  {
    attack: 'fast-forward',
    claim: 'stolen timestamp and snapshot keys have signed version 2^31: the same for both',
    code: 'METADATA_ROLLBACK',
    lure: (repository) => {
      const { version } = repository.snapshot;
      repository.snapshot.version = far;
      repository.timestamp.version = far;
      repository.writeSnapshot();
      repository.writeTimestamp();
      repository.snapshot.version = version;
      repository.timestamp.version = version;
    },
    spoil: publishNext,
    recover: rotate('timestamp', 'snapshot'),
  },
  {
    attack: 'mix-and-match',
    claim: 'a snapshot of the right version that is another one',
    code: 'METADATA_MISMATCH',
    mayStore: through.timestamp,
    spoil: equivocate('snapshot'),
  },
  {
    attack: 'mix-and-match',
    claim: 'targets of the right version that are others',
    code: 'METADATA_MISMATCH',
    mayStore: through.snapshot,
    spoil: equivocate('targets'),
  },
  {
    attack: 'mix-and-match',
    claim: 'targets of the vendor’s next release under this release’s snapshot',
    code: 'METADATA_MISMATCH',
    mayStore: through.snapshot,
    spoil: ({ repository }) => {
      repository.publish();
      const path = `metadata/${repository.targets.version}.targets.json`;
      addRealRelease(repository, 3);
      repository.publish();
      repository.files.set(
        `metadata/${repository.targets.version}.targets.json`,
        repository.files.get(path) ?? Buffer.of(),
      );
    },
  },
];

export const versionAttacks: readonly MetadataAttack[] = [...rootAttacks, ...orderAttacks];
