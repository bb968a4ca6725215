// When metadata is due to be signed again, and when a person should hear of it. Pure.

import { timeOf } from '../../verity/tuf-metadata.ts';
import type { RoleName } from '../keys/signing-key.ts';
import type { Lifetimes } from './publisher-folder.ts';

export const dayS = 86_400;
/** Time for a ceremony with people who have to travel. */
const warningMaxS = 90 * dayS;

/** Past half of its lifetime: whoever has the key signs it again. */
export const isDue = (role: RoleName, expires: string, lifetimesS: Lifetimes, nowS: number): boolean =>
  timeOf(expires) - nowS < lifetimesS[role] / 2;

/** How long before its expiry a role is worth a warning: a quarter of its lifetime, at most 90 days. */
export const warningS = (role: RoleName, lifetimesS: Lifetimes): number => Math.min(lifetimesS[role] / 4, warningMaxS);
