// Puts the boot set of a slot where the bootloader finds it, or sees that it lies there already. The one who flips does this, just
// before. Invariants: nothing is written while the slot could be started; whatever a cut leaves, the place says that it is not whole
// until every byte in it was read back; names and digests come from a manifest whose digest is vouched for, never from who asks.

import { type BootFile, decodeBootManifest } from '../core/boot-set.ts';
import { OtadError } from '../core/errors.ts';
import type { BootPlace, Sealing, StagedBootFiles } from '../core/ports.ts';
import type { SlotName } from '../core/types.ts';
import { sha256Of } from './slot-index.ts';

export interface PlacingPorts {
  /** null: no setting says where the slots' boot files lie. */
  readonly places: Readonly<Record<SlotName, BootPlace>> | null;
  readonly staged: StagedBootFiles;
  readonly sealing: Pick<Sealing, 'createHasher'>;
}

export interface PlacingRequest {
  readonly slot: SlotName;
  /** Of the manifest that the slot's record names; null: its release has no boot set. */
  readonly bootSetSha256Hex: string | null;
  /** False: what lies there already may be started, and nothing may be written. */
  readonly mayPlace: boolean;
  /** The bootloader would start the slot as it stands. */
  readonly isBootable: boolean;
  /** Takes that away, durably. */
  readonly invalidate: () => Promise<void>;
}

/** What the place says of itself while it is being changed. */
const unfinished = 'not whole: it is being changed\n';

const toText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

const incomplete = (slot: SlotName, reason: string, file?: string): OtadError =>
  new OtadError('BOOT_SET_INCOMPLETE', { slot, file, reason });

const key = (name: string): string => name.toLowerCase();

export const requirePlace = ({ places }: Pick<PlacingPorts, 'places'>, slot: SlotName): BootPlace => {
  if (places !== null) return places[slot];
  throw new OtadError('CONFIG_INVALID', {
    key: 'bootFolders of the bootloader',
    expected: "where the slots' boot files lie, since the release brings some",
    found: null,
  });
};

/** What is in the place for no file of the set. */
const strangersOf = (files: readonly BootFile[], listed: Awaited<ReturnType<BootPlace['list']>>) => {
  const wanted = new Set(files.map(({ name }) => key(name)));
  return listed.filter(({ name }) => !wanted.has(key(name)));
};

const inUnits = (lengthBytes: number, unitBytes: number): number => Math.ceil(lengthBytes / unitBytes) * unitBytes;

/** For folders, which grow with their names. */
const spareUnits = 4;

/** Throws RELEASE_TOO_LARGE and RELEASE_MALFORMED, before anything of the place changes. */
export const requireRoom = async (slot: SlotName, place: BootPlace, files: readonly BootFile[]): Promise<void> => {
  const reserved = files.find(({ name }) => place.isReserved(name));
  if (reserved !== undefined) {
    throw new OtadError('RELEASE_MALFORMED', { file: reserved.name, reason: 'boot control writes this file itself' });
  }
  const { freeBytes, unitBytes } = await place.room();
  const bytesOf = (all: readonly { readonly lengthBytes: number }[]): number =>
    all.reduce((sum, { lengthBytes }) => sum + inUnits(lengthBytes, unitBytes), 0);
  const neededBytes = bytesOf(files) + spareUnits * unitBytes;
  const availableBytes = freeBytes + bytesOf(await place.list());
  if (neededBytes > availableBytes) {
    throw new OtadError('RELEASE_TOO_LARGE', { slot, part: 'boot files', neededBytes, availableBytes });
  }
};

const digestOf = async (place: BootPlace, name: string, { sealing }: PlacingPorts, signal: AbortSignal) => {
  const hasher = sealing.createHasher();
  return (await place.visit(name, (bytes) => hasher.update(bytes), signal)) ? hasher.digestHex() : null;
};

/** The files that the place does not hold byte for byte. */
const missingOf = async (
  place: BootPlace,
  files: readonly BootFile[],
  ports: PlacingPorts,
  signal: AbortSignal,
): Promise<readonly BootFile[]> => {
  const missing: BootFile[] = [];
  for (const file of files) {
    if ((await digestOf(place, file.name, ports, signal)) !== file.sha256Hex) missing.push(file);
  }
  return missing;
};

