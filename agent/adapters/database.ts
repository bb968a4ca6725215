// One exclusive connection to the state database file: its pragmas, its tables, and what SQLite's error codes mean here.
// A file that is not a whole database is set aside, never repaired and never deleted at once. SQL about state and
// history belongs to store.ts.

import { rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import sqlite3 from 'sqlite3';
import { type ErrorCode, OtadError } from '../core/errors.ts';
import { syncFolder } from './file-pieces.ts';

/** Damaged files kept for a technician; `.corrupt-1` is the newest. */
const setAsideMax = 3;
const busyTimeoutMs = 500;
/** Pages in the log before they move into the file: the log stays small enough for a disk that fills up. */
const logPagesMax = 64;

/** Raised with each additive change. Never dropped, renamed or retyped: the release before reads the file after a rollback. */
const schemaVersion = 1;

const tables = [
  'CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), json TEXT NOT NULL, digest TEXT NOT NULL)',
  `CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, time_ms INTEGER NOT NULL,
    is_time_synced INTEGER NOT NULL, version TEXT, slot TEXT, reason TEXT, code TEXT)`,
];

type Row = Readonly<Record<string, unknown>>;
export type SqlValue = string | number | null;

interface SqliteError extends Error {
  readonly code?: string;
}

/** True for what no retry and no free space mends: the file itself is no database of ours. */
export const isCorruption = (error: unknown): boolean => {
  const { code, message } = error as SqliteError;
  if (code === 'SQLITE_ERROR') return /no such (table|column)|has no column|malformed/.test(message);
  return code === 'SQLITE_CORRUPT' || code === 'SQLITE_NOTADB';
};

const codeOf = (sqliteCode: string | undefined): ErrorCode => {
  if (sqliteCode === 'SQLITE_FULL' || sqliteCode === 'ENOSPC' || sqliteCode === 'EDQUOT') return 'DISK_FULL';
  if (sqliteCode === 'SQLITE_BUSY' || sqliteCode === 'SQLITE_LOCKED') return 'STORE_BUSY';
  return 'STORE_IO';
};

/** A thrown SQLite or file error as STORE_IO, STORE_BUSY or DISK_FULL. */
export const storeError = (error: unknown, path: string): OtadError => {
  if (error instanceof OtadError) return error;
  const { code, message } = error as SqliteError;
  return new OtadError(codeOf(code), { path, problem: message }, { cause: error });
};

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

const move = async (from: string, to: string): Promise<void> => {
  try {
    await rename(from, to);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
};

/** Moves the database and its log out of the way; returns the new name. A cut in between leaves one of both: also harmless. */
export const setAside = async (path: string): Promise<string> => {
  const name = (n: number): string => `${path}.corrupt-${n}`;
  for (const tail of ['-wal', '']) {
    await rm(`${name(setAsideMax)}${tail}`, { force: true });
    for (let n = setAsideMax - 1; n >= 1; n--) await move(`${name(n)}${tail}`, `${name(n + 1)}${tail}`);
    await move(`${path}${tail}`, `${name(1)}${tail}`);
  }
  await rm(`${path}-shm`, { force: true });
  await syncFolder(dirname(path));
  return name(1);
};

export class Database {
  readonly #handle: sqlite3.Database;

  private constructor(handle: sqlite3.Database) {
    this.#handle = handle;
  }

  /**
   * Opens or creates the file and checks it. The lock is held until close: a second agent gets STORE_BUSY.
   * Rejects with SQLite's own error, which {@link isCorruption} and {@link storeError} read.
   */
  static async open(path: string): Promise<Database> {
    const handle = await new Promise<sqlite3.Database>((resolve, reject) => {
      const opened: sqlite3.Database = new sqlite3.Database(path, (error) =>
        error === null ? resolve(opened) : reject(error),
      );
    });
    const database = new Database(handle);
    try {
      await database.#prepare();
      await syncFolder(dirname(path));
      return database;
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  async #prepare(): Promise<void> {
    this.#handle.configure('busyTimeout', busyTimeoutMs);
    // Exclusive before WAL: no shared-memory file, and no second agent beside this one.
    await this.all('PRAGMA locking_mode = EXCLUSIVE');
    await this.all('PRAGMA journal_mode = WAL');
    await this.all('PRAGMA synchronous = FULL');
    await this.all(`PRAGMA wal_autocheckpoint = ${logPagesMax}`);
    const [check] = await this.all('PRAGMA quick_check(1)');
    if (check?.quick_check !== 'ok') {
      throw Object.assign(new Error(String(check?.quick_check)), { code: 'SQLITE_CORRUPT' });
    }
    await this.transaction(async () => {
      for (const table of tables) await this.all(table);
      const [row] = await this.all('PRAGMA user_version');
      if (Number(row?.user_version) < schemaVersion) await this.all(`PRAGMA user_version = ${schemaVersion}`);
    });
    // Columns of a foreign or half-made table show here, not at the first commit.
    await this.all('SELECT id, json, digest FROM state LIMIT 0');
    await this.all('SELECT id, type, time_ms, is_time_synced, version, slot, reason, code FROM history LIMIT 0');
  }

  all(sql: string, values: readonly SqlValue[] = []): Promise<readonly Row[]> {
    return new Promise((resolve, reject) => {
      this.#handle.all<Row>(sql, [...values], (error, rows) => (error === null ? resolve(rows) : reject(error)));
    });
  }

  /** Durable when it returns; nothing of it stays when it throws. */
  async transaction(body: () => Promise<void>): Promise<void> {
    await this.all('BEGIN IMMEDIATE');
    try {
      await body();
      await this.all('COMMIT');
    } catch (error) {
      // SQLite may have rolled back by itself (disk full); what counts is the first error.
      await this.all('ROLLBACK').catch(() => undefined);
      throw error;
    }
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#handle.close(() => resolve()));
  }
}
