// The reference model behind the boot control port, over any place that holds a model: the simulator's fake world and
// the contract suite. No device is touched here.

import { OtadError } from '../agent/core/errors.ts';
import type { BootControl } from '../agent/core/ports.ts';
import {
  activate,
  type BootEvidence,
  type BootModel,
  type BootRule,
  boot,
  invalidate,
  lostModel,
  markBad,
  markGood,
  restoreTries,
  statusOf,
} from './model.ts';

/** Where a model lives. `write` is one atomic, durable change. */
export interface ModelCell {
  read(): BootModel | null;
  write(model: BootModel): void;
}

export const createModelControl = (
  cell: ModelCell,
  evidence: () => BootEvidence,
  rule: BootRule = boot,
): BootControl => {
  const load = (signal: AbortSignal): BootModel => {
    if (signal.aborted) throw new OtadError('CANCELLED');
    return cell.read() ?? lostModel;
  };
  return {
    status: async (signal) => {
      const model = load(signal);
      const facts = evidence();
      const restored = restoreTries(model, facts.slot);
      if (restored !== model) cell.write(restored);
      return statusOf(restored, facts, [], rule);
    },
    invalidate: async (slot, signal) => cell.write(invalidate(load(signal), slot, evidence().slot)),
    activate: async (slot, tries, verity, signal) => cell.write(activate(load(signal), slot, tries, verity)),
    markGood: async (slot, signal, running) => cell.write(markGood(load(signal), slot, running)),
    markBad: async (slot, signal) => cell.write(markBad(load(signal), slot)),
    prepareReboot: async () => {},
  };
};
