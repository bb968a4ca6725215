// For gateways whose releases bring no boot files: nothing is kept, and whoever asks for some has found a bug.

import { OtadError } from '../../agent/core/errors.ts';
import type { BootStage, HeldBootFiles } from '../../agent/core/ports.ts';

const refuse = (): Promise<never> =>
  Promise.reject(new OtadError('INTERNAL', { reason: 'no release here has boot files' }));

export const noBootStage: BootStage = {
  begin: refuse,
  fill: refuse,
  copy: refuse,
  check: refuse,
  drop: async () => undefined,
};

/** Boot places that hold nothing. */
export const noHeldBootFiles: HeldBootFiles = { read: async () => null };
