// Every case of the lab, in the order in which they run.

import type { LabCase } from './case.ts';
import { installCases } from './cases/install.ts';

export const labCases: readonly LabCase[] = [...installCases];
