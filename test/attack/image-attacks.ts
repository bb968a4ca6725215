// Attacks on the way from the signed image to the slot: other bytes than were signed, and a slot that changes under the
// installer. What must hold: no record ever calls such a slot verified, and the next try gets the right bytes into it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, rename, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { OtadError } from '../../agent/core/errors.ts';
import type { ReleaseSource } from '../../agent/core/ports.ts';
import { anArtifact, type FileSlots, sha256Of } from '../support/slot-bench.ts';
import { consistentName, type TestRepository } from '../support/tuf-repository.ts';
import type { AttackCase } from './attack-table.ts';
import { addRealRelease, imageBytes, imageOf, slotBytes } from './vendor.ts';

export interface ImageScene {
  readonly repository: TestRepository;
  readonly slots: FileSlots;
  /** Runs when the test has looked at what must not change. */
  onEnd(undo: () => unknown): void;
}

export interface ImageAttack extends AttackCase {
  /** Publishes release 1.2, spoilt or not. */
  readonly publish?: (repository: TestRepository) => void;
  /** Just before the image is asked for. */
  readonly before?: (scene: ImageScene) => Promise<void>;
  /** After the last byte of the image has arrived, before the slot is closed. */
  readonly during?: (scene: ImageScene) => Promise<void>;
  /** Between writing and reading back. */
  readonly between?: (scene: ImageScene) => Promise<void>;
  /** True where not one byte of the slot may differ. */
  readonly isUntouched?: boolean;
}

const honest = imageOf('1.2');
const imagePath = consistentName('images/1.2/rootfs.squashfs', sha256Of(honest));

const publishNext = (repository: TestRepository): void => {
  addRealRelease(repository, 3);
  repository.publish();
};

const serving = (bytes: Uint8Array) => (repository: TestRepository) => {
  publishNext(repository);
  repository.files.set(imagePath, bytes);
};

const spoilt = (at: number): Buffer => {
  const copy = Buffer.from(honest);
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
};

/** Another program writes to the slot, past the installer. */
const writeTo = async ({ slots }: ImageScene, offset: number): Promise<void> => {
  const file = await open(slots.paths.b, 'r+');
  await file.write(Buffer.from('not what was signed'), 0, 19, offset);
  await file.close();
};

const swapFile = async ({ slots }: ImageScene): Promise<void> => {
  await writeFile(`${slots.paths.b}.other`, Buffer.alloc(slotBytes, 0x41));
  await rename(slots.paths.b, `${slots.paths.b}.away`);
  await rename(`${slots.paths.b}.other`, slots.paths.b);
};

const holdSlot = async ({ slots, onEnd }: ImageScene): Promise<void> => {
  const program = fileURLToPath(new URL('../support/hold-slot.js', import.meta.url));
  const child = spawn(process.execPath, [program, slots.paths.a, slots.paths.b], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  onEnd(async () => {
    child.kill();
    await ended;
  });
  await once(child.stdout, 'data');
};

const changed = { attack: 'slot changed during install', code: 'SLOT_READBACK_MISMATCH' } as const;
const elsewhere = { ...changed, code: 'SLOT_BUSY' } as const;
const wrongBytes = { attack: 'source changed during install', code: 'IMAGE_DIGEST_MISMATCH' } as const;

export const imageAttacks: readonly ImageAttack[] = [
  { ...wrongBytes, claim: 'another image of the same length', publish: serving(imageOf('evil')) },
  { ...wrongBytes, claim: 'one bit in the first block', publish: serving(spoilt(0)) },
  { ...wrongBytes, claim: 'one bit in the last byte', publish: serving(spoilt(imageBytes - 1)) },
  {
    attack: 'source changed during install',
    claim: 'an image that goes on after its signed end',
    code: 'FILE_TOO_LARGE',
    publish: serving(Buffer.concat([honest, Buffer.alloc(5000, 0x41)])),
  },
  {
    attack: 'source changed during install',
    claim: 'an image that ends before its signed end',
    code: 'HTTP_TRUNCATED',
    publish: serving(honest.subarray(0, imageBytes - 1)),
  },
  {
    attack: 'signed part is not the used part',
    claim: 'a signed image whose dm-verity root is not the one that is signed',
    code: 'VERITY_ROOT_MISMATCH',
    publish: (repository) => {
      const artifact = anArtifact(honest, { path: 'images/1.2/rootfs.squashfs' });
      if (artifact.verity === null) throw new RangeError('an image without dm-verity');
      const verity = { ...artifact.verity, rootHex: sha256Of(Buffer.from('TEST another root')) };
      addRealRelease(repository, 3, { artifacts: [{ ...artifact, verity }] });
      repository.publish();
    },
  },
  {
    ...changed,
    claim: 'the image, written to between writing and reading back',
    between: (scene) => writeTo(scene, 77_777),
  },
  {
    ...changed,
    claim: 'the dm-verity tree, written to between writing and reading back',
    between: (scene) => writeTo(scene, 122_880 + 4096),
  },
  { ...elsewhere, claim: 'another file under the slot’s name while the image arrives', during: swapFile },
  { ...elsewhere, claim: 'another file under the slot’s name before it is read back', between: swapFile },
  {
    attack: 'slot changed during install',
    claim: 'a second program that has the slot open',
    code: 'SLOT_BUSY',
    before: holdSlot,
    isUntouched: true,
  },
];

/** Lets the attacker act once the last byte has arrived, while the installer still holds the slot. */
export const actDuring =
  (act: () => Promise<void>) =>
  (source: ReleaseSource): ReleaseSource => ({
    ...source,
    stream: async (artifact, offsetBytes, sink, signal) => {
      if (artifact.lengthBytes !== imageBytes)
        throw new OtadError('INTERNAL', { reason: 'not the image of these tests' });
      await source.stream(artifact, offsetBytes, sink, signal);
      await act();
    },
  });
