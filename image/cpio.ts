// The archive that the kernel unpacks as its initramfs (cpio, format "newc"). Pure: equal entries give equal bytes,
// because times, owners and inode numbers are fixed and entries are sorted.

export type CpioEntry =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly bytes: Uint8Array; readonly isExecutable: boolean }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'device'; readonly path: string; readonly major: number; readonly minor: number };

const alignment = 4;
const trailer = 'TRAILER!!!';

const modeOf = (entry: CpioEntry): number => {
  switch (entry.kind) {
    case 'folder':
      return 0o040755;
    case 'file':
      return entry.isExecutable ? 0o100755 : 0o100644;
    case 'link':
      return 0o120777;
    case 'device':
      return 0o020600;
  }
};

const bytesOf = (entry: CpioEntry): Uint8Array => {
  if (entry.kind === 'file') return entry.bytes;
  return entry.kind === 'link' ? Buffer.from(entry.target) : new Uint8Array();
};

const pad = (lengthBytes: number): Buffer => Buffer.alloc((alignment - (lengthBytes % alignment)) % alignment);

const record = (
  path: string,
  fields: {
    readonly inode: number;
    readonly mode: number;
    readonly links: number;
    readonly device?: readonly [number, number];
  },
  bytes: Uint8Array,
): readonly Uint8Array[] => {
  const name = Buffer.from(`${path}\0`);
  const [major, minor] = fields.device ?? [0, 0];
  const numbers = [
    ...[fields.inode, fields.mode, 0, 0, fields.links, 0, bytes.length],
    ...[0, 0, major, minor, name.length, 0],
  ];
  const header = Buffer.from(`070701${numbers.map((value) => value.toString(16).padStart(8, '0')).join('')}`, 'latin1');
  return [header, name, pad(header.length + name.length), bytes, pad(bytes.length)];
};

/** Folders that entries lie in come by themselves. */
const withFolders = (entries: readonly CpioEntry[]): readonly CpioEntry[] => {
  const byPath = new Map<string, CpioEntry>(entries.map((entry) => [entry.path, entry]));
  for (const { path } of entries) {
    const parts = path.split('/');
    for (let depth = 1; depth < parts.length; depth += 1) {
      const folder = parts.slice(0, depth).join('/');
      if (!byPath.has(folder)) byPath.set(folder, { kind: 'folder', path: folder });
    }
  }
  return [...byPath.values()].sort((one, two) => (one.path < two.path ? -1 : 1));
};

export const makeCpio = (entries: readonly CpioEntry[]): Uint8Array => {
  const pieces = withFolders(entries).flatMap((entry, index) =>
    record(
      entry.path,
      {
        inode: index + 1,
        mode: modeOf(entry),
        links: entry.kind === 'folder' ? 2 : 1,
        ...(entry.kind === 'device' ? { device: [entry.major, entry.minor] as const } : {}),
      },
      bytesOf(entry),
    ),
  );
  return Buffer.concat([...pieces, ...record(trailer, { inode: 0, mode: 0, links: 1 }, new Uint8Array())]);
};
