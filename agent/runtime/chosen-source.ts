// Where the bytes of one step come from. A step that was ordered from a folder never falls to the servers by itself: a
// technician who brings a stick may have a reason not to trust, or not to pay for, the line.

import { OtadError } from '../core/errors.ts';
import type { ReleaseSource } from '../core/ports.ts';
import type { OfferedFolder } from '../core/types.ts';

/** Throws FOLDER_GONE where no folders can be offered. */
export const chosenSource = (servers: ReleaseSource, folder: OfferedFolder | undefined): ReleaseSource => {
  if (folder === undefined) return servers;
  const source = servers.from?.(folder);
  if (source === undefined) throw new OtadError('FOLDER_GONE', { folder: folder.path });
  return source;
};
