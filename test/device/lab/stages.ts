// Machines that have really got somewhere, kept to go on from: `new` was never switched on, `factory` has booted the factory's
// image and waits, `updated` has installed, booted and confirmed the good release after that. Made once a run, by real boots.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import type { DebianRoot } from '../debian-root.ts';
import type { LabBoard } from './boards.ts';
import type { CaseContext } from './case.ts';
import { expectConfirmed, follow, untilConfirmed, versionOf } from './journey.ts';
import type { Leg, MeasuredUpdate, Stage } from './machine.ts';
import type { LabReleases } from './releases.ts';
import { updateLegs } from './update-legs.ts';

export const stageNames = ['new', 'factory', 'updated'] as const;
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

/** Which stage each one begins with, and the way from there. The machine has its power on already. */
export const stageWays: Readonly<
  Record<
    Exclude<StageName, 'new'>,
    { readonly from: StageName; readonly go: (context: CaseContext) => Promise<MeasuredUpdate | null> }
  >
> = {
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
  updated: {
    from: 'factory',
    go: async (context) => {
      const mark = context.machine.console.mark();
      await follow(context, 'good');
      const legs: Leg[] = [];
      for (const { name, until } of updateLegs(context.board)) {
        const sinceMs = performance.now();
        await context.machine.said(until, mark, name);
        legs.push({ name, ms: performance.now() - sinceMs });
      }
      await untilConfirmed(context, 'good', mark, 'b');
      return { legs, receivedBytes: context.site.link.receivedBytes() };
    },
  },
};
