// What others fetch for the same pair of images: zsync and casync from the same kind of server with the same counting, OSTree's
// static delta as the files that a client would fetch. Debian's packages; every result is compared with the new image.

import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runTool } from '../../image/tool.ts';
import { createWireServer, type WireCount, type WireServer } from './wire-server.ts';

/** Average sizes to try; casync's own default is the last. */
const casyncChunkBytes = [16_384, 65_536] as const;
/** Above all files: none is left out of the delta to be fetched whole beside it, as is OSTree's default from 4 MB on. */
const fallbackMb = 4096;

export interface PeerWire extends WireCount {
  readonly wireBytes: number;
  readonly with: string;
}

export interface PeersWire {
  readonly full: PeerWire;
  readonly zsync: PeerWire;
  readonly casync: PeerWire;
  /** The bytes of its files alone: no request, no header. */
  readonly ostree: { readonly deltaBytes: number; readonly with: string };
}

interface Place {
  readonly folder: string;
  readonly oldPath: string;
  readonly newPath: string;
  readonly server: WireServer;
}

/** Loopback is reached directly, whatever the machine has for the rest; zsync takes an empty proxy for a bad one. */
const run = (program: string, args: readonly string[]): Promise<string> =>
  runTool('env', ['-u', 'http_proxy', program, ...args]);

const counted = async (server: WireServer, how: string, fetch: () => Promise<unknown>): Promise<PeerWire> => {
  server.reset();
  await fetch();
  const count = server.count();
  return { ...count, wireBytes: count.downBytes + count.upBytes, with: how };
};

const zsync = async ({ folder, oldPath, newPath, server }: Place): Promise<PeerWire> => {
  await run('zsyncmake', ['-u', `${server.url}new.squashfs`, '-o', join(folder, 'new.squashfs.zsync'), newPath]);
  const output = join(folder, 'zsync.out');
  const args = ['-q', '-i', oldPath, '-o', output, `${server.url}new.squashfs.zsync`];
  const wire = await counted(server, 'its own choice of blocks', () => run('zsync', args));
  await run('cmp', [output, newPath]);
  return wire;
};

const casyncWith = async (place: Place, chunkBytes: number): Promise<PeerWire> => {
  const { folder, oldPath, newPath, server } = place;
  const name = `casync-${chunkBytes}`;
  const [store, index, output] = [`${name}.castr`, `${name}.caibx`, join(folder, `${name}.out`)];
  const make = ['make', '--what=blob-index', `--store=${join(folder, store)}`, `--chunk-size=${chunkBytes}`];
  await run('casync', [...make, join(folder, index), newPath]);
  const extract = ['extract', '--what=blob-index', `--store=${server.url}${store}`, `--seed=${oldPath}`];
  const wire = await counted(server, `chunks of ${chunkBytes} bytes on average`, () =>
    run('casync', [...extract, `${server.url}${index}`, output]),
  );
  await run('cmp', [output, newPath]);
  return wire;
};

const fewestBytes = (results: readonly PeerWire[]): PeerWire =>
  results.reduce((best, result) => (result.wireBytes < best.wireBytes ? result : best));

const folderBytes = async (folder: string): Promise<number> => {
  let sum = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return sum;
};

/** From the trees in the images: OSTree knows no images. */
const ostree = async ({ folder, oldPath, newPath }: Place): Promise<PeersWire['ostree']> => {
  const repo = `--repo=${join(folder, 'ostree')}`;
  await run('ostree', [repo, 'init', '--mode=archive']);
  const commits: string[] = [];
  for (const [name, path] of [
    ['old', oldPath],
    ['new', newPath],
  ] as const) {
    const tree = join(folder, `tree-${name}`);
    await run('unsquashfs', ['-quiet', '-no-progress', '-no-xattrs', '-dest', tree, path]);
    const owner = ['--owner-uid=0', '--owner-gid=0', '--no-xattrs', '--fsync=no'];
    commits.push((await run('ostree', [repo, 'commit', '--branch=gateway', ...owner, `--tree=dir=${tree}`])).trim());
  }
  const [from, to] = commits;
  const delta = join(folder, 'delta');
  await mkdir(delta);
  const ends = [`--from=${from}`, `--to=${to}`, `--filename=${join(delta, 'superblock')}`];
  await run('ostree', [repo, 'static-delta', 'generate', `--min-fallback-size=${fallbackMb}`, ...ends]);
  return { deltaBytes: await folderBytes(delta), with: 'bsdiff, and no file that is fetched beside it' };
};

/** `folder` is created and goes out over the wire; minutes of CPU. */
export const measurePeers = async (folder: string, oldPath: string, newPath: string): Promise<PeersWire> => {
  await mkdir(folder, { recursive: true });
  await run('cp', ['--reflink=auto', newPath, join(folder, 'new.squashfs')]);
  const server = await createWireServer(folder);
  try {
    const place = { folder, oldPath, newPath, server };
    const full = await counted(server, 'curl', () =>
      run('curl', ['-s', '-f', '-o', join(folder, 'curl.out'), `${server.url}new.squashfs`]),
    );
    const casync: PeerWire[] = [];
    for (const chunkBytes of casyncChunkBytes) casync.push(await casyncWith(place, chunkBytes));
    return { full, zsync: await zsync(place), casync: fewestBytes(casync), ostree: await ostree(place) };
  } finally {
    await server.close();
  }
};
