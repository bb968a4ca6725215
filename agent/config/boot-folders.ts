// What keeps two folders from being the slots' boot places: what is in a boot place and belongs to no set is removed, so it may hold
// nothing else, neither the other slot's nor the bootloader's own.

type Pair = { readonly a: string; readonly b: string };

const asFolder = (path: string): string => `${path.replace(/\/+$/, '')}/`;

const isWithin = (path: string, folder: string): boolean => asFolder(path).startsWith(asFolder(folder));

/** The bootloader's own folders on an EFI system partition. */
const loaderFolders = ['loader', 'EFI/BOOT', 'EFI/systemd', 'EFI/Linux'];

/** A sentence that goes after 'expected'; null: nothing. */
export const bootFoldersFault = ({ a, b }: Pair, espPath: string | null): string | null => {
  if (isWithin(a, b) || isWithin(b, a)) return 'two folders, neither of which lies in the other';
  if (espPath === null) return null;
  const own = loaderFolders.map((name) => `${asFolder(espPath)}${name}`);
  const isApart = [a, b].every(
    (folder) => isWithin(folder, espPath) && own.every((other) => !isWithin(other, folder) && !isWithin(folder, other)),
  );
  return isApart
    ? null
    : `two folders on ${espPath} that hold nothing of the boot loader itself, such as ${asFolder(espPath)}otad/a`;
};
