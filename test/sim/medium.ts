// One slot's storage. What was written since the last honest flush sits in a volatile cache: at a power cut each such write may
// persist whole, in part (by 512-byte sector), with a zero-filled tail, or not at all, in any order. Knows nothing of otad.

import type { Chance } from './chance.ts';

const sectorBytes = 512;

interface PendingWrite {
  readonly offsetBytes: number;
  readonly bytes: Buffer;
}

/** How a power cut treats what was not flushed. */
export type CutStyle = 'none-persists' | 'all-persists' | 'torn';

export interface Medium {
  readonly sizeBytes: number;
  /** What reads return now. */
  view(): Buffer;
  /** What is certain to survive a power cut. */
  durable(): Buffer;
  /** True when a cut could still lose something. */
  isDirty(): boolean;
  write(offsetBytes: number, bytes: Uint8Array): void;
  flush(): void;
  cut(style: CutStyle, chance: Chance): void;
  /** Decay: flips a bit below the cache. */
  rot(offsetBytes: number): void;
  /** Counts changes of content, so that checkers can skip what did not change. */
  version(): number;
}

const tear = (target: Buffer, write: PendingWrite, chance: Chance): void => {
  const sectors = Math.ceil(write.bytes.length / sectorBytes);
  const zeroFrom = chance.hit(0.25) ? chance.below(sectors) : sectors;
  for (let sector = 0; sector < sectors; sector += 1) {
    const from = sector * sectorBytes;
    const to = Math.min(from + sectorBytes, write.bytes.length);
    if (sector >= zeroFrom) target.fill(0, write.offsetBytes + from, write.offsetBytes + to);
    else if (chance.hit(0.5)) write.bytes.copy(target, write.offsetBytes + from, from, to);
  }
};

export const createMedium = (initial: Buffer): Medium => {
  const durable = Buffer.from(initial);
  // Equal to the other unless something is pending; a buffer of its own, because readers hold on to it.
  const view = Buffer.from(initial);
  let pending: PendingWrite[] = [];
  let version = 0;

  const applyTorn = (chance: Chance): void => {
    // Any order: later writes may persist before earlier ones.
    const order = [...pending];
    while (order.length > 0) {
      const [write] = order.splice(chance.below(order.length), 1);
      if (write === undefined) break;
      const fate = chance.next();
      if (fate < 0.35) write.bytes.copy(durable, write.offsetBytes);
      else if (fate < 0.7) tear(durable, write, chance);
    }
  };
  const applyAll = (): void => {
    for (const write of pending) write.bytes.copy(durable, write.offsetBytes);
  };

  return {
    sizeBytes: initial.length,
    view: () => view,
    durable: () => durable,
    isDirty: () => pending.length > 0,
    version: () => version,
    write: (offsetBytes, bytes) => {
      if (offsetBytes < 0 || offsetBytes + bytes.length > view.length) {
        throw new RangeError(`write of ${bytes.length} bytes at ${offsetBytes} is outside of the slot`);
      }
      const copy = Buffer.from(bytes);
      copy.copy(view, offsetBytes);
      pending.push({ offsetBytes, bytes: copy });
      version += 1;
    },
    flush: () => {
      applyAll();
      pending = [];
      version += 1;
    },
    cut: (style, chance) => {
      if (pending.length === 0) return;
      if (style === 'torn') applyTorn(chance);
      else if (style === 'all-persists') applyAll();
      pending = [];
      durable.copy(view);
      version += 1;
    },
    rot: (offsetBytes) => {
      for (const buffer of [durable, view]) buffer[offsetBytes] = (buffer[offsetBytes] ?? 0) ^ 0x10;
      version += 1;
    },
  };
};
