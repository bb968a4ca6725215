// Every case of the lab, in the order in which they run: each claim once, then the many power cuts.

import type { LabCase } from './case.ts';
import { asShipped } from './cases/as-shipped.ts';
import { diskCases } from './cases/disk.ts';
import { helperLies } from './cases/helper-lies.ts';
import { installCases } from './cases/install.ts';
import { type CutOptions, powerCutCases } from './cases/power-cut.ts';
import { rotCases } from './cases/rot.ts';
import { sandboxCases } from './cases/sandbox.ts';
import { sickCases } from './cases/sick.ts';
import { systemCases } from './cases/system.ts';
import { troubleCases } from './cases/trouble.ts';

export const labCases = (cuts: CutOptions): readonly LabCase[] => [
  ...installCases,
  ...sickCases,
  ...rotCases,
  ...troubleCases,
  ...diskCases,
  ...systemCases,
  ...sandboxCases,
  helperLies,
  asShipped,
  ...powerCutCases(cuts),
];
