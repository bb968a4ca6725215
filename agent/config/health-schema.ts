// Settings of the health checks: which are run, how long each may take, and how long a new release has until they pass.

import * as z from 'zod';
import { healthDeadlineMaxMsDefault } from '../core/trial-time.ts';
import { day, hour, minute, pathSchema, second, whole } from './value-schema.ts';

const healthFolders = ['/usr/lib/otad/health.d', '/run/otad/health.d', '/etc/otad/health.d'];

export const healthSchema = z
  .strictObject({
    deadlineMs: whole(second, day)
      .default(5 * minute)
      .describe('How long a new release may take until all required checks pass, unless the release names a time.'),
    deadlineMaxMs: whole(second, day)
      .default(healthDeadlineMaxMsDefault)
      .describe(
        'Releases that ask for more are not installed. Keep it five minutes below otad-deadman.timer, which would end their trials.',
      ),
    requiredDirs: z
      .array(pathSchema)
      .max(8)
      .default(healthFolders.map((folder) => `${folder}/required.d`))
      .describe('Folders of required checks. A file in a later folder replaces one of the same name.'),
    wantedDirs: z
      .array(pathSchema)
      .max(8)
      .default(healthFolders.map((folder) => `${folder}/wanted.d`))
      .describe('Folders of wanted checks: their failures are reported, and nothing else.'),
    checkTimeoutMs: whole(100, hour)
      .default(30 * second)
      .describe('A check that takes longer is ended and has failed.'),
    retryMs: whole(10, hour)
      .default(5 * second)
      .describe('Pause between two rounds of the required checks; they must pass in two rounds in a row.'),
    systemdUnits: z
      .array(
        z
          .string()
          .regex(/^[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]{0,254}$/)
          .meta({ expected: 'a systemd unit name' }),
      )
      .max(64)
      .default([])
      .describe('Units that must be active (check systemd-units-active).'),
  })
  .prefault({});
