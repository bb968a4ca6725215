// What is on its way to become the running system, at its first moment: nothing done yet, nothing failed.

import { refOf } from './select.ts';
import type { Staged } from './state.ts';

type Given = Pick<Staged, 'slot' | 'release' | 'verity' | 'intent' | 'healthDeadlineMs'> & Partial<Staged>;

/** What is not given is as for a release that wants nothing special: no checks of its own, no floor. */
export const newStaged = (given: Given): Staged => ({
  isActivated: false,
  isForced: false,
  // Verified again before the flip unless it is said in which boot it was: its bytes may have been lying there for long.
  verifiedInBoot: '',
  reboots: 0,
  trialBoots: 0,
  healthChecks: [],
  baselineFailing: [],
  rollbackFloor: 0,
  floorEpoch: 0,
  notBeforeMs: 0,
  request: null,
  failureReason: null,
  ...given,
  release: refOf(given.release),
});
