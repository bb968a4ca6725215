import { bootBySystemdBoot } from '../../bootctl/systemd-boot/boot-rule.ts';
import { createModelMachine, describeBootControl } from '../contract/boot-control.ts';
import { createSystemdBootMachine, createUkiMachine } from './systemd-boot/machine.ts';
import { createTrybootMachine } from './tryboot/machine.ts';
import { createUbootMachine } from './uboot/machine.ts';

describeBootControl('reference model', async () => createModelMachine(), { triesMax: 9, walks: 5, steps: 200 });
describeBootControl('U-Boot, redundant', () => createUbootMachine(2), { triesMax: 9, walks: 3, steps: 30 });
describeBootControl('U-Boot, one copy', () => createUbootMachine(1), { triesMax: 9, walks: 1, steps: 30 });
describeBootControl('tryboot', createTrybootMachine, { triesMax: 9, walks: 2, steps: 40, opensAnything: true });
describeBootControl('systemd-boot', () => createSystemdBootMachine(), {
  triesMax: 9,
  walks: 4,
  steps: 40,
  boot: bootBySystemdBoot,
});
describeBootControl('systemd-boot, unified kernel images', createUkiMachine, {
  triesMax: 9,
  walks: 1,
  steps: 40,
  boot: bootBySystemdBoot,
  knowsRoot: true,
});
