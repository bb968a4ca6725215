// What every end-to-end test needs around a world: one vendor built for a whole file, a folder that goes away, and the
// checks that any slot and any ending must stand.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { StatusBody } from '../../agent/api/schema.ts';
import type { SlotName } from '../../agent/core/types.ts';
import { runProgram, runTool } from './child-process.ts';
import type { Gateway } from './gateway.ts';
import { buildVendor, createWorld, type VendorOptions, type World, type WorldOptions } from './world.ts';

const mebibyte = 1024 * 1024;

export const smallVendor: VendorOptions = {
  baseBytes: mebibyte,
  applicationBytes: mebibyte / 2,
};

export interface Stage {
  /** A world of the test's own, with a copy of the vendor; ended and removed with the test. */
  readonly world: (context: TestContext, options?: Partial<WorldOptions>) => Promise<World>;
  readonly close: () => Promise<void>;
}

/** Builds the vendor that the tests of one file start from. */
export const createStage = async (options: VendorOptions = smallVendor): Promise<Stage> => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-e2e-'));
  const vendorFolder = join(folder, 'vendor');
  // A third of zstd's time for an image. The demonstration's images are packed as the publisher packs them.
  await buildVendor(vendorFolder, { compression: 'gzip', ...options });
  return {
    world: async (context, changes = {}) => {
      const own = await mkdtemp(join(folder, 'w'));
      const world = await createWorld({
        ...options,
        folder: own,
        vendorFolder,
        slotSizeBytes: 16 * mebibyte,
        ...changes,
      });
      context.after(async () => {
        await world.close();
        await rm(own, { recursive: true, force: true });
      });
      return world;
    },
    close: () => rm(folder, { recursive: true, force: true }),
  };
};

/** Nothing under way, this version running and confirmed. */
export const isAtRest =
  (version: string) =>
  (status: StatusBody): boolean =>
    status.phase === 'idle' && status.version === version && status.confirmed;

export const digestOf = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  for await (const bytes of createReadStream(path)) hash.update(bytes);
  return hash.digest('hex');
};

export const slotDigest = (gateway: Gateway, slot: SlotName): Promise<string> => digestOf(gateway.paths.slots[slot]);

/** The last lines that the daemon logged, for a failing test's message. */
export const logOf = (gateway: Gateway): Promise<string> => readFile(gateway.paths.agentLog, 'utf8');

/** Outside tools read what otad wrote: the whole slot matches its signed root and is a squashfs with the version. */
export const checkSlots = async (gateway: Gateway): Promise<void> => {
  const slots = (await gateway.api.slots()).filter((slot) => slot.verified);
  assert.notEqual(slots.length, 0);
  for (const { path, verityRoot, hashOffset, version } of slots) {
    await runTool('veritysetup', ['verify', path, path, verityRoot ?? '', `--hash-offset=${hashOffset}`]);
    const { stdout } = await runProgram('unsquashfs', ['-cat', path, 'usr/lib/os-release']);
    assert.match(stdout, new RegExp(`^IMAGE_VERSION="${version}"$`, 'm'));
  }
};

/** Variables of the boot environment as fw_printenv reads them. */
export const readEnvironment = async (gateway: Gateway): Promise<ReadonlyMap<string, string>> => {
  const text = await runTool('fw_printenv', ['-c', gateway.paths.fwEnvConfig]);
  return new Map(
    text.split('\n').flatMap((line) => (line.includes('=') ? [line.split(/=(.*)/s, 2) as [string, string]] : [])),
  );
};
