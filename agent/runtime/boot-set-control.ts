// Boot control where no helper stands between: the boot set goes into its place in this process, just before the flip. The slot's
// record says which set belongs to the image; the install wrote it from signed metadata.

import type { BootControl, SlotDevices } from '../core/ports.ts';
import { type PlacingPorts, settleBootSet } from './boot-placing.ts';

export const withBootSets = (
  boot: BootControl,
  slots: Pick<SlotDevices, 'readRecord'>,
  ports: PlacingPorts,
): BootControl => ({
  ...boot,
  activate: async (slot, tries, verity, signal) => {
    const record = await slots.readRecord(slot, signal);
    const status = await boot.status(signal);
    await settleBootSet(
      {
        slot,
        bootSetSha256Hex: record?.bootSetSha256Hex ?? null,
        mayPlace: true,
        isBootable: slot === status.booted || status.slots[slot].state !== 'bad',
        invalidate: () => boot.invalidate(slot, signal),
      },
      ports,
      signal,
    );
    await boot.activate(slot, tries, verity, signal);
  },
});
