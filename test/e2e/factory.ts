// Puts the first system on a virtual gateway the way a factory does: image, dm-verity tree and environment written with
// the standard tools (veritysetup, fw_setenv), so that the daemon starts on what others wrote.

import { copyFile, open, stat, writeFile } from 'node:fs/promises';
import { indexOffsetBytes, recordOffsetBytes } from '../../agent/core/slot-layout.ts';
import type { SlotName, SlotRecord } from '../../agent/core/types.ts';
import { indexImage } from '../../publish/images/image-index.ts';
import { treeLengthBytes } from '../../verity/dm-verity.ts';
import { encodeRecord } from '../../verity/slot-record.ts';
import { runTool } from './child-process.ts';
import type { GatewayPaths } from './gateway-paths.ts';
import type { StoredImage } from './publisher.ts';

const envSizeBytes = 0x4000;
const noUuid = '00000000-0000-0000-0000-000000000000';

/** Writes image, tree, index and record of a published release into the slot. */
const writeSlot = async (
  slotPath: string,
  { facts, file: imageFile }: StoredImage,
  hasIndex: boolean,
): Promise<void> => {
  const { lengthBytes, sha256Hex, saltHex, rootHex } = facts;
  const { size: slotSizeBytes } = await stat(slotPath);
  await copyFile(imageFile, slotPath);
  const file = await open(slotPath, 'r+');
  await file.truncate(slotSizeBytes);
  const record: SlotRecord = {
    status: 'activated',
    release: { id: facts.releaseId, version: facts.version, sequence: facts.sequence },
    compatible: facts.compatible,
    imageLengthBytes: lengthBytes,
    imageSha256Hex: sha256Hex,
    verity: { algorithm: 'sha256', blockSizeBytes: 4096, saltHex, rootHex, hashOffsetBytes: lengthBytes },
    writtenBytes: lengthBytes,
    prefixSha256Hex: sha256Hex,
    reason: null,
  };
  await file.write(encodeRecord(record, 0), 0, undefined, recordOffsetBytes(slotSizeBytes, 0));
  if (hasIndex) {
    const index = await indexImage(imageFile);
    if (typeof index === 'string') throw new Error(index);
    await file.write(index, 0, undefined, indexOffsetBytes(lengthBytes, treeLengthBytes(lengthBytes)));
  }
  await file.close();
  const options = [
    ...['--data-block-size=4096', '--hash-block-size=4096', '--hash=sha256', `--salt=${saltHex}`],
    ...[`--data-blocks=${lengthBytes / 4096}`, `--hash-offset=${lengthBytes}`, `--uuid=${noUuid}`],
  ];
  const output = await runTool('veritysetup', ['format', slotPath, slotPath, ...options]);
  const root = /Root hash:\s+([0-9a-f]{64})/.exec(output)?.[1];
  if (root !== rootHex) throw new Error(`veritysetup finds root ${root}, the release says ${rootHex}`);
};

/** The environment of a board that was confirmed on `slot`. */
const writeEnvironment = async (paths: GatewayPaths, slot: SlotName, { facts }: StoredImage): Promise<void> => {
  for (const copy of paths.envCopies) await writeFile(copy, Buffer.alloc(envSizeBytes));
  await writeFile(
    paths.fwEnvConfig,
    paths.envCopies.map((copy) => `${copy} 0x0 0x${envSizeBytes.toString(16)}\n`).join(''),
  );
  const letter = slot.toUpperCase();
  const other = slot === 'a' ? 'B' : 'A';
  const variables = {
    bootcmd: 'run otad_boot',
    BOOT_ORDER: letter,
    [`BOOT_${letter}_LEFT`]: '3',
    [`BOOT_${other}_LEFT`]: '0',
    [`otad_${slot}_root`]: facts.rootHex,
    [`otad_${slot}_hashoffset`]: String(facts.lengthBytes),
    otad_seq: '1',
  };
  const script = `${paths.fwEnvConfig}.factory`;
  await writeFile(
    script,
    Object.entries(variables)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  // Twice: the tool writes one copy at a time, and a board leaves the factory with two good ones.
  for (let copy = 0; copy < paths.envCopies.length; copy++) {
    await runTool('fw_setenv', ['-c', paths.fwEnvConfig, '-f', script, '-s', script]);
  }
};

/** Installs the image into slot a as the confirmed system. Without its index, as other tools write a slot. */
export const installAtFactory = async (paths: GatewayPaths, image: StoredImage, hasIndex = true): Promise<void> => {
  await writeSlot(paths.slots.a, image, hasIndex);
  await writeEnvironment(paths, 'a', image);
};
