// The stored form of the core's state and history. A compile error says when it is not exactly the core's types.
// Unknown keys are dropped, not refused: after a rollback the release before reads what a newer one wrote.

import * as z from 'zod';
import { type ErrorClass, type ErrorCode, errorCodes, type Failure } from '../core/errors.ts';
import type { DenyEntry, Phase, Reason, Staged, State } from '../core/state.ts';
import type { HistoryEntry, HistoryType, SlotRecord } from '../core/types.ts';

const listMax = 10_000;
const text = z.string().max(64 * 1024);
const whole = z.int();
const count = z.int().nonnegative();
const list = <T extends z.ZodType>(item: T) => z.array(item).max(listMax);

const slot = z.enum(['a', 'b']);
const releaseRef = z.object({ id: text, version: text, sequence: whole });

const errorClass: z.ZodType<ErrorClass> = z.enum([
  'transient',
  'source',
  'release',
  'device',
  'config',
  'policy',
  'request',
  'bug',
]);

/** A code that only a newer release knows reads as INTERNAL; its message still says what happened. */
const errorCode = z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]).catch('INTERNAL');

const failure = z.object({
  code: errorCode,
  class: errorClass,
  message: text,
  retryAfterS: z.exactOptional(z.number()),
});

const verity = z.object({
  algorithm: z.literal('sha256'),
  blockSizeBytes: z.literal(4096),
  saltHex: text,
  rootHex: text,
  hashOffsetBytes: count,
});

const slotRecord = z.object({
  status: z.enum(['writing', 'verified', 'activated', 'denied']),
  release: releaseRef,
  compatible: text,
  imageLengthBytes: count,
  imageSha256Hex: text,
  verity,
  writtenBytes: count,
  prefixSha256Hex: text,
  bootSetSha256Hex: text.exactOptional(),
  isFullOnly: z.literal(true).exactOptional(),
  reason: text.nullable(),
});

const checking = z.object({
  kind: z.literal('checking'),
  isForced: z.boolean(),
  halted: failure.nullable(),
  folder: z.object({ id: text, path: text }).exactOptional(),
});

/**
 * Read back from a disk a release is no verified one any more: an install that was cut short becomes the check that comes
 * before it. The next step is the same either way: ask the server, and resume what the slot holds.
 */
const interruptedInstall = z
  .object({ kind: z.enum(['fetching', 'verifying']), isForced: z.boolean() })
  .transform(({ isForced }): z.output<typeof checking> => ({ kind: 'checking', isForced, halted: null }));

const phase = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('idle') }),
  checking,
  interruptedInstall,
  z.object({ kind: z.literal('staged') }),
  z.object({ kind: z.literal('activating'), step: z.enum(['verify', 'baseline', 'flip']) }),
  z.object({ kind: z.literal('rebooting'), slot, sinceMs: z.number() }),
  z.object({ kind: z.literal('assessing'), sinceMs: z.number() }),
  z.object({ kind: z.literal('confirming') }),
  z.object({
    kind: z.literal('reverting'),
    step: z.enum(['verify', 'flip', 'reboot']),
    sinceMs: z.number(),
    reason: text,
  }),
  z.object({
    kind: z.literal('marking'),
    step: z.enum(['revert', 'retire']),
    slot,
    reason: text,
    wasConfirmed: z.boolean(),
  }),
  z.object({ kind: z.literal('leaving') }),
  z.object({ kind: z.literal('halted'), failure }),
]);

const staged = z.object({
  slot,
  release: releaseRef,
  verity,
  intent: z.enum(['update', 'rollback']),
  isActivated: z.boolean(),
  isForced: z.boolean(),
  verifiedInBoot: text,
  reboots: count,
  trialBoots: count,
  healthDeadlineMs: z.number(),
  healthChecks: list(text),
  baselineFailing: list(text),
  rollbackFloor: whole,
  floorEpoch: whole,
  notBeforeMs: z.number(),
  // Absent in what the first release stored.
  request: text.nullable().default(null),
  failureReason: text.nullable(),
});

