import { createCatalogue } from './catalogue.ts';
import { parseLife } from './faults.ts';
import { live } from './life.ts';
const out = await live(parseLife(process.argv[2] ?? '1:update:'), createCatalogue(), true);
console.log(out.lines.join('\n'));
console.log(out.violation, out.confirmed, out.hash, out.points.length);
