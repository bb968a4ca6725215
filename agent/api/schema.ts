// The shapes that cross the API, as zod schemas: requests are checked against them, the OpenAPI document is made from them.
// otactl takes only the types from here: loading zod would double its start time, and the socket's owner is otad itself.
// Times are milliseconds since 1970 by the local clock, sizes are bytes, digests lower-case hex.

import * as z from 'zod';
import { type ErrorCode, errorCodes } from '../core/errors.ts';
import { folderIdPattern, folderPathCharsMax } from './folder-protocol.ts';

const slotName = z.enum(['a', 'b']);
const timeMs = z.number();
const count = z.number().min(0);
/** Longest reason that an operator may give. */
export const reasonCharsMax = 200;
export const historyLimitMax = 1000;
export const historyLimitDefault = 50;

export const failureSchema = z.strictObject({
  code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]),
  class: z.enum(['transient', 'source', 'release', 'device', 'config', 'policy', 'request', 'bug']),
  message: z.string(),
  retryAfterS: z.number().optional(),
});

export const errorSchema = z.strictObject({
  error: z.strictObject({
    code: failureSchema.shape.code,
    class: failureSchema.shape.class,
    message: z.string(),
    details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])).optional(),
  }),
});

export const slotSchema = z.strictObject({
  name: slotName,
  version: z.string().nullable().describe('From the record in the slot; null when nothing proves it'),
  state: z.enum(['good', 'pending', 'bad']).describe('What the bootloader says'),
  booted: z.boolean(),
  primary: z.boolean().describe('The bootloader tries this slot next'),
  path: z.string(),
  verityRoot: z.string().nullable().describe('dm-verity root; of the running kernel for the booted slot'),
  hashOffset: z.number().nullable().describe('Byte offset of the dm-verity superblock in the slot'),
  triesLeft: z.number().nullable().describe('Boot attempts left; null where the bootloader does not count'),
  recordStatus: z.enum(['writing', 'verified', 'activated', 'denied']).nullable(),
  verified: z.boolean().describe('The whole slot was read back and matched its signed root'),
  note: z.string().describe('What the slot is, as a sentence'),
});

export const slotsSchema = z.strictObject({ slots: z.array(slotSchema) });

export const progressSchema = z.strictObject({
  slot: slotName,
  version: z.string(),
  step: z.enum(['reading', 'fetching', 'verifying']),
  doneBytes: count,
  totalBytes: count,
  fetchedBytes: count.describe('Came over the network, or from the offered folder, in this attempt'),
  copiedBytes: count.describe("Of image and boot files, from this gateway's own slots in this attempt"),
  rebuiltBytes: count.describe('Of the image, rebuilt from a patch in this attempt'),
  savedBytes: count.describe('What the network was spared in this attempt'),
  bytesPerS: count
    .nullable()
    .describe('Over the last seconds, of the network while fetching, of the medium otherwise; null: not known yet'),
  secondsLeft: count.nullable().describe('Until this step ends; null: not known yet'),
  detour: z.string().nullable().describe('Why a way that costs less was left in this attempt; null: none was'),
  percent: z.number().min(0).max(100),
});

const conditionSchema = z.strictObject({ code: z.string(), sentence: z.string() });

export const statusSchema = z.strictObject({
  phase: z.enum([
    'idle',
    'checking',
    'fetching',
    'verifying',
    'staged',
    'activating',
    'rebooting',
    'assessing',
    'confirming',
    'reverting',
    'marking',
    'leaving',
    'halted',
  ]),
  runs: z.string().describe('What runs and whether it is confirmed, as a sentence'),
  now: z.string().describe('What happens now, as a sentence'),
  next: z.string().describe('What happens next, or what it waits for, as a sentence'),
  todo: z.string().nullable().describe('What a person should do now, as a sentence; null: nothing'),
  booted: slotName,
  version: z.string().nullable().describe('Version that runs, by evidence; null when nothing proves it'),
  confirmed: z.boolean().describe('The bootloader holds the running slot for good'),
  primary: slotName,
  slots: z.array(slotSchema),
  progress: progressSchema.nullable(),
  folder: z
    .string()
    .nullable()
    .describe('Folder that the release under way comes from; null: the servers, or nothing is fetched'),
  staged: z
    .strictObject({
      slot: slotName,
      version: z.string(),
      releaseId: z.string(),
      intent: z.enum(['update', 'rollback']),
      activated: z.boolean(),
    })
    .nullable(),
  wayBack: slotName.nullable().describe('The slot that a rollback would return to now; null: there is none'),
  attention: failureSchema.nullable().describe('What a person should look at'),
  hold: z.strictObject({ reason: z.string().nullable(), sinceMs: timeMs }).nullable(),
  lastCheck: z
    .strictObject({
      timeMs,
      version: z.string().nullable(),
      releaseId: z.string().nullable(),
      failure: failureSchema.nullable(),
      reasons: z.array(conditionSchema),
    })
    .nullable(),
  nextPollInMs: count,
  denylist: z.array(z.string()).describe('Versions that failed here'),
  evidence: z.array(z.string()).describe('What was read of the bootloader and the kernel, and from where'),
  agentVersion: z.string(),
  compatible: z.string(),
  channel: z.string(),
  plan: count.describe('Number of the newest decision; rises with each'),
  timeMs,
  timeSynced: z.boolean(),
});

