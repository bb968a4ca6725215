// One MESSAGE_ID for each kind of history entry, and for what is told of an install beside them, so that `journalctl MESSAGE_ID=` finds it and `journalctl -x` explains it.
// An id is never changed or used again. units/otad.catalog holds the texts; a test compares both.

import type { TransferNote } from '../core/ports.ts';
import type { HistoryType } from '../core/types.ts';

export const messageIds: Readonly<Record<HistoryType | TransferNote, string>> = {
  started: '219dd148468740e3a571f8bd889d04b9',
  'store-rebuilt': '3dcd693dd81c4688a6683b9ede1df4c3',
  'check-failed': 'a17f830100df4f46ac8a03338141e838',
  'install-started': '7ceb3870e36f47dd811f28a12deaa9d0',
  'install-failed': '458bfbd7414e4567b4cc0d53b86f9b22',
  installed: 'a56f40b01484457cb6ff4854a53dd642',
  activated: '49c44fc1341c4076bb823b8ec71e85b1',
  'activate-failed': 'dfbd68557da24b8fbac70e9b6df16f72',
  'reboot-requested': 'f6ce9923024748a2802d9c0ae5e806c9',
  'trial-started': 'af669ab93a514f6eb1db87dd4cc3175e',
  'health-failed': '0084bed12e7640edbdc58a8e9f9e5529',
  confirmed: '1723ba24a4dd48cba1c7788672d69a7d',
  'rolled-back': 'b6b6a6a5d5d74160bdc7c852136a5d5a',
  'rollback-requested': '00698dfefbae48709cfd7b3cdda6a071',
  'rollback-failed': 'be0548d976f4494f9d4358f29b413bc2',
  'mark-bad-requested': 'aae49ce68b5e45a398305d07e599613c',
  'marked-bad': '47c47d79641b4f5cac1f469f183932b2',
  'mark-bad-failed': '2078eeffef574901984ae0b3b9da3221',
  denied: '62654af800024360ab2ffba67aef7a3d',
  undenied: '40da23b9cb5c495581aeed4aff8a83e5',
  held: 'f2bdf0d0ddc6468d82669481076fa84d',
  released: 'c6b552265d6b4c888cad61eac63ea3c2',
  halted: 'fb183e20d69a423283f2396d0dd1bacc',
  'install-progress': 'd3b1756770664835b01e7b52cdff39c2',
  'attempt-failed': '044383c16d8447d989fca559facf71dd',
};
