// Where Debian packages come from: the mirror that apt of this machine is set up with, unless one is named. No host name
// stands in the tree.

import { OtadError } from '../agent/core/errors.ts';
import { runTool } from './tool.ts';

export const suite = 'trixie';
export const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

const format = '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)';

/** The main archive among the lines of `apt-get indextargets`; null: apt knows none. */
export const mirrorIn = (targets: string): string | null => {
  const lines = targets.split('\n').map((line) => line.split(' '));
  const found = lines.find(
    ([what, uri = '', release = '', component]) =>
      what === 'Packages' &&
      component === 'main' &&
      /debian/.test(uri) &&
      !/security|updates|backports/.test(`${uri} ${release}`),
  );
  return found?.[1] ?? null;
};

/** Throws TOOL_FAILED where apt knows no Debian archive. */
export const readMirror = async (): Promise<string> => {
  const mirror = mirrorIn(await runTool('apt-get', ['indextargets', '--format', format]));
  if (mirror === null) {
    throw new OtadError('TOOL_FAILED', {
      program: 'apt-get',
      problem: 'apt knows no Debian mirror; name one with --mirror',
    });
  }
  return mirror;
};

/** A line of sources.list; the signature is checked whatever the mirror is. */
export const sourceLine = (mirror: string): string => `deb [signed-by=${keyring}] ${mirror} ${suite} main`;