export const bootSchema = z.strictObject({
  bootloader: z.enum(['uboot', 'systemd-boot', 'tryboot']),
  foundBy: z.string().describe('What shows that it is this bootloader'),
  runs: z.string().describe('What runs and whether it is confirmed, as a sentence'),
  booted: slotName,
  primary: slotName.describe('The slot that the next boot tries'),
  pending: z.string().nullable().describe('What is under way towards a reboot, as a sentence; null: nothing'),
  bootedRoot: z.string().nullable().describe('dm-verity root that the running kernel was started with'),
  witnesses: z
    .array(z.strictObject({ name: z.string(), says: z.string(), slot: slotName.nullable() }))
    .describe('Who was there at the boot; slot null: silent'),
  slots: z.array(
    z.strictObject({
      name: slotName,
      booted: z.boolean(),
      state: z.enum(['good', 'pending', 'bad']),
      triesLeft: z.number().nullable(),
      version: z.string().nullable().describe('From the record in the slot; null when nothing proves it'),
      recordRoot: z.string().nullable().describe('dm-verity root by the record in the slot'),
      bootloaderRoot: z.string().nullable().describe('dm-verity root that the bootloader hands to the kernel'),
      lastGood: z
        .strictObject({ timeMs, isTimeSynced: z.boolean(), what: z.enum(['confirmed', 'verified']) })
        .nullable()
        .describe('When this version last proved itself in this slot; null: the history does not reach back so far'),
      note: z.string().describe('What the slot is, as a sentence'),
      path: z.string(),
      device: z.string().nullable().describe('What the path leads to; null: a file, or nothing'),
      disk: z.string().nullable(),
      label: z.string().nullable(),
      uuid: z.string().nullable(),
      sizeBytes: count,
    }),
  ),
  wayBack: slotName.nullable().describe('The slot that a rollback would return to now; null: there is none'),
  problems: z.array(failureSchema).describe('What keeps boot control from being read, or a slot from being written'),
  evidence: z.array(z.string()).describe('What was read of the bootloader and the kernel, and from where'),
  records: z
    .array(z.strictObject({ name: z.string(), value: z.string() }))
    .describe('Variables, entries or files that the bootloader goes by'),
  timeMs,
  timeSynced: z.boolean(),
});

export const historySchema = z.strictObject({
  history: z.array(
    z.strictObject({
      type: z.string(),
      timeMs,
      isTimeSynced: z.boolean(),
      version: z.string().nullable(),
      slot: slotName.nullable(),
      reason: z.string().nullable(),
      code: z.string().nullable(),
    }),
  ),
});

export const whySchema = z.strictObject({
  summary: z.string(),
  reasons: z.array(
    z.strictObject({
      topic: z.enum(['attention', 'hold', 'update', 'denylist', 'rollback']),
      code: z.string(),
      sentence: z.string(),
      timeMs: timeMs.nullable(),
    }),
  ),
});

export const configSchema = z.strictObject({
  leftOut: z.array(failureSchema).describe('One for each settings file that is wrong and does not count'),
  config: z.array(
    z.strictObject({
      key: z.string(),
      value: z.unknown(),
      origin: z.string().describe('File that set it, or "default"'),
    }),
  ),
});

export const denylistSchema = z.strictObject({
  denylist: z.array(
    z.strictObject({
      releaseId: z.string(),
      version: z.string(),
      sequence: z.number(),
      reason: z.string(),
      timeMs,
    }),
  ),
});

export const acceptedSchema = z.strictObject({
  message: z.string().describe('What happens now, as a sentence'),
});

export const historyQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(historyLimitMax).default(historyLimitDefault),
});
export const noQuery = z.strictObject({});
export const noBody = z.strictObject({});

// A reason ends in terminals, pages and logs: one line of plain text.
const reason = z
  .string()
  .trim()
  .min(1)
  .max(reasonCharsMax)
  .regex(/^\P{Cc}*$/u, 'one line of text without control characters');
export const reasonBody = z.strictObject({ reason: reason.nullable().default(null) });
export const installBody = z.strictObject({
  folder: z
    .strictObject({
      id: z.string().regex(folderIdPattern).describe('UUID of connections that are open at /v1/folder/<id>'),
      path: z
        .string()
        .min(1)
        .max(folderPathCharsMax)
        .regex(/^\P{Cc}*$/u, 'without control characters')
        .describe('Shown to people; otad does not open it'),
    })
    .nullable()
    .default(null)
    .describe('A folder to install from instead of the servers; `otactl install FOLDER` offers one'),
});
export const markBadBody = z.strictObject({
  slot: slotName.nullable().default(null).describe('null: the slot that does not run'),
  reason: reason.nullable().default(null),
});
export const undenyBody = z.strictObject({ releaseId: z.string().min(1).max(reasonCharsMax) });

export type ErrorBody = z.infer<typeof errorSchema>;
export type SlotBody = z.infer<typeof slotSchema>;
export type SlotsBody = z.infer<typeof slotsSchema>;
export type ProgressBody = z.infer<typeof progressSchema>;
export type StatusBody = z.infer<typeof statusSchema>;
export type BootBody = z.infer<typeof bootSchema>;
export type HistoryBody = z.infer<typeof historySchema>;
export type WhyBody = z.infer<typeof whySchema>;
export type ConfigBody = z.infer<typeof configSchema>;
export type DenylistBody = z.infer<typeof denylistSchema>;
export type AcceptedBody = z.infer<typeof acceptedSchema>;
