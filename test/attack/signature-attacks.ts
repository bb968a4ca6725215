// Attacks on who signed: missing, wrong and doubled signatures, weak keys, malleable signatures.

import { createHash } from 'node:crypto';
import { ed25519Key, keyIdOf } from '../../verity/tuf-metadata.ts';
import {
  aliasOf,
  keysOf,
  type Loose,
  roleOf,
  signFile,
  type TestKey,
  type TestRepository,
  testKey,
} from '../support/tuf-repository.ts';
import { challenge, fieldPrime, groupOrder, toBytes, toNumber } from '../verity/edwards-curve.ts';
import { type MetadataAttack, offerRoot, type Scene, through } from './metadata-attack.ts';
import { addRealRelease, delegateReleases, documentPath, nextRoot } from './vendor.ts';

const own = testKey('timestamp');
const other = testKey('timestamp 2');
const stranger = testKey('stranger');
const unsigned = 'METADATA_SIGNATURE_INVALID';

const serveTimestamp = (
  { repository }: Scene,
  keys: readonly TestKey[],
  rewrite: (file: Loose) => void = () => {},
): void => {
  repository.timestamp.version += 1;
  const file = JSON.parse(Buffer.from(signFile(repository.timestamp, keys)).toString());
  rewrite(file);
  repository.files.set('metadata/timestamp.json', Buffer.from(JSON.stringify(file)));
};

type Handover = (repository: TestRepository) => void;

/** The next root gives the timestamp role to `keys`, and is signed as it must be. */
const handTo =
  (keys: readonly TestKey[], role = roleOf(keys)): Handover =>
  (repository) => {
    nextRoot(repository);
    Object.assign(repository.root.keys, keysOf(keys));
    repository.root.roles.timestamp = role;
    repository.writeRoot();
  };

/** The gateway has taken that root. The vendor follows it with one that gives the role back. */
const afterHandover = (handover: Handover) => ({
  mayStore: [...through.root, ...through.snapshot],
  recover: (repository: TestRepository) => {
    handover(repository);
    handTo([own])(repository);
  },
});

const withRole = (keys: readonly TestKey[], role: Loose, sign: (scene: Scene) => void) => {
  const handover = handTo(keys, role);
  const spoil = (scene: Scene): void => {
    handover(scene.repository);
    sign(scene);
  };
  return { spoil, ...afterHandover(handover) };
};

/** Publishes the next versions with one role signed by somebody else. */
const publishedBy =
  (role: 'snapshot' | 'targets', keys: readonly TestKey[]) =>
  ({ repository }: Scene) => {
    repository.signers[role] = keys;
    addRealRelease(repository, 3);
    repository.publish();
  };

const thresholdAttacks: readonly MetadataAttack[] = [
  {
    attack: 'unsigned metadata',
    claim: 'a timestamp without a signature',
    code: unsigned,
    spoil: (scene) => serveTimestamp(scene, []),
  },
  {
    attack: 'unsigned metadata',
    claim: 'a root without a signature',
    code: unsigned,
    spoil: ({ repository }) => {
      nextRoot(repository);
      offerRoot(repository, []);
    },
  },
  {
    attack: 'wrongly signed metadata',
    claim: 'a timestamp of a stranger',
    code: unsigned,
    spoil: (scene) => serveTimestamp(scene, [stranger]),
  },
  {
    attack: 'wrongly signed metadata',
    claim: 'a timestamp that the snapshot key signed',
    code: unsigned,
    spoil: (scene) => serveTimestamp(scene, scene.repository.signers.snapshot),
  },
  {
    attack: 'wrongly signed metadata',
    claim: 'a stranger’s signature under the right key id',
    code: unsigned,
    spoil: (scene) => serveTimestamp(scene, [{ ...own, sign: stranger.sign }]),
  },
  {
    attack: 'wrongly signed metadata',
    claim: 'a timestamp that was changed after it was signed',
    code: unsigned,
    spoil: (scene) =>
      serveTimestamp(scene, [own], (file) => {
        file.signed.version += 1;
      }),
  },
  {
    attack: 'wrongly signed metadata',
    claim: 'a snapshot of a stranger',
    code: unsigned,
    mayStore: through.timestamp,
    spoil: publishedBy('snapshot', [stranger]),
  },
  {
    attack: 'wrongly signed metadata',
    claim: 'targets of a stranger',
    code: unsigned,
    mayStore: through.snapshot,
    spoil: publishedBy('targets', [stranger]),
  },
  {
    attack: 'wrongly signed metadata',
    claim: 'a release that a delegated role announces, signed by another than its delegator names',
    code: unsigned,
    mayStore: through.targets,
    spoil: ({ repository }) => {
      delegateReleases('releases', repository, [stranger]);
      delete repository.targets.targets[documentPath];
      repository.publish();
    },
    // What a snapshot has listed once must stay.
    recover: (repository) => delegateReleases('releases', repository, [testKey('releases')]),
  },
  {
    attack: 'wrongly signed metadata',
    claim: 'a root that one of two needed keys signed',
    rootThreshold: 2,
    code: unsigned,
    spoil: ({ repository }) => {
      nextRoot(repository);
      offerRoot(repository, [testKey('root 1')]);
    },
  },
  {
    attack: 'duplicate signatures',
    claim: 'one signature of a root, given twice',
    rootThreshold: 2,
    code: 'METADATA_MALFORMED',
    spoil: ({ repository }) => {
      nextRoot(repository);
      offerRoot(repository, [testKey('root 1'), testKey('root 1')]);
    },
  },
  {
    attack: 'duplicate signatures',
    claim: 'one signature of a timestamp that needs two, given twice',
    code: 'METADATA_MALFORMED',
    ...withRole([own, other], roleOf([own, other], 2), (scene) => serveTimestamp(scene, [own, own])),
  },
  {
    attack: 'duplicate key ids',
    claim: 'a key id that the role lists twice',
    code: unsigned,
    ...withRole([own], { keyids: [own.id, own.id], threshold: 2 }, (scene) => serveTimestamp(scene, [own])),
  },
  {
    attack: 'the same key twice',
    claim: 'one key under two key ids, each with its signature',
    code: unsigned,
    ...withRole([own, aliasOf(own, 'twin')], undefined, (scene) => serveTimestamp(scene, [own, aliasOf(own, 'twin')])),
  },
];

