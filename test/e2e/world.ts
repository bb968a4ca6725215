// Everything that the demonstration and the end-to-end tests need at once: a publisher with its releases, a link, and a
// gateway that left the factory with the first of them. One folder holds all of it.

import { cp, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Compression } from '../../publish/images/squashfs.ts';
import type { PublishedRelease } from '../../publish/releases/release.ts';
import { installAtFactory } from './factory.ts';
import { createGateway, type Gateway } from './gateway.ts';
import { type ApplicationRelease, goodBus, writeBootSet } from './layers.ts';
import { createVendor, openVendor, publishedImage, type Served, serveVendor, type Vendor } from './publisher.ts';

export interface VendorOptions {
  /** Default {@link releases}. */
  readonly releases?: readonly ApplicationRelease[];
  readonly baseBytes: number;
  readonly applicationBytes: number;
  /** Default: the publisher's own. */
  readonly compression?: Compression | undefined;
  readonly zstdLevel?: number | undefined;
}

export interface WorldOptions extends VendorOptions {
  /** Absolute; is created. */
  readonly folder: string;
  readonly slotSizeBytes: number;
  /** A vendor's folder to start from, as {@link buildVendor} makes it. Default: a new one. */
  readonly vendorFolder?: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  /** The state folder gets a file system of its own of this size; it is lost with the daemon. */
  readonly stateDiskBytes?: number;
  readonly onConsole?: (line: string) => void;
  readonly onBuilt?: (release: PublishedRelease) => void;
}

export interface World {
  readonly vendor: Vendor;
  readonly served: Served;
  readonly gateway: Gateway;
  readonly close: () => Promise<void>;
}

/** Enough for a good release on a machine that is busy with other things. */
export const patientS = 30;

/** 1.0 is in the factory's slot, 1.1 is good, 1.2 asks for a field bus that the board does not have. */
export const releases: readonly ApplicationRelease[] = [
  { version: '1.0', sequence: 10, fieldBus: goodBus, healthDeadlineS: patientS },
  { version: '1.1', sequence: 20, fieldBus: goodBus, healthDeadlineS: patientS },
  { version: '1.2', sequence: 30, fieldBus: 'can1', healthDeadlineS: 4 },
];
const factoryVersion = '1.0';

/** Beside this file's compiled form: dist/bundle. */
export const bundleDir = resolve(import.meta.dirname, '../../bundle');

/** Short times, so that a life of a gateway fits into seconds. */
export const quickSettings = {
  poll: { intervalMs: 1000, jitter: 0 },
  backoff: { minMs: 200, maxMs: 1000 },
  rebootTimeoutMs: 10_000,
  health: { deadlineMs: patientS * 1000, checkTimeoutMs: 5000, retryMs: 100 },
} as const;

/** A vendor with all releases built; the gateways are offered the factory's. */
export const buildVendor = async (
  folder: string,
  options: VendorOptions,
  onBuilt: (release: PublishedRelease) => void = () => undefined,
): Promise<Vendor> => {
  await mkdir(folder, { recursive: true });
  const built = options.releases ?? releases;
  const vendor = await createVendor({ ...options, releases: built, folder, bundleDir });
  // In order: a channel's sequence never falls.
  const ordered = [...built].sort((one, two) => one.sequence - two.sequence);
  for (const release of ordered) onBuilt(await vendor.build(release));
  await vendor.offer(factoryVersion);
  return vendor;
};

const takeVendor = async (options: WorldOptions): Promise<Vendor> => {
  const folder = join(options.folder, 'vendor');
  if (options.vendorFolder === undefined) return await buildVendor(folder, options, options.onBuilt);
  await cp(options.vendorFolder, folder, { recursive: true });
  return openVendor({ ...options, releases: options.releases ?? releases, folder, bundleDir });
};

/** The gateway is off, with 1.0 in slot a as the factory left it. */
export const createWorld = async (options: WorldOptions): Promise<World> => {
  await mkdir(options.folder, { recursive: true });
  const vendor = await takeVendor(options);
  const served = await serveVendor(vendor);
  try {
    const gateway = await createGateway({
      folder: join(options.folder, 'gateway'),
      slotSizeBytes: options.slotSizeBytes,
      settings: { ...quickSettings, baseUrls: [served.link.url], ...options.settings },
      ...(options.stateDiskBytes === undefined ? {} : { stateDiskBytes: options.stateDiskBytes }),
      ...(options.onConsole === undefined ? {} : { onConsole: options.onConsole }),
    });
    await installAtFactory(gateway.paths, await publishedImage(vendor, factoryVersion));
    const kernel = (options.releases ?? releases).find(({ version }) => version === factoryVersion)?.kernel;
    if (kernel !== undefined) await writeBootSet(gateway.paths.bootFolders.a, kernel);
    return {
      vendor,
      served,
      gateway,
      close: async () => {
        await gateway.powerOff();
        await served.close();
      },
    };
  } catch (error) {
    await served.close();
    throw error;
  }
};
