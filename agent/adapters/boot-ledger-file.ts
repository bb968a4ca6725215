// The boot helper's ledger on the data partition, in a folder that is the helper's alone. A full or failing disk never keeps
// it from its work: the newest copy then lies in memory of this boot, beside its socket, and goes to the disk with the next change.

import * as z from 'zod';
import { createTrustedStore, type TrustedFiles } from '../../verity/trusted-store.ts';
import { type BootLedger, emptyLedger } from '../core/boot-ledger.ts';
import { OtadError } from '../core/errors.ts';

const text = z.string().max(256);
const count = z.int().min(0);
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const listMax = 64;

interface Stored {
  /** Raised with each change: of two copies the higher one counts. */
  readonly serial: number;
  readonly ledger: BootLedger;
}

const storedSchema: z.ZodType<Stored> = z.object({
  serial: count,
  ledger: z.object({
    signed: z
      .array(
        z.object({
          id: text,
          version: text,
          sequence: count,
          compatible: text,
          floorEpoch: count,
          rollbackFloor: count,
          imageLengthBytes: count,
          imageSha256Hex: sha256Hex,
          rootHex: sha256Hex,
          saltHex: z.string().max(512),
          // Absent in what a helper without boot sets noted.
          bootSetSha256Hex: sha256Hex.nullable().default(null),
        }),
      )
      .max(listMax),
    confirmed: z
      .array(
        z.object({
          rootHex: sha256Hex,
          sequence: count.nullable(),
          bootSetSha256Hex: sha256Hex.nullable().default(null),
        }),
      )
      .max(listMax),
    floor: z.object({ epoch: count, sequence: count }),
  }),
});

const fileName = 'ledger.json';

export interface LedgerFileOptions {
  readonly stateDir: string;
  /** Empty after each boot. */
  readonly runDir: string;
  readonly onFailure: (error: OtadError) => void;
}

const readStored = async (files: TrustedFiles): Promise<Stored | null> => {
  try {
    const bytes = await files.read(fileName);
    const parsed = storedSchema.safeParse(bytes === null ? null : JSON.parse(Buffer.from(bytes).toString('utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
};

/** The folder may be gone or read-only: anything but a programming error is only told. */
const isWritten = async (
  files: TrustedFiles,
  stored: Stored,
  onFailure: (error: OtadError) => void,
): Promise<boolean> => {
  try {
    await files.write(fileName, Buffer.from(JSON.stringify(stored)));
    return true;
  } catch (error) {
    if (!(error instanceof OtadError)) throw error;
    onFailure(error);
    return false;
  }
};

export const createLedgerFile = ({ stateDir, runDir, onFailure }: LedgerFileOptions) => {
  const [disk, memory] = [createTrustedStore(stateDir), createTrustedStore(runDir)];
  let queue: Promise<unknown> = Promise.resolve();
  /** Empty on a new device, and where the data partition was lost: then what runs is noted anew. */
  const load = async (): Promise<Stored> => {
    const [one, two] = [await readStored(disk), await readStored(memory)];
    if (one !== null && two !== null) return one.serial >= two.serial ? one : two;
    return one ?? two ?? { serial: 0, ledger: emptyLedger };
  };
  return {
    read: async (): Promise<BootLedger> => (await load()).ledger,
    update: (edit: (ledger: BootLedger) => BootLedger): Promise<void> => {
      const turn = queue.then(async () => {
        const { serial, ledger } = await load();
        const edited = edit(ledger);
        if (edited === ledger) return;
        const next = { serial: serial + 1, ledger: edited };
        if (await isWritten(disk, next, onFailure)) return;
        await isWritten(memory, next, onFailure);
      });
      queue = turn.catch(() => undefined);
      return turn;
    },
  };
};
