// `npm start`: a virtual gateway updates itself, survives a sick release, and a technician looks and rolls back.
// Ends with 0 only if the daemon's own answers say so. The daemon may be killed at any moment of it. `--keep` stays up,
// `--report FILE` writes the answers as JSON.

import { open, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import type { StatusBody } from '../../agent/api/schema.ts';
import { sizeText } from '../../agent/cli/layout.ts';
import { OtadError } from '../../agent/core/errors.ts';
import { parseWords, usageError } from '../../publish/commands/command.ts';
import { claimFolder, defaultFolder } from './demo-folder.ts';
import { channel, compatible } from './layers.ts';
import { Narrator, narrateGateway } from './narrator.ts';
import { createPatientReads, type PatientReads } from './patience.ts';
import { publishedImage } from './publisher.ts';
import { type Report, readReport } from './report.ts';
import { type ShownCall, Technician } from './technician.ts';
import { bundleDir, createWorld, type World } from './world.ts';

const mebibyte = 1024 * 1024;
/** About a good mobile connection, so that there is something to see. */
const linkBytesPerS = 4 * mebibyte;
/** Without progress. */
const stageTimeoutMs = 120_000;
const projectDir = resolve(import.meta.dirname, '../../..');

interface Options {
  readonly isKept: boolean;
  readonly reportPath: string | null;
  readonly folder: string;
}

/** What the stages need at hand. */
interface Play {
  readonly world: World;
  readonly reads: PatientReads;
  readonly technician: Technician;
  readonly narrator: Narrator;
  readonly signal: AbortSignal;
}

const usage = `Usage: npm start -- [--keep] [--report FILE] [--folder DIR]

  --keep         stay up afterwards, to try otactl, fw_printenv and the REST API by hand
  --report FILE  write slots, history and denylist, as the daemon tells them, as JSON
  --folder DIR   where vendor and gateway are made anew; default .virtual in the project
`;

const words = {
  keep: { type: 'boolean' },
  report: { type: 'string' },
  folder: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Null: help is wanted. Throws BAD_REQUEST with what is wrong. */
const readOptions = (args: readonly string[], env: NodeJS.ProcessEnv): Options | null => {
  // npm keeps to itself what stands before `--`, and tells it like this.
  const swallowed = Object.keys(words).find((name) => env[`npm_config_${name}`] !== undefined && name !== 'help');
  if (swallowed !== undefined) throw usageError(`npm kept --${swallowed} for itself: npm start -- --${swallowed} ...`);
  const { values } = parseWords(args, words, { min: 0, max: 0, names: '' });
  if (values.help === true) return null;
  return {
    isKept: values.keep === true,
    reportPath: values.report === undefined ? null : resolve(values.report),
    folder: values.folder === undefined ? defaultFolder(projectDir) : resolve(values.folder),
  };
};

/** Before the show instead of after it: a report that cannot be written is found out at once. */
const checkReport = async (path: string): Promise<void> => {
  try {
    await (await open(path, 'a')).close();
  } catch (error) {
    throw new Error(`the report cannot be written: ${(error as Error).message}`);
  }
};

const rests = (status: StatusBody, version: string): boolean =>
  status.phase === 'idle' && status.version === version && status.confirmed && status.attention === null;

const runStages = async ({ world, reads, technician, narrator, signal }: Play): Promise<void> => {
  const { gateway, vendor } = world;
  const until = async (isReached: (status: StatusBody) => boolean): Promise<void> => {
    await gateway.waitUntil(isReached, stageTimeoutMs, signal);
    narrator.history(await reads.history());
  };

  narrator.title('1  The gateway starts with 1.0');
  await gateway.powerOn();
  await until((status) => rests(status, '1.0'));

  narrator.title('2  The vendor offers 1.1');
  await vendor.offer('1.1');
  await until((status) => rests(status, '1.1'));

  narrator.title('3  A technician goes back to 1.0, and forward again');
  const reason = 'comparing with the version before';
  await technician.otactl(['rollback', '--yes', reason], { exitCode: 0, entry: 'rollback-requested' });
  await until((status) => rests(status, '1.0'));
  await technician.otactl(['undeny', '1.1'], { exitCode: 0, entry: 'undenied' });
  await until((status) => rests(status, '1.1'));

  narrator.title('4  The vendor offers 1.2, which is sick');
  await vendor.offer('1.2');
  await until((status) => rests(status, '1.1') && status.denylist.includes('1.2'));
};

const runInspection = async ({ technician, narrator }: Play): Promise<void> => {
  narrator.title('5  The technician looks, and asks for a rollback where there is nothing good to return to');
  await technician.otactl(['status']);
  await technician.otactl(['history', '--limit', '12']);
  await technician.otactl(['why']);
  await technician.otactl(['rollback', '--yes'], { exitCode: 3, entry: null });
};

type Finding = readonly [claim: string, holds: boolean];

/** What the server sent of an image, and how long the image is. */
interface Transfer {
  readonly sentBytes: number;
  readonly imageBytes: number;
}

const transferOf = async ({ vendor, served }: World, version: string): Promise<Transfer> => {
  const { facts } = await publishedImage(vendor, version);
  const sent = served.requests.filter(({ path }) => path.endsWith(`-${version}.squashfs`));
  return { sentBytes: sent.reduce((sum, { bytes }) => sum + bytes, 0), imageBytes: facts.lengthBytes };
};

const judgeCall = ({ command, exitCode, expectedExitCode, isObeyedUnanswered }: ShownCall): Finding =>
  isObeyedUnanswered
    ? [`${command}: otad ended before it answered, and obeyed`, true]
    : [`${command}: exit status ${exitCode}`, exitCode === expectedExitCode];

/** What must be true in the end, each with the answer that says so. */
const judge = (
  status: StatusBody,
  report: Report,
  calls: readonly ShownCall[],
  transfer: Transfer,
): readonly Finding[] => {
  const booted = report.slots.find((slot) => slot.booted);
  const denied = report.denylist.find(({ version }) => version === '1.2');
  const types = (version: string) =>
    report.history.filter((entry) => entry.version === version).map(({ type }) => type);
  return [
    ['1.1 runs and is confirmed', status.version === '1.1' && status.confirmed && booted?.state === 'good'],
    ['the bootloader starts it next as well', status.primary === status.booted],
    [
      '1.1 was installed, tried and confirmed',
      ['installed', 'trial-started', 'confirmed'].every((type) => types('1.1').includes(type)),
    ],
    [
      '1.2 was tried, failed its health check and was rolled back',
      ['trial-started', 'health-failed', 'rolled-back'].every((type) => types('1.2').includes(type)),
    ],
    ['1.2 was never confirmed', !types('1.2').includes('confirmed')],
    [`1.2 is denied: ${denied?.reason ?? 'no'}`, denied?.reason.includes('field bus can1') === true],
    ['nothing else is denied', report.denylist.length === 1],
    [
      `1.1 came with ${sizeText(transfer.sentBytes)} of its ${sizeText(transfer.imageBytes)}: the rest was copied from slot a`,
      transfer.sentBytes < transfer.imageBytes,
    ],
    ...calls.map(judgeCall),
  ];
};

const showWays = ({ gateway, vendor }: World, narrator: Narrator): void => {
  const near = (path: string): string => relative(process.cwd(), path) || '.';
  const { paths } = gateway;
  const names = `--channel ${channel} --compatible ${compatible}`;
  narrator.title('The gateway stays up. Try, in another terminal in this folder (Ctrl-C here ends it):');
  const lines = [
    `alias otactl='node ${near(join(bundleDir, 'otactl.mjs'))} --socket ${near(paths.runDir)}'`,
    `alias otapub='node ${near(join(bundleDir, '../publish/otapub.js'))}'`,
    'otactl status; otactl --help',
    `otapub release ${near(vendor.paths.folder)} ${names} --release-version 1.3 --layer ${near(join(vendor.folder, 'layers/app-1.1'))}`,
    'otactl watch   # the gateway asks each second and takes 1.3 by itself; while it reboots, nobody answers otactl',
    `otactl install ${near(vendor.paths.repository)}   # the same from a folder, as from a stick; 'otactl hold' before the release leaves it to this`,
    `fw_printenv -c ${near(paths.fwEnvConfig)}`,
    `curl --unix-socket ${near(paths.runDir)}/status.sock http://otad/v1/status`,
    `curl --unix-socket ${near(paths.runDir)}/control.sock -X POST http://otad/v1/check`,
    `tail -f ${near(paths.agentLog)}`,
    `kill -9 $(cat ${near(paths.agentPid)})   # otad is started again at once`,
  ];
  for (const line of lines) process.stdout.write(`  ${line}\n`);
};

const runDemo = async (options: Options, narrator: Narrator, signal: AbortSignal): Promise<boolean> => {
  const startedMs = performance.now();
  const { folder } = options;
  await claimFolder(folder);
  if (options.reportPath !== null) await checkReport(options.reportPath);
  narrator.title('0  The vendor builds and signs three releases with otapub');
  const world = await createWorld({
    folder,
    slotSizeBytes: 64 * mebibyte,
    baseBytes: 4 * mebibyte,
    applicationBytes: 2 * mebibyte,
    onConsole: (line) => narrator.line('board', line, 'dim'),
    onBuilt: ({ release }) => {
      const [image] = release.artifacts;
      narrator.line(
        'otapub',
        `${release.version}: ${sizeText(image?.lengthBytes ?? 0)}, verity root ${image?.verity?.rootHex.slice(0, 16)}…`,
      );
    },
  });
  const { gateway, served } = world;
  const reads = createPatientReads(gateway.api, signal);
  const technician = new Technician(gateway, reads, narrator, signal);
  const play: Play = { world, reads, technician, narrator, signal };
  const telling = new AbortController();
  // A dead gateway ends the stages as well, and they say so.
  const told = narrateGateway(gateway, narrator, telling.signal).catch(() => undefined);
  const stop = () => telling.abort();
  signal.addEventListener('abort', stop);
  try {
    served.link.setRate(linkBytesPerS);
    await runStages(play);
    stop();
    await told;
    await runInspection(play);
    const report = await readReport(reads);
    const transfer = await transferOf(world, '1.1');
    const findings = judge(await reads.status(), report, technician.calls, transfer);
    narrator.title('What the daemon answers in the end');
    for (const [claim, holds] of findings) narrator.line(holds ? 'yes' : 'NO', claim, holds ? 'good' : 'bad');
    narrator.line('', `${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
    if (options.reportPath !== null) await writeFile(options.reportPath, `${JSON.stringify(report, null, 2)}\n`);
    if (options.isKept) {
      showWays(world, narrator);
      await new Promise<void>((done) => signal.addEventListener('abort', () => done(), { once: true }));
    }
    return findings.every(([, holds]) => holds);
  } finally {
    stop();
    await world.close();
  }
};

const main = async (): Promise<void> => {
  let options: Options | null;
  try {
    options = readOptions(process.argv.slice(2), process.env);
  } catch (error) {
    if (!(error instanceof OtadError)) throw error;
    process.stderr.write(`${error.details.problem}\n\n${usage}`);
    process.exitCode = 64;
    return;
  }
  if (options === null) {
    process.stdout.write(usage);
    return;
  }
  const narrator = new Narrator(process.stdout);
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => interrupted.abort());
  try {
    process.exitCode = (await runDemo(options, narrator, interrupted.signal)) ? 0 : 1;
  } catch (error) {
    if (interrupted.signal.aborted) {
      process.exitCode = 130;
      return;
    }
    narrator.line('failed', error instanceof Error ? error.message : String(error), 'bad');
    process.exitCode = 1;
  }
};

await main();
