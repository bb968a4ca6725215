// All cases of the suite in one list, whatever drives them.

import type { AttackCase } from './attack-table.ts';
import { documentAttacks } from './document-attacks.ts';
import { imageAttacks } from './image-attacks.ts';
import { patchAttacks } from './patch-attacks.ts';
import { restAttacks, socketAttacks } from './rest-attacks.ts';
import { behaviours } from './server/behaviours.ts';
import { signatureAttacks } from './signature-attacks.ts';
import { rootAttacks, switchAttacks } from './start-attacks.ts';
import { versionAttacks } from './version-attacks.ts';

const fromServers: readonly AttackCase[] = behaviours.flatMap(({ attack, name, wanted }) =>
  attack === undefined ? [] : [{ attack, claim: `a server that sends ${name}`, code: wanted }],
);

export const attackCases: readonly AttackCase[] = [
  ...signatureAttacks,
  ...versionAttacks,
  ...fromServers,
  ...documentAttacks,
  ...rootAttacks,
  ...switchAttacks,
  ...imageAttacks,
  ...patchAttacks,
  ...restAttacks,
  ...socketAttacks,
];
