// One life of a gateway: boots, processes, faults, and at the end the proof that it converges (I8). Everything happens in virtual
// time: when no promise can go on, the next timer fires.

import { setImmediate as drain } from 'node:timers/promises';
import { createExecutors } from '../../agent/runtime/executors.ts';
import { createInstall } from '../../agent/runtime/install.ts';
import { createRuntime, type Runtime } from '../../agent/runtime/runtime.ts';
import { ceilToBlock, recordAreaBytes } from '../../agent/core/slot-layout.ts';
import { otherSlot, type Policy, type SlotName, type SlotRecord } from '../../agent/core/types.ts';
import { boot, lostModel, slotState } from '../../bootctl/model.ts';
import { createSealing } from '../../verity/sealing.ts';
import { type Catalogue, compatible, largeFrom, type SealedRelease, slotSizeBytes } from './catalogue.ts';
import { type Checkers, createCheckers } from './checkers.ts';
import type { Life, PlannedFault } from './faults.ts';
import { createGate, type Gate, type Generation, type TracePoint } from './gate.ts';
import { contentOf, createGround, cutPower, type Ground, heal, isBootable, loseDatabase, wallStart } from './ground.ts';
import { createPorts } from './ports.ts';
import { createTimeline, type Timeline } from './timeline.ts';
import { createVerdict, type Verdict, type Violation } from './verdict.ts';
