// All checkers behind one face: ports and firmware report to it before or after they act. It reads the ground truth and what the
// production code asks for, never what the production code believes, except to compare the two.
//
// Invariants of FAULTS.md: I1 I4 I7 in boot-rules.ts; I2 I3 in slot-rules.ts; I5 I6 I10 in release-rules.ts; I11 I12 in
// claim-rules.ts; I8 at the end of a life in life.ts; I9 as a difference between two lives in test/sim/database.test.ts.
// Not checked here: memory (I10; the simulator holds no large data) and TUF metadata versions (I5; the metadata client is
// an adapter, its tests stand beside it).

import type { Command, Reply } from '../../agent/core/events.ts';
import type { State } from '../../agent/core/state.ts';
import type { HealthReport, HistoryEntry, SlotName, VerityParameters } from '../../agent/core/types.ts';
import type { BootModel, BootResult } from '../../bootctl/model.ts';
import { createBootRules } from './boot-rules.ts';
import type { SealedRelease } from './catalogue.ts';
import { createClaimRules } from './claim-rules.ts';
import { createPeople } from './people.ts';
import { createReleaseRules } from './release-rules.ts';
import { createSlotRules } from './slot-rules.ts';
import type { CheckContext } from './verdict.ts';

export interface Checkers {
  onPowerOn(before: BootModel, result: BootResult): void;
  beforeInvalidate(slot: SlotName): void;
  beforeActivate(slot: SlotName, tries: number, verity: VerityParameters): void;
  beforeMarkGood(slot: SlotName): void;
  beforeMarkBad(slot: SlotName): void;
  beforeSlotWrite(slot: SlotName, offsetBytes: number, lengthBytes: number): void;
  afterSlotRead(slot: SlotName, offsetBytes: number, lengthBytes: number): void;
  /** After every change of storage or bootloader memory, with nothing else in between. */
  afterChange(): void;
  onCheck(): void;
  onStream(release: SealedRelease): void;
  onFetched(release: SealedRelease, lengthBytes: number): void;
  onAssessed(report: HealthReport): void;
  onRebootRequest(slot: SlotName): void;
  beforeCommit(state: State, history: readonly HistoryEntry[], isLost: boolean): void;
  onCommand(command: Command): void;
  onReply(command: Command, reply: Reply): void;
  onLog(fields: Readonly<Record<string, unknown>>): void;
}

export const createCheckers = (context: CheckContext): Checkers => {
  const people = createPeople(context.ground);
  const boots = createBootRules(context, people);
  const slots = createSlotRules(context);
  const releases = createReleaseRules(context, people);
  const claims = createClaimRules(context);
  return {
    onPowerOn: (before, result) => {
      people.onPowerOn();
      boots.onPowerOn(before, result);
      slots.onPowerOn();
      releases.onPowerOn(result);
    },
    beforeInvalidate: (slot) => {
      claims.requirePhase('invalidate', slot);
      slots.beforeInvalidate(slot);
      releases.beforeInvalidate(slot);
    },
    beforeActivate: (slot, tries, verity) => {
      claims.requirePhase('activate', slot);
      slots.beforeActivate(slot, tries, verity);
      releases.beforeActivate(slot);
    },
    beforeMarkGood: (slot) => {
      claims.requirePhase('mark-good', slot);
      boots.beforeMarkGood(slot);
      releases.beforeMarkGood(slot);
    },
    beforeMarkBad: (slot) => {
      claims.requirePhase('mark-bad', slot);
      releases.beforeMarkBad(slot);
    },
    beforeSlotWrite: (slot, offsetBytes, lengthBytes) => {
      claims.requirePhase('write', slot);
      slots.beforeWrite(slot, offsetBytes, lengthBytes);
    },
    afterSlotRead: slots.afterRead,
    afterChange: boots.afterChange,
    onCheck: releases.onCheck,
    onStream: releases.onStream,
    onFetched: releases.onFetched,
    onAssessed: people.onAssessed,
    onRebootRequest: (slot) => {
      claims.requirePhase('reboot', slot);
      releases.onRebootRequest();
    },
    beforeCommit: (state, history, isLost) => {
      claims.beforeCommit(state, history, isLost);
      releases.beforeCommit(state, isLost);
    },
    onCommand: people.onCommand,
    onReply: (command, reply) => {
      people.onReply(command, reply);
      claims.onReply(command, reply);
    },
    onLog: claims.onLog,
  };
};
