// Asks the system to reboot with the configured command. That the request was accepted says nothing about the reboot:
// the core waits for it and counts.

import { OtadError } from '../core/errors.ts';
import type { Rebooter } from '../core/ports.ts';
import { commandFailure, runCommand } from './command.ts';

export interface RebooterOptions {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** The program is given the slot to be tried in OTAD_SLOT. */
  readonly timeoutMs?: number;
}

const timeoutMsDefault = 60_000;

export const createRebooter = ({ command, timeoutMs = timeoutMsDefault }: RebooterOptions): Rebooter => ({
  async request(slot, signal) {
    const result = await runCommand(command, { timeoutMs, mayLeaveBehind: true, env: { OTAD_SLOT: slot } }, signal);
    const reason = commandFailure(result, timeoutMs);
    if (reason !== null) throw new OtadError('REBOOT_REFUSED', { command: command.join(' '), reason });
  },
});
