// How the outcome of a ceremony reads: what was published, or what waits for whose signature and how to get it.

import type { Missing } from '../signing/completion.ts';
import type { CeremonyResult } from '../signing/rotation.ts';
import type { Settlement } from '../signing/settlement.ts';
import { summarize } from '../signing/summary.ts';
import { type CommandIo, usageError } from './command.ts';

/** A person has to do something before it goes on. */
export const waitingExitCode = 4;

export const describeMissing = ({ role, version, byRoot, needed, signed, open }: Missing): string => {
  const rule = role === 'root' && byRoot === version ? 'by its own keys' : `by the keys of root ${byRoot}`;
  const done = signed.length === 0 ? '' : `, has ${signed.join(', ')}`;
  return `  ${role} ${version} ${rule}: ${needed} more of ${open.join(', ')}${done}`;
};

const describeWaiting = (folder: string, settlement: Extract<Settlement, { kind: 'waiting' }>): readonly string[] => {
  const request = settlement.content.folder;
  return [
    'Nothing is published yet. Signatures are missing:',
    ...settlement.missing.map(describeMissing),
    '',
    `Copy this folder to a stick:  ${request}`,
    'On the machine that has the keys:  otapub sign --request FOLDER --keys KEYS',
    `Back here:  otapub sign ${folder} --apply FOLDER`,
  ];
};

export const describeSettlement = (folder: string, settlement: Settlement): readonly string[] => {
  if (settlement.kind === 'waiting') return describeWaiting(folder, settlement);
  const { root, targets, snapshot, timestamp } = settlement.versions;
  return [
    `Published: root ${root}, targets ${targets}, snapshot ${snapshot}, timestamp ${timestamp}`,
    'Copy repository/ to the server now, metadata/timestamp.json last.',
  ];
};

const settlementJson = (settlement: Settlement) =>
  settlement.kind === 'published'
    ? { kind: settlement.kind, versions: settlement.versions }
    : { kind: settlement.kind, request: settlement.content.folder, missing: settlement.missing };

export const reportSettlement = (io: CommandIo, folder: string, settlement: Settlement, isJson: boolean): number => {
  if (isJson) io.print(JSON.stringify(settlementJson(settlement)));
  else for (const line of describeSettlement(folder, settlement)) io.print(line);
  return settlement.kind === 'published' ? 0 : waitingExitCode;
};

/** Everything about a change of keys, and the exit code. */
export const reportCeremony = (io: CommandIo, folder: string, result: CeremonyResult, isJson: boolean): number => {
  const { settlement, newKeyFiles, retired } = result;
  if (isJson) {
    io.print(JSON.stringify({ ...settlementJson(settlement), newKeyFiles, retired }));
    return settlement.kind === 'published' ? 0 : waitingExitCode;
  }
  const request = settlement.kind === 'published' ? settlement.request : settlement.content.request;
  for (const line of summarize(request).slice(2)) io.print(line);
  io.print('');
  const exitCode = reportSettlement(io, folder, settlement, false);
  for (const file of newKeyFiles) io.print(`New private key, keep it where the old one was: ${file}`);
  for (const name of retired) io.print(`${name} counts no more; destroy its private key once this is published.`);
  return exitCode;
};

/** A role list such as `snapshot,timestamp`, or several words. */
export const splitList = (text: string | undefined): readonly string[] | undefined => {
  if (text === undefined) return undefined;
  const words = text.split(',').map((word) => word.trim());
  if (words.some((word) => word === '')) throw usageError(`'${text}' is not a list such as alice,bob`);
  return words;
};
