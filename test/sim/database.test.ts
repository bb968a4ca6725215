// I9: losing the database at any instant does not change what boots.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCatalogue } from './catalogue.ts';
import { baseLife, successors } from './enumeration.ts';
import type { FaultKind, Life } from './faults.ts';
import { live } from './life.ts';

const twins: Partial<Record<FaultKind, FaultKind>> = { kill: 'kill-with-database', 'cut-lost': 'cut-with-database' };

const withTwin = (life: Life): Life => ({
  ...life,
  faults: (life.faults ?? []).map(({ at, fault }) => ({ at, fault: twins[fault] ?? fault })),
});

test('a lost database changes neither what boots next nor where the gateway ends', async () => {
  const catalogue = createCatalogue();
  const base = await live(baseLife('sick', 1), catalogue);
  const lives = successors(base, (fault) => twins[fault] !== undefined);
  assert.ok(lives.length > 50);
  for (const life of lives) {
    const kept = await live(life, catalogue);
    const lost = await live(withTwin(life), catalogue);
    const at = life.faults?.[0]?.at ?? 0;
    assert.equal(lost.bootedAfter(at), kept.bootedAfter(at), `next boot after ${at}`);
    assert.equal(lost.confirmed, kept.confirmed, `end of the life with a fault at ${at}`);
  }
});
