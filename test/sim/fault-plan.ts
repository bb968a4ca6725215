// Which fault strikes at which call of a life: a list that was written down, or chance. What chance chose is remembered, so that
// any life can be written down and replayed as a list.

import { createChance, foldSeed } from './chance.ts';
import { type FaultKind, faultEntry, faultsAt, type Life, type PlannedFault, type PointKind } from './faults.ts';

export interface FaultPlan {
  draw(index: number, point: PointKind): FaultKind | null;
  /** From now on nothing strikes. */
  stop(): void;
  /** True while the plan may still strike. */
  isArmed(): boolean;
  struck(): readonly PlannedFault[];
  /** True when one of the faults that struck excuses this. */
  hasStruck(excuse: 'mayDeny' | 'breaksSlot' | 'refetches'): boolean;
}

/** Faults in a random life at most; more than this only makes lives alike. */
const randomFaultsMax = 12;
/** Each life has its own weather: the share of calls at which something goes wrong. */
const weathers = [0.004, 0.01, 0.02, 0.04] as const;

export const createFaultPlan = (life: Life): FaultPlan => {
  const struck: PlannedFault[] = [];
  const listed = new Map(life.faults?.map(({ at, fault }) => [at, fault]));
  const chance = createChance(foldSeed(life.seed, 0xfa17));
  const rate = chance.pick(weathers);
  let isStopped = false;

  const choose = (index: number, point: PointKind): FaultKind | null => {
    if (life.faults !== null) return listed.get(index) ?? null;
    // A boot is rare and rich in faults.
    const isStruck = chance.hit(point === 'firmware.boot' ? rate * 4 : rate);
    return isStruck && struck.length < randomFaultsMax ? chance.pick(faultsAt(point)) : null;
  };

  return {
    draw: (index, point) => {
      if (isStopped) return null;
      const fault = choose(index, point);
      if (fault === null || !faultsAt(point).includes(fault)) return null;
      struck.push({ at: index, fault });
      return fault;
    },
    stop: () => {
      isStopped = true;
    },
    isArmed: () => !isStopped && (life.faults === null || struck.length < life.faults.length),
    struck: () => struck,
    hasStruck: (excuse) => struck.some(({ fault }) => faultEntry(fault)[excuse] === true),
  };
};
