// Everything that the demonstration and the end-to-end tests need at once: a publisher with its releases, a link, and a
// gateway that left the factory with the first of them. One folder holds all of it.

import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { PublishedRelease } from '../../publish/release.ts';
import { installAtFactory } from './factory.ts';
import { createGateway, type Gateway } from './gateway.ts';
import { type ApplicationRelease, goodBus } from './layers.ts';
import { createPublisher, type Publisher } from './publisher.ts';

export interface WorldOptions {
  /** Absolute; is created. */
  readonly folder: string;
  readonly slotSizeBytes: number;
  readonly baseBytes: number;
  readonly applicationBytes: number;
  readonly healthDeadlineS: number;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly onConsole?: (line: string) => void;
  readonly onBuilt?: (release: PublishedRelease) => void;
}

export interface World {
  readonly publisher: Publisher;
  readonly gateway: Gateway;
  readonly close: () => Promise<void>;
}

/** 1.0 is in the factory's slot, 1.1 is good, 1.2 asks for a field bus that the board does not have. */
export const releases: readonly ApplicationRelease[] = [
  { version: '1.0', sequence: 1, fieldBus: goodBus },
  { version: '1.1', sequence: 2, fieldBus: goodBus },
  { version: '1.2', sequence: 3, fieldBus: 'can1' },
];

/** Beside this file's compiled form: dist/bundle. */
export const bundleDir = resolve(import.meta.dirname, '../../bundle');

/** Short times, so that a life of a gateway fits into seconds. */
export const quickSettings = {
  poll: { intervalMs: 1000, jitter: 0 },
  backoff: { minMs: 200, maxMs: 1000 },
  rebootTimeoutMs: 10_000,
  health: { deadlineMs: 2000, checkTimeoutMs: 2000, retryMs: 100 },
} as const;

export const createWorld = async (options: WorldOptions): Promise<World> => {
  await mkdir(options.folder, { recursive: true });
  const publisher = await createPublisher({ ...options, bundleDir });
  try {
    const built: PublishedRelease[] = [];
    for (const release of releases) {
      const published = await publisher.build(release);
      built.push(published);
      options.onBuilt?.(published);
    }
    const [first] = built;
    if (first === undefined) throw new Error('no release was built');
    const gateway = await createGateway({
      folder: join(options.folder, 'gateway'),
      slotSizeBytes: options.slotSizeBytes,
      settings: { ...quickSettings, ...options.settings, baseUrls: [publisher.link.url] },
      ...(options.onConsole === undefined ? {} : { onConsole: options.onConsole }),
    });
    await publisher.offer(first.release.version);
    await installAtFactory(gateway.paths, first.imageFile, first.release);
    return {
      publisher,
      gateway,
      close: async () => {
        await gateway.powerOff();
        await publisher.close();
      },
    };
  } catch (error) {
    await publisher.close();
    throw error;
  }
};
