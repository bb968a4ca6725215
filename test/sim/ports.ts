// The ports of agent/core/ports.ts over the fake world. One set a process; when the process is gone they answer nobody.
// Each applies its effect to the ground truth at once and tells the checkers before anybody can react to it.

import type { LocalSlotDevices } from '../../agent/adapters/slot-device.ts';
import { OtadError, toFailure } from '../../agent/core/errors.ts';
import type {
  BootControl,
  Clock,
  Health,
  Rebooter,
  ReleaseSource,
  ServedSink,
  SlotHandle,
  Store,
} from '../../agent/core/ports.ts';
import type { State } from '../../agent/core/state.ts';
import type { ArtifactFile, CheckOutcome, HealthReport, Moment, SlotName } from '../../agent/core/types.ts';
import type { BootModel } from '../../bootctl/model.ts';
import { createModelControl } from '../../bootctl/model-control.ts';
import type { SealedRelease } from './catalogue.ts';
import type { Checkers } from './checkers.ts';
import type { FaultKind } from './faults.ts';
import type { Act, Gate, Generation } from './gate.ts';
import { contentOf, type Ground } from './ground.ts';
import type { Timeline } from './timeline.ts';

export interface SimPorts {
  readonly boot: BootControl;
  readonly slots: LocalSlotDevices;
  readonly source: ReleaseSource;
  readonly health: Health;
  readonly rebooter: Rebooter;
  readonly store: Store;
  readonly clock: Clock;
}

export interface PortContext {
  readonly ground: Ground;
  readonly gate: Gate;
  readonly timeline: Timeline;
  readonly checkers: Checkers;
  readonly generation: Generation;
}

/** How long a stalled transfer waits before the adapter gives up. */
const stallMs = 60_000;
/** How long an orderly shutdown takes. */
const shutdownMs = 5_000;
const pieceBytes = 4096;
const blockBytes = 4096;
const recordAreaBytes = 2 * blockBytes;
const hour = 3_600_000;

const checkCancelled = (signal: AbortSignal): void => {
  if (signal.aborted) throw new OtadError('CANCELLED');
};

/** Waits in virtual time; ends early when the signal does. */
const pause = (timeline: Timeline, delayMs: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const cancel = (): void => {
      timer.cancel();
      reject(new OtadError('CANCELLED'));
    };
    const timer = timeline.setTimer(delayMs, () => {
      signal.removeEventListener('abort', cancel);
      resolve();
    });
    signal.addEventListener('abort', cancel, { once: true });
  });

const createBoot = ({ ground, gate, checkers, generation }: PortContext): BootControl => {
  const write = (model: BootModel): void => {
    ground.env = model;
  };
  const control = createModelControl({ read: () => ground.env, write }, () => ({
    slot: ground.running,
    root: contentOf(ground, ground.running)?.artifact.verity?.rootHex ?? null,
    evidence: [],
  }));
  /** A change of the environment: lost before it took effect, lost with everything else, or done and read back. */
  const change =
    (apply: () => Promise<void>, announce: () => void): Act<void> =>
    (fault) => {
      if (fault === 'env-unreadable') throw new OtadError('BOOT_ENV_UNREADABLE');
      if (fault === 'env-write-lost') throw new OtadError('BOOT_WRITE_LOST');
      if (fault === 'env-lost') {
        ground.env = null;
        ground.envLostInBoot = ground.bootCount;
        ground.isEnvLossSeen = false;
        ground.isEnvLostEver = true;
        throw new OtadError('BOOT_WRITE_LOST');
      }
      announce();
      // The model's control works in one go: when it returns its promise, the cell is written.
      return apply().then(() => checkers.afterChange());
    };
  return {
    status: (signal) =>
      gate.call(generation, 'boot.status', '', 0, (fault) => {
        if (fault === 'env-unreadable') throw new OtadError('BOOT_ENV_UNREADABLE');
        ground.isEnvLossSeen = true;
        return control.status(signal);
      }),
    invalidate: (slot, signal) =>
      gate.call(generation, 'boot.invalidate', slot, 0, (fault) =>
        change(
          () => control.invalidate(slot, signal),
          () => checkers.beforeInvalidate(slot),
        )(fault),
      ),
    activate: (slot, tries, verity, signal) =>
      gate.call(generation, 'boot.activate', slot, tries, (fault) =>
        change(
          () => control.activate(slot, tries, verity, signal),
          () => checkers.beforeActivate(slot, tries, verity),
        )(fault),
      ),
    markGood: (slot, signal) =>
      gate.call(generation, 'boot.mark-good', slot, 0, (fault) =>
        change(
          () => control.markGood(slot, signal),
          () => checkers.beforeMarkGood(slot),
        )(fault),
      ),
    prepareReboot: async () => {},
    markBad: (slot, signal) =>
      gate.call(generation, 'boot.mark-bad', slot, 0, (fault) =>
        change(
          () => control.markBad(slot, signal),
          () => checkers.beforeMarkBad(slot),
        )(fault),
      ),
  };
};

