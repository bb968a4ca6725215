// Known bugs of what is told of an install: lines of the journal, sums of the history.

import { one, type SuiteMutant } from './mutant.ts';

const journal = ['agent/runtime/install-journal.test.js'];
const spent = ['agent/core/spent.test.js'];

export const progressMutants: readonly SuiteMutant[] = [
  {
    name: 'progress-fast-install-floods-the-journal',
    edits: one('agent/runtime/install-journal.js', 'atMs - told.atMs < lineGapMsMin', 'false'),
    suite: journal,
  },
  {
    name: 'progress-of-a-failed-attempt-thinned-out',
    edits: one(
      'agent/runtime/progress-reporter.js',
      'bytes.some(([name, count]) => progress[name] !== count)',
      'false',
    ),
    suite: journal,
  },
  {
    name: 'progress-sum-forgets-the-attempts-before',
    edits: one('agent/core/brought.js', 'before?.releaseId === releaseId ? before', 'false ? before'),
    suite: spent,
  },
  {
    name: 'progress-sum-of-another-release',
    edits: one('agent/core/brought.js', 'before?.releaseId === releaseId ? before', 'before !== null ? before'),
    suite: spent,
  },
  {
    name: 'progress-folder-counted-as-network',
    edits: one('agent/core/installing.js', "step !== 'write' || folder !== undefined", "step !== 'write'"),
    suite: spent,
  },
];
