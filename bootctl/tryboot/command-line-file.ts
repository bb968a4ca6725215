// cmdline.txt of a slot's boot partition: how the verity root reaches the kernel, and what keeps a panic from being the end.
// Pure. What stands in it besides otad's own arguments stays, in its order.

import { OtadError } from '../../agent/core/errors.ts';
import type { SlotName } from '../../agent/core/types.ts';
import { argumentWords } from '../kernel-command-line.ts';
import type { SlotVerity } from '../model.ts';

/** arm64 kernels take 2048 bytes, and the firmware adds its own. */
export const commandLineBytesMax = 1536;

const valuesOf = (commandLine: string, key: string): readonly string[] =>
  argumentWords(commandLine).flatMap((word) => (word.startsWith(`${key}=`) ? [word.slice(key.length + 1)] : []));

/**
 * A kernel that panics must reset, or the one-shot trial never ends: `panic=` must be there and not 0. A negative value resets
 * at once. The kernel takes the last one. (docs.kernel.org, kernel-parameters, panic=; canonical/pi-gadget pull request 143.)
 */
export const checkPanic = (slot: SlotName, commandLine: string): void => {
  const value = valuesOf(commandLine, 'panic').at(-1);
  if (value !== undefined && /^-?[0-9]+$/.test(value) && Number(value) !== 0) return;
  throw new OtadError('BOOT_COMMAND_LINE_UNSAFE', {
    slot,
    found: value === undefined ? 'no panic=' : `panic=${value}`,
  });
};

const ownKeys = ['otad.slot', 'otad.root', 'otad.hashoffset'];

/**
 * The file's text with this slot's arguments; `verity` null: without a root, which the initramfs refuses to start.
 * The firmware reads one line; further ones are kept as they are.
 */
export const withSlotArguments = (text: string, slot: SlotName, verity: SlotVerity | null): string => {
  const [first = '', ...rest] = text.split('\n');
  const foreign = argumentWords(first).filter((word) => !ownKeys.some((key) => word.startsWith(`${key}=`)));
  const own = [
    `otad.slot=${slot}`,
    ...(verity === null ? [] : [`otad.root=${verity.rootHex}`]),
    ...(verity === null || verity.hashOffsetBytes === null ? [] : [`otad.hashoffset=${verity.hashOffsetBytes}`]),
  ];
  const line = [...foreign, ...own].join(' ');
  if (line.length > commandLineBytesMax) {
    throw new OtadError('BOOT_ENV_UNSUPPORTED', {
      slot,
      reason: `its kernel command line would be ${line.length} bytes; at most ${commandLineBytesMax} are safe`,
    });
  }
  return [line, ...(rest.length === 0 ? [''] : rest)].join('\n');
};
