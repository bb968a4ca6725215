// The boot places as a store of files by digest, for whoever fetches the next set and may not read there himself. Gives nothing but what
// the caller has named by its digest, so it tells nobody anything that he does not know: a boot partition may hold other files.

import type { BootPlace, HeldBootFiles, Sealing } from '../core/ports.ts';
import type { SlotName } from '../core/types.ts';

/** Of one file, in one go: as base64 it fits into an answer of the boot helper. */
export const heldPieceBytes = 512 * 1024;

/** `places` null: no setting says where the boot files lie. */
export const createHeldBootFiles = (
  places: Readonly<Record<SlotName, BootPlace>> | null,
  sealing: Pick<Sealing, 'createHasher'>,
): HeldBootFiles => {
  /** The newest file that was read whole and is what its digest says: the pieces of one file are asked for one after another. */
  let proven = '';
  return {
    read: async (slot, { name, lengthBytes, sha256Hex }, offsetBytes, signal) => {
      const place = places?.[slot];
      if (place === undefined || place.isReserved(name) || offsetBytes >= lengthBytes) return null;
      const key = [slot, name, lengthBytes, sha256Hex].join(' ');
      if (proven !== key || offsetBytes === 0) {
        proven = '';
        if ((await place.lengthOf(name)) !== lengthBytes) return null;
        const hasher = sealing.createHasher();
        if (!(await place.visit(name, (bytes) => hasher.update(bytes), signal))) return null;
        if (hasher.digestHex() !== sha256Hex) return null;
        proven = key;
      }
      return place.read(name, offsetBytes, Math.min(heldPieceBytes, lengthBytes - offsetBytes));
    },
  };
};
