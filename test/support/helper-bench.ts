// A board for the boot helper: two file slots, a U-Boot environment, signed releases, and the real otad-boot on a socket of
// its own. What otad would ask is asked through the real client, or as raw bytes by whoever wants to lie.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createBootClient } from '../../agent/adapters/boot-client.ts';
import { recordAreaOffsetBytes, recordOffsetBytes } from '../../agent/core/slot-layout.ts';
import type { Release, SlotName, SlotRecord, VerityParameters } from '../../agent/core/types.ts';
import { bootManifestOf } from '../../agent/runtime/boot-manifest.ts';
import type { BootModel } from '../../bootctl/model.ts';
import { parseFwEnvConfig } from '../../bootctl/uboot/fw-env-config.ts';
import { formatEnvironment } from '../../bootctl/uboot/medium.ts';
import { powerOn } from '../../bootctl/uboot/power-on.ts';
import { applyModel } from '../../bootctl/uboot/variables.ts';
import { factoryRecord, type SealedImage, sealImage, writeFactorySlot } from '../../image/factory-slot.ts';
import type { ImageIdentity } from '../../publish/images/os-release.ts';
import { type CarriedFile, carryRelease } from '../../verity/carried-metadata.ts';
import { createSealing } from '../../verity/sealing.ts';
import { decodeRecord, encodeRecord } from '../../verity/slot-record.ts';
import { createTufClient } from '../../verity/tuf-client.ts';
import { readRelease } from '../../verity/verified-release.ts';
import { createUbootFiles, factoryVariables } from '../bootctl/uboot/machine.ts';
import { sha256Of } from './slot-bench.ts';
import { aRepository, memoryFiles, repositoryFetcher, testNowS } from './tuf-repository.ts';

const program = fileURLToPath(new URL('../../agent/otad-boot.js', import.meta.url));
const slotBytes = 256 * 1024;
const imageBytes = 48 * 1024;
const saltHex = '5a'.repeat(32);
const compatible = 'test-gateway';
const never = new AbortController().signal;

/** A release that lies ready: its bytes, and what signed metadata says of it. */
export interface BenchRelease {
  readonly release: Release;
  readonly image: SealedImage;
  readonly imagePath: string;
  readonly verity: VerityParameters;
  /** Its boot files by name. */
  readonly bootSet: Readonly<Record<string, string>>;
}

const reconnectMs = 20;

const isListening = (socketPath: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('error', () => resolve(false));
    socket.once('connect', () => resolve(true));
    socket.once('connect', () => socket.destroy());
  });

const startHelper = async (args: readonly string[], socketPath: string): Promise<ChildProcess> => {
  const child = spawn(process.execPath, [program, ...args, '--socket', socketPath], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    log += piece;
  });
  while (!(await isListening(socketPath))) {
    // One that was idle right away has listened, and ended as it should.
    if (child.exitCode === 0) break;
    if (child.exitCode !== null) throw new Error(`the helper ended with ${child.exitCode}: ${log}`);
    await delay(reconnectMs);
  }
  return child;
};

const endHelper = async (child: ChildProcess): Promise<void> => {
  const exit = new Promise((resolve) => child.once('exit', resolve));
  if (child.kill('SIGKILL')) await exit;
};

/** Names and bytes of all files below the folder, as one text. */
export const readTree = async (folder: string): Promise<string> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => !entry.isDirectory()).map(({ parentPath, name }) => join(parentPath, name));
  const lines = await Promise.all(
    paths.sort().map(async (path) => `${path.slice(folder.length + 1)}: ${await readFile(path, 'latin1')}`),
  );
  return lines.join('\n');
};

