// The fault model: which faults exist, at which port calls they can strike, and what each of them excuses. A life is a seed and a
// list of (occurrence, fault); `parseLife` and `formatLife` are how one is named on the command line.
//
// Covered from FAULTS.md: crashes between and inside any two writes, lost, torn, reordered, zero-filled and misdirected writes, a
// flush that lies, EIO, ENOSPC, bit rot, a worn card; a bootloader environment that cannot be read, loses a write or is lost whole;
// a database lost at any instant or failing to commit; a server that is unreachable, busy, slow, truncated, lying, expired or rolled
// back; clocks in 1970 and ten years ahead; SIGKILL anywhere; panics, quick power cycles, reboots that do nothing, health that fails,
// hangs and flaps, a fault in the shared data; a technician's commands at any moment.
// Not covered here: TLS and HTTP framing, U-Boot's flag byte, FAT renames, TUF attacks, memory. They have tests beside their adapters.

/** Every place where the production code touches the world, or the world starts it. */
export const pointKinds = [
  'firmware.boot',
  'boot.status',
  'boot.invalidate',
  'boot.activate',
  'boot.mark-good',
  'boot.mark-bad',
  'slot.open',
  'slot.write',
  'slot.flush',
  'slot.read',
  'slot.copy',
  'slot.record',
  'source.check',
  'source.stream',
  'source.index',
  'source.range',
  'source.piece',
  'health.assess',
  'reboot.request',
  'store.load',
  'store.commit',
] as const;
export type PointKind = (typeof pointKinds)[number];

/** Points that change something durable or visible outside: only around these does the instant of a crash make a difference. */
const effectful: readonly PointKind[] = [
  'boot.invalidate',
  'boot.activate',
  'boot.mark-good',
  'boot.mark-bad',
  'slot.write',
  'slot.flush',
  'reboot.request',
  'store.commit',
];
const bootWrites: readonly PointKind[] = ['boot.invalidate', 'boot.activate', 'boot.mark-good', 'boot.mark-bad'];
/** A person's command can come at any time; these are the times that differ. */
const commandable: readonly PointKind[] = [
  'boot.invalidate',
  'boot.activate',
  'boot.mark-good',
  'slot.write',
  'slot.read',
  'source.check',
  'source.piece',
  'health.assess',
  'reboot.request',
  'store.commit',
];

interface FaultEntry {
  readonly at: readonly PointKind[];
  /** A good release may end up denied, rolled back or given up because of it. */
  readonly mayDeny?: true;
  /** The bytes of a slot may be lost although every call succeeded: excuses I1 for that slot, as rot does. */
  readonly breaksSlot?: true;
  /** What was fetched may have to be fetched again, whole. */
  readonly refetches?: true;
}

