// I5: what is confirmed never gets older, except by a technician; nothing below the floor is fetched. I6: what was rolled back is
// not tried again by itself. I10: bytes fetched, reboots a release and polls an hour have bounds.

import type { State } from '../../agent/core/state.ts';
import { otherSlot, type SlotName } from '../../agent/core/types.ts';
import { type BootResult, slotState } from '../../bootctl/model.ts';
import type { SealedRelease } from './catalogue.ts';
import { faultEntry } from './faults.ts';
import { contentOf } from './ground.ts';
import type { People } from './people.ts';
import type { CheckContext } from './verdict.ts';

const hourMs = 3_600_000;
/** A poll an hour, and the first steps of the backoff. */
const pollsAnHour = 12;

export interface ReleaseRules {
  onPowerOn(result: BootResult): void;
  beforeInvalidate(slot: SlotName): void;
  beforeActivate(slot: SlotName): void;
  beforeMarkGood(slot: SlotName): void;
  beforeMarkBad(slot: SlotName): void;
  onCheck(): void;
  onStream(release: SealedRelease): void;
  onFetched(release: SealedRelease, lengthBytes: number): void;
  onRebootRequest(): void;
  beforeCommit(state: State, isLost: boolean): void;
}

/** How it is remembered that a release was rolled back. */
interface Memory {
  /** Losses of the database before: the denylist goes with it. */
  readonly losses: number;
  /** The slot's own record tells of a trial that failed; that a person went back from a good release, only the database tells. */
  readonly isInSlot: boolean;
}

interface Trial {
  readonly slot: SlotName;
  readonly release: SealedRelease;
}

