// Keeps a second process off a slot that is a regular file, as O_EXCL does for a block device. The lock is an abstract
// unix socket named after device and inode: the kernel gives it back when its owner ends, however that happens, so there
// is no stale lock to judge. It holds within one network namespace.

import { createServer } from 'node:net';
import { OtadError } from '../core/errors.ts';
import type { SlotName } from '../core/types.ts';
import type { SlotIdentity } from './slot-identity.ts';

/** Gives the way to unlock; throws SLOT_BUSY when another holder is there. */
export const lockFile = async (slot: SlotName, identity: SlotIdentity): Promise<() => Promise<void>> => {
  const server = createServer((connection) => connection.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new OtadError('SLOT_BUSY', { slot, path: identity.path, reason: 'another program holds it' }, { cause })),
    );
    server.listen({ path: `\0otad-slot ${identity.key}` }, resolve);
  });
  server.unref();
  return () => new Promise((resolve) => server.close(() => resolve()));
};
