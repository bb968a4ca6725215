// A process of its own that commits without end and prints each commit that was acknowledged: it is killed from outside,
// or runs on a disk that fills. Arguments: database file, bytes of reason in an entry, and then either the number of
// commits, 'fill' (fills the disk after the first one), or 'load' with a scratch folder (prints the state first).

import { statfsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { SqliteStore } from '../../../agent/adapters/store.ts';
import { toFailure } from '../../../agent/core/errors.ts';
import { anEntry, aState } from './state-builders.ts';

const print = (line: string): boolean => process.stdout.write(`${line}\n`);

const fillDisk = (folder: string): void => {
  try {
    writeFileSync(join(folder, 'filler'), Buffer.alloc(64 * 1024 * 1024));
  } catch {
    print(`free: ${statfsSync(folder).bavail}`);
  }
};

const [path = '', filler = '0', mode = '100000', scratchDir = ''] = process.argv.slice(2);
const store = new SqliteStore(mode === 'load' ? { path, scratchDir } : { path });
try {
  if (mode === 'load') print(`state ${(await store.load())?.plan}`);
  const commits = Number(mode) || 100_000;
  for (let plan = 1; plan <= commits; plan++) {
    await store.commit(aState({ plan }), [anEntry({ version: `${plan}`, reason: 'x'.repeat(Number(filler)) })]);
    if (mode === 'fill' && plan === 1) fillDisk(dirname(path));
    else print(`${plan}`);
  }
} catch (error) {
  print(toFailure(error).code);
}
process.exit();