const writeSlot = (
  context: PortContext,
  slot: SlotName,
  offset: number,
  bytes: Uint8Array,
  fault: FaultKind | null,
) => {
  const { ground, gate, checkers } = context;
  const medium = ground.media[slot];
  checkers.beforeSlotWrite(slot, offset, bytes.length);
  if (fault === 'write-eio') throw new OtadError('SLOT_IO', { slot });
  if (fault === 'write-enospc') throw new OtadError('DISK_FULL', { slot });
  if (fault === 'write-misdirected') {
    // The slot's record is written after the read-back: where that lands is found out by dm-verity, at the next boot.
    if (offset >= medium.sizeBytes - recordAreaBytes) ground.broken.add(slot);
    medium.write((offset + 3 * blockBytes) % (medium.sizeBytes - bytes.length + blockBytes), bytes);
  } else if (fault === 'write-worn' || fault === 'card-worn-out' || ground.isCardWorn) {
    if (fault === 'card-worn-out') ground.isCardWorn = true;
    const worn = Buffer.from(bytes);
    const at = gate.chance(gate.points().length).below(worn.length);
    worn[at] = (worn[at] ?? 0) ^ 0x40;
    medium.write(offset, worn);
  } else {
    medium.write(offset, bytes);
  }
  checkers.afterChange();
};

const createHandle = (context: PortContext, slot: SlotName): SlotHandle => {
  const { ground, gate, checkers, generation } = context;
  const medium = ground.media[slot];
  return {
    sizeBytes: medium.sizeBytes,
    write: (offset, bytes, signal) =>
      gate.call(generation, 'slot.write', slot, offset, (fault) => {
        checkCancelled(signal);
        writeSlot(context, slot, offset, bytes, fault);
      }),
    flush: (signal) =>
      gate.call(generation, 'slot.flush', slot, 0, (fault) => {
        checkCancelled(signal);
        if (fault === 'flush-eio') throw new OtadError('SLOT_IO', { slot });
        if (fault === 'flush-lies') ground.broken.add(slot);
        else medium.flush();
        checkers.afterChange();
      }),
    read: (offset, length, signal) =>
      gate.call(generation, 'slot.read', slot, offset, (fault) => {
        checkCancelled(signal);
        if (fault === 'read-eio') throw new OtadError('SLOT_IO', { slot });
        const bytes = medium.view().subarray(offset, offset + length);
        if (bytes.length !== length) throw new OtadError('SLOT_IO', { slot });
        if (fault !== 'read-garbage') {
          checkers.afterSlotRead(slot, offset, length);
          return bytes;
        }
        const garbage = Buffer.from(bytes);
        garbage[length >> 1] = (garbage[length >> 1] ?? 0) ^ 1;
        return garbage;
      }),
    allocate: (length) => ground.catalogue.scratch(length),
    requireSamePlace: async () => {},
    close: async () => {},
  };
};

const createSlots = (context: PortContext): LocalSlotDevices => {
  const { ground, gate, generation } = context;
  const { sealing } = ground.catalogue;
  return {
    open: (slot) =>
      gate.call(generation, 'slot.open', slot, 0, (fault) => {
        if (slot === ground.running) throw new OtadError('SLOT_RUNNING', { slot });
        if (fault === 'open-busy') throw new OtadError('SLOT_BUSY', { slot });
        return createHandle(context, slot);
      }),
    sizeBytes: async (slot) => ground.media[slot].sizeBytes,
    openForReading: async (slot) => ({
      sizeBytes: ground.media[slot].sizeBytes,
      read: (offset, length, signal) =>
        gate.call(generation, 'slot.copy', slot, offset, (fault) => {
          checkCancelled(signal);
          if (fault === 'source-eio') throw new OtadError('SLOT_IO', { slot });
          const bytes = Buffer.from(ground.media[slot].view().subarray(offset, offset + length));
          if (bytes.length !== length) throw new OtadError('SLOT_IO', { slot });
          if (fault === 'source-garbage') bytes[length >> 1] = (bytes[length >> 1] ?? 0) ^ 1;
          return bytes;
        }),
      close: async () => {},
    }),
    readRecord: (slot) =>
      gate.call(generation, 'slot.record', slot, 0, (fault) => {
        if (fault === 'record-eio') throw new OtadError('SLOT_IO', { slot });
        const view = ground.media[slot].view();
        return sealing.decodeRecord(view.subarray(view.length - recordAreaBytes))?.record ?? null;
      }),
  };
};

