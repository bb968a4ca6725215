// `otapub release`: everything that a person says about a release, handed to publishRelease.

import { bootArtifactsOf } from '../../agent/core/boot-set.ts';
import type { Artifact, Wave } from '../../agent/core/types.ts';
import { type ImageSource, type PublishedRelease, publishRelease } from '../releases/release.ts';
import { parseCompression, sourceDateEpochS } from './build.ts';
import { describeSettlement, waitingExitCode } from './ceremony.ts';
import { type Command, type CommandIo, formatBytes, parseWords, required, usageError, wholeNumber } from './command.ts';
import { describeLiterals, patchProgress, progressLineOf } from './patch.ts';

const help = `usage: otapub release DIR --channel C --compatible X --release-version V [--image IMG | --layer L...]

Publishes a release to one channel: stores the image, signs the metadata, timestamp last.
Without --image and --layer it offers a version that is published already: to another channel,
or with other waves.

options:
  --channel C              such as stable or beta
  --compatible X           product family; devices of another one never take it
  --release-version V      a version means the same image for ever
  --image IMG              a squashfs image
  --layer L                a layer to build the image from; repeat, lowest first
  --boot FOLDER            kernel, initrd, device trees, a unified image: every file of the
                           folder goes into the slot's boot place, as one set with the image
  --compression C          for --layer: zstd (default) or gzip
  --sequence N             default: the last one of this product plus one
  --notes-url URL          where a person reads what is new
  --wave START:PERCENT     from START on, PERCENT of all devices; repeat, growing.
                           START: now, +6h, +3d, or a time such as 2026-05-01T06:00Z
  --rollback-floor N       once confirmed, devices refuse sequences below N
  --floor-epoch N          allows a lower sequence; root metadata must allow it
  --from VERSION           installs only from this version; repeat
  --patch-from VERSION     make a patch from this published version, so that gateways that run it fetch
                           only what changed inside of its files; repeat
  --hardware REV           only on this hardware revision; repeat
  --agent-version-min V    needs at least this otad
  --health-deadline S      seconds the new system has to become healthy (default 300); more than
                           1500 only for gateways whose dead man's timer was lengthened
  --health-check NAME      a check that must pass besides those of the image; repeat
  --data-schema OLDEST:OWN data schemas that this release reads (default 0:0)
  --request                leave a signing request for targets keys that are not here: see otapub sign
  --keys FOLDER            where the private keys are (default DIR/keys); repeat
  --salt HEX               dm-verity salt instead of a random one, for tests
  --json                   print the release as JSON
environment:
  SOURCE_DATE_EPOCH        for --layer: seconds since 1970 for all times in the image (default 0)
`;

const unitS: Readonly<Record<string, number>> = { m: 60, h: 3600, d: 86_400 };

const parseStart = (text: string, nowS: number): number => {
  if (text === 'now') return nowS;
  const relative = /^\+(\d{1,6})([mhd])$/.exec(text);
  if (relative !== null) return nowS + Number(relative[1]) * (unitS[relative[2] ?? ''] ?? 0);
  // With a zone, or the same words would mean another time on another machine.
  const isDated = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})$/.test(text);
  const timeMs = isDated ? Date.parse(text) : Number.NaN;
  if (!Number.isFinite(timeMs)) {
    throw usageError(`--wave starts at now, +6h, +3d or a time such as 2026-05-01T06:00Z, not '${text}'`);
  }
  return Math.floor(timeMs / 1000);
};

export const parseWave = (text: string, nowS: number): Wave => {
  const colon = text.lastIndexOf(':');
  if (colon < 0) throw usageError(`--wave must be START:PERCENT, not '${text}'`);
  const percent = wholeNumber('wave', text.slice(colon + 1), { min: 0, max: 100 }) ?? 0;
  return { startAtS: parseStart(text.slice(0, colon), nowS), percent };
};

const growing = (waves: readonly Wave[] | undefined): readonly Wave[] | undefined => {
  for (const [index, { startAtS, percent }] of (waves ?? []).entries()) {
    const before = waves?.[index - 1];
    if (before === undefined) continue;
    if (percent < before.percent)
      throw usageError(`--wave: ${percent} % after ${before.percent} %; each wave takes in those before it`);
    if (startAtS < before.startAtS)
      throw usageError('--wave: each wave starts after the one before; put them in order');
  }
  return waves;
};

const parseDataSchema = (text: string | undefined) => {
  if (text === undefined) return undefined;
  const match = /^(\d{1,9}):(\d{1,9})$/.exec(text);
  if (match === null) throw usageError(`--data-schema must be OLDEST:OWN, not '${text}'`);
  return { oldest: Number(match[1]), own: Number(match[2]) };
};

const parseSalt = (text: string | undefined): string | undefined => {
  if (text === undefined || /^(?:[0-9a-f]{2}){0,256}$/.test(text)) return text;
  throw usageError('--salt must be at most 256 bytes in lower-case hex');
};

