// Every touch of the world passes here: it is counted, traced, given its fault, and stopped when the machine or the process is
// gone. A call of a process that was killed never returns and has no effect, as in life.

import type { Command } from '../../agent/core/events.ts';
import type { SlotName } from '../../agent/core/types.ts';
import { type Chance, createChance, foldSeed } from './chance.ts';
import { createFaultPlan, type FaultPlan } from './fault-plan.ts';
import { type FaultKind, faultKinds, type Life, type PointKind, pointKinds } from './faults.ts';
import type { CutStyle } from './medium.ts';
import type { Timeline } from './timeline.ts';

/** How a process ended. `cut`: the power went; `kill`: SIGKILL or a crash; `reboot`: orderly. */
export type Ending =
  | { readonly kind: 'cut'; readonly style: CutStyle; readonly isDatabaseLost: boolean }
  | { readonly kind: 'kill'; readonly isDatabaseLost: boolean }
  | { readonly kind: 'reboot' };

/** One process of otad, from start to end. */
export interface Generation {
  ending: Ending | null;
  submit: ((command: Command) => void) | null;
  /** What a person typed while the process still started. */
  readonly typed: Command[];
  readonly running: SlotName;
}

/** One point of the trace: what was called, and what struck there. */
export interface TracePoint {
  readonly point: PointKind;
  readonly fault: FaultKind | null;
}

export type Act<T> = (fault: FaultKind | null) => T | Promise<T>;

export interface Gate {
  /** `running`: the slot that this boot started. */
  open(running: SlotName): Generation;
  /** A port call of the production code. `subject` and `value` tell calls of one kind apart in the trace. */
  call<T>(generation: Generation, point: PointKind, subject: string, value: number, act: Act<T>): Promise<T>;
  /** Something that the world does by itself. */
  strike(point: PointKind, subject: string): FaultKind | null;
  note(text: string): void;
  chance(label: number): Chance;
  readonly plan: FaultPlan;
  points(): readonly TracePoint[];
  lines(): readonly string[];
  /** Folds everything that happened: equal for equal runs. */
  hash(): number;
}

/** A life that touches the world more often than this is in a loop. */
export const pointsMax = 20_000;

const endings: Partial<Record<FaultKind, Ending>> = {
  'cut-before': { kind: 'cut', style: 'none-persists', isDatabaseLost: false },
  'cut-lost': { kind: 'cut', style: 'none-persists', isDatabaseLost: false },
  'cut-kept': { kind: 'cut', style: 'all-persists', isDatabaseLost: false },
  'cut-torn': { kind: 'cut', style: 'torn', isDatabaseLost: false },
  'cut-with-database': { kind: 'cut', style: 'torn', isDatabaseLost: true },
  kill: { kind: 'kill', isDatabaseLost: false },
  'kill-before': { kind: 'kill', isDatabaseLost: false },
  'kill-with-database': { kind: 'kill', isDatabaseLost: true },
};
const beforeEffect: ReadonlySet<FaultKind> = new Set(['cut-before', 'kill-before']);

const commands: Partial<Record<FaultKind, Command | ((running: SlotName) => Command)>> = {
  'command-check': { command: 'check' },
  'command-install': { command: 'install' },
  'command-reboot': { command: 'reboot' },
  'command-confirm': { command: 'confirm' },
  'command-rollback': { command: 'rollback', reason: 'simulated' },
  'command-mark-bad': { command: 'mark-bad', slot: null, reason: 'simulated' },
  'command-mark-running-bad': (running) => ({ command: 'mark-bad', slot: running, reason: 'simulated' }),
  'command-hold': { command: 'hold', reason: 'simulated' },
};

const pointIndex = new Map<PointKind, number>(pointKinds.map((point, index) => [point, index]));
const faultIndex = new Map<FaultKind, number>(faultKinds.map((fault, index) => [fault, index]));

const never = <T>(): Promise<T> => new Promise<T>(() => {});

export const createGate = (life: Life, timeline: Timeline, isTraced: boolean): Gate => {
  const plan = createFaultPlan(life);
  const points: TracePoint[] = [];
  const lines: string[] = [];
  let hash = foldSeed(life.seed);

  const enter = (point: PointKind, subject: string, value: number): FaultKind | null => {
    const fault = plan.draw(points.length, point);
    timeline.advance(1 + (points.length % 3));
    hash = foldSeed(
      hash,
      pointIndex.get(point) ?? 0,
      value,
      timeline.nowMs(),
      fault === null ? -1 : (faultIndex.get(fault) ?? 0),
      subject.length === 0 ? 0 : subject.charCodeAt(0) * 256 + subject.length,
    );
    if (isTraced) {
      const struck = fault === null ? '' : `  <== ${fault}`;
      lines.push(`${points.length} t=${Math.round(timeline.nowMs())} ${point} ${subject} ${value || ''}${struck}`);
    }
    points.push({ point, fault });
    if (points.length > pointsMax) throw new RangeError(`more than ${pointsMax} port calls in one life`);
    return fault;
  };

  const end = (generation: Generation, ending: Ending): void => {
    generation.ending = ending;
    timeline.clear();
  };

  return {
    open: (running) => ({ ending: null, submit: null, typed: [], running }),
    call: async (generation, point, subject, value, act) => {
      if (generation.ending !== null) return never();
      const fault = enter(point, subject, value);
      if (fault === null) return act(null);
      const ending = endings[fault];
      if (ending === undefined) {
        const order = commands[fault];
        const command = typeof order === 'function' ? order(generation.running) : order;
        // A command comes from outside: never in the middle of what runs without a pause.
        if (command !== undefined) {
          queueMicrotask(() => {
            if (generation.submit === null) generation.typed.push(command);
            else generation.submit(command);
          });
        }
        return act(command === undefined ? fault : null);
      }
      if (beforeEffect.has(fault)) {
        end(generation, ending);
        return never();
      }
      const result = act(null);
      end(generation, ending);
      // The effect took place; nobody is there to hear of it.
      void Promise.resolve(result).catch(() => {});
      return never();
    },
    strike: (point, subject) => enter(point, subject, 0),
    note: (text) => {
      if (isTraced) lines.push(`      t=${Math.round(timeline.nowMs())} ${text}`);
    },
    chance: (label) => createChance(foldSeed(life.seed, label)),
    plan,
    points: () => points,
    lines: () => lines,
    hash: () => hash,
  };
};
