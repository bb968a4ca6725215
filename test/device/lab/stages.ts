// Machines that have really got somewhere, kept to go on from, made once a run by real boots. `new` was never switched on,
// `factory` has booted the factory's image and waits. `activated` has installed the good release and asked for the restart,
// which nobody has heard yet; `sick-activated` the same with the sick one. `updated` has booted and confirmed the good one.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import type { DebianRoot } from '../debian-root.ts';
import type { LabBoard } from './boards.ts';
import type { CaseContext } from './case.ts';
import { expectConfirmed, follow, hearRestart, sentences, untilConfirmed, versionOf } from './journey.ts';
import type { Leg, MeasuredUpdate, Stage } from './machine.ts';
import type { LabChannel, LabReleases } from './releases.ts';
import { legsFromReboot, legsToReboot, type UpdateLeg } from './update-legs.ts';

export const stageNames = ['new', 'factory', 'activated', 'sick-activated', 'updated'] as const;
export type StageName = (typeof stageNames)[number];

const diskOf = ({ image }: LabBoard, { disks }: LabReleases): string => {
  const path = disks[image.name];
  if (path === undefined) throw new Error(`no disk was built for ${image.name}`);
  return path;
};

/** A gateway out of its box. */
export const newStage = async (
  debian: DebianRoot,
  board: LabBoard,
  releases: LabReleases,
  folder: string,
): Promise<Stage> => {
  await mkdir(folder, { recursive: true });
  await board.prepareMemory(debian, folder);
  return {
    folder,
    disk: { path: diskOf(board, releases), format: 'raw' },
    memoryFiles: board.memoryFiles,
    state: null,
    update: null,
  };
};

const timed = async ({ machine }: CaseContext, legs: readonly UpdateLeg[], mark: number): Promise<readonly Leg[]> => {
  const took: Leg[] = [];
  for (const { name, until } of legs) {
    const sinceMs = performance.now();
    await machine.said(until, mark, name);
    took.push({ name, ms: performance.now() - sinceMs });
  }
  return took;
};

/** Follows the channel until the restart is asked for, and keeps it from being heard. */
const activate = async (
  context: CaseContext,
  channel: LabChannel,
  legs: readonly UpdateLeg[],
): Promise<MeasuredUpdate> => {
  const { machine, guest, site } = context;
  await guest.ok('systemctl stop otad-reboot.path');
  const mark = machine.console.mark();
  await follow(context, channel);
  const took = await timed(context, legs, mark);
  await machine.said(sentences.rebooting, mark, 'the request to reboot');
  return { legs: took, receivedBytes: site.link.receivedBytes() };
};

interface StageWay {
  readonly from: StageName;
  /** `before`: what the update cost up to the stage that this begins with. */
  readonly go: (context: CaseContext, before: MeasuredUpdate | null) => Promise<MeasuredUpdate | null>;
}

/** Which stage each one begins with, and the way from there. The machine has its power on already. */
export const stageWays: Readonly<Record<Exclude<StageName, 'new'>, StageWay>> = {
  factory: {
    from: 'new',
    go: async (context) => {
      await context.machine.nextBoot(null);
      await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
      // What starts once in a life has started: from here on the machine only waits.
      assert.equal((await context.guest.run('systemctl is-system-running --wait')).output, 'running');
      return null;
    },
  },
  activated: { from: 'factory', go: (context) => activate(context, 'good', legsToReboot) },
  'sick-activated': { from: 'factory', go: (context) => activate(context, 'sick', []) },
  updated: {
    from: 'activated',
    go: async (context, before) => {
      const { machine, guest, site, board } = context;
      if (before === null) throw new Error('the stage activated has seen no update');
      const mark = machine.console.mark();
      // From the restart on it asks the server of this stage, where nobody else does.
      await guest.configure({ baseUrls: [site.url], channel: 'good' });
      await hearRestart(context);
      const took = await timed(context, legsFromReboot(board), mark);
      await untilConfirmed(context, 'good', mark, 'b');
      return {
        legs: [...before.legs, ...took],
        receivedBytes: before.receivedBytes + site.link.receivedBytes(),
      };
    },
  },
};
