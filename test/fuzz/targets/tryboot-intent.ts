// The intent of tryboot boot control: a copy that is not whole is none, a whole one says what its JSON says, and no content of
// it makes the recall of what happened fail.

import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { decodeIntent, encodeIntent, type Intent } from '../../../bootctl/tryboot/intent.ts';
import { recall, wantedDefault } from '../../../bootctl/tryboot/recall.ts';
import { contractStart } from '../../contract/boot-control.ts';
import { attempt, Finding, type FuzzTarget, type Judge, mustEqual } from '../target.ts';

type Decode = typeof decodeIntent;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const lineEnd = 10;

/** The body with the digest that belongs to it. */
const withDigest = (body: Uint8Array): Buffer => Buffer.concat([body, Buffer.from(`\n${sha256(body)}\n`)]);
const bodyOf = (input: Uint8Array): Uint8Array => {
  const end = input.indexOf(lineEnd);
  return input.subarray(0, end < 0 ? input.length : end);
};

/** Members in one order; the two zeros are one number. */
const inOrder = (value: unknown): unknown => {
  if (value === null || typeof value !== 'object') return value === 0 ? 0 : value;
  if (Array.isArray(value)) return value.map(inOrder);
  return Object.entries(value)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, member]) => [name, inOrder(member)]);
};

const judgeMeaning = (intent: Intent): string => {
  for (const stated of ['a', 'b', null] as const) {
    for (const slot of ['a', 'b'] as const) {
      const facts = { slot, root: null, evidence: [] };
      const { value } = attempt([], () => recall({ intent, default: stated, facts, bootId: 'boot-4' }));
      if (value === null) throw new Finding('no recall');
      attempt([], () => wantedDefault(value.intent.model, value.intent.default));
      const again = decodeIntent(encodeIntent(value.intent));
      if (!isDeepStrictEqual(inOrder(again), inOrder(value.intent)))
        throw new Finding(`what is recalled cannot be kept: ${JSON.stringify(value.intent)}`);
    }
  }
  return `${intent.armed?.state ?? 'unarmed'} ${intent.outcome?.kind ?? ''} ${intent.model.order.join('')}`;
};

const judgeBy =
  (decode: Decode): Judge =>
  (input) => {
    const { value: intent } = attempt([], () => decode(input));
    if (intent === null) return 'refused';
    const body = bodyOf(input);
    mustEqual(
      'believed a copy that is not whole',
      Buffer.from(input).toString('hex'),
      withDigest(body).toString('hex'),
    );
    const { schema, ...said } = JSON.parse(Buffer.from(body).toString('utf8'));
    mustEqual('another intent than the copy holds', JSON.stringify(inOrder(intent)), JSON.stringify(inOrder(said)));
    mustEqual('another schema', `${schema}`, '1');
    if (!isDeepStrictEqual(inOrder(decode(encodeIntent(intent))), inOrder(intent)))
      throw new Finding('does not encode back to itself');
    return `accepted ${judgeMeaning(intent)}`;
  };

const seed = (over: Partial<Intent>): Uint8Array =>
  encodeIntent({
    sequence: 7,
    default: 'a',
    model: contractStart,
    armed: { slot: 'b', bootId: 'boot-3', state: 'armed' },
    seenBootId: 'boot-3',
    outcome: null,
    ...over,
  });

export const trybootIntentTarget = (): FuzzTarget => ({
  name: 'tryboot-intent',
  seeds: [
    seed({}),
    seed({ armed: { slot: 'b', bootId: 'boot-4', state: 'ran' } }),
    seed({ armed: null, default: 'b', outcome: { slot: 'b', kind: 'fell-back' } }),
  ],
  dictionary: [
    '"a"',
    '"b"',
    'armed',
    'ran',
    'no-trace',
    'fell-back',
    'null',
    'triesLeft',
    'isTrial',
    'order',
    'schema',
  ],
  mend: (input) => withDigest(bodyOf(input)),
  judge: judgeBy(decodeIntent),
  canary: {
    bug: 'the digest is not looked at',
    judge: judgeBy((bytes) => decodeIntent(withDigest(bodyOf(bytes)))),
  },
});
