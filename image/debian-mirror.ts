// Where Debian packages come from: the mirror that apt of this machine is set up with, unless one is named. No host name
// stands in the tree.

import { OtadError } from '../agent/core/errors.ts';
import { runTool } from './tool.ts';

export const suite = 'trixie';
export const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

const format = '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)';

const archiveIn = (targets: string, isWanted: (names: string) => boolean): string | null => {
  const lines = targets.split('\n').map((line) => line.split(' '));
  const found = lines.find(
    ([what, uri = '', release = '', component]) =>
      what === 'Packages' && component === 'main' && /debian/.test(uri) && isWanted(`${uri} ${release}`),
  );
  return found?.[1] ?? null;
};

/** The main archive among the lines of `apt-get indextargets`; null: apt knows none. */
export const mirrorIn = (targets: string): string | null =>
  archiveIn(targets, (names) => !/security|updates|backports/.test(names));

/** The archive of security updates among the same lines. */
export const securityMirrorIn = (targets: string): string | null =>
  archiveIn(targets, (names) => /security/.test(names));

const readTargets = (): Promise<string> => runTool('apt-get', ['indextargets', '--format', format]);

const requireMirror = (mirror: string | null, problem: string): string => {
  if (mirror === null) throw new OtadError('TOOL_FAILED', { program: 'apt-get', problem });
  return mirror;
};

/** Throws TOOL_FAILED where apt knows no Debian archive. */
export const readMirror = async (): Promise<string> =>
  requireMirror(mirrorIn(await readTargets()), 'apt knows no Debian mirror; name one with --mirror');

/** A line of sources.list; the signature is checked whatever the mirror is. */
export const sourceLine = (mirror: string, release = suite): string =>
  `deb [signed-by=${keyring}] ${mirror} ${release} main`;

/** Lines of sources.list with what came after the release: security fixes and updates. Throws TOOL_FAILED. */
export const readUpdateLines = async (): Promise<readonly string[]> => {
  const targets = await readTargets();
  const security = requireMirror(securityMirrorIn(targets), 'apt knows no archive of security updates');
  return [
    sourceLine(requireMirror(mirrorIn(targets), 'apt knows no Debian mirror'), `${suite}-updates`),
    sourceLine(security, `${suite}-security`),
  ];
};