const checkFailures: Partial<Record<FaultKind, OtadError>> = {
  'check-unreachable': new OtadError('HTTP_UNREACHABLE'),
  'check-retry-after': new OtadError('HTTP_STATUS', { status: 503, retryAfterS: 1800 }),
  'check-expired': new OtadError('METADATA_EXPIRED'),
  'check-rolled-back': new OtadError('METADATA_ROLLBACK'),
};

const failedCheck = (error: OtadError): CheckOutcome => ({ kind: 'failed', failure: toFailure(error) });

const sealedOf = ({ ground }: PortContext, artifact: ArtifactFile): SealedRelease => {
  const sealed = ground.catalogue.byImage(artifact.sha256Hex);
  if (sealed === null) throw new OtadError('HTTP_STATUS', { status: 404 });
  return sealed;
};

/** The image's bytes from one offset to another, as they come over the network. */
const sendPieces = async (
  { ground, gate, timeline, checkers, generation }: PortContext,
  sealed: SealedRelease,
  range: { readonly from: number; readonly to: number },
  sink: ServedSink,
  signal: AbortSignal,
): Promise<void> => {
  for (let offset = range.from; offset < range.to; offset += pieceBytes) {
    let piece = sealed.image.subarray(offset, Math.min(range.to, offset + pieceBytes));
    await gate.call(generation, 'source.piece', '', offset, async (struck) => {
      checkCancelled(signal);
      if (struck === 'server-gone') ground.isServerGone = true;
      if (ground.isServerGone) throw new OtadError('HTTP_UNREACHABLE');
      if (struck === 'piece-truncated') throw new OtadError('HTTP_TRUNCATED');
      if (struck === 'piece-stalls') {
        await pause(timeline, stallMs, signal);
        throw new OtadError('HTTP_TOO_SLOW');
      }
      if (struck === 'piece-wrong') {
        piece = Buffer.from(piece);
        piece[7] = (piece[7] ?? 0) ^ 0x80;
      }
      checkers.onFetched(sealed, piece.length);
    });
    await sink(piece, 'server');
  }
};

/** The index of an image: as long as it should be, or broken off, or with one wrong bit. */
const sendIndex = (
  { ground, gate, generation }: PortContext,
  index: Uint8Array,
  offsetBytes: number,
  sink: ServedSink,
  signal: AbortSignal,
): Promise<void> =>
  gate.call(generation, 'source.index', '', offsetBytes, async (fault) => {
    checkCancelled(signal);
    if (fault === 'server-gone') ground.isServerGone = true;
    if (ground.isServerGone) throw new OtadError('HTTP_UNREACHABLE');
    if (fault === 'index-missing') throw new OtadError('HTTP_STATUS', { status: 404 });
    const bytes = Buffer.from(index.subarray(offsetBytes));
    if (fault === 'index-wrong') bytes[0] = (bytes[0] ?? 0) ^ 0x80;
    const isCut = fault === 'index-truncated';
    await sink(isCut ? bytes.subarray(0, Math.ceil(bytes.length / 2)) : bytes, 'server');
    if (isCut) throw new OtadError('HTTP_TRUNCATED');
  });

const busy = (): OtadError => new OtadError('HTTP_STATUS', { status: 503, retryAfterS: 600 });

const createChecking = ({
  ground,
  gate,
  timeline,
  checkers,
  generation,
}: PortContext): Pick<ReleaseSource, 'check'> => ({
  check: (signal) =>
    gate.call(generation, 'source.check', '', ground.offered.release.sequence, async (fault): Promise<CheckOutcome> => {
      checkers.onCheck();
      if (fault === 'wall-1970' || fault === 'wall-ahead') {
        ground.wallAtBootMs = fault === 'wall-1970' ? 0 : ground.wallAtBootMs + 10 * 365 * 24 * hour;
        ground.isClockTrusted = fault !== 'wall-1970';
      }
      if (fault === 'check-stalls') await pause(timeline, stallMs, signal);
      if (fault === 'server-gone') ground.isServerGone = true;
      if (ground.isServerGone) return failedCheck(new OtadError('HTTP_UNREACHABLE'));
      const error = fault === 'check-stalls' ? new OtadError('HTTP_TIMEOUT') : fault && checkFailures[fault];
      if (error) return failedCheck(error);
      const { sequence } = ground.offered.release;
      const older = ground.catalogue.get(Math.max(1, sequence - 1), true);
      return { kind: 'release', release: fault === 'check-older' ? older.release : ground.offered.release };
    }),
});

