// The run of the lab: prepares what the chosen cases need, lets several machines work at the same time, and says what became
// of each case.

import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DebianRoot, prepareDebianRoot } from '../debian-root.ts';
import { type BenchOptions, type Outcome, runOnBench } from './bench.ts';
import { type LabBoard, labBoards } from './boards.ts';
import type { CaseContext, LabCase } from './case.ts';
import type { MeasuredUpdate, Stage } from './machine.ts';
import { recordFiles } from './record.ts';
import { deviceFolder, type LabReleases, prepareReleases } from './releases.ts';
import type { Site } from './site.ts';
import { newStage, type StageName, stageNames, stageWays } from './stages.ts';
import { type Count, failureText, noTally } from './tally.ts';

export interface Job {
  readonly board: LabBoard;
  readonly labCase: LabCase;
}

export const jobName = ({ board, labCase }: Job): string => `${labCase.name}@${board.name}`;

const logsFolder = join(deviceFolder, 'logs');
const stageLog = (name: StageName, { name: path }: LabBoard): string => join(logsFolder, `stage-${name}@${path}`);
const seconds = (sinceMs: number): string => `${Math.round((performance.now() - sinceMs) / 1000)} s`;

/** What the cases of one boot path start from. Made when the first case asks for it. */
interface Shelf {
  stage(name: StageName): Promise<Stage>;
  /** What an undisturbed update costs. */
  update(): Promise<MeasuredUpdate>;
  /** Somebody makes it just now. */
  isBeingMade(name: StageName): boolean;
  close(): Promise<void>;
}

interface Workshop {
  readonly debian: DebianRoot;
  /** Short, since unix sockets lie below it. */
  readonly folder: string;
  readonly onRestarts: (restarts: number) => Promise<void>;
  nextNumber(): number;
}

const benchOptions = (
  shop: Workshop,
  board: LabBoard,
  releases: LabReleases,
  stage: Stage,
  shelf: Shelf,
  logFolder: string,
): BenchOptions => ({
  ...{ debian: shop.debian, board, releases, stage, update: shelf.update },
  keepSite: null,
  folder: join(shop.folder, String(shop.nextNumber())),
  logFolder,
});

/** What an earlier run left of these cases, and of the stages on the way to them, goes before anything begins. */
export const clearLogs = async (jobs: readonly Job[]): Promise<void> => {
  const boards = [...new Set(jobs.map(({ board }) => board))];
  const ofStages = boards.flatMap((board) => stageNames.map((name) => stageLog(name, board)));
  const ofCases = jobs.map((job) => join(logsFolder, jobName(job)));
  for (const folder of [...ofStages, ...ofCases]) await rm(folder, { recursive: true, force: true });
};

const openShelf = (shop: Workshop, board: LabBoard, releases: LabReleases): Shelf => {
  const stages = new Map<StageName, Promise<Stage>>();
  const sites: Site[] = [];
  const make = async (name: StageName): Promise<Stage> => {
    const folder = join(shop.folder, `${board.name}-${name}`);
    if (name === 'new') return await newStage(shop.debian, board, releases, folder);
    const sinceMs = performance.now();
    const { from, go } = stageWays[name];
    const start = await stage(from);
    const options = benchOptions(shop, board, releases, start, shelf, stageLog(name, board));
    // Whoever goes on from the stage still asks the server that it was made with.
    const { error, value, restarts } = await runOnBench(
      { ...options, keepSite: (site) => sites.push(site) },
      async (context: CaseContext) => {
        const update = await go(context, start.update);
        return await context.machine.saveTo(folder, update);
      },
    );
    await shop.onRestarts(restarts);
    if (error !== null)
      throw new Error(`stage ${name}: ${error.message}; console: ${options.logFolder}`, { cause: error });
    console.log(`  ready   stage ${name} of ${board.name} (${seconds(sinceMs)})`);
    return value as Stage;
  };
  const underWay = new Set<StageName>();
  const stage = (name: StageName): Promise<Stage> => {
    const known = stages.get(name);
    if (known !== undefined) return known;
    underWay.add(name);
    const made = make(name).finally(() => underWay.delete(name));
    stages.set(name, made);
    return made;
  };
  const shelf: Shelf = {
    stage,
    update: async () => {
      const { update } = await stage('updated');
      if (update === null) throw new Error('the stage updated has seen no update');
      return update;
    },
    isBeingMade: (name) => underWay.has(name),
    close: async () => {
      for (const site of sites) await site.close();
    },
  };
  return shelf;
};