/** A key that nobody has; its signature fits every message, as long as nobody looks at the key. */
const forgingKey = (y: bigint): TestKey => {
  const key = ed25519Key(toBytes(y));
  const signature = Buffer.from([...toBytes(1n), ...toBytes(0n)]).toString('hex');
  return { id: keyIdOf(key), key, sign: () => signature };
};

const liftS = (hex: string): string => {
  const bytes = Buffer.from(hex, 'hex');
  return Buffer.concat([bytes.subarray(0, 32), toBytes(toNumber(bytes.subarray(32)) + groupOrder)]).toString('hex');
};

/** Signs as the key's holder could, with R the identity: the equation holds, and the secret is in plain sight. */
const weakSigner = (key: TestKey, name: string): TestKey => {
  const seed = createHash('sha256').update(`otad TEST key ${name}`).digest();
  const secret = createHash('sha512').update(seed).digest().subarray(0, 32);
  const clamped = (toNumber(secret) & ~(7n | (1n << 255n))) | (1n << 254n);
  const publicKey = Buffer.from(key.key.keyval.public, 'hex');
  const sign = (bytes: Uint8Array): string => {
    const s = (challenge(toBytes(1n), publicKey, bytes) * clamped) % groupOrder;
    return Buffer.from([...toBytes(1n), ...toBytes(s)]).toString('hex');
  };
  return { ...key, sign };
};

const weakKeyAttacks: readonly MetadataAttack[] = [
  {
    attack: 'small-order key',
    claim: 'a timestamp under a key that signs anything',
    code: unsigned,
    ...withRole([forgingKey(1n)], undefined, (scene) => serveTimestamp(scene, [forgingKey(1n)])),
  },
  {
    attack: 'non-canonical key',
    claim: 'the same key in its other encoding',
    code: unsigned,
    ...withRole([forgingKey(1n + fieldPrime)], undefined, (scene) =>
      serveTimestamp(scene, [forgingKey(1n + fieldPrime)]),
    ),
  },
  {
    attack: 'malleable signature',
    claim: 'a good timestamp whose signature has L added to its S',
    code: unsigned,
    spoil: (scene) =>
      serveTimestamp(scene, [own], (file) => {
        file.signatures[0].sig = liftS(file.signatures[0].sig);
      }),
  },
  {
    attack: 'malleable signature',
    claim: 'a good root, one of whose signatures has L added to its S',
    rootThreshold: 2,
    code: unsigned,
    spoil: ({ repository }) => {
      nextRoot(repository);
      const [first, second] = [testKey('root 1'), testKey('root 2')];
      offerRoot(repository, [first, { ...second, sign: (bytes) => liftS(second.sign(bytes)) }]);
    },
  },
  {
    attack: 'small-order R',
    claim: 'a timestamp whose signature has the identity for its R',
    code: unsigned,
    spoil: (scene) => serveTimestamp(scene, [weakSigner(own, 'timestamp')]),
  },
];

export const signatureAttacks: readonly MetadataAttack[] = [...thresholdAttacks, ...weakKeyAttacks];