export const faultTable = {
  // Power and process. `lost`: nothing unflushed persists; `kept`: everything does; `torn`: a random part.
  'cut-before': { at: effectful },
  'cut-lost': { at: effectful },
  'cut-kept': { at: ['slot.write', 'slot.flush'] },
  'cut-torn': { at: ['slot.write', 'slot.flush'] },
  'cut-with-database': { at: effectful },
  kill: { at: effectful },
  'kill-before': { at: effectful },
  'kill-with-database': { at: effectful },
  // Storage.
  'write-eio': { at: ['slot.write'], mayDeny: true },
  'write-enospc': { at: ['slot.write'], mayDeny: true },
  'write-worn': { at: ['slot.write'], mayDeny: true, refetches: true },
  'write-misdirected': { at: ['slot.write'], mayDeny: true, refetches: true },
  'flush-eio': { at: ['slot.flush'], mayDeny: true, refetches: true },
  'card-worn-out': { at: ['slot.write'], mayDeny: true, refetches: true },
  'flush-lies': { at: ['slot.flush'], mayDeny: true, breaksSlot: true, refetches: true },
  'read-eio': { at: ['slot.read'], mayDeny: true, refetches: true },
  'read-garbage': { at: ['slot.read'], mayDeny: true, refetches: true },
  // While another slot is filled from it.
  'source-eio': { at: ['slot.copy'], refetches: true },
  'source-garbage': { at: ['slot.copy'], refetches: true },
  'record-eio': { at: ['slot.record'] },
  'open-busy': { at: ['slot.open'] },
  'rot-other': { at: ['firmware.boot'], mayDeny: true, breaksSlot: true, refetches: true },
  // Bootloader.
  'env-unreadable': { at: ['boot.status', ...bootWrites] },
  'env-write-lost': { at: bootWrites, mayDeny: true },
  'env-lost': { at: bootWrites, mayDeny: true, refetches: true },
  // Database.
  'store-io': { at: ['store.commit'] },
  // Server.
  'check-unreachable': { at: ['source.check'] },
  'check-retry-after': { at: ['source.check'] },
  'check-expired': { at: ['source.check'] },
  'check-rolled-back': { at: ['source.check'] },
  'check-older': { at: ['source.check'] },
  'server-gone': { at: ['source.check', 'source.index', 'source.piece'] },
  'check-stalls': { at: ['source.check'] },
  'stream-busy': { at: ['source.stream', 'source.range'] },
  'index-missing': { at: ['source.index'], refetches: true },
  'index-wrong': { at: ['source.index'], refetches: true },
  'index-truncated': { at: ['source.index'] },
  'range-ignored': { at: ['source.range'], refetches: true },
  'piece-truncated': { at: ['source.piece'] },
  'piece-wrong': { at: ['source.piece'], refetches: true },
  'piece-stalls': { at: ['source.piece'] },
  // Clock.
  'wall-1970': { at: ['source.check', 'firmware.boot'] },
  'wall-ahead': { at: ['source.check', 'firmware.boot'] },
  // Boot and health.
  panic: { at: ['firmware.boot'] },
  'panic-always': { at: ['firmware.boot'], mayDeny: true },
  'power-cycles': { at: ['firmware.boot'], mayDeny: true },
  'shared-data-fault': { at: ['firmware.boot'], mayDeny: true },
  'health-fails': { at: ['health.assess'], mayDeny: true },
  'health-hangs': { at: ['health.assess'], mayDeny: true },
  'health-flaps': { at: ['health.assess'] },
  'reboot-ignored': { at: ['reboot.request'] },
  'reboot-stuck': { at: ['reboot.request'], mayDeny: true },
  'reboot-refused': { at: ['reboot.request'] },
  // A technician.
  'command-check': { at: commandable },
  'command-install': { at: commandable },
  'command-reboot': { at: commandable },
  'command-confirm': { at: commandable },
  'command-rollback': { at: commandable, mayDeny: true },
  'command-mark-bad': { at: commandable, mayDeny: true },
  'command-mark-running-bad': { at: commandable, mayDeny: true },
  'command-hold': { at: commandable },
} as const satisfies Record<string, FaultEntry>;

export type FaultKind = keyof typeof faultTable;
export const faultKinds = Object.keys(faultTable) as readonly FaultKind[];
export const faultEntry = (fault: FaultKind): FaultEntry => faultTable[fault];

const faultsByPoint = new Map<PointKind, readonly FaultKind[]>(
  pointKinds.map((point) => [point, faultKinds.filter((fault) => faultEntry(fault).at.includes(point))]),
);
export const faultsAt = (point: PointKind): readonly FaultKind[] => faultsByPoint.get(point) ?? [];

export interface PlannedFault {
  /** Strikes at the n-th port call of the life, counted from 0 over all boots. */
  readonly at: number;
  readonly fault: FaultKind;
}

/** `update`: one good release. `sick`: a good one, one that never gets healthy, a good one. `mixed`: more of both, at random. */
export const scenarioNames = ['update', 'sick', 'mixed'] as const;
export type ScenarioName = (typeof scenarioNames)[number];

export interface Life {
  readonly seed: number;
  readonly scenario: ScenarioName;
  /** Exactly these faults, or null: drawn at random from the seed. */
  readonly faults: readonly PlannedFault[] | null;
}

/** `7` (random life of seed 7), `7:update:` (no fault), `7:update:12.cut-lost,40.panic`. */
export const formatLife = (life: Life): string =>
  life.faults === null
    ? `${life.seed}`
    : `${life.seed}:${life.scenario}:${life.faults.map(({ at, fault }) => `${at}.${fault}`).join(',')}`;

const isFaultKind = (text: string): text is FaultKind => (faultKinds as readonly string[]).includes(text);

export const parseLife = (text: string): Life => {
  const [seed = '', scenario, list = ''] = text.split(':');
  if (!/^\d{1,10}$/.test(seed)) throw new RangeError(`a life starts with a seed, not with: ${seed}`);
  if (scenario === undefined) return { seed: Number(seed), scenario: 'mixed', faults: null };
  const name = scenarioNames.find((candidate) => candidate === scenario);
  if (name === undefined) throw new RangeError(`unknown scenario ${scenario}; there are ${scenarioNames.join(', ')}`);
  const faults = list
    .split(',')
    .filter((item) => item !== '')
    .map((item) => {
      const [at = '', fault = ''] = item.split('.');
      if (!/^\d+$/.test(at) || !isFaultKind(fault)) throw new RangeError(`not a planned fault: ${item}`);
      return { at: Number(at), fault };
    });
  return { seed: Number(seed), scenario: name, faults };
};
