// One update on the virtual gateway with the real daemon, measured: what its sockets carried, how the bytes of the image came,
// and what it took. The daemon is the project's own build, because the images need not hold one.

import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stampOsRelease } from '../../publish/images/os-release.ts';
import { installAtFactory } from '../e2e/factory.ts';
import type { LayOut } from '../e2e/firmware.ts';
import { createGateway, type Gateway } from '../e2e/gateway.ts';
import { publishedImage } from '../e2e/publisher.ts';
import { bundleDir, quickSettings } from '../e2e/world.ts';
import { type FillReport, readFillLog } from './fill-log.ts';
import { cpuSecondsOf, forgetPeak, residentMib } from './process-cost.ts';
import { createWireServer, type WireCount, type WireServer } from './wire-server.ts';
import type { Way, WireVendor } from './wire-vendor.ts';

/** Without a sign of progress. Compressing again goes on for long in places. */
const patienceMs = 300_000;

export interface WireUpdate extends WireCount, FillReport {
  /** Bodies and headers, both ways, from the offer of the release to the slot that was read back. */
  readonly wireBytes: number;
  /** CPU seconds of the daemon: until all bytes were written, and with reading them back. */
  readonly fillCpuS: number;
  readonly cpuS: number;
  readonly wallS: number;
  readonly peakMib: number;
}

/** What an image of the vendor would bring, from this build of otad. */
const layOutAgent =
  (vendor: WireVendor, channel: Way): LayOut =>
  async (_device, rootfs) => {
    const agent = join(rootfs, 'usr/lib/otad');
    await mkdir(join(agent, 'config.d'), { recursive: true });
    await cp(bundleDir, agent, { recursive: true });
    await cp(vendor.paths.root, join(agent, 'root.json'));
    const settings = { compatible: vendor.old.compatible, channel };
    await writeFile(join(agent, 'config.d/10-image.json'), JSON.stringify(settings));
    await writeFile(join(rootfs, 'usr/lib/os-release'), stampOsRelease('ID=bench', vendor.old, 0));
    return null;
  };

const measure = async (gateway: Gateway, server: WireServer, offer: () => Promise<unknown>): Promise<WireUpdate> => {
  await gateway.powerOn();
  await gateway.waitUntil((status) => status.phase === 'idle' && status.lastCheck !== null);
  await offer();
  const pid = gateway.agentPid ?? 0;
  await forgetPeak(pid);
  const cpuBeforeS = await cpuSecondsOf(pid);
  const startMs = performance.now();
  server.reset();
  const seen: { fillCpuS: Promise<number> | null } = { fillCpuS: null };
  const staged = gateway.waitUntil(({ phase }) => {
    if (phase === 'verifying') seen.fillCpuS ??= cpuSecondsOf(pid);
    return phase === 'staged';
  }, patienceMs);
  const [{ exitCode, stderr }] = await Promise.all([gateway.otactl('install', '--yes'), staged]);
  if (exitCode !== 0) throw new Error(`otactl install: ${stderr}`);
  const wallS = (performance.now() - startMs) / 1000;
  const count = server.count();
  const cpuS = (await cpuSecondsOf(pid)) - cpuBeforeS;
  return {
    ...readFillLog(await readFile(gateway.paths.agentLog, 'utf8')),
    ...{ ...count, wireBytes: count.downBytes + count.upBytes, cpuS, wallS },
    fillCpuS: seen.fillCpuS === null ? cpuS : (await seen.fillCpuS) - cpuBeforeS,
    peakMib: await residentMib(pid, 'VmHWM'),
  };
};

/** A gateway on the old release takes the new one in this way, if it can. `full`: its slot carries no index. */
export const measureUpdate = async (
  folder: string,
  vendor: WireVendor,
  way: Way,
  slotSizeBytes: number,
): Promise<{ readonly update: WireUpdate; readonly offer: Awaited<ReturnType<WireVendor['offer']>> }> => {
  const server = await createWireServer(vendor.paths.repository);
  const gateway = await createGateway({
    folder,
    slotSizeBytes,
    layOut: layOutAgent(vendor, way),
    settings: {
      ...quickSettings,
      baseUrls: [server.url],
      poll: { intervalMs: 3_600_000, jitter: 0 },
      autoReboot: false,
    },
  });
  try {
    const image = await publishedImage(vendor, vendor.old.version);
    await installAtFactory(gateway.paths, image, way !== 'full' && vendor.index.indexBytes !== null);
    let offer: ReturnType<WireVendor['offer']> | undefined;
    const update = await measure(gateway, server, () => {
      offer = vendor.offer(way);
      return offer;
    });
    if (offer === undefined) throw new Error('nothing was offered');
    return { update, offer: await offer };
  } finally {
    await gateway.powerOff();
    await server.close();
  }
};
