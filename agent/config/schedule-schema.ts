// Settings of when: how often servers are asked, how long failures are waited out, in which minutes a download or a reboot may
// begin.

import { validate as isCron } from 'node-cron';
import * as z from 'zod';
import { day, hour, minute, second, whole } from './value-schema.ts';

/** Five fields: a sixth one (seconds) would open a window for one second in a minute. */
const isMinuteCron = (text: string): boolean => text.trim().split(/\s+/).length === 5 && isCron(text);

const windowSchema = z
  .string()
  .max(256)
  .refine(isMinuteCron)
  .meta({ expected: 'a cron expression of five fields (minute hour day month weekday)' })
  .nullable();

const isTimeZone = (text: string): boolean => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }) !== null;
  } catch {
    return false;
  }
};

export const pollSchema = z
  .strictObject({
    intervalMs: whole(second, 30 * day)
      .default(hour)
      .describe('Time between two checks for a release.'),
    jitter: z
      .number()
      .min(0)
      .max(1)
      .default(0.1)
      .describe('Share of the interval by which checks are spread, so that a fleet does not ask all at once.'),
  })
  .prefault({});

export const backoffSchema = z
  .strictObject({
    minMs: whole(100, day).default(minute).describe('Wait after the first failure; it doubles with each further one.'),
    maxMs: whole(100, 30 * day)
      .default(hour)
      .describe('The longest wait after failures; after a fault of the device itself 24 times that.'),
  })
  .prefault({});

export const windowsSchema = z
  .strictObject({
    download: windowSchema
      .default(null)
      .describe('Minutes in which a download may start, such as "* 2-4 * * *"; null: always.'),
    reboot: windowSchema
      .default(null)
      .describe('Minutes in which otad may reboot into a new release, such as "* 3 * * 6"; null: always.'),
    timeZone: z
      .string()
      .max(64)
      .refine(isTimeZone)
      .meta({ expected: 'a time zone name such as "Europe/Vienna"' })
      .nullable()
      .default(null)
      .describe('Time zone of the windows; null: the time zone of the system.'),
  })
  .prefault({});
