// The small root trees that the virtual gateway's releases are built from: a base layer with the agent, and an
// application layer for each version. Nothing random and no time in them: equal options give equal trees.

import { createCipheriv } from 'node:crypto';
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export const compatible = 'example-gateway';
export const channel = 'stable';
export const bundleNames = ['otad.mjs', 'otactl.mjs', 'node_sqlite3.node', 'zstd.wasm'] as const;

export interface ApplicationRelease {
  readonly version: string;
  readonly sequence: number;
  /** The field bus that the application asks for; the virtual board has `can0` only. */
  readonly fieldBus: string;
  /** A sick release keeps the gateway on trial for so long. */
  readonly healthDeadlineS: number;
  /** More bytes in the application layer than releases have as a rule. */
  readonly extraBytes?: number;
  /** The image holds no daemon, as when the layers are put together wrongly. */
  readonly isWithoutAgent?: boolean;
  /** Release of the kernel that comes with it and that its modules are for. Absent: it brings none. */
  readonly kernel?: string;
  /** Of a program as large as this in the application layer, of which each version changes a little everywhere. */
  readonly programBytes?: number;
}

export const goodBus = 'can0';

/** The health check reads what the running image asks for, and what the board has. */
const fieldBusCheck = `#!/bin/sh
# The application must reach the field bus; without it the gateway is blind, whatever else works.
root=$(cd "$(dirname "$0")/../../../../.." && pwd)
. "$root/usr/share/gateway/field-bus.conf"
if [ "$bus" = ${goodBus} ]; then
  echo "field bus $bus answers"
  exit 0
fi
echo "field bus $bus does not answer: this board has ${goodBus} only, the sensors cannot be read"
exit 1
`;

const diskSpaceCheck = `#!/bin/sh
# Wanted: room for the application's buffer. Reported, never a reason to roll back.
free=$(df -Pk "$(dirname "$0")" | awk 'NR == 2 { print $4 }')
[ "$free" -ge 1024 ] || { echo "only $free KiB free"; exit 1; }
`;

/** Bytes that no compressor shortens, the same for the same seed: they stand for the rest of an operating system. */
const ballast = (seed: string, lengthBytes: number): Buffer => {
  const key = Buffer.alloc(16, seed);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(lengthBytes));
};

/** Compresses to about half, and says here and there which version it is of. */
const program = (version: string, lengthBytes: number): string => {
  const lines =
    ballast('program', lengthBytes >> 1)
      .toString('hex')
      .match(/.{64}/g) ?? [];
  return lines.map((line, index) => (index % 50 === 7 ? `${line.slice(8)}${version.padStart(8)}` : line)).join('\n');
};

const put = async (folder: string, path: string, content: string | Buffer, mode = 0o644): Promise<void> => {
  const file = join(folder, 'files', path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
  await chmod(file, mode);
};

/** Writes the base layer into `folder`; `bundleDir` holds the agent's bundles. */
export const writeBaseLayer = async (folder: string, bundleDir: string, ballastBytes: number): Promise<void> => {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'layer.json'), JSON.stringify({ name: 'base' }));
  const osRelease = 'NAME="Example Gateway"\nID=example-gateway\nPRETTY_NAME="Example Gateway"\n';
  await put(folder, 'usr/lib/os-release', osRelease);
  await put(folder, 'usr/lib/otad/health.d/wanted.d/50-disk-space', diskSpaceCheck, 0o755);
  await put(folder, 'usr/lib/gateway/system.bin', ballast('base', ballastBytes));
  for (const name of bundleNames) {
    const file = join(folder, 'files/usr/lib/otad', name);
    await copyFile(join(bundleDir, name), file);
    await chmod(file, 0o644);
  }
};

/** Writes the application layer of one version into `folder`, on top of `../base`. */
export const writeApplicationLayer = async (
  folder: string,
  release: ApplicationRelease,
  ballastBytes: number,
): Promise<void> => {
  await mkdir(folder, { recursive: true });
  const remove = release.isWithoutAgent === true ? ['usr/lib/otad/otad.mjs'] : [];
  const description = { name: `app ${release.version}`, base: '../base', remove };
  await writeFile(join(folder, 'layer.json'), JSON.stringify(description));
  await put(folder, 'usr/lib/otad/health.d/required.d/10-field-bus', fieldBusCheck, 0o755);
  await put(folder, 'usr/share/gateway/field-bus.conf', `bus=${release.fieldBus}\n`);
  if (release.kernel !== undefined) await put(folder, 'usr/lib/gateway/kernel-release', `${release.kernel}\n`);
  await put(
    folder,
    'usr/lib/gateway/application.bin',
    ballast(release.version, ballastBytes + (release.extraBytes ?? 0)),
  );
  const { version, programBytes } = release;
  if (programBytes !== undefined) await put(folder, 'usr/lib/gateway/program', program(version, programBytes));
};

const kernelBytes = 384 * 1024;

/** Kernel and device tree of a release, as a folder for `otapub release --boot`. */
export const writeBootSet = async (folder: string, kernel: string): Promise<void> => {
  await mkdir(join(folder, 'dtbs'), { recursive: true });
  await writeFile(join(folder, 'kernel'), Buffer.concat([Buffer.from(`${kernel}\n`), ballast(kernel, kernelBytes)]));
  await writeFile(join(folder, 'dtbs/board.dtb'), `tree for ${kernel}\n`);
};
