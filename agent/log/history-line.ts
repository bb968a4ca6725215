// A history entry as a sentence and a level. The full text for a technician stands in the journal catalog.

import type { HistoryEntry, HistoryType } from '../core/types.ts';

export type HistoryLevel = 'info' | 'warn' | 'error';

const levels: Readonly<Record<HistoryType, HistoryLevel>> = {
  started: 'info',
  'store-rebuilt': 'warn',
  'check-failed': 'warn',
  'install-started': 'info',
  'install-failed': 'warn',
  installed: 'info',
  activated: 'info',
  'activate-failed': 'error',
  'reboot-requested': 'info',
  'trial-started': 'info',
  'health-failed': 'error',
  confirmed: 'info',
  'rolled-back': 'error',
  'rollback-requested': 'warn',
  'rollback-failed': 'error',
  'mark-bad-requested': 'warn',
  'marked-bad': 'warn',
  'mark-bad-failed': 'error',
  denied: 'warn',
  undenied: 'info',
  held: 'info',
  released: 'info',
  halted: 'error',
};

const sentences: Readonly<Record<HistoryType, string>> = {
  started: 'otad started',
  'store-rebuilt': 'The state was rebuilt from the device',
  'check-failed': 'The check for a release failed',
  'install-started': 'The install began',
  'install-failed': 'The install failed',
  installed: 'Installed and verified',
  activated: 'Activated for a trial boot',
  'activate-failed': 'The bootloader could not be switched',
  'reboot-requested': 'A reboot was requested',
  'trial-started': 'The trial of a new release began',
  'health-failed': 'Health checks failed',
  confirmed: 'Confirmed',
  'rolled-back': 'Rolled back',
  'rollback-requested': 'A rollback was requested',
  'rollback-failed': 'The rollback was not made',
  'mark-bad-requested': 'A slot is to be marked bad',
  'marked-bad': 'Marked bad',
  'mark-bad-failed': 'The slot could not be marked bad',
  denied: 'Put on the denylist',
  undenied: 'Taken off the denylist',
  held: 'Updates are held',
  released: 'The hold was lifted',
  halted: 'Stopped updating: needs attention',
};

export const historyLevel = (type: HistoryType): HistoryLevel => levels[type];

export const historySentence = (entry: HistoryEntry): string => {
  const facts = [
    ...(entry.version === null ? [] : [`version ${entry.version}`]),
    ...(entry.slot === null ? [] : [`slot ${entry.slot}`]),
  ];
  const where = facts.length === 0 ? '' : ` (${facts.join(', ')})`;
  return `${sentences[entry.type]}${where}${entry.reason === null ? '.' : `: ${entry.reason}`}`;
};