/** The manifest with this digest, wherever it stands. */
const findManifest = async (
  place: BootPlace,
  { bootSetSha256Hex, slot }: PlacingRequest,
  { staged, sealing }: PlacingPorts,
) => {
  const held = await place.readManifest();
  const isWanted = (bytes: Uint8Array | null): bytes is Uint8Array =>
    bytes !== null && sha256Of(bytes, sealing) === bootSetSha256Hex;
  const bytes = isWanted(held) ? held : await staged.readManifest();
  if (!isWanted(bytes)) throw incomplete(slot, 'neither the boot place nor the state folder has the list of its files');
  const text = toText(bytes);
  const files = decodeBootManifest(text);
  if (files === null) throw new OtadError('RELEASE_MALFORMED', { slot, reason: 'no list of boot files' });
  return { text, files, isHeld: bytes === held };
};

/** One file from the state folder, and compared with what the medium gives back. */
const placeOne = async (
  slot: SlotName,
  place: BootPlace,
  file: BootFile,
  ports: PlacingPorts,
  signal: AbortSignal,
): Promise<void> => {
  const hasher = ports.sealing.createHasher();
  await place.create(file.name, (sink) =>
    ports.staged.visit(
      file,
      (bytes) => {
        hasher.update(bytes);
        return sink(bytes);
      },
      signal,
    ),
  );
  if (hasher.digestHex() !== file.sha256Hex) {
    throw incomplete(slot, 'the state folder holds other bytes than were signed', file.name);
  }
  if ((await digestOf(place, file.name, ports, signal)) !== file.sha256Hex) {
    throw new OtadError('BOOT_WRITE_LOST', { slot, file: file.name });
  }
};

/** For a release without boot files: a place that another one's were not wholly put into starts nothing. */
const requireFinished = async (slot: SlotName, { places }: PlacingPorts): Promise<void> => {
  // A place that cannot be read is not this release's concern.
  const bytes = (await places?.[slot].readManifest().catch(() => null)) ?? null;
  if (bytes !== null && decodeBootManifest(toText(bytes)) === null) {
    throw incomplete(
      slot,
      'the boot place was being changed for a release that brings boot files, and this one has none',
    );
  }
};

/**
 * The set lies in the slot's boot place, whole, when this returns. Throws BOOT_SET_INCOMPLETE, BOOT_PLACE_UNUSABLE,
 * BOOT_WRITE_LOST, RELEASE_TOO_LARGE, RELEASE_MALFORMED, CONFIG_INVALID.
 */
export const settleBootSet = async (
  request: PlacingRequest,
  ports: PlacingPorts,
  signal: AbortSignal,
): Promise<void> => {
  const { slot, bootSetSha256Hex, mayPlace, isBootable, invalidate } = request;
  if (bootSetSha256Hex === null) return requireFinished(slot, ports);
  const place = requirePlace(ports, slot);
  const { text, files, isHeld } = await findManifest(place, request, ports);
  const missing = await missingOf(place, files, ports, signal);
  if (isHeld && missing.length === 0) return;
  const first = missing[0]?.name;
  if (!mayPlace) throw incomplete(slot, 'the boot place does not hold them, and no signed metadata names them', first);
  if (isBootable)
    throw incomplete(slot, 'the slot can be started as it stands, so its boot place is not written', first);
  for (const file of missing) {
    const lengthBytes = await ports.staged.lengthOf(file);
    if (lengthBytes !== file.lengthBytes) throw incomplete(slot, 'not in the state folder', file.name);
  }
  await requireRoom(slot, place, files);
  await invalidate();
  await place.writeManifest(unfinished);
  for (const { name } of strangersOf(files, await place.list())) await place.remove(name);
  // All that go before the first that comes: both sets may not fit beside each other.
  for (const { name } of missing) await place.remove(name);
  for (const file of missing) await placeOne(slot, place, file, ports, signal);
  await place.writeManifest(text);
  const written = await place.readManifest();
  if (written === null || toText(written) !== text) throw new OtadError('BOOT_WRITE_LOST', { slot, file: 'manifest' });
};
