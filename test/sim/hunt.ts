// Looks for one violation in the code beside it and stops there: what `npm run mutants` runs against each mutant.
// Prints the violation as JSON, or null. Arguments: the scenarios, and faults to pair if singles do not suffice.

import { createCatalogue } from './catalogue.ts';
import { baseLife, type FaultFilter, successors } from './enumeration.ts';
import { faultKinds, formatLife, type Life, scenarioNames } from './faults.ts';
import { live, type Outcome } from './life.ts';

const randomLives = 150;

const catalogue = createCatalogue();
const [scenarioList = '', ...wanted] = process.argv.slice(2);
const scenarios = scenarioNames.filter((name) => scenarioList.split(',').includes(name));
const known: readonly string[] = faultKinds;
for (const name of wanted) if (!known.includes(name)) throw new RangeError(`no fault is called ${name}`);
let lives = 0;

const seek = async (life: Life): Promise<Outcome> => {
  lives += 1;
  return live(life, catalogue);
};

async function* candidates(paired: FaultFilter | null): AsyncGenerator<Outcome> {
  for (const scenario of scenarios) {
    const base = await seek(baseLife(scenario, 1));
    yield base;
    if (paired === null) {
      for (const life of successors(base, () => true)) yield await seek(life);
      continue;
    }
    for (const life of successors(base, paired)) {
      const first = await seek(life);
      yield first;
      for (const second of successors(first, paired)) yield await seek(second);
    }
  }
  for (let seed = 1; seed <= randomLives; seed += 1) yield await seek({ seed, scenario: 'mixed', faults: null });
}

const paired: FaultFilter | null = wanted.length === 0 ? null : (fault) => wanted.includes(fault);

// A bug that throws where nobody waits is a violation like any other.
process.on('unhandledRejection', (error) => {
  console.log(JSON.stringify({ invariant: 'I12', text: String(error), life: 'unknown', lives }));
  process.exit(0);
});

let found: unknown = null;
for await (const outcome of candidates(paired)) {
  if (outcome.violation === null) continue;
  found = { ...outcome.violation, life: formatLife({ ...outcome.life, faults: outcome.struck }), lives };
  break;
}
console.log(JSON.stringify(found));