const createSource = (context: PortContext): ReleaseSource => ({
  ...createChecking(context),
  serverCount: 1,
  distrust: () => {},
  stream: (file, offsetBytes, sink, signal) => {
    const index = context.ground.catalogue.indexFile(file.sha256Hex);
    if (index !== null) return sendIndex(context, index, offsetBytes, sink, signal);
    return context.gate.call(context.generation, 'source.stream', '', offsetBytes, async (fault) => {
      const sealed = sealedOf(context, file);
      context.checkers.onStream(sealed);
      if (fault === 'stream-busy') throw busy();
      await sendPieces(context, sealed, { from: offsetBytes, to: sealed.image.length }, sink, signal);
    });
  },
  streamRange: (artifact, { offsetBytes, lengthBytes }, sink, signal) =>
    context.gate.call(context.generation, 'source.range', '', offsetBytes, async (fault) => {
      const sealed = sealedOf(context, artifact);
      context.checkers.onStream(sealed);
      if (fault === 'stream-busy') throw busy();
      if (fault === 'range-ignored') throw new OtadError('HTTP_RANGE_MISMATCH', { status: 200 });
      await sendPieces(context, sealed, { from: offsetBytes, to: offsetBytes + lengthBytes }, sink, signal);
    }),
});

const createHealth = ({ ground, gate, timeline, checkers, generation }: PortContext): Health => ({
  assess: ({ deadlineMs, extraChecks }, signal) =>
    gate.call(generation, 'health.assess', ground.running, 0, async (fault): Promise<HealthReport> => {
      const isSound = contentOf(ground, ground.running)?.isHealthy === true && fault !== 'health-fails';
      const isAnswering = fault !== 'health-hangs';
      const failing = (): boolean => !isSound || !isAnswering || ground.isDataFaulty;
      if (fault === 'health-flaps') await pause(timeline, Math.min(deadlineMs, 30_000), signal);
      if (failing()) await pause(timeline, deadlineMs, signal);
      checkCancelled(signal);
      const result = (name: string, isPassed: boolean) => ({
        name,
        isRequired: true,
        isPassed,
        reason: isPassed ? null : 'exit status 1',
        durationMs: 10,
      });
      const report: HealthReport = {
        results: [
          result('application', isSound && isAnswering),
          result('shared-data', !ground.isDataFaulty),
          ...extraChecks.map((name) => result(name, true)),
          { ...result('modem', false), isRequired: false },
        ],
      };
      checkers.onAssessed(report);
      return report;
    }),
});

const createRebooter = ({ ground, gate, timeline, checkers, generation }: PortContext): Rebooter => ({
  request: (slot) =>
    gate.call(generation, 'reboot.request', slot, 0, (fault) => {
      if (fault === 'reboot-refused') throw new OtadError('REBOOT_INEFFECTIVE');
      checkers.onRebootRequest(slot);
      if (fault === 'reboot-stuck') ground.isRebootStuck = true;
      if (fault === 'reboot-ignored' || ground.isRebootStuck) return;
      timeline.setTimer(shutdownMs, () => {
        generation.ending = { kind: 'reboot' };
        timeline.clear();
      });
    }),
});

const createStore = ({ ground, gate, checkers, generation }: PortContext): Store => ({
  load: () =>
    gate.call(generation, 'store.load', '', 0, () => {
      const { state } = ground.database;
      // It went to disk as JSON and comes back as JSON.
      return state === null ? null : (JSON.parse(JSON.stringify(state)) as State);
    }),
  commit: (state, history) =>
    gate.call(generation, 'store.commit', state.phase.kind, state.plan, (fault) => {
      checkers.beforeCommit(state, history, fault === 'store-io');
      if (fault === 'store-io') throw new OtadError('STORE_IO');
      ground.database.state = state;
      ground.database.history.push(...history);
    }),
  readHistory: async (limit) => ground.database.history.slice(-limit).reverse(),
});

const createClock = ({ ground, gate, timeline, generation }: PortContext): Clock => {
  const chance = gate.chance(0xc10c + ground.bootCount);
  return {
    now: (): Moment => {
      const monoMs = timeline.nowMs() - ground.bootStartMs;
      return {
        monoMs,
        wallMs: ground.wallAtBootMs + monoMs,
        isSynced: ground.isClockTrusted,
        random: chance.next(),
        windows: { download: true, reboot: true },
      };
    },
    setTimer: (delayMs, fire) => (generation.ending === null ? timeline.setTimer(delayMs, fire) : { cancel: () => {} }),
  };
};

export const createPorts = (context: PortContext): SimPorts => ({
  boot: createBoot(context),
  slots: createSlots(context),
  source: createSource(context),
  health: createHealth(context),
  rebooter: createRebooter(context),
  store: createStore(context),
  clock: createClock(context),
});
