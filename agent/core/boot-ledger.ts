// What the boot helper remembers of its own: which releases signed metadata named, which roots were confirmed here, and the
// floor below which nothing new is started. Pure. Nothing that otad says enters it unverified.

import type { Release, SlotRecord } from './types.ts';

/** A release as signed metadata named it. */
export interface SignedRelease {
  readonly id: string;
  readonly version: string;
  readonly sequence: number;
  readonly compatible: string;
  readonly floorEpoch: number;
  readonly rollbackFloor: number;
  readonly imageLengthBytes: number;
  readonly imageSha256Hex: string;
  readonly rootHex: string;
  readonly saltHex: string;
  /** Digest of the manifest of its boot set; null: it has none. */
  readonly bootSetSha256Hex: string | null;
}

/** A dm-verity root that ran here, with the bootloader holding it as good. */
export interface ConfirmedRoot {
  readonly rootHex: string;
  /** As signed; of what left the factory as its slot says; null: nobody says. */
  readonly sequence: number | null;
  /** Of the boot set that was signed with it; null: none is known. */
  readonly bootSetSha256Hex: string | null;
}

export interface BootLedger {
  /** Newest last. */
  readonly signed: readonly SignedRelease[];
  readonly confirmed: readonly ConfirmedRoot[];
  readonly floor: { readonly epoch: number; readonly sequence: number };
}

export const emptyLedger: BootLedger = { signed: [], confirmed: [], floor: { epoch: 0, sequence: 0 } };

/** One that is being installed and the few before it; a way back is in the list of confirmed ones. */
export const signedMax = 8;
export const confirmedMax = 16;

export const signedRelease = (release: Release, bootSetSha256Hex: string | null): SignedRelease | null => {
  const rootfs = release.artifacts.find(({ role }) => role === 'rootfs');
  if (rootfs?.verity == null) return null;
  return {
    id: release.id,
    version: release.version,
    sequence: release.sequence,
    compatible: release.compatible,
    floorEpoch: release.floorEpoch,
    rollbackFloor: release.rollbackFloor,
    imageLengthBytes: rootfs.lengthBytes,
    imageSha256Hex: rootfs.sha256Hex,
    rootHex: rootfs.verity.rootHex,
    saltHex: rootfs.verity.saltHex,
    bootSetSha256Hex,
  };
};

const keysOf = (release: SignedRelease): string =>
  JSON.stringify(Object.entries(release).sort(([one], [two]) => (one < two ? -1 : 1)));

/** The same ledger where the release stands in it as the newest already. */
export const noteSigned = (ledger: BootLedger, release: SignedRelease): BootLedger => {
  const newest = ledger.signed.at(-1);
  if (newest !== undefined && keysOf(newest) === keysOf(release)) return ledger;
  const others = ledger.signed.filter((known) => keysOf(known) !== keysOf(release));
  return { ...ledger, signed: [...others, release].slice(-signedMax) };
};

/** The signed release that the record is of, in every word that both have; null: none. */
export const signedAs = (ledger: BootLedger, record: SlotRecord): SignedRelease | null =>
  ledger.signed.find(
    (release) =>
      release.id === record.release.id &&
      release.version === record.release.version &&
      release.sequence === record.release.sequence &&
      release.compatible === record.compatible &&
      release.imageLengthBytes === record.imageLengthBytes &&
      release.imageSha256Hex === record.imageSha256Hex &&
      release.rootHex === record.verity.rootHex &&
      release.saltHex === record.verity.saltHex &&
      release.bootSetSha256Hex === (record.bootSetSha256Hex ?? null),
  ) ?? null;

/** What ran here from this root; null: nothing. */
export const confirmedAs = (ledger: BootLedger, rootHex: string): ConfirmedRoot | null =>
  ledger.confirmed.find((known) => known.rootHex === rootHex) ?? null;

/** A new epoch, which root keys sign, may begin lower. */
export const isBelowFloor = ({ floor }: BootLedger, { floorEpoch, sequence }: SignedRelease): boolean =>
  floorEpoch < floor.epoch || (floorEpoch === floor.epoch && sequence < floor.sequence);

/** The boot set is known by metadata alone: a slot's word for it would have any kernel started beside a root that ran here. */
export const noteConfirmed = (ledger: BootLedger, rootHex: string, record: SlotRecord | null): BootLedger => {
  const signed = ledger.signed.filter((known) => known.rootHex === rootHex);
  const release =
    signed.findLast((known) => known.bootSetSha256Hex === record?.bootSetSha256Hex) ?? signed.at(-1) ?? null;
  // What the running slot says of itself is for what no metadata named.
  const sequence = release?.sequence ?? record?.release.sequence ?? null;
  const before = confirmedAs(ledger, rootHex);
  const bootSetSha256Hex = release === null ? (before?.bootSetSha256Hex ?? null) : release.bootSetSha256Hex;
  const { floor } = ledger;
  const isNewEpoch = release !== null && release.floorEpoch > floor.epoch;
  const raised = {
    epoch: Math.max(floor.epoch, release?.floorEpoch ?? 0),
    sequence: Math.max(isNewEpoch ? 0 : floor.sequence, release?.rollbackFloor ?? 0, sequence ?? 0),
  };
  const isSame = raised.epoch === floor.epoch && raised.sequence === floor.sequence;
  if (before !== null && before.bootSetSha256Hex === bootSetSha256Hex && isSame) return ledger;
  const others = ledger.confirmed.filter((known) => known.rootHex !== rootHex);
  return {
    ...ledger,
    confirmed: [...others, { rootHex, sequence, bootSetSha256Hex }].slice(-confirmedMax),
    floor: raised,
  };
};