const options = {
  channel: { type: 'string' },
  compatible: { type: 'string' },
  'release-version': { type: 'string' },
  image: { type: 'string' },
  layer: { type: 'string', multiple: true },
  boot: { type: 'string' },
  compression: { type: 'string' },
  sequence: { type: 'string' },
  'notes-url': { type: 'string' },
  wave: { type: 'string', multiple: true },
  'rollback-floor': { type: 'string' },
  'floor-epoch': { type: 'string' },
  from: { type: 'string', multiple: true },
  'patch-from': { type: 'string', multiple: true },
  hardware: { type: 'string', multiple: true },
  'agent-version-min': { type: 'string' },
  'health-deadline': { type: 'string' },
  'health-check': { type: 'string', multiple: true },
  'data-schema': { type: 'string' },
  keys: { type: 'string', multiple: true },
  salt: { type: 'string' },
  request: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

const parseImage = (
  values: { image?: string | undefined; layer?: string[] | undefined; compression?: string | undefined },
  io: CommandIo,
): ImageSource | undefined => {
  const compression = parseCompression(values.compression);
  if (values.image !== undefined && values.layer !== undefined)
    throw usageError('--image and --layer exclude each other');
  if (values.image !== undefined) return { imagePath: values.image };
  if (values.layer === undefined) return undefined;
  return { layers: values.layer, compression, sourceDateEpochS: sourceDateEpochS(io) };
};

const describeIndex = (rootfs: Artifact | undefined, problem: string | null): string =>
  rootfs?.index
    ? `  chunk index  ${formatBytes(rootfs.index.lengthBytes)}: gateways fetch only the pieces that they do not have`
    : `  chunk index  none, gateways fetch the whole image: ${problem}`;

const describeBootSet = (files: readonly Artifact[]): readonly string[] => {
  const totalBytes = files.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  const names = files.map(({ name }) => name).join(', ');
  return files.length === 0 ? [] : [`  boot set     ${formatBytes(totalBytes)}: ${names}`];
};

const describePatch = ({
  version,
  patch,
  problem,
  literals,
}: PublishedRelease['patches'][number]): readonly string[] => [
  `  patch        from ${version}: ${patch === null ? `none, ${problem}` : formatBytes(patch.lengthBytes)}`,
  ...(literals === null ? [] : describeLiterals(literals).map((line) => `               ${line}`)),
];

const describe = (folder: string, published: PublishedRelease): readonly string[] => {
  const { release, imageFile, versions, waiting, indexProblem, patches } = published;
  const [rootfs] = release.artifacts;
  return [
    `${waiting === null ? 'Published' : 'Prepared'} ${release.version} (sequence ${release.sequence}) for ${release.compatible} to ${release.channel}`,
    `  image        ${imageFile}, ${formatBytes(rootfs?.lengthBytes ?? 0)}`,
    `  sha256       ${rootfs?.sha256Hex}`,
    `  verity root  ${rootfs?.verity?.rootHex}`,
    describeIndex(rootfs, indexProblem),
    ...describeBootSet(bootArtifactsOf(release)),
    ...patches.flatMap(describePatch),
    ...release.waves.map(({ startAtS, percent }) => {
      return `  wave         ${percent}% from ${new Date(startAtS * 1000).toISOString()}`;
    }),
    ...(versions === null
      ? []
      : [`  metadata     targets ${versions.targets}, snapshot ${versions.snapshot}, timestamp ${versions.timestamp}`]),
    ...(waiting === null ? [] : ['', ...describeSettlement(folder, waiting)]),
  ];
};

const run: Command['run'] = async (args, io) => {
  const { values, positionals } = parseWords(args, options, { min: 1, max: 1, names: 'DIR' });
  const anyCount = { min: 0, max: Number.MAX_SAFE_INTEGER };
  const nowMs = io.nowMs();
  const line = progressLineOf(io);
  const given = required(values, ['channel', 'compatible', 'release-version']);
  const published = await publishRelease({
    folder: positionals[0] ?? '',
    channel: given.channel,
    compatible: given.compatible,
    version: given['release-version'],
    image: parseImage(values, io),
    bootFolder: values.boot,
    sequence: wholeNumber('sequence', values.sequence, { ...anyCount, min: 1 }),
    keyFolders: values.keys,
    notesUrl: values['notes-url'],
    waves: growing(values.wave?.map((text) => parseWave(text, Math.floor(nowMs / 1000)))),
    rollbackFloor: wholeNumber('rollback-floor', values['rollback-floor'], anyCount),
    floorEpoch: wholeNumber('floor-epoch', values['floor-epoch'], anyCount),
    from: values.from,
    patchFrom: values['patch-from'],
    onPatchProgress: patchProgress(line),
    hardwareRevisions: values.hardware,
    agentVersionMin: values['agent-version-min'],
    healthDeadlineS: wholeNumber('health-deadline', values['health-deadline'], { min: 1, max: 86_400 }),
    healthChecks: values['health-check'],
    dataSchema: parseDataSchema(values['data-schema']),
    saltHex: parseSalt(values.salt),
    isRequested: values.request,
    nowMs,
    signal: io.signal,
  }).finally(line.end);
  for (const warning of published.warnings) io.warn(`otapub: warning: ${warning}`);
  const { waiting, ...facts } = published;
  const request = waiting?.content.folder ?? null;
  if (values.json === true) io.print(JSON.stringify({ ...facts, request }));
  else for (const line of describe(positionals[0] ?? '', published)) io.print(line);
  return waiting === null ? 0 : waitingExitCode;
};

export const releaseCommand: Command = { name: 'release', summary: 'publish a release to a channel', help, run };
