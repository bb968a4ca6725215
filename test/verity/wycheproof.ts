// `node dist/test/verity/wycheproof.js FILE`: judges otad's Ed25519 by a file of the public Wycheproof vectors (schema
// eddsa_verify_schema_v1.json) and names every case that comes out wrong. The vectors are not part of this repository.

import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import * as z from 'zod';
import { verifyEd25519 } from '../../verity/ed25519.ts';

const hex = z.string().regex(/^(?:[0-9a-f]{2})*$/);
const fileSchema = z.object({
  algorithm: z.literal('EDDSA'),
  numberOfTests: z.int().min(1),
  testGroups: z.array(
    z.object({
      publicKey: z.object({ curve: z.literal('edwards25519'), pk: hex }),
      tests: z.array(
        z.object({ tcId: z.int(), comment: z.string(), msg: hex, sig: hex, result: z.enum(['valid', 'invalid']) }),
      ),
    }),
  ),
});

export interface Verdict {
  readonly total: number;
  /** One line for each case that comes out otherwise than the file says. */
  readonly wrong: readonly string[];
}

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));

/** Throws on a file of another form, or one that holds another number of cases than it says. */
export const judgeVectors = (text: string): Verdict => {
  const file = fileSchema.parse(JSON.parse(text));
  const cases = file.testGroups.flatMap(({ publicKey, tests }) => tests.map((one) => ({ ...one, pk: publicKey.pk })));
  if (cases.length !== file.numberOfTests) throw new RangeError(`${cases.length} cases, not ${file.numberOfTests}`);
  const wrong = cases.filter(
    ({ msg, sig, pk, result }) => verifyEd25519(bytesOf(msg), bytesOf(sig), bytesOf(pk)) !== (result === 'valid'),
  );
  return {
    total: cases.length,
    wrong: wrong.map(({ tcId, comment, result }) => `case ${tcId} (${comment}) is ${result}`),
  };
};

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { total, wrong } = judgeVectors(await readFile(process.argv[2] ?? '', 'utf8'));
  for (const line of wrong) console.error(line);
  console.log(`${total - wrong.length} of ${total} cases come out right`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
