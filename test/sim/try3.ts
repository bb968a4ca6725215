import { createCatalogue } from './catalogue.ts';
import { baseLife } from './enumeration.ts';
import { live } from './life.ts';
const catalogue = createCatalogue();
for (let r = 0; r < 8; r++) {
  const c0 = process.cpuUsage(); const n = 200;
  for (let i = 0; i < n; i++) await live(baseLife('update', i), catalogue);
  const c = process.cpuUsage(c0);
  console.log('ms cpu/life', (c.user + c.system) / 1e3 / n, 'user', c.user / 1e3 / n);
}
