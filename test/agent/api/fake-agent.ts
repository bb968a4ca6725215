// A stateful AgentControl in memory: commands change its state the way the real agent's would, one step after another,
// so the API and otactl can be driven from outside. What the 'server' offers is set by the test.

import type { Failure } from '../../../agent/core/errors.ts';
import type { Command, Reply } from '../../../agent/core/events.ts';
import type { AgentControl, Clock, Snapshot } from '../../../agent/core/ports.ts';
import type { Phase, Reason, Staged, State } from '../../../agent/core/state.ts';
import type {
  BootStatus,
  HistoryEntry,
  Moment,
  Progress,
  Release,
  ReleaseRef,
  SlotName,
  SlotRecord,
  Verified,
} from '../../../agent/core/types.ts';
import { aStaged } from '../../support/builders.ts';

export const aRelease = (version: string, sequence: number): ReleaseRef => ({ id: `gw-${version}`, version, sequence });

export const rootOf = (version: string): string => version.replace(/\D/g, '').padEnd(64, 'c');

export const aRecord = (release: ReleaseRef, changes: Partial<SlotRecord> = {}): SlotRecord => ({
  status: 'verified',
  release,
  compatible: 'acme-gw',
  imageLengthBytes: 8192,
  imageSha256Hex: 'ab'.repeat(32),
  verity: {
    algorithm: 'sha256',
    blockSizeBytes: 4096,
    saltHex: '00'.repeat(32),
    rootHex: rootOf(release.version),
    hashOffsetBytes: 8192,
  },
  writtenBytes: 8192,
  prefixSha256Hex: 'ab'.repeat(32),
  reason: null,
  ...changes,
});

export const aBoot = (changes: Partial<BootStatus> = {}): BootStatus => ({
  booted: 'a',
  primary: 'a',
  slots: { a: { state: 'good', triesLeft: null }, b: { state: 'bad', triesLeft: null } },
  bootedRoot: rootOf('1.0'),
  evidence: ['otad.slot=a on the kernel command line'],
  ...changes,
});

export const aState = (changes: Partial<State> = {}): State => ({
  schema: 1,
  plan: 1,
  bootId: 'boot-1',
  booted: 'a',
  isBootedConfirmed: true,
  phase: { kind: 'idle' },
  records: { a: aRecord(aRelease('1.0', 1), { status: 'activated' }), b: null },
  confirmed: aRelease('1.0', 1),
  sequenceFloor: 1,
  floorEpoch: 0,
  staged: null,
  denylist: [],
  hold: null,
  failures: 0,
  installFailures: null,
  installSpent: null,
  nextPollMs: 720_000,
  lastCheck: null,
  attention: null,
  ...changes,
});

export const aMoment = (changes: Partial<Moment> = {}): Moment => ({
  monoMs: 0,
  wallMs: Date.UTC(2026, 10, 20, 12, 0, 0),
  isSynced: true,
  random: 0.5,
  windows: { download: true, reboot: false },
  ...changes,
});

export const aFailure = (code: Failure['code'], message: string): Failure => ({ code, class: 'source', message });

const stagedOf = (release: ReleaseRef, intent: 'update' | 'rollback'): Staged =>
  aStaged({ release, intent, verity: aRecord(release).verity });

/** 1.1 is verified in slot b and waits for its reboot. */
export const aStagedState = (): Partial<State> => {
  const release = aRelease('1.1', 2);
  return {
    phase: { kind: 'staged' },
    records: { a: aRecord(aRelease('1.0', 1), { status: 'activated' }), b: aRecord(release) },
    staged: stagedOf(release, 'update'),
  };
};

const refuse = (code: Failure['code'], message: string): Reply => ({ isAccepted: false, code, message });
const accept = (message: string): Reply => ({ isAccepted: true, message });

/** What a check finds, and what an install of it ends in. */
export interface Offer {
  readonly release: ReleaseRef | null;
  readonly failure: Failure | null;
  readonly reasons: readonly Reason[];
  readonly installFailure: Failure | null;
}

