// All behaviours of hostile, broken and overloaded servers, and the tests that let some kinds of file meet them.

import { test } from 'node:test';
import { type FileKind, fileKinds } from '../vendor.ts';
import type { Behaviour } from './behaviour.ts';
import { bodyBehaviours } from './body-behaviours.ts';
import { connectionBehaviours } from './connection-behaviours.ts';
import { prepareGround, runBehaviour, watchTraffic } from './hostile-server.ts';
import { redirectingBehaviours } from './redirect-behaviours.ts';
import { statusBehaviours } from './status-behaviours.ts';

export const behaviours: readonly Behaviour[] = [
  ...statusBehaviours,
  ...bodyBehaviours,
  ...redirectingBehaviours,
  ...connectionBehaviours,
];

const pairsAtOnce = 8;
/** A server that only costs time is left after tenths of a second; this much says that somebody waited for ever. */
const pairMsMax = 60_000;

/**
 * A release document is fetched as targets are, and differs from them in its bytes only: it meets the behaviours that are
 * about bytes.
 */
export const kindsOf = (behaviour: Behaviour): readonly FileKind[] =>
  behaviour.isVariant
    ? ['timestamp', 'image']
    : fileKinds.filter((kind) => kind !== 'document' || bodyBehaviours.includes(behaviour));

/** One test for each behaviour and each kind of file that it meets. */
export const testBehaviours = (kinds: readonly FileKind[]): void => {
  test(`hostile servers: ${kinds.join(', ')}`, { concurrency: pairsAtOnce }, async (t) => {
    const ground = await prepareGround(t);
    const readBytes = watchTraffic();
    const pairs = behaviours
      .flatMap((behaviour) => kinds.map((kind) => ({ behaviour, kind })))
      .filter(({ behaviour, kind }) => kindsOf(behaviour).includes(kind));
    await Promise.all(
      pairs.map(({ behaviour, kind }) => {
        const wanted = behaviour.except?.[kind] ?? behaviour.wanted;
        return t.test(
          `${kind}: ${behaviour.name}: ${wanted}, and then the update works`,
          { timeout: pairMsMax },
          (pair) => runBehaviour(pair, ground, behaviour, kind, readBytes),
        );
      }),
    );
  });
};
