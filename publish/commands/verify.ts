// `otapub verify`: a folder or a URL, checked as a device would.

import { readFile } from 'node:fs/promises';
import { OtadError } from '../../agent/core/errors.ts';
import type { Release, Wave } from '../../agent/core/types.ts';
import { metadataFolder, publisherHint, publisherPaths } from '../repository/publisher-folder.ts';
import { createFolderReader, createHttpReader, type RepositoryReader } from '../serving/repository-reader.ts';
import { exitCodeOf, type VerificationReport, verifyRepository } from '../serving/verification.ts';
import { type Command, formatBytes, formatTable, isFolder, parseWords, suggestion, usageError } from './command.ts';

const help = `usage: otapub verify DIR|URL [options]

Runs the update client of a device over the repository and checks every file of it: signatures,
expiry, lengths, digests, release documents, the dm-verity root of every image, and that every root
since the first leads to the newest. Then says what the gateways of each channel are offered. DIR is
a publisher's folder or a copy of its repository/.
Exit code 5 when anything is wrong.

options:
  --root FILE              the trusted root.json (default DIR/root.json; for a URL the one of this
                           system, /usr/lib/otad/root.json)
  --quick                  compare the lengths of images instead of reading them
  --channel C              say only what gateways of this channel are offered
  --compatible X           and only this product
  --json                   print the report as JSON
`;

const timestampPath = `${metadataFolder}/timestamp.json`;
const systemRoot = '/usr/lib/otad/root.json';

const isUrl = (source: string): boolean => /^[a-z][a-z0-9+.-]*:\/\//i.test(source);

interface Source {
  readonly reader: RepositoryReader;
  readonly defaultRoot: string;
  /** Where no root is given and none is there. */
  readonly rootHint: string;
  /** For a server that has nothing: what may be wrong. */
  readonly emptyHint: string;
}

const openUrl = (source: string): Source => {
  if (!URL.canParse(source)) throw usageError(`'${source}' is not a URL`);
  const url = new URL(source.endsWith('/') ? source : `${source}/`);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw usageError(`${url.protocol}// is not supported: give an http or https URL, or a folder`);
  }
  return {
    reader: createHttpReader(url.href),
    defaultRoot: systemRoot,
    rootHint: '',
    emptyHint: `${url.href} has no ${timestampPath}: give the base URL, below which metadata/ and targets/ are served`,
  };
};

const openFolder = async (source: string): Promise<Source> => {
  if (!(await isFolder(source))) throw usageError(`there is no folder ${source}`);
  const paths = publisherPaths(source);
  const folder = (await isFolder(paths.repository)) ? paths.repository : paths.folder;
  return {
    reader: createFolderReader(folder),
    defaultRoot: paths.root,
    rootHint: `give --root FILE: the root.json of the images${await publisherHint(source)}`,
    emptyHint: `${folder} has no ${timestampPath}: give a publisher's folder or a copy of its repository/`,
  };
};

const readRoot = async (source: Source, given: string | undefined): Promise<Uint8Array> => {
  const path = given ?? source.defaultRoot;
  return await readFile(path).catch((cause: unknown) => {
    if (given === undefined && path === systemRoot) {
      throw usageError(`--root is required for a URL: the root must not come from the server, and there is no ${path}`);
    }
    const hint = given === undefined ? source.rootHint : 'there is no such file';
    throw new OtadError('TRUST_ROOT_MISSING', { path, hint }, { cause });
  });
};

const describeWaves = (waves: readonly Wave[], nowS: number): string => {
  if (waves.length === 0) return 'all gateways at once';
  const open = waves
    .filter(({ startAtS }) => startAtS <= nowS)
    .reduce((most, { percent }) => Math.max(most, percent), 0);
  const later = waves.filter(({ startAtS }) => startAtS > nowS);
  const steps = later.map(({ startAtS, percent }) => `${percent}% from ${new Date(startAtS * 1000).toISOString()}`);
  return [`${open}% of gateways now`, ...steps].join(', ');
};

const describeOffer = (release: Release, nowS: number): string => {
  const rules = [
    ...(release.from.length === 0 ? [] : [`only from ${release.from.join(', ')}`]),
    ...(release.hardwareRevisions.length === 0 ? [] : [`only on hardware ${release.hardwareRevisions.join(', ')}`]),
    ...(release.agentVersionMin === null ? [] : [`needs otad ${release.agentVersionMin}`]),
  ];
  const offer = `${release.channel} / ${release.compatible}: ${release.version} (sequence ${release.sequence})`;
  return [offer, describeWaves(release.waves, nowS), ...rules].join('; ');
};

const describe = (report: VerificationReport, offers: readonly Release[], nowS: number): readonly string[] => [
  ...formatTable(
    report.files.map(({ kind, path, note, lengthBytes, problem }) => [
      problem === null ? 'ok' : 'WRONG',
      kind,
      path,
      lengthBytes === null ? '' : formatBytes(lengthBytes),
      note,
    ]),
  ),
  ...report.files.flatMap(({ path, problem }) => (problem === null ? [] : [`${path}: ${problem}`])),
  ...(offers.length === 0
    ? []
    : ['', 'Gateways are offered:', ...offers.map((offer) => `  ${describeOffer(offer, nowS)}`)]),
];

/** Throws when the wanted channel offers nothing: a gateway would see nothing there. */
const offersFor = (
  releases: readonly Release[],
  channel: string | undefined,
  compatible: string | undefined,
): readonly Release[] => {
  const offers = releases.filter(
    (release) =>
      (channel === undefined || release.channel === channel) &&
      (compatible === undefined || release.compatible === compatible),
  );
  if (offers.length > 0 || (channel === undefined && compatible === undefined)) return offers;
  const known = [...new Set(releases.map((release) => (channel === undefined ? release.compatible : release.channel)))];
  const problem = `nothing is published for ${channel ?? 'any channel'} / ${compatible ?? 'any product'}`;
  throw new OtadError('TARGET_UNKNOWN', { problem: `${problem}${suggestion(channel ?? compatible ?? '', known)}` });
};

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(
    args,
    {
      root: { type: 'string' },
      quick: { type: 'boolean' },
      channel: { type: 'string' },
      compatible: { type: 'string' },
      json: { type: 'boolean' },
    },
    { min: 1, max: 1, names: 'DIR or URL' },
  );
  const word = positionals[0] ?? '';
  const source = isUrl(word) ? openUrl(word) : await openFolder(word);
  const root = await readRoot(source, values.root);
  if ((await source.reader.lengthOf(timestampPath, io.signal)) === null) {
    throw new OtadError('METADATA_MISSING', { problem: source.emptyHint });
  }
  const nowMs = io.nowMs();
  const { reader } = source;
  const report = await verifyRepository({ reader, root, nowMs, isQuick: values.quick, signal: io.signal });
  const isRefused = report.releases.length === 0 && !report.isSound;
  const offers = isRefused ? [] : offersFor(report.releases, values.channel, values.compatible);
  if (values.json === true) io.print(JSON.stringify({ ...report, releases: offers }));
  else for (const line of describe(report, offers, nowMs / 1000)) io.print(line);
  return exitCodeOf(report);
};

export const verifyCommand: Command = { name: 'verify', summary: 'check a repository as a device would', help, run };