export const nothingNew: Offer = {
  release: aRelease('1.0', 1),
  failure: null,
  reasons: [{ code: 'up-to-date', sentence: '1.0 is the newest release.' }],
  installFailure: null,
};

/** What a download shows of itself. */
export const aProgress = (over: Partial<Progress> = {}): Progress => ({
  slot: 'b',
  version: '1.1',
  step: 'fetching',
  doneBytes: 0,
  totalBytes: 0,
  fetchedBytes: 0,
  copiedBytes: 0,
  rebuiltBytes: 0,
  savedBytes: 0,
  detour: null,
  bytesPerS: null,
  secondsLeft: null,
  ...over,
});

export class FakeAgent implements AgentControl {
  offer: Offer = nothingNew;
  isBusy = false;
  /** What the read-back of the other slot finds. */
  rollbackFailure: Failure | null = null;
  /** While set, a download stops half way until it settles. */
  gate: Promise<void> | null = null;
  /** Thrown by the next snapshot, as a bug would. */
  bug: Error | null = null;
  moment: Moment;
  readonly commands: Command[] = [];
  history: HistoryEntry[] = [];
  #snapshot: Snapshot;
  readonly #listeners = new Set<(snapshot: Snapshot) => void>();

  constructor(changes: { state?: Partial<State>; boot?: Partial<BootStatus>; moment?: Partial<Moment> } = {}) {
    this.#snapshot = { state: aState(changes.state), boot: aBoot(changes.boot), progress: null };
    this.moment = aMoment(changes.moment);
  }

  get clock(): Clock {
    return {
      now: () => this.moment,
      setTimer: (delayMs, fire) => {
        const timer = setTimeout(fire, delayMs);
        timer.unref();
        return { cancel: () => clearTimeout(timer) };
      },
    };
  }

