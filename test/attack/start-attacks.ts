// What somebody who can remove files, or hopes for a switch, finds: without a root nothing is believed, and no setting,
// flag or variable turns verification off.

import type { AttackCase } from './attack-table.ts';

export interface RootAttack extends AttackCase {
  /** What stands in the place of the image's root.json; null: nothing. */
  readonly initialRoot: (good: Uint8Array) => Uint8Array | null;
}

const changed = (good: Uint8Array, change: (text: string) => string): Uint8Array =>
  Buffer.from(change(Buffer.from(good).toString()));

export const rootAttacks: readonly RootAttack[] = [
  { attack: 'missing root', claim: 'no root at all', code: 'TRUST_ROOT_MISSING', initialRoot: () => null },
  { attack: 'missing root', claim: 'an empty root', code: 'TRUST_ROOT_MISSING', initialRoot: () => new Uint8Array(0) },
  {
    attack: 'missing root',
    claim: 'half a root',
    code: 'TRUST_ROOT_MISSING',
    initialRoot: (good) => good.subarray(0, good.length >> 1),
  },
  {
    attack: 'missing keys',
    claim: 'a root without any key',
    code: 'TRUST_ROOT_MISSING',
    initialRoot: (good) => changed(good, (text) => text.replace(/"keys": \{[\s\S]*?\n {2}\},/, '"keys": {},')),
  },
  {
    attack: 'missing keys',
    claim: 'a root that needs no signature',
    code: 'TRUST_ROOT_MISSING',
    initialRoot: (good) => changed(good, (text) => text.replace(/"threshold": \d/g, '"threshold": 0')),
  },
  {
    attack: 'missing keys',
    claim: 'a root that nobody signed',
    code: 'TRUST_ROOT_MISSING',
    initialRoot: (good) => changed(good, (text) => text.replace(/"signatures": \[[\s\S]*?\],/, '"signatures": [],')),
  },
];

export interface SwitchAttack extends AttackCase {
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly flag?: string;
}

/** Names that such switches have elsewhere. */
export const switchAttacks: readonly SwitchAttack[] = [
  ...['insecure', 'skipVerification', 'allowUnsigned', 'verify', 'trustRoot', 'keys'].map(
    (key): SwitchAttack => ({
      attack: 'unsigned mode',
      claim: `a setting ${key}`,
      code: 'CONFIG_INVALID',
      settings: { [key]: key !== 'verify' },
    }),
  ),
  ...['--insecure', '--no-verify', '--allow-unsigned', '--skip-verification'].map(
    (flag): SwitchAttack => ({ attack: 'unsigned mode', claim: `a flag ${flag}`, code: 'BAD_REQUEST', flag }),
  ),
];
