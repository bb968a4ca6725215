// The attacks that otad must answer: one row of the table, what is required, and each attack that the row names. Data only:
// the cases are in the other files of this folder, and a test sees that no attack is without one.

import type { Outcome } from './gateway.ts';

export const attackTable = [
  {
    row: 'unsigned or wrongly signed metadata; threshold faked',
    required: 'rejected, nothing changed; distinct key material counts',
    attacks: [
      'unsigned metadata',
      'wrongly signed metadata',
      'duplicate signatures',
      'duplicate key ids',
      'the same key twice',
    ],
  },
  {
    row: 'weak, small-order or non-canonical keys; malleable signatures',
    required: 'rejected before the signature equation is even looked at',
    attacks: ['small-order key', 'non-canonical key', 'malleable signature', 'small-order R'],
  },
  {
    row: 'root version skipped; failed root cached and trusted later',
    required: 'exactly the next version; nothing stored before every check on that file passed',
    attacks: ['root version skipped', 'failed root trusted later'],
  },
  {
    row: 'rollback, freeze, fast-forward, mix-and-match, role removal',
    required: 'rejected by the TUF client workflow; then the next good update still works',
    attacks: ['rollback', 'freeze', 'fast-forward', 'mix-and-match', 'role removal'],
  },
  {
    row: 'endless data, slow retrieval, compressed bomb',
    required: 'cap at the signed length, minimum rate, total deadline, any Content-Encoding refused',
    attacks: ['endless data', 'slow retrieval', 'compressed bomb'],
  },
  {
    row: 'redirect loop, https to http, link-local address',
    required: 'at most 3 redirects, never a downgrade, never into this device or its link',
    attacks: ['redirect loop', 'https to http', 'link-local address'],
  },
  {
    row: 'path traversal in names',
    required: 'names never become paths',
    attacks: ['path traversal'],
  },
  {
    row: 'wrong hardware, wrong product',
    required: 'signed `compatible`; a mismatch means no byte written',
    attacks: ['wrong hardware', 'wrong product'],
  },
  {
    row: 'missing keys or root',
    required: 'nothing is fetched or installed; there is no unsigned mode in the program',
    attacks: ['missing root', 'missing keys', 'unsigned mode'],
  },
  {
    row: 'the signed part is not the used part; source or slot changed during the install',
    required:
      'verified as written; read back whole through the exclusive descriptor that wrote, and compared with the signed root; the slot’s path still leads there',
    attacks: ['signed part is not the used part', 'source changed during install', 'slot changed during install'],
  },
  {
    row: 'signed patch: damaged, for another base or library, pointing outside, unpacking without end',
    required:
      'refused by its own code before a byte of it is used; the running slot untouched, the image by the next way',
    attacks: [
      'damaged patch',
      'patch for another base',
      'patch by another library',
      'patch that points outside',
      'patch bomb',
    ],
  },
  {
    row: 'JSON tricks',
    required: 'canonical form of the raw parse, strict schemas, size caps',
    attacks: ['__proto__', 'duplicate members', 'depth', 'huge numbers'],
  },
  {
    row: 'local user on REST',
    required:
      'read-only socket for all, control socket for the group; TCP loopback only, read-only, known Hosts, no Origin',
    attacks: ['command on a read-only door', 'stranger at the control socket', 'foreign Host', 'foreign Origin'],
  },
] as const;

export type Attack = (typeof attackTable)[number]['attacks'][number];

/** What every case says of itself, whatever drives it. */
export interface AttackCase {
  readonly attack: Attack;
  /** What the attacker does. */
  readonly claim: string;
  readonly code: Outcome;
}
