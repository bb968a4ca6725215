// Known ways of a device lab to call a failure something else: what is tried again until it passes proves nothing.

import { one, type SuiteMutant } from './mutant.ts';

const verdict = 'test/device/lab/verdict.js';
const monitor = 'test/device/lab/monitor.js';
const judged = ['device/verdict.test.js'];
const spoken = ['device/monitor.test.js'];

export const labMutants: readonly SuiteMutant[] = [
  {
    name: 'lab-tries-a-panic-again',
    edits: one(verdict, 'PANIC: double fault/', 'PANIC: double fault|Kernel panic/'),
    suite: judged,
  },
  {
    name: 'lab-tries-again-on-any-pause',
    edits: one(verdict, 'hostPauseMs > hostPauseMsMax', 'hostPauseMs > 0'),
    suite: judged,
  },
  {
    name: 'lab-judges-by-a-dead-emulator',
    edits: one(verdict, 'lastWords !== null', 'false'),
    suite: judged,
  },
  {
    name: 'lab-tries-a-comparison-again',
    edits: one(verdict, ' || error instanceof AssertionError', ''),
    suite: judged,
  },
  {
    name: 'lab-takes-a-refusal-for-a-death',
    edits: one(monitor, 'undefined)\n            throw new Error(', 'undefined)\n            throw new MonitorError('),
    suite: spoken,
  },
  {
    name: 'lab-misses-the-watchdog',
    edits: one(monitor, "'WATCHDOG', ", ''),
    suite: spoken,
  },
];
