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

/** What a kernel command line says, so far as it concerns slots. */
export interface KernelArguments {
  /** null: no argument names one. */
  readonly slot: SlotName | null;
  /** The arguments that name the slot, or that there are none. */
  readonly slotSaid: string;
  /** dm-verity root that the initramfs opened, lower-case hex. */
  readonly root: string | null;
  readonly rootSaid: string;
  /** The value of `root=`, as it stands there. */
  readonly rootDevice: string | null;
}

/** `roothash=` is systemd's word for it. */
const rootKeys: readonly string[] = ['otad.root', 'roothash'];

const readRoot = (args: readonly (readonly [string, string])[]): Pick<KernelArguments, 'root' | 'rootSaid'> => {
  const said = args.filter(([key]) => rootKeys.includes(key));
  const roots = new Set(said.map(([, value]) => value.toLowerCase()));
  const [root] = roots;
  if (root === undefined) {
    return { root: null, rootSaid: 'no otad.root=, the running system is not tied to a verity root' };
  }
  const key = said[0]?.[0] ?? '';
  return roots.size === 1 && /^[0-9a-f]{64}$/.test(root)
    ? { root, rootSaid: `${key}=${root}` }
    : { root: null, rootSaid: `${key}= is not one root of 64 hex digits and is ignored` };
};

/**
 * Reads `otad.slot=a|b` (or `rauc.slot=A|B`), `otad.root=<64 hex>` (or `roothash=`) and `root=`. Throws BOOT_EVIDENCE_MISSING where
 * what names the slot contradicts itself or is no slot: somebody meant something by it.
 */
export const readKernelArguments = (commandLine: string): KernelArguments => {
  if (commandLine.length > commandLineBytesMax) {
    throw new OtadError('BOOT_EVIDENCE_MISSING', { commandLineBytes: commandLine.length });
  }
  const args = splitArguments(commandLine);
  const named = args.filter(([key]) => key === 'otad.slot' || key === 'rauc.slot');
  const slots = new Set(named.map(([key, value]) => parseSlot(key, value)));
  const [slot = null] = slots;
  const slotSaid = named.length === 0 ? 'no otad.slot=' : named.map(([key, value]) => `${key}=${value}`).join(' ');
  if (named.length > 0 && (slot === null || slots.size !== 1)) {
    throw new OtadError('BOOT_EVIDENCE_MISSING', { found: slotSaid });
  }
  const rootDevice = args.findLast(([key]) => key === 'root')?.[1] ?? null;
  return { slot, slotSaid, ...readRoot(args), rootDevice };
};

/** Which slot runs, where the command line alone says it. Throws BOOT_EVIDENCE_MISSING. */
export const parseKernelCommandLine = (commandLine: string): BootEvidence => {
  const { slot, slotSaid, root, rootSaid } = readKernelArguments(commandLine);
  if (slot === null) throw new OtadError('BOOT_EVIDENCE_MISSING', { found: slotSaid });
  return { slot, root, evidence: [`kernel command line: ${slotSaid}`, `kernel command line: ${rootSaid}`] };
};
