// One attack through signed metadata, over the real release source: what the attacker serves to a gateway that trusts release
// 1.1, what the gateway may have stored when it refuses, and how the vendor goes on afterwards.

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { aServer, serveFiles } from '../support/loopback-server.ts';
import { type Loose, type TestKey, type TestRepository, testNowS } from '../support/tuf-repository.ts';
import type { AttackCase } from './attack-table.ts';
import { aGateway, assertInstalled, changesBetween, type Gateway } from './gateway.ts';
import { addRealRelease, aTrustedRepository } from './vendor.ts';

/** Published at the same time; later roles are asked for only after the earlier ones were taken. */
export const through = {
  root: ['history-2.root', 'root.json'],
  timestamp: ['timestamp.json'],
  snapshot: ['snapshot.json', 'timestamp.json'],
  targets: ['snapshot.json', 'targets.json', 'timestamp.json'],
} as const;

export interface Scene {
  readonly repository: TestRepository;
  /** Trusted time of the gateway, seconds. */
  setTime(nowS: number): void;
}

export interface MetadataAttack extends AttackCase {
  /** Before the look at what must not change: what the gateway takes in good faith. */
  readonly lure?: (repository: TestRepository) => void;
  readonly spoil: (scene: Scene) => void;
  /** Trusted files that may change although the update is refused: each passed all of its own checks. */
  readonly mayStore?: readonly string[];
  readonly hardwareRevision?: string;
  /** Signatures that a root needs; 1 unless it is about them. */
  readonly rootThreshold?: 1 | 2;
  /** What the vendor does beyond publishing the next release, where that is not enough. */
  readonly recover?: (repository: TestRepository) => void;
}

/** Puts the drafted root there, and news for which a gateway looks at roots at all. */
export const offerRoot = (repository: TestRepository, keys?: readonly TestKey[]): void => {
  repository.writeRoot(keys);
  repository.timestamp.version += 1;
  repository.writeTimestamp();
};

const roles = ['root', 'timestamp', 'snapshot', 'targets'] as const;

/** The vendor's own files and drafts, as they were before somebody spoiled them. */
const keep = (repository: TestRepository) => {
  const files = new Map(repository.files);
  const drafts = structuredClone(Object.fromEntries(roles.map((role) => [role, repository[role]]))) as Loose;
  const signers = { ...repository.signers };
  return () => {
    repository.files.clear();
    for (const [path, bytes] of files) repository.files.set(path, bytes);
    for (const role of roles) repository[role] = drafts[role];
    Object.assign(repository.signers, signers);
    // The attacker may have used up the next versions.
    for (const role of ['timestamp', 'snapshot', 'targets'] as const) repository[role].version += 3;
  };
};

interface Stage {
  readonly gateway: Gateway;
  readonly restore: () => void;
  readonly repository: TestRepository;
  readonly scene: Scene;
}

const setUp = async (t: TestContext, attack: MetadataAttack): Promise<Stage> => {
  const repository = aTrustedRepository(attack.rootThreshold);
  const server = await aServer(t, (request, response) => serveFiles(repository.files)(request, response));
  let nowS = testNowS;
  const gateway = await aGateway(t, {
    baseUrls: [server.url],
    initialRoot: repository.initialRoot,
    hardwareRevision: attack.hardwareRevision ?? null,
    source: { syncedTimeS: () => nowS },
  });
  assert.equal((await gateway.check()).outcome, 'up-to-date');
  const restore = keep(repository);
  if (attack.lure !== undefined) {
    attack.lure(repository);
    assert.equal((await gateway.check()).outcome, 'up-to-date');
  }
  const setTime = (timeS: number): void => {
    nowS = timeS;
  };
  return { gateway, restore, repository, scene: { repository, setTime } };
};

const assertRefused = async (gateway: Gateway, { code }: MetadataAttack): Promise<void> => {
  const result = await gateway.update();
  assert.equal(result.outcome, code, result.message);
};

/** Refused, also by a gateway that starts anew from what is on the disk; no byte of a slot, no trusted file differs. */
export const refusesAndKeeps = async (t: TestContext, attack: MetadataAttack): Promise<void> => {
  const { gateway, scene } = await setUp(t, attack);
  const before = await gateway.evidence();
  attack.spoil(scene);
  await assertRefused(gateway, attack);
  await assertRefused(await gateway.restarted(), attack);
  const mayChange = (attack.mayStore ?? []).map((name) => `trusted ${name}`);
  const changed = changesBetween(before, await gateway.evidence());
  assert.deepEqual(
    changed.filter((name) => !mayChange.includes(name)),
    [],
  );
};

/** Refused, and the vendor's next release is installed by the same client. */
export const refusesAndGoesOn = async (t: TestContext, attack: MetadataAttack): Promise<void> => {
  const { gateway, scene, repository, restore } = await setUp(t, attack);
  attack.spoil(scene);
  await assertRefused(gateway, attack);
  scene.setTime(testNowS);
  restore();
  addRealRelease(repository, 3);
  attack.recover?.(repository);
  repository.publish();
  assert.deepEqual(await gateway.update(), { outcome: 'taken', version: '1.2' });
  await assertInstalled(gateway, '1.2');
};
