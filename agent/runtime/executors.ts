// One function for each kind of effect, over the ports. A mapped type: a kind without its function does not compile.

import type { BootControl, Executors, Health, Installer, Rebooter, ReleaseSource } from '../core/ports.ts';
import { chosenSource } from './chosen-source.ts';

export interface ExecutorPorts {
  readonly boot: BootControl;
  readonly install: Installer;
  readonly source: ReleaseSource;
  readonly health: Health;
  readonly rebooter: Rebooter;
}

export const createExecutors = ({ boot, install, source, health, rebooter }: ExecutorPorts): Executors => ({
  check: (effect, signal) => chosenSource(source, effect.folder).check(signal),
  invalidate: async (effect, signal) => {
    await boot.invalidate(effect.slot, signal);
    return null;
  },
  write: (effect, signal, onProgress) => install.write({ ...effect, isReadBackNext: true }, signal, onProgress),
  verify: (effect, signal, onProgress) => install.verify(effect, signal, onProgress),
  assess: (effect, signal) => health.assess(effect, signal),
  activate: async (effect, signal) => {
    // The record first: a slot that was ever handed to the bootloader says so itself, should the database be lost.
    await install.markActivated(effect.slot, signal);
    await boot.activate(effect.slot, effect.tries, effect.verity, signal);
    return null;
  },
  reboot: async (effect, signal) => {
    await boot.prepareReboot(signal);
    await rebooter.request(effect.slot, signal);
    return null;
  },
  confirm: async (effect, signal) => {
    await boot.markGood(effect.slot, signal);
    // What was started has its boot files in its own place.
    await install.dropBootSet();
    return null;
  },
  revert: async (effect, signal) => {
    await boot.markBad(effect.slot, signal);
    return null;
  },
  retire: async (effect, signal) => {
    // Bad, not invalidated: the root that the bootloader keeps shows that the slot was tried, should the database be lost and
    // the record, written next, not be taken by the medium.
    await boot.markBad(effect.slot, signal);
    await install.retire(effect.slot, effect.reason, signal);
    await install.dropBootSet();
    return null;
  },
});
