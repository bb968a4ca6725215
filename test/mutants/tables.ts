// All planted bugs, by the part of the product that they spoil.

import { attackMutants } from './attack-mutants.ts';
import { bootScriptMutants } from './boot-script-mutants.ts';
import { bootSetMutants } from './boot-set-mutants.ts';
import { coreMutants } from './core-mutants.ts';
import { helperMutants } from './helper-mutants.ts';
import { imageMutants } from './image-mutants.ts';
import { indexMutants } from './index-mutants.ts';
import { initramfsMutants } from './initramfs-mutants.ts';
import { labMutants } from './lab-mutants.ts';
import { lineageMutants } from './lineage-mutants.ts';
import type { Mutant } from './mutant.ts';
import { otapubMutants } from './otapub-mutants.ts';
import { patchMutants } from './patch-mutants.ts';
import { progressMutants } from './progress-mutants.ts';
import { sourceMutants } from './source-mutants.ts';
import { systemdBootMutants } from './systemd-boot-mutants.ts';
import { trustMutants } from './trust-mutants.ts';
import { trybootMutants } from './tryboot-mutants.ts';
import { ubootMutants } from './uboot-mutants.ts';

export const tables: Readonly<Record<string, readonly Mutant[]>> = {
  core: coreMutants,
  lineage: lineageMutants,
  helper: helperMutants,
  'boot-set': bootSetMutants,
  uboot: ubootMutants,
  'systemd-boot': systemdBootMutants,
  'boot-script': bootScriptMutants,
  tryboot: trybootMutants,
  trust: trustMutants,
  attack: attackMutants,
  sources: sourceMutants,
  otapub: otapubMutants,
  index: indexMutants,
  lab: labMutants,
  patch: patchMutants,
  image: imageMutants,
  initramfs: initramfsMutants,
  progress: progressMutants,
};
