import { createCatalogue } from './catalogue.ts';
import { singles } from './enumeration.ts';
import { formatLife, type ScenarioName } from './faults.ts';

let n = 0, bad = 0, pts = 0;
for await (const o of singles((process.argv[2] ?? 'update') as ScenarioName, 1, createCatalogue())) {
  n++; pts += o.points.length;
  if (o.violation) { bad++; console.log(formatLife(o.life), o.violation.invariant, o.violation.text); }
}
const s = (process.cpuUsage().user + process.cpuUsage().system) / 1e6;
console.log(n, bad, 'lives/s', n / s, 'pts/life', pts / n);
