// `npm run test:device [-- --list | --case NAME ...]`: real bootloaders in QEMU. A case is a file NAME.lab.ts beside this
// one; without an argument all of them run, one after the other. Console logs stay under .device/logs.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const folder = import.meta.dirname;
const suffix = '.lab.js';
const cases = readdirSync(folder)
  .filter((file) => file.endsWith(suffix))
  .map((file) => file.slice(0, -suffix.length))
  .sort();

const words = process.argv.slice(2);
if (words.includes('--list')) {
  console.log(cases.join('\n'));
  process.exit(0);
}
const wanted = words.filter((word) => word !== '--case');
const unknown = wanted.filter((name) => !cases.includes(name));
if (unknown.length > 0) {
  console.error(`There is no case ${unknown.join(', ')}. There are: ${cases.join(', ')}`);
  process.exit(64);
}

const files = (wanted.length > 0 ? wanted : cases).map((name) => join(folder, `${name}${suffix}`));
const child = spawn(process.execPath, ['--test', '--test-reporter=spec', '--test-concurrency=1', ...files], {
  stdio: 'inherit',
});
child.once('exit', (code) => {
  process.exitCode = code ?? 1;
  if (code !== 0)
    console.error('Console logs: .device/logs. Run one case again with: npm run test:device -- --case NAME');
});