  get store() {
    return { readHistory: async (limit: number) => this.history.slice(0, limit) };
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  snapshot(): Snapshot {
    if (this.bug !== null) throw this.bug;
    return this.#snapshot;
  }

  subscribe(listener: (snapshot: Snapshot) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  change(state: Partial<State>, progress: Progress | null = null, boot: Partial<BootStatus> = {}): void {
    const old = this.#snapshot;
    this.#snapshot = { state: { ...old.state, ...state }, boot: { ...old.boot, ...boot }, progress };
    for (const listener of this.#listeners) listener(this.#snapshot);
  }

  note(type: HistoryEntry['type'], changes: Partial<HistoryEntry> = {}): void {
    this.history = [
      {
        type,
        timeMs: this.#tick(),
        isTimeSynced: true,
        version: null,
        slot: null,
        reason: null,
        code: null,
        ...changes,
      },
      ...this.history,
    ];
  }

  async submit(command: Command): Promise<Reply> {
    this.commands.push(command);
    const { state } = this.#snapshot;
    if (this.isBusy) return refuse('BUSY', 'otad is writing 1.1 into slot b.');
    switch (command.command) {
      case 'check':
        this.#plan({ kind: 'checking', isForced: true, halted: null });
        setImmediate(() => this.#check(false));
        return accept('The server is asked for news.');
      case 'install':
        this.#plan({ kind: 'checking', isForced: true, halted: null });
        setImmediate(() => this.#check(true));
        return accept('Checks and installs now.');
      case 'reboot':
        if (state.staged === null) return refuse('NOTHING_TO_DO', 'Nothing is staged.');
        this.#plan({ kind: 'rebooting', slot: state.staged.slot, sinceMs: 0 });
        return accept(`Reboots into ${state.staged.release.version}.`);
      case 'confirm':
        if (state.isBootedConfirmed) return refuse('NOTHING_TO_DO', 'The running system is confirmed.');
        this.change({ isBootedConfirmed: true });
        return accept('Confirmed.');
      case 'rollback':
        if (state.records.b === null) return refuse('NO_ROLLBACK_TARGET', 'Slot b holds no verified system.');
        this.change({ staged: stagedOf(state.records.b.release, 'rollback') });
        this.note('rollback-requested', { reason: command.reason });
        this.#plan({ kind: 'activating', step: 'verify' });
        setImmediate(() => this.#goBack());
        return accept(`Returns to ${state.records.b.release.version}.`);
      case 'mark-bad': {
        const slot = command.slot ?? 'b';
        if (slot === 'a' && state.records.b === null) return refuse('NO_ROLLBACK_TARGET', 'Slot b holds nothing.');
        const reason = command.reason ?? 'TEST';
        this.#plan({ kind: 'marking', step: slot === 'a' ? 'revert' : 'retire', slot, reason, wasConfirmed: true });
        setImmediate(() => this.#mark(slot, reason));
        return accept(`Marking slot ${slot} bad.`);
      }
      case 'hold':
        this.change({ hold: { reason: command.reason, sinceMs: this.moment.wallMs } });
        return accept('Updates are held.');
      case 'release-hold':
        if (state.hold === null) return refuse('NOTHING_TO_DO', 'Nothing is held.');
        this.change({ hold: null });
        return accept('Updates go on.');
      case 'undeny': {
        const rest = state.denylist.filter((entry) => entry.release.id !== command.releaseId);
        if (rest.length === state.denylist.length) return refuse('NOT_FOUND', 'It is not on the denylist.');
        this.change({ denylist: rest });
        return accept('May be tried again.');
      }
    }
  }

  #tick(): number {
    this.moment = { ...this.moment, monoMs: this.moment.monoMs + 1, wallMs: this.moment.wallMs + 1 };
    return this.moment.wallMs;
  }

  #goBack(): void {
    const { rollbackFailure } = this;
    if (rollbackFailure === null) {
      this.change({ phase: { kind: 'rebooting', slot: 'b', sinceMs: 0 } });
      return;
    }
    this.note('rollback-failed', { slot: 'b', reason: rollbackFailure.message, code: rollbackFailure.code });
    this.change({ phase: { kind: 'idle' }, staged: null });
  }

  #mark(slot: SlotName, reason: string): void {
    this.note('marked-bad', { slot, reason });
    this.change({ phase: { kind: slot === 'a' ? 'leaving' : 'idle' } });
  }

  #plan(phase: Phase): void {
    this.change({ plan: this.#snapshot.state.plan + 1, phase });
  }

  #check(isInstalling: boolean): void {
    const { release, failure, reasons } = this.offer;
    const lastCheck = { timeMs: this.#tick(), release, failure, reasons };
    if (
      !isInstalling ||
      release === null ||
      failure !== null ||
      reasons.some((reason) => reason.code !== 'manual-install')
    ) {
      this.change({ lastCheck, phase: { kind: this.#snapshot.state.staged === null ? 'idle' : 'staged' } });
      return;
    }
    // Only the name is looked at behind the API; the rest of a release never leaves the core.
    const verified = { ...release } as unknown as Verified<Release>;
    this.change({ lastCheck });
    this.#plan({ kind: 'fetching', step: 'write', slot: 'b', release: verified, isForced: true });
    setImmediate(() => this.#write(release, 0));
  }

  #write(release: ReleaseRef, part: number): void {
    const { installFailure } = this.offer;
    if (part < 4) {
      const doneBytes = 2048 * (part + 1);
      this.change({}, aProgress({ version: release.version, doneBytes, totalBytes: 8192, fetchedBytes: doneBytes }));
      const isHalfWay = part === 1 && this.gate !== null;
      (isHalfWay ? this.gate : Promise.resolve())?.then(() => setImmediate(() => this.#write(release, part + 1)));
    } else if (installFailure !== null) {
      this.note('install-failed', {
        version: release.version,
        reason: installFailure.message,
        code: installFailure.code,
      });
      this.#plan({ kind: 'idle' });
    } else {
      const { records } = this.#snapshot.state;
      this.change({ records: { ...records, b: aRecord(release) }, staged: stagedOf(release, 'update') });
      this.#plan({ kind: 'staged' });
    }
  }
}
