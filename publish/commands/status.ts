// `otapub status`: what a publisher looks at before and after a release, and what a timer watches.

import type { RepositoryStatus, RequestStatus, RoleStatus } from '../repository/repository-status.ts';
import { readStatus } from '../repository/repository-status.ts';
import { shortId } from '../repository/root-document.ts';
import { describeMissing, waitingExitCode } from './ceremony.ts';
import { type Command, formatTable, parseWords, wholeNumber } from './command.ts';

const help = `usage: otapub status DIR [options]

Shows versions, expiry, thresholds and signers of the metadata, requests that wait for signatures,
and the current release of each channel. Exit code 0 when all is fine, 4 when something expires
soon (a quarter of its lifetime, at most 90 days), 5 when something has expired.

options:
  --warn-days N            call it soon when fewer than N days are left
  --json                   print the status as JSON
`;

const expiredExitCode = 5;
const daysMax = 36_500;

const describeExpiry = ({ expires, daysLeft, health }: RoleStatus): string =>
  health === 'expired' ? `EXPIRED ${expires}` : `${expires} (${daysLeft} days${health === 'soon' ? ', SOON' : ''})`;

const roleRow = (role: RoleStatus): readonly string[] => {
  const nameOf = ({ name, keyId }: RoleStatus['keys'][number]): string => `${name} (${shortId(keyId)})`;
  const signed = role.keys.filter(({ hasSigned }) => hasSigned);
  const others = role.keys.filter(({ hasSigned }) => !hasSigned);
  return [
    role.role,
    String(role.version),
    describeExpiry(role),
    `${role.threshold} of ${role.keys.length}`,
    signed.map(nameOf).join(' '),
    others.map(nameOf).join(' ') || '-',
    role.keys.flatMap(({ fileHere }) => fileHere ?? []).join(' ') || '-',
  ];
};

const requestLines = ({ folder, createdAt, stale, missing }: RequestStatus): readonly string[] => [
  `Waiting since ${createdAt}: ${folder}`,
  ...(stale === null ? missing.map(describeMissing) : [`  fits no more (${stale}); remove the folder`]),
  ...(stale === null && missing.length === 0 ? ['  has all signatures: otapub sign DIR --apply it'] : []),
];

const releaseRows = (releases: RepositoryStatus['releases']): readonly (readonly string[])[] => [
  ['channel', 'compatible', 'version', 'sequence', 'published', 'waves'],
  ...releases.map((release) => [
    release.channel,
    release.compatible,
    release.version,
    String(release.sequence),
    new Date(release.publishedAtS * 1000).toISOString(),
    release.waves.map((wave) => `${wave.percent}% ${new Date(wave.startAtS * 1000).toISOString()}`).join(', ') || 'all',
  ]),
];

const describe = ({ name, folder, roles, requests, releases, idleKeys }: RepositoryStatus): readonly string[] => [
  `Repository '${name}' in ${folder}`,
  '',
  ...formatTable([['role', 'version', 'expires', 'needs', 'signed by', 'not by', 'keys here'], ...roles.map(roleRow)]),
  ...(idleKeys.length === 0 ? [] : ['', `Keys here that serve no role: ${idleKeys.join(' ')}`]),
  ...requests.flatMap((request) => ['', ...requestLines(request)]),
  '',
  ...(releases.length === 0 ? ['No release is published yet.'] : formatTable(releaseRows(releases))),
];

const exitCodeOf = (roles: readonly RoleStatus[]): number => {
  if (roles.some(({ health }) => health === 'expired')) return expiredExitCode;
  return roles.some(({ health }) => health === 'soon') ? waitingExitCode : 0;
};

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    { json: { type: 'boolean' }, 'warn-days': { type: 'string' } },
    { min: 1, max: 1, names: 'DIR' },
  );
  const warnDays = wholeNumber('warn-days', values['warn-days'], { min: 0, max: daysMax });
  const status = await readStatus(positionals[0] ?? '', io.nowMs(), warnDays);
  if (values.json === true) io.print(JSON.stringify(status));
  else for (const line of describe(status)) io.print(line);
  return exitCodeOf(status.roles);
};

export const statusCommand: Command = {
  name: 'status',
  summary: 'expiry, signers, waiting requests, current releases',
  help,
  run,
};
