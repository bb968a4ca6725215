// Time, chance and maintenance windows of this machine. The monotonic time is the kernel's own since boot, so that a
// moment stored before a restart of the agent still means the same after it. The wall clock is shown and asked for
// windows, never trusted for more.

import { existsSync } from 'node:fs';
import { createTask } from 'node-cron';
import { OtadError } from '../core/errors.ts';
import type { Clock } from '../core/ports.ts';
import { setLongTimer } from './long-timer.ts';

export interface ClockOptions {
  /**
   * The clock counts as synchronised while this file exists. systemd-timesyncd makes it; with chrony or another daemon,
   * name a file that its hook makes. The kernel's own flag (adjtimex) is out of Node's reach.
   */
  readonly syncMarkerPath: string;
  /** Cron expressions whose minutes are open; null: always open. */
  readonly windows: { readonly download: string | null; readonly reboot: string | null };
  /** Time zone of the windows; null: the system's. */
  readonly timeZone: string | null;
  readonly wallMs?: () => number;
  readonly monoMs?: () => number;
}

/**
 * Until the clock is synchronised, configured windows stay shut for this long after boot: a gateway without a battery
 * starts at the time of its last shutdown. Afterwards its time counts as it is, or it would never update.
 */
export const syncGraceMs = 60 * 60 * 1000;

const minuteMs = 60_000;

interface Window {
  isOpenAt(wallMs: number): boolean;
}

const alwaysOpen: Window = { isOpenAt: () => true };

const parseWindow = (expression: string | null, timeZone: string | null): Window => {
  if (expression === null) return alwaysOpen;
  try {
    // Never started: it is asked which minutes match, and runs nothing.
    const task = createTask(expression, () => undefined, timeZone === null ? {} : { timezone: timeZone });
    return {
      isOpenAt: (wallMs) => task.match(new Date(Math.floor(wallMs / minuteMs) * minuteMs)),
    };
  } catch (error) {
    throw new OtadError(
      'CONFIG_INVALID',
      { key: 'windows', expected: 'a cron expression', found: expression },
      { cause: error },
    );
  }
};

const kernelMonoMs = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;

export const createClock = (options: ClockOptions): Clock => {
  const wallMs = options.wallMs ?? (() => Date.now());
  const monoMs = options.monoMs ?? kernelMonoMs;
  const download = parseWindow(options.windows.download, options.timeZone);
  const reboot = parseWindow(options.windows.reboot, options.timeZone);

  return {
    now() {
      const wall = wallMs();
      const mono = monoMs();
      const isSynced = existsSync(options.syncMarkerPath);
      const isTold = isSynced || mono >= syncGraceMs;
      const isOpen = (window: Window): boolean => window === alwaysOpen || (isTold && window.isOpenAt(wall));
      return {
        monoMs: mono,
        wallMs: wall,
        isSynced,
        random: Math.random(),
        windows: { download: isOpen(download), reboot: isOpen(reboot) },
      };
    },
    setTimer: setLongTimer,
  };
};