const isReady = (shelf: Shelf | undefined, { from }: LabCase): boolean =>
  shelf !== undefined && !shelf.isBeingMade(typeof from === 'function' ? 'updated' : from);

const describe = (job: Job, outcome: Outcome<unknown>, extra: string, sinceMs: number): string => {
  const name = jobName(job);
  if (outcome.error === null) return `  passed  ${name}: ${job.labCase.claim} (${seconds(sinceMs)})`;
  const look = `look at ${join('.device/logs', name)}: ${['console.log', ...Object.values(recordFiles)].join(', ')}`;
  const title = `${name}: ${job.labCase.claim} (${seconds(sinceMs)})`;
  return failureText(title, [...outcome.error.message.split('\n'), look], name, extra);
};

const runJob = async (shop: Workshop, shelf: Shelf, job: Job, releases: LabReleases): Promise<Outcome<unknown>> => {
  try {
    const { from } = job.labCase;
    const stage = await shelf.stage(typeof from === 'function' ? from(await shelf.update()) : from);
    return await runOnBench(
      benchOptions(shop, job.board, releases, stage, shelf, join(logsFolder, jobName(job))),
      job.labCase.run,
    );
  } catch (error) {
    return { restarts: 0, cuts: 0, error: error as Error, value: null };
  }
};

const workPrefix = 'otad-lab-';

/** Gigabytes each, of runs that were broken off. */
const clearDeadWork = async (): Promise<void> => {
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(workPrefix) ? Number.parseInt(name.slice(workPrefix.length), 10) : Number.NaN;
    if (Number.isInteger(pid) && !existsSync(`/proc/${pid}`)) {
      await rm(join(tmpdir(), name), { recursive: true, force: true });
    }
  }
};

/** Runs the jobs, `width` machines at a time; builds nothing for none. `extra`: words that make the same cases again. */
export const runLab = async (jobs: readonly Job[], width: number, extra: string, count: Count): Promise<void> => {
  if (jobs.length === 0) return;
  const debian = await prepareDebianRoot();
  await clearDeadWork();
  const folder = await mkdtemp(join(tmpdir(), `${workPrefix}${process.pid}-`));
  let number = 0;
  const shop: Workshop = {
    ...{ debian, folder },
    onRestarts: (restarts) => count(null, { ...noTally, restarts }),
    nextNumber: () => {
      number += 1;
      return number;
    },
  };
  const shelves = new Map<LabBoard, { readonly shelf: Shelf; readonly releases: LabReleases }>();
  try {
    const releases = await prepareReleases(labBoards, (line) => console.log(`  build   ${line}`));
    for (const board of new Set(jobs.map((job) => job.board))) {
      shelves.set(board, { shelf: openShelf(shop, board, releases), releases });
    }
    const queue = [...jobs];
    const work = async (): Promise<void> => {
      for (;;) {
        // What need not wait for a stage that another machine makes comes first.
        const free = queue.findIndex(({ board, labCase }) => isReady(shelves.get(board)?.shelf, labCase));
        const [job] = queue.splice(Math.max(0, free), 1);
        if (job === undefined) return;
        const bench = shelves.get(job.board);
        if (bench === undefined) continue;
        const sinceMs = performance.now();
        const outcome = await runJob(shop, bench.shelf, job, bench.releases);
        const failed = outcome.error === null ? [] : [jobName(job)];
        const { restarts, cuts } = outcome;
        await count(jobName(job), { paths: [job.board.name], cases: 1, failed, cuts, restarts });
        console.log(describe(job, outcome, extra, sinceMs));
      }
    };
    await Promise.all(Array.from({ length: width }, work));
  } finally {
    for (const { shelf } of shelves.values()) await shelf.close();
    await rm(folder, { recursive: true, force: true });
  }
};
