// What a case of the lab is: a claim about a gateway, the stage that it starts from, and what is done to find out.

import type { DebianRoot } from '../debian-root.ts';
import type { LabBoard } from './boards.ts';
import type { Guest } from './guest.ts';
import type { Machine, MeasuredUpdate } from './machine.ts';
import type { LabReleases } from './releases.ts';
import type { Site } from './site.ts';
import type { StageName } from './stages.ts';

export interface CaseContext {
  readonly debian: DebianRoot;
  readonly board: LabBoard;
  readonly releases: LabReleases;
  readonly machine: Machine;
  readonly guest: Guest;
  readonly site: Site;
  /** What an undisturbed update costs here today. */
  readonly update: () => Promise<MeasuredUpdate>;
  /** History and boot state of the running machine, for whoever looks at the case afterwards: before the power goes. */
  readonly keepRecord: () => Promise<void>;
}

export interface LabCase {
  /** Letters, digits and dashes. */
  readonly name: string;
  /** A sentence that can be wrong. */
  readonly claim: string;
  /** Where what an undisturbed update costs decides, the stage `updated` is made first. */
  readonly from: StageName | ((update: MeasuredUpdate) => StageName);
  /** Belongs to the short run. */
  readonly isSmoke: boolean;
  /** Default: every boot path. */
  readonly isFor?: (board: LabBoard) => boolean;
  readonly run: (context: CaseContext) => Promise<void>;
}
