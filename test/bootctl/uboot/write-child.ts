// One step of the U-Boot adapter in a process of its own, so that a test can have its system calls fail or kill it.
// Arguments: fw_env.config, lock file, step, slot that runs. Prints `done` or the code of the error.

import { readFile } from 'node:fs/promises';
import { OtadError } from '../../../agent/core/errors.ts';
import { createUbootControl } from '../../../bootctl/uboot/control.ts';
import { parseFwEnvConfig } from '../../../bootctl/uboot/fw-env-config.ts';
import { contractVerity } from '../../contract/boot-control.ts';

const [configPath = '', lockPath = '', step = '', booted = 'a'] = process.argv.slice(2);
const { signal } = new AbortController();
const control = createUbootControl({
  config: parseFwEnvConfig(await readFile(configPath, 'utf8'), configPath),
  evidence: { slot: booted === 'b' ? 'b' : 'a', root: null, evidence: [] },
  lockPath,
});
const steps: Readonly<Record<string, () => Promise<void>>> = {
  status: async () => console.log((await control.status(signal)).evidence.join('\n')),
  invalidate: () => control.invalidate('b', signal),
  activate: () => control.activate('b', 3, contractVerity('b'), signal),
  'mark good': () => control.markGood('b', signal),
  'mark bad': () => control.markBad('b', signal),
  prepareReboot: () => control.prepareReboot(signal),
};
try {
  const run = steps[step];
  if (run === undefined) throw new RangeError(`no step '${step}'`);
  await run();
  console.log('done');
} catch (error) {
  if (!(error instanceof OtadError)) throw error;
  console.log(error.code);
}