const denyEntry = z.object({ release: releaseRef, reason: text, timeMs: z.number() });

const reason = z.object({
  code: z.enum([
    'up-to-date',
    'below-floor',
    'denied',
    'incompatible',
    'hardware',
    'agent-version',
    'wave',
    'stepping-stone',
    'slot-size',
    'boot-set',
    'health-deadline',
    'data-schema',
    'unconfirmed',
    'hold',
    'download-window',
    'reboot-window',
    'manual-install',
    'manual-reboot',
    'check-failed',
    'install-failed',
  ]),
  sentence: text,
});

export const stateSchema = z.object({
  schema: z.literal(1),
  plan: count,
  bootId: text,
  booted: slot,
  isBootedConfirmed: z.boolean(),
  phase,
  records: z.object({ a: slotRecord.nullable(), b: slotRecord.nullable() }),
  confirmed: releaseRef.nullable(),
  sequenceFloor: whole,
  floorEpoch: whole,
  staged: staged.nullable(),
  denylist: list(denyEntry),
  hold: z.object({ reason: text.nullable(), sinceMs: z.number() }).nullable(),
  failures: count,
  installFailures: z.object({ releaseId: text, count }).nullable(),
  // Absent in what earlier releases stored.
  installSpent: z.object({ releaseId: text, attempts: count, fetchedBytes: count }).nullable().default(null),
  nextPollMs: z.number(),
  lastCheck: z
    .object({
      timeMs: z.number(),
      release: releaseRef.nullable(),
      failure: failure.nullable(),
      reasons: list(reason),
    })
    .nullable(),
  attention: failure.nullable(),
});

const historyTypes = [
  'started',
  'store-rebuilt',
  'check-failed',
  'install-started',
  'install-failed',
  'installed',
  'activated',
  'activate-failed',
  'reboot-requested',
  'trial-started',
  'health-failed',
  'confirmed',
  'rolled-back',
  'rollback-requested',
  'rollback-failed',
  'mark-bad-requested',
  'marked-bad',
  'mark-bad-failed',
  'denied',
  'undenied',
  'held',
  'released',
  'halted',
] as const satisfies readonly HistoryType[];

export const historySchema = z.object({
  type: z.enum(historyTypes),
  timeMs: z.number(),
  isTimeSynced: z.boolean(),
  version: text.nullable(),
  slot: slot.nullable(),
  reason: text.nullable(),
  code: text.nullable(),
});

/** A type without `readonly` and brands, so that two of them can be compared for identity. */
type Plain<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends readonly (infer Item)[]
    ? Plain<Item>[]
    : { -readonly [K in keyof T as K extends symbol ? never : K]: Plain<T[K]> };

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

type Stored<T extends z.ZodType> = Plain<z.output<T>>;

type LoadedPhase = Exclude<Phase, { readonly kind: 'fetching' | 'verifying' }>;

/** Compiles only while every stored form is the core's type, no key more and none less. */
export type Claims = [
  Holds<Same<Stored<typeof stateSchema>, Plain<Omit<State, 'phase'> & { readonly phase: LoadedPhase }>>>,
  Holds<Same<Stored<typeof phase>, Plain<LoadedPhase>>>,
  Holds<Same<Stored<typeof staged>, Plain<Staged>>>,
  Holds<Same<Stored<typeof slotRecord>, Plain<SlotRecord>>>,
  Holds<Same<Stored<typeof denyEntry>, Plain<DenyEntry>>>,
  Holds<Same<Stored<typeof reason>, Plain<Reason>>>,
  Holds<Same<Stored<typeof failure>, Plain<Failure>>>,
  Holds<Same<Stored<typeof historySchema>, Plain<HistoryEntry>>>,
];
type Holds<T extends true> = T;
