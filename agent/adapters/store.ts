// State and history in SQLite: one durable transaction a commit, history bounded, damage set aside and reported.
// It is history and cache, never the authority on what boots. load() never throws for corruption; what cannot be
// written throws STORE_IO, STORE_BUSY or DISK_FULL (standby-store.ts lets the agent go on). Must not invent a state.

import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, open, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { OtadError } from '../core/errors.ts';
import type { Store } from '../core/ports.ts';
import type { State } from '../core/state.ts';
import type { HistoryEntry } from '../core/types.ts';
import { Database, isCorruption, type SqlValue, setAside, storeError } from './database.ts';
import { historySchema, stateSchema } from './state-schema.ts';

export interface StoreOptions {
  /** The database file; its folder is made when it is missing. */
  readonly path: string;
  /** Rows of history kept. */
  readonly historyMax?: number;
  /** A folder in memory (the run directory): a state on a read-only disk is read from a copy made there. */
  readonly scratchDir?: string;
  /** Told when a damaged database or state was given up (STORE_CORRUPT). */
  readonly onDamage?: (error: OtadError) => void;
}

const historyMaxDefault = 10_000;
/** Callers that may wait for the database at once. */
const waitingMax = 64;
/** Held back on the disk, and given up when it is full, so that a full disk does not stop the next commits. */
const reserveBytes = 512 * 1024;

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');

const insertHistory =
  'INSERT INTO history (type, time_ms, is_time_synced, version, slot, reason, code) VALUES (?, ?, ?, ?, ?, ?, ?)';

const historyRow = (entry: HistoryEntry): readonly SqlValue[] => [
  entry.type,
  Math.round(entry.timeMs),
  entry.isTimeSynced ? 1 : 0,
  entry.version,
  entry.slot,
  entry.reason,
  entry.code,
];

/** The entry of a row, or nothing where only a newer release knows its type. */
const historyEntry = (row: Readonly<Record<string, unknown>>): readonly HistoryEntry[] => {
  const parsed = historySchema.safeParse({ ...row, timeMs: row.time_ms, isTimeSynced: row.is_time_synced === 1 });
  return parsed.success ? [parsed.data] : [];
};