/** Slot a runs release 1 from the factory, confirmed; slot b holds nothing. */
export const createHelperBench = async () => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-helper-'));
  const at = (name: string): string => join(folder, name);
  const files = await createUbootFiles(2);
  const slotPaths = { a: at('slot-a.img'), b: at('slot-b.img') };
  const repository = aRepository();
  const trusted = memoryFiles();
  const { fetcher } = repositoryFetcher(repository.files);
  const query = { channel: 'stable', compatible };
  let metadata: readonly CarriedFile[] = [];

  const makeImage = async (sequence: number): Promise<{ readonly image: SealedImage; readonly imagePath: string }> => {
    const imagePath = at(`image-${sequence}`);
    await writeFile(imagePath, Buffer.alloc(imageBytes, `release ${sequence} `));
    return { image: await sealImage(imagePath, saltHex), imagePath };
  };

  /** Publishes it; what otad fetches from then on is what it hands over. */
  const publish = async (
    sequence: number,
    changes: Partial<Release> = {},
    bootSet: Readonly<Record<string, string>> = {},
  ): Promise<BenchRelease> => {
    const made = await makeImage(sequence);
    const bootFiles = Object.entries(bootSet).map(([name, text]) => {
      const bytes = Buffer.from(text);
      const path = `images/boot/${sequence}/${name}`;
      repository.addTarget(path, bytes);
      const file = { path, lengthBytes: bytes.length, sha256Hex: sha256Of(bytes) };
      return { ...file, role: 'boot' as const, verity: null, index: null, name };
    });
    const path = `images/${sequence}.squashfs`;
    const { lengthBytes, sha256Hex, verity } = made.image;
    repository.addTarget(path, await readFile(made.imagePath));
    const release = repository.addRelease({
      id: `gw-${sequence}`,
      version: `1.${sequence}`,
      sequence,
      artifacts: [{ role: 'rootfs', path, lengthBytes, sha256Hex, verity, index: null }, ...bootFiles],
      ...changes,
    });
    repository.publish();
    const client = createTufClient({ fetcher, files: trusted, initialRoot: repository.initialRoot });
    const { root } = await client.refresh(testNowS, never);
    if (changes.compatible === undefined) {
      await readRelease({ client, fetcher, files: trusted, root }, query, never);
      metadata = await carryRelease(trusted, repository.initialRoot, query, never);
    }
    return { release, verity, bootSet, ...made };
  };

  /** The boot files where otad keeps them after an install. */
  const stage = async ({ release, bootSet }: BenchRelease): Promise<void> => {
    const manifest = bootManifestOf(release, createSealing());
    await rm(at('otad/boot-set'), { recursive: true, force: true });
    if (manifest === null) return;
    await mkdir(at('otad/boot-set'), { recursive: true });
    await writeFile(at('otad/boot-set/manifest'), manifest.text);
    for (const { name, sha256Hex } of manifest.files) {
      await writeFile(at(`otad/boot-set/${sha256Hex}`), bootSet[name] ?? '');
    }
  };

  const identityOf = ({ id, version, sequence }: Release): ImageIdentity => ({
    releaseId: id,
    version,
    sequence,
    compatible,
  });

  const writeRecord = async (slot: SlotName, record: SlotRecord): Promise<void> => {
    const disk = await readFile(slotPaths[slot]);
    disk.set(encodeRecord(record, 0), recordOffsetBytes(slotBytes, 0));
    await writeFile(slotPaths[slot], disk);
  };

  const readRecord = async (slot: SlotName): Promise<SlotRecord> => {
    const disk = await readFile(slotPaths[slot]);
    const found = decodeRecord(disk.subarray(recordAreaOffsetBytes(slotBytes)));
    if (found === null) throw new Error(`slot ${slot} has no record`);
    return found.record;
  };

  /** Image, tree and record, as otad leaves them after an install. `over`: what the record says otherwise. */
  const install = async (slot: SlotName, installed: BenchRelease, over: Partial<SlotRecord> = {}) => {
    const { release, image, imagePath } = installed;
    await stage(installed);
    const manifest = bootManifestOf(release, createSealing());
    const place = { diskPath: slotPaths[slot], offsetBytes: 0, sizeBytes: slotBytes };
    await writeFactorySlot(place, imagePath, image, identityOf(release));
    const record = {
      ...factoryRecord(image, identityOf(release)),
      ...(manifest === null ? {} : { bootSetSha256Hex: manifest.sha256Hex }),
      ...over,
    };
    await writeRecord(slot, record);
  };

  const config = parseFwEnvConfig(await readFile(files.configPath, 'utf8'), files.configPath);
  /** A power-on, as the boot script does it. */
  const boot = async (): Promise<SlotName | null> => {
    const { slot, cmdline } = await powerOn(config);
    await writeFile(at('cmdline'), `${cmdline} panic=10\n`);
    await rm(at('run/confirmed'), { force: true });
    return slot;
  };

  /** The environment says this from now on. */
  const remember = (model: BootModel): Promise<void> =>
    formatEnvironment(files.config, applyModel(factoryVariables, model));

  for (const path of Object.values(slotPaths)) await writeFile(path, Buffer.alloc(slotBytes));
  const made = await makeImage(1);
  const factoryRelease = { ...repository.addRelease(), id: 'gw-1', version: '1.1', sequence: 1 };
  const factory: BenchRelease = { release: factoryRelease, verity: made.image.verity, bootSet: {}, ...made };
  await install('a', factory);
  const { rootHex, hashOffsetBytes } = factory.verity;
  const model: BootModel = {
    order: ['a'],
    slots: {
      a: { triesLeft: 3, isTrial: false, verity: { rootHex, hashOffsetBytes } },
      b: { triesLeft: 0, isTrial: false, verity: null },
    },
  };
  await remember(model);
  await boot();
  for (const name of ['config.d', 'state', 'run', 'otad', 'boot-a', 'boot-b']) await mkdir(at(name));
  await writeFile(at('root.json'), repository.initialRoot);
  await writeFile(
    at('config.d/50-board.json'),
    JSON.stringify({
      compatible,
      slots: { a: { path: slotPaths.a }, b: { path: slotPaths.b } },
      stateDir: at('otad'),
      bootloader: {
        kind: 'uboot',
        uboot: { fwEnvConfigPath: files.configPath, bootFolders: { a: at('boot-a'), b: at('boot-b') } },
        commandLinePath: at('cmdline'),
      },
      reboot: { command: ['touch', at('run/reboot-requested')] },
    }),
  );
  const socketPath = at('socket');
  const places = ['--config-dir', at('config.d'), '--trust-root', at('root.json')];
  const own = ['--state-dir', at('state'), '--run-dir', at('run')];
  // On a machine that is very busy more than the usual half a minute lies between two requests.
  const patient = ['--idle-ms', '3600000'];
  const start = (...args: readonly string[]) => startHelper([...places, ...own, ...patient, ...args], socketPath);
  let child = await start();

  return {
    folder,
    at,
    socketPath,
    /** Program and arguments, all but the socket. */
    command: [program, ...places, ...own],
    slotPaths,
    repository,
    factory,
    publish,
    install,
    record: readRecord,
    writeRecord,
    stage,
    boot,
    remember,
    metadata: () => metadata,
    /** Asks as otad does; `carry` instead of the metadata that it has. */
    client: (carry: () => Promise<readonly CarriedFile[]> = async () => metadata) =>
      createBootClient({ socketPath, carry, timeoutMs: 20_000 }),
    /** Writes these bytes and gives what comes back until the end. `end`: closes its own side after them. */
    raw: (bytes: string | Uint8Array, end = true): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(socketPath);
        let answer = '';
        socket.setEncoding('utf8').on('data', (piece: string) => {
          answer += piece;
        });
        socket.on('error', () => undefined);
        socket.once('close', () => resolve(answer));
        if (end) socket.end(bytes);
        else socket.write(bytes);
      }),
    /** Everything that an attack must leave as it was. */
    standing: async (): Promise<readonly string[]> => {
      const all = [...files.envPaths, ...Object.values(slotPaths)];
      const bytes = await Promise.all(all.map((path) => readFile(path, 'latin1')));
      const places = await Promise.all([at('boot-a'), at('boot-b')].map(readTree));
      return [...bytes, ...places, (await readdir(at('run'))).sort().join(' ')];
    },
    /** A new process, as after a boot or when it was idle. */
    restart: async (...args: readonly string[]): Promise<ChildProcess> => {
      await endHelper(child);
      await rm(socketPath, { force: true });
      child = await start(...args);
      return child;
    },
    close: async (): Promise<void> => {
      await endHelper(child);
      await files.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
};

export type HelperBench = Awaited<ReturnType<typeof createHelperBench>>;
