// Reads from a kernel command line which slot was booted and with which verity root. Pure.
// It never guesses: contradicting arguments are no evidence at all.

import { OtadError } from '../agent/core/errors.ts';
import type { SlotName } from '../agent/core/types.ts';
import type { BootEvidence } from './model.ts';

/** The kernel's own limit is 2 to 4 KiB; more than this is not a command line. */
const commandLineBytesMax = 65536;

/** Splits as the kernel does: at white space outside double quotes, which stay. */
export const argumentWords = (commandLine: string): readonly string[] =>
  commandLine.match(/(?:[^\s"]|"[^"]*(?:"|$))+/g) ?? [];

const splitArguments = (commandLine: string): readonly (readonly [key: string, value: string])[] =>
  argumentWords(commandLine).map((word) => {
    const bare = word.replaceAll('"', '');
    const equals = bare.indexOf('=');
    return equals < 0 ? [bare, ''] : [bare.slice(0, equals), bare.slice(equals + 1)];
  });

const parseSlot = (key: string, value: string): SlotName | null => {
  if (key === 'otad.slot' && (value === 'a' || value === 'b')) return value;
  if (key === 'rauc.slot' && (value === 'A' || value === 'B')) return value === 'A' ? 'a' : 'b';
  return null;
};

/** Which slot runs. Reads `otad.slot=a|b` (or `rauc.slot=A|B`) and `otad.root=<64 hex>`; throws BOOT_EVIDENCE_MISSING. */
export const parseKernelCommandLine = (commandLine: string): BootEvidence => {
  if (commandLine.length > commandLineBytesMax) {
    throw new OtadError('BOOT_EVIDENCE_MISSING', { commandLineBytes: commandLine.length });
  }
  const args = splitArguments(commandLine);
  const named = args.filter(([key]) => key === 'otad.slot' || key === 'rauc.slot');
  const slots = new Set(named.map(([key, value]) => parseSlot(key, value)));
  const [slot] = slots;
  if (slot === undefined || slot === null || slots.size !== 1) {
    throw new OtadError('BOOT_EVIDENCE_MISSING', {
      found: named.length === 0 ? 'no otad.slot=' : named.map(([key, value]) => `${key}=${value}`).join(' '),
    });
  }
  const roots = new Set(args.filter(([key]) => key === 'otad.root').map(([, value]) => value.toLowerCase()));
  const [root] = roots;
  const isWhole = root !== undefined && roots.size === 1 && /^[0-9a-f]{64}$/.test(root);
  return {
    slot,
    root: isWhole ? root : null,
    evidence: [
      `kernel command line: ${named.map(([key, value]) => `${key}=${value}`).join(' ')}`,
      isWhole
        ? `kernel command line: otad.root=${root}`
        : roots.size === 0
          ? 'kernel command line: no otad.root=, the running system is not tied to a verity root'
          : 'kernel command line: otad.root= is not one root of 64 hex digits and is ignored',
    ],
  };
};