export class SqliteStore implements Store {
  readonly #path: string;
  readonly #historyMax: number;
  readonly #scratchDir: string | null;
  readonly #onDamage: (error: OtadError) => void;
  #database: Database | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(options: StoreOptions) {
    this.#path = options.path;
    this.#historyMax = options.historyMax ?? historyMaxDefault;
    this.#scratchDir = options.scratchDir ?? null;
    this.#onDamage = options.onDamage ?? (() => undefined);
  }

  async load(): Promise<State | null> {
    try {
      return await this.#use(async (database) => {
        const [row] = await database.all('SELECT json, digest FROM state WHERE id = 1');
        return row === undefined ? null : this.#believe(row.json, row.digest);
      });
    } catch (error) {
      const state = error instanceof OtadError && error.code === 'STORE_IO' ? await this.#loadCopy() : null;
      if (state === null) throw error;
      return state;
    }
  }

  commit(state: State, history: readonly HistoryEntry[]): Promise<void> {
    return this.#use((database) => this.#commit(database, state, history));
  }

  readHistory(limit: number): Promise<readonly HistoryEntry[]> {
    return this.#use(async (database) => {
      const rows = await database.all('SELECT * FROM history ORDER BY id DESC LIMIT ?', [Math.max(0, limit)]);
      return rows.flatMap(historyEntry);
    });
  }

  /** Gives the lock back. A later call opens the database again. */
  async close(): Promise<void> {
    await this.#last;
    await this.#close();
  }

  /** SQLite needs to write even for reading a log; on a read-only disk a copy of both files does as well. */
  async #loadCopy(): Promise<State | null> {
    if (this.#scratchDir === null) return null;
    const folder = await mkdtemp(join(this.#scratchDir, 'state-')).catch(() => null);
    if (folder === null) return null;
    const copy = new SqliteStore({ path: join(folder, basename(this.#path)), onDamage: this.#onDamage });
    try {
      await copyFile(this.#path, copy.#path);
      await copyFile(`${this.#path}-wal`, `${copy.#path}-wal`).catch(() => undefined);
      return await copy.load();
    } catch {
      return null;
    } finally {
      await copy.close();
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** A state with a wrong digest or form is as good as none: the device is asked instead. */
  #believe(json: unknown, digest: unknown): State | null {
    const problem = (): string | State => {
      if (typeof json !== 'string' || digestOf(json) !== digest) return 'the stored state does not have its digest';
      try {
        const parsed = stateSchema.safeParse(JSON.parse(json));
        return parsed.success
          ? parsed.data
          : `the stored state is not valid: ${parsed.error.issues[0]?.path.join('.')}`;
      } catch {
        return 'the stored state is no JSON';
      }
    };
    const found = problem();
    if (typeof found !== 'string') return found;
    this.#onDamage(new OtadError('STORE_CORRUPT', { path: this.#path, problem: found }));
    return null;
  }

  async #commit(database: Database, state: State, history: readonly HistoryEntry[]): Promise<void> {
    const json = JSON.stringify(state);
    await database.transaction(async () => {
      await database.all(
        'INSERT INTO state (id, json, digest) VALUES (1, ?1, ?2) ON CONFLICT (id) DO UPDATE SET json = ?1, digest = ?2',
        [json, digestOf(json)],
      );
      for (const entry of history) await database.all(insertHistory, historyRow(entry));
      await database.all('DELETE FROM history WHERE id <= (SELECT max(id) FROM history) - ?', [this.#historyMax]);
    });
  }

  /** Runs `body` alone on an open database: one at a time, so that no reader sees half a transaction. */
  async #use<T>(body: (database: Database) => Promise<T>): Promise<T> {
    if (this.#waiting >= waitingMax) throw new OtadError('BUSY', { waiting: this.#waiting });
    this.#waiting += 1;
    const turn = this.#last.then(() => this.#attempt(body));
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }

  async #attempt<T>(body: (database: Database) => Promise<T>): Promise<T> {
    try {
      return await body(await this.#open());
    } catch (error) {
      try {
        await this.#remedy(error);
        return await body(await this.#open());
      } catch (second) {
        // A connection that has seen an I/O error is not used again.
        await this.#close();
        throw storeError(second, this.#path);
      }
    }
  }

  /** What can be tried once: a damaged file is set aside, a full disk gets the reserve back. Throws what has no remedy. */
  async #remedy(error: unknown): Promise<void> {
    if (isCorruption(error)) await this.#giveUp(error);
    else if (storeError(error, this.#path).code === 'DISK_FULL') await rm(this.#reservePath, { force: true });
    else throw error;
  }

  async #open(): Promise<Database> {
    if (this.#database !== null) return this.#database;
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    this.#database = await Database.open(this.#path);
    await this.#makeReserve();
    return this.#database;
  }

  async #close(): Promise<void> {
    const database = this.#database;
    this.#database = null;
    await database?.close();
  }

  async #giveUp(error: unknown): Promise<void> {
    await this.#close();
    const keptAs = await setAside(this.#path);
    const problem = error instanceof Error ? error.message : String(error);
    this.#onDamage(new OtadError('STORE_CORRUPT', { path: this.#path, problem, keptAs }, { cause: error }));
  }

  get #reservePath(): string {
    return `${this.#path}.reserve`;
  }

  /** Real bytes, not a hole. Best effort: a disk that is full already has nothing to hold back. */
  async #makeReserve(): Promise<void> {
    try {
      if ((await stat(this.#reservePath).catch(() => null))?.size === reserveBytes) return;
      const file = await open(this.#reservePath, 'w', 0o600);
      try {
        await file.write(Buffer.alloc(reserveBytes, 0x2e));
      } finally {
        await file.close();
      }
    } catch {
      await rm(this.#reservePath, { force: true }).catch(() => undefined);
    }
  }
}
