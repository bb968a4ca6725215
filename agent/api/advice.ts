// What a person should do now, in one sentence that names the command; null when the gateway needs nobody. Pure.

import type { Failure } from '../core/errors.ts';
import { assertNever } from '../core/errors.ts';
import type { Snapshot } from '../core/ports.ts';
import type { Automation } from './context.ts';

const afterFailure = (failure: Failure): string => {
  switch (failure.class) {
    case 'config':
      return 'Mend it, test with: otad --check-config, then: sudo systemctl restart otad. Until then: no reboot by itself.';
    case 'device':
      return 'Look at the device: otactl history, journalctl -u otad, dmesg. When it is mended: otactl check';
    case 'release':
      return 'Publish a release that works here; it is taken by itself.';
    case 'transient':
    case 'source':
      return 'Look at the network and the server; it is tried again by itself. To try now: otactl check';
    case 'policy':
    case 'request':
      return 'See what led to it: otactl history';
    case 'bug':
      return 'Report it with what these print: otactl history --json, journalctl -u otad';
    default:
      return assertNever(failure.class);
  }
};

/** What to type so that a release is tried again: its version, or the id where two releases have one version. */
export const undenyCommand = ({ state }: Snapshot, release: { readonly id: string; readonly version: string }) => {
  const namesakes = state.denylist.filter((entry) => entry.release.version === release.version).length;
  return `otactl undeny ${namesakes > 1 ? release.id : release.version}`;
};

/** `attention` as the status shows it. */
export const advise = (snapshot: Snapshot, automation: Automation, attention: Failure | null): string | null => {
  const { phase, hold, staged, lastCheck } = snapshot.state;
  if (phase.kind === 'leaving') return 'To leave it now: otactl reboot. To keep it after all: otactl confirm';
  if (attention !== null) return afterFailure(attention);
  if (phase.kind === 'staged' && staged !== null && !automation.isAutoReboot) {
    return `To start ${staged.release.version}: otactl reboot`;
  }
  if (hold !== null) return 'To let updates go on: otactl release';
  if (phase.kind !== 'idle' || lastCheck === null || lastCheck.failure !== null) return null;
  const codes = lastCheck.reasons.map(({ code }) => code);
  if (codes.includes('denied') && lastCheck.release !== null) {
    return `A newer release is taken by itself. To try ${lastCheck.release.version} again: ${undenyCommand(snapshot, lastCheck.release)}`;
  }
  return codes.includes('manual-install') ? 'To install it: otactl install' : null;
};
