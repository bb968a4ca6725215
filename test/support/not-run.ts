// Registers what this machine cannot try, so that it is read in the report instead of missing from it.

import { test } from 'node:test';

/** `what`: the claims that stay untried; `needs`: what the machine would have to give. */
export const reportNotRun = (what: string, needs: string): void => {
  test(`${what}: untried here`, (context) => context.diagnostic(`${what} not run: needs ${needs}`));
};
