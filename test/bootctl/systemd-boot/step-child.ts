// One step of the systemd-boot adapter in a process of its own, so that a test can have its system calls fail.
// Arguments: ESP, folder for efivarfs, step. Prints `done` or the code of the error.

import { OtadError } from '../../../agent/core/errors.ts';
import { createSystemdBootControl } from '../../../bootctl/systemd-boot/control.ts';
import { contractVerity } from '../../contract/boot-control.ts';

const [espPath = '', efivarsPath = '', step = ''] = process.argv.slice(2);
const { signal } = new AbortController();
const control = createSystemdBootControl({
  espPath,
  efivarsPath,
  evidence: { slot: step === 'confirm' ? 'b' : 'a', root: null, evidence: [] },
});
try {
  if (step === 'activate') await control.activate('b', 3, contractVerity('b'), signal);
  if (step === 'confirm') await control.markGood('b', signal);
  console.log('done');
} catch (error) {
  if (!(error instanceof OtadError)) throw error;
  console.log(error.code);
}
