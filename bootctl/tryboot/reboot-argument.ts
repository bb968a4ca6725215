// How the one-shot flag gets from here to the firmware: the argument of reboot(2), which systemd takes from a file.
// systemd, src/shared/reboot-util.c: the last step of a shutdown reads the first line of /run/systemd/reboot-param, and
// reboots without an argument where there is none. src/systemctl/systemctl-start-special.c: `systemctl reboot` writes the
// file only when given --reboot-argument=, else leaves it. src/systemctl/systemctl-compat-halt.c: `reboot` writes its own
// argument there, and with none it removes the file.

import { basename } from 'node:path';
import { OtadError } from '../../agent/core/errors.ts';

export const rebootParamPathDefault = '/run/systemd/reboot-param';
/** Partition 0 is the default one, which leaves the choice to autoboot.txt. */
export const rebootArgument = '0 tryboot';

/** Throws CONFIG_INVALID for a command that would drop the argument, and with it every trial. */
export const checkRebootCommand = (command: readonly string[]): void => {
  const names = command.map((word) => basename(word));
  const isBare = names[0] === 'reboot' || names[0] === 'halt' || names[0] === 'busybox';
  const hasOwn = command.some((word) => word.startsWith('--reboot-arg'));
  if (!isBare && !hasOwn) return;
  throw new OtadError('CONFIG_INVALID', {
    key: 'reboot.command',
    value: command.join(' '),
    expected: 'systemctl reboot, which keeps the argument of the reboot that tryboot needs',
  });
};
