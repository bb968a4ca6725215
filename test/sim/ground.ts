// What is really so in the simulated world: bytes, bootloader memory, what runs, what was injected. The ports act on it and the
// checkers read it; the production code never sees it.

import type { Sealing } from '../../agent/core/ports.ts';
import { indexOffsetBytes } from '../../agent/core/slot-layout.ts';
import type { State } from '../../agent/core/state.ts';
import { type HistoryEntry, type SlotName, slotNames } from '../../agent/core/types.ts';
import { activate, type BootModel, lostModel, markGood } from '../../bootctl/model.ts';
import { type Catalogue, type SealedRelease, slotSizeBytes } from './catalogue.ts';
import type { Chance } from './chance.ts';
import { type CutStyle, createMedium, type Medium } from './medium.ts';

/** What the server has to offer, and how the world is disposed while no single fault strikes. */
export interface Ground {
  readonly catalogue: Catalogue;
  readonly media: Readonly<Record<SlotName, Medium>>;
  /** What {@link contentOf} found last. */
  readonly identified: Record<SlotName, { readonly version: number; readonly content: SealedRelease | null } | null>;
  /** null: both copies of the environment are unreadable. */
  env: BootModel | null;
  /** What the newest boot started; the production code may neither write nor misjudge it. */
  running: SlotName;
  bootCount: number;
  bootStartMs: number;
  wallAtBootMs: number;
  isClockTrusted: boolean;
  /** The trial panics at every boot. */
  panicking: SealedRelease | null;
  /** Boots of an unconfirmed system that a panic or a power cut ended: as many as a trial has are a release that does not come up. */
  spoiltTrialBoots: number;
  /** What was broken for good, until the world is healed at the end of a life. */
  isServerGone: boolean;
  isRebootStuck: boolean;
  isCardWorn: boolean;
  /** A check of the shared data fails on whatever runs. */
  isDataFaulty: boolean;
  offered: SealedRelease;
  database: { state: State | null; history: HistoryEntry[] };
  /** Counts losses of the database: what was known before may be forgotten after. */
  databaseLosses: number;
  /** Slots whose bytes an injected fault may have destroyed behind everybody's back. */
  readonly broken: Set<SlotName>;
  /** The environment was lost in this boot: the running process cannot know it. */
  envLostInBoot: number;
  /** The running process has read the bootloader's state since. */
  isEnvLossSeen: boolean;
  /** Whether the environment was ever lost: fallbacks to older releases are excused. */
  isEnvLostEver: boolean;
}

/** 2026-01-01. */
const wallStartMs = 1_767_225_600_000;

const factorySlot = (sealed: SealedRelease, sealing: Sealing): Buffer => {
  const slot = Buffer.alloc(slotSizeBytes);
  sealed.sealed.copy(slot);
  const { artifact, release } = sealed;
  if (artifact.verity === null) throw new RangeError('a root image has verity parameters');
  const record = sealing.encodeRecord(
    {
      status: 'activated',
      release: { id: release.id, version: release.version, sequence: release.sequence },
      compatible: release.compatible,
      imageLengthBytes: artifact.lengthBytes,
      imageSha256Hex: artifact.sha256Hex,
      verity: artifact.verity,
      writtenBytes: artifact.lengthBytes,
      prefixSha256Hex: artifact.sha256Hex,
      reason: null,
    },
    0,
  );
  slot.set(record, slotSizeBytes - 2 * 4096);
  slot.set(sealed.indexFile, indexOffsetBytes(0, sealed.sealed.length));
  return slot;
};

/** A gateway as it leaves the factory: release 1 confirmed in slot a, nothing in slot b. */
export const createGround = (catalogue: Catalogue): Ground => {
  const factory = catalogue.get(1, true);
  if (factory.artifact.verity === null) throw new RangeError('a root image has verity parameters');
  const trial = activate(
    { order: ['a'], slots: { ...lostModel.slots, b: { triesLeft: 0, isTrial: false, verity: null } } },
    'a',
    3,
    factory.artifact.verity,
  );
  return {
    catalogue,
    media: {
      a: createMedium(factorySlot(factory, catalogue.sealing)),
      b: createMedium(Buffer.alloc(slotSizeBytes, 0xff)),
    },
    identified: { a: null, b: null },
    env: markGood(trial, 'a'),
    running: 'a',
    bootCount: 0,
    bootStartMs: 0,
    wallAtBootMs: wallStartMs,
    isClockTrusted: true,
    panicking: null,
    spoiltTrialBoots: 0,
    isServerGone: false,
    isRebootStuck: false,
    isCardWorn: false,
    isDataFaulty: false,
    offered: factory,
    database: { state: null, history: [] },
    databaseLosses: 0,
    broken: new Set(),
    envLostInBoot: -1,
    isEnvLossSeen: false,
    isEnvLostEver: false,
  };
};

export const wallStart = wallStartMs;

/** What the slot would hold after a power cut now. */
export const contentOf = (ground: Ground, slot: SlotName): SealedRelease | null => {
  const version = ground.media[slot].version();
  const known = ground.identified[slot];
  if (known?.version === version) return known.content;
  const content = ground.catalogue.identify(ground.media[slot].durable());
  ground.identified[slot] = { version, content };
  return content;
};

/** Whether the initramfs would open this slot: whole bytes, and the root that the bootloader names, if it names one. */
export const isBootable = (ground: Ground, model: BootModel, slot: SlotName): boolean => {
  const content = contentOf(ground, slot);
  if (content === null) return false;
  const named = model.slots[slot].verity?.rootHex;
  return named === undefined || named === content.artifact.verity?.rootHex;
};

export const loseDatabase = (ground: Ground): void => {
  ground.database = { state: null, history: [] };
  ground.databaseLosses += 1;
};

/** What is broken for good works again; what single faults destroyed stays destroyed. */
export const heal = (ground: Ground): void => {
  ground.panicking = null;
  ground.isServerGone = false;
  ground.isRebootStuck = false;
  ground.isCardWorn = false;
  ground.isDataFaulty = false;
};

export const cutPower = (ground: Ground, style: CutStyle, chance: Chance): void => {
  for (const slot of slotNames) ground.media[slot].cut(style, chance);
};
