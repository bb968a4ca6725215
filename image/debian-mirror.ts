// Where Debian packages come from: the mirrors that apt of this machine is set up with, unless others are named. No host
// name stands in the tree. Security updates are part of it unless somebody says that they are not wanted.

import { OtadError } from '../agent/core/errors.ts';
import { runTool } from './tool.ts';

export const suite = 'trixie';
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

const format = '$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)';

export interface DebianMirrors {
  /** Of the release and of its updates between point releases. */
  readonly main: string;
  /** Null: an image without security updates, because somebody asked for one. */
  readonly security: string | null;
}

export interface MirrorWish {
  readonly main?: string | undefined;
  readonly security?: string | undefined;
  readonly isWithoutSecurity?: boolean | undefined;
}

const isSecurity = (uri: string, release: string): boolean => /security/.test(`${uri} ${release}`);
const isRelease = (uri: string, release: string): boolean => !/security|updates|backports/.test(`${uri} ${release}`);

/** The first archive of Debian that is such a one, among the lines of `apt-get indextargets`; null: apt knows none. */
const firstIn = (targets: string, isWanted: (uri: string, release: string) => boolean): string | null => {
  const lines = targets.split('\n').map((line) => line.split(' '));
  const found = lines.find(
    ([what, uri = '', release = '', component]) =>
      what === 'Packages' && component === 'main' && /debian/.test(uri) && isWanted(uri, release),
  );
  return found?.[1] ?? null;
};

const refuse = (problem: string): OtadError => new OtadError('TOOL_FAILED', { program: 'apt-get', problem });

/** What is wished for, completed by what apt knows. Throws TOOL_FAILED where that is not enough. */
export const mirrorsIn = (targets: string, wish: MirrorWish): DebianMirrors => {
  const main = wish.main ?? firstIn(targets, isRelease);
  if (main === null) throw refuse('apt knows no Debian mirror; name one with --mirror');
  if (wish.isWithoutSecurity === true) return { main, security: null };
  const security = wish.security ?? firstIn(targets, isSecurity);
  if (security === null) {
    throw refuse(
      'apt knows no mirror with security updates; name one with --security-mirror, or say --no-security for an image without them',
    );
  }
  return { main, security };
};

export const findMirrors = async (wish: MirrorWish = {}): Promise<DebianMirrors> =>
  mirrorsIn(await runTool('apt-get', ['indextargets', '--format', format]), wish);

/** Lines of sources.list; the signature is checked whatever the mirror is. */
export const sourceLines = (
  { main, security }: DebianMirrors,
  components: readonly string[] = [],
): readonly string[] => {
  const rest = ['main', ...components].join(' ');
  const line = (mirror: string, name: string): string => `deb [signed-by=${keyring}] ${mirror} ${name} ${rest}`;
  return [
    ...[line(main, suite), line(main, `${suite}-updates`)],
    ...(security === null ? [] : [line(security, `${suite}-security`)]),
  ];
};