export const createReleaseRules = (context: CheckContext, people: People): ReleaseRules => {
  const { ground, plan, policy, timeline, verdict } = context;
  const { sealing } = ground.catalogue;
  const rolledBack = new Map<string, Memory>();
  const fetched = new Map<string, number>();
  const reboots = new Map<string, number>();
  let checks: number[] = [];
  let confirmedSequence = 1;
  let floor = 0;
  let floorLosses = 0;
  let trial: Trial | null = null;
  let lastTrial = 'none';
  /** The release that the invalidated slot said had been tried or denied. */
  let evidence: string | null = null;

  const remember = (release: SealedRelease | null, isInSlot: boolean): void => {
    const losses = isInSlot ? ground.databaseLosses : people.lossesAtRollback();
    if (release !== null) rolledBack.set(release.release.id, { losses, isInSlot });
  };
  /** The database was lost and the slots' records could not be read at a start: what was tried here is known to nobody. */
  const isMemoryUnreadable = (): boolean =>
    ground.databaseLosses > 0 && plan.struck().some(({ fault }) => fault === 'record-eio');
  const requireFresh = (release: SealedRelease, what: string): void => {
    const memory = rolledBack.get(release.release.id);
    if (memory === undefined || ground.isEnvLostEver || isMemoryUnreadable()) return;
    // With the database, the denylist is lost; then the slot itself must remember, while it still holds the release.
    if (memory.losses === ground.databaseLosses || (memory.isInSlot && evidence === release.release.id)) {
      verdict.violate('I6', `${release.release.version} was rolled back and is ${what} again`);
    }
  };
  const struckCount = (): number => plan.struck().length;
  const refetchCount = (): number => plan.struck().filter(({ fault }) => faultEntry(fault).refetches === true).length;

  return {
    onPowerOn: ({ slot, model }) => {
      if (slot === null || trial === null || slot === trial.slot) return;
      // The bootloader gave up on the trial.
      if (slotState(model, trial.slot) !== 'bad') return;
      remember(trial.release, true);
      trial = null;
    },
    beforeInvalidate: (slot) => {
      ground.broken.delete(slot);
      // Given up before it ever ran, for another release.
      if (trial?.slot === slot) trial = null;
      const record = sealing.decodeRecord(ground.media[slot].view().subarray(-2 * 4096))?.record;
      // The bootloader keeps the root of what it was given; without it, power went between the record and the flip.
      const wasHandedOver = ground.env?.slots[slot].verity?.rootHex === record?.verity.rootHex;
      const isEvidence =
        record?.status === 'denied' ||
        (record?.status === 'activated' &&
          wasHandedOver &&
          ground.env !== null &&
          slotState(ground.env, slot) === 'bad');
      evidence = isEvidence ? (record?.release.id ?? null) : null;
    },
    beforeActivate: (slot) => {
      const content = contentOf(ground, slot);
      if (content === null) return;
      requireFresh(content, 'activated');
      trial = { slot, release: content };
      lastTrial = content.release.id;
    },
    beforeMarkGood: (slot) => {
      const content = contentOf(ground, slot);
      if (content === null) return;
      const { sequence, id } = content.release;
      const hasGoneBack = people.commands('rollback') + people.commands('mark-bad') > 0;
      const isExcused = hasGoneBack || ground.isEnvLostEver || ground.broken.size > 0;
      if (sequence < confirmedSequence) {
        if (!isExcused) verdict.violate('I5', `sequence ${sequence} is confirmed after ${confirmedSequence}`);
        remember(contentOf(ground, otherSlot(slot)), false);
      }
      confirmedSequence = sequence;
      rolledBack.delete(id);
      trial = null;
    },
    beforeMarkBad: (slot) => {
      remember(contentOf(ground, slot), true);
      trial = null;
    },
    onCheck: () => {
      const now = timeline.nowMs();
      checks = [...checks.filter((time) => now - time < hourMs), now];
      // Each fault and each command may cost one more: a restart polls soon, a person polls now.
      const bound = pollsAnHour + 2 * struckCount();
      if (checks.length > bound) verdict.violate('I10', `${checks.length} polls within an hour, ${bound} are allowed`);
    },
    onStream: (release) => {
      const { sequence, version } = release.release;
      if (floorLosses === ground.databaseLosses && sequence < floor) {
        verdict.violate('I5', `${version} is fetched; the floor is ${floor}`);
      }
      const running = contentOf(ground, ground.running);
      const isUnnamed = plan.struck().some(({ fault }) => fault === 'record-eio');
      if (running !== null && sequence <= running.release.sequence && !isUnnamed) {
        verdict.violate('I5', `${version} is fetched while ${running.release.version} runs`);
      }
      requireFresh(release, 'fetched');
    },
    onFetched: (release, lengthBytes) => {
      const { id, version } = release.release;
      const total = (fetched.get(id) ?? 0) + lengthBytes;
      fetched.set(id, total);
      // An interruption may lose what came since the last mark. Marks stand at least a transfer (1 MiB) apart, and the images
      // here are smaller, so each may cost one image: this finds downloads without end, not a lost resume.
      const bound = release.image.length * (1 + refetchCount() + struckCount());
      if (total > bound) verdict.violate('I10', `${total} bytes of ${version} were fetched, ${bound} are allowed`);
    },
    onRebootRequest: () => {
      const count = (reboots.get(lastTrial) ?? 0) + 1;
      reboots.set(lastTrial, count);
      // Without an environment both slots are on trial, unproven.
      const episodes =
        1 +
        // Without an environment both slots are on trial, unproven.
        (ground.isEnvLostEver ? 1 : 0) +
        people.commands('reboot') +
        people.commands('rollback') +
        people.commands('mark-bad') +
        ground.databaseLosses;
      // There and back, as often as each is allowed, and then one in half a day.
      const bound = 2 * policy.rebootAttemptsMax * episodes + Math.floor(timeline.nowMs() / (12 * hourMs));
      if (count > bound) verdict.violate('I10', `${count} reboots for ${lastTrial}, ${bound} are allowed`);
    },
    beforeCommit: (state, isLost) => {
      if (floorLosses !== ground.databaseLosses) {
        floorLosses = ground.databaseLosses;
        floor = 0;
      }
      if (state.sequenceFloor < floor) verdict.violate('I5', `the floor fell from ${floor} to ${state.sequenceFloor}`);
      if (!isLost) floor = Math.max(floor, state.sequenceFloor);
    },
  };
};
