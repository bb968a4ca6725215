import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRandom } from '../bootctl/random.ts';
import { readCorpus } from './corpus.ts';
import { hunt } from './hunt.ts';
import { mutate } from './mutation.ts';
import { targetNames, targets } from './targets.ts';

const executions = 800;
const canaryExecutions = 2000;

describe('mutation', () => {
  it('gives the same mutants for the same seed', () => {
    const mutants = (): readonly string[] => {
      const random = createRandom(7);
      const seed = Buffer.from('{"version":1,"name":"x"}');
      return Array.from({ length: 50 }, () => Buffer.from(mutate(seed, random, [seed], ['name'])).toString('hex'));
    };
    assert.deepEqual(mutants(), mutants());
    assert.ok(new Set(mutants()).size > 30);
  });

  it('takes an empty input', () => {
    const random = createRandom(1);
    for (let times = 0; times < 500; times += 1) mutate(new Uint8Array(), random, [new Uint8Array()], []);
  });
});

for (const name of targetNames) {
  describe(`fuzz target ${name}`, () => {
    it('takes its seeds and its corpus, and finds nothing in mutants of them', async () => {
      const target = targets[name]();
      try {
        const { found, accepted } = await hunt(target, { executions, seed: 1, corpus: await readCorpus(name) });
        assert.equal(found, null, found?.sentence);
        assert.ok(accepted > 0, 'nothing was accepted: the seeds are not valid');
      } finally {
        await target.close?.();
      }
    });

    it('finds its canary', async () => {
      const target = targets[name]();
      try {
        const { found } = await hunt(target, { executions: canaryExecutions, seed: 1, judge: target.canary.judge });
        assert.notEqual(found, null, target.canary.bug);
      } finally {
        await target.close?.();
      }
    });
  });
}
