// Memory of the daemon on the virtual gateway: idle, and the most it ever took through an install; beside a bare Node
// kept alive. The daemon runs with the flags of its unit, as on a device; bare Node without any.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createWorld } from '../e2e/world.ts';
import { residentMib } from './process-cost.ts';

const mebibyte = 1024 * 1024;
/** V8 tidies up a resting process once, 20 to 45 s after its last work; a daemon rests for an hour. */
const settleMs = 60_000;
const bareSettleMs = 3000;

export interface MemoryCost {
  readonly ratio: number;
  /** Resident set in MiB. */
  readonly idleMib: number;
  readonly peakMib: number;
  readonly bareNodeMib: number;
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

const measureBareNode = async (): Promise<number> => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1 << 30)'], { stdio: 'ignore' });
  try {
    await pause(bareSettleMs);
    return await residentMib(child.pid ?? 0, 'VmRSS');
  } finally {
    child.kill();
  }
};

export const measureMemory = async (): Promise<MemoryCost> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-bench-'));
  const world = await createWorld({
    folder,
    slotSizeBytes: 192 * mebibyte,
    baseBytes: 96 * mebibyte,
    applicationBytes: mebibyte,
    // One poll at the start; the next one is asked for.
    settings: { poll: { intervalMs: 3_600_000, jitter: 0 }, autoReboot: false },
  });
  const { gateway, vendor } = world;
  try {
    await gateway.powerOn();
    await gateway.waitUntil((status) => status.phase === 'idle' && status.lastCheck !== null);
    await pause(settleMs);
    const idleMib = await residentMib(gateway.agentPid ?? 0, 'VmRSS');
    await vendor.offer('1.1');
    await gateway.otactl('install', '--yes');
    await gateway.waitUntil((status) => status.phase === 'staged', 120_000);
    const peakMib = await residentMib(gateway.agentPid ?? 0, 'VmHWM');
    const bareNodeMib = await measureBareNode();
    return { ratio: idleMib / bareNodeMib, idleMib, peakMib, bareNodeMib };
  } finally {
    await world.close();
    await rm(folder, { recursive: true });
  }
};
