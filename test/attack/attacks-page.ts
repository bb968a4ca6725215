// docs/internals/attacks.md, made from the suite's own data: what an attacker does, with which code it ends, what comes next.

import type { Page } from '../support/page.ts';
import { made, table } from '../support/page.ts';
import { attackTable } from './attack-table.ts';
import { attackCases } from './attacks.ts';
import type { Outcome } from './gateway.ts';
import type { Behaviour } from './server/behaviour.ts';
import { behaviours, kindsOf } from './server/behaviours.ts';
import { fileKinds } from './vendor.ts';

const shown = (outcome: Outcome): string =>
  outcome === 'taken'
    ? 'tolerated'
    : outcome === 'up-to-date'
      ? 'no news'
      : outcome === 'hardware'
        ? '`hardware` (not wanted)'
        : `\`${outcome}\``;

const attackSection = ({ row, required, attacks }: (typeof attackTable)[number]): string[] => [
  `### ${row}`,
  '',
  `Required: ${required}.`,
  '',
  ...table(
    ['attack', 'case', 'ends with'],
    attacks.flatMap((attack) =>
      attackCases
        .filter((one) => one.attack === attack)
        .map(({ claim, code }) => [attack, claim.replaceAll('\u0000', ''), shown(code)]),
    ),
  ),
  '',
];

const exceptions = ({ wanted, except = {} }: Behaviour): string =>
  Object.entries(except)
    .filter(([, outcome]) => outcome !== wanted)
    .map(([kind, outcome]) => `${kind}: ${shown(outcome)}`)
    .join(', ');

const behaviourRows = behaviours.map((behaviour) => [
  behaviour.name,
  shown(behaviour.wanted),
  exceptions(behaviour),
  kindsOf(behaviour).length === fileKinds.length ? 'all' : kindsOf(behaviour).join(', '),
  behaviour.because ?? '',
]);

export const attacksPage = (): Page => ({
  path: 'docs/internals/attacks.md',
  text: [
    '# Attacks and hostile servers',
    '',
    made,
    '',
    'What an attacker can do to a gateway, and how it ends.',
    'Each case below is run by `test/attack/` in two forms: refused with its code and nothing changed; refused, and then the next good update is taken.',
    'Nothing changed means that trusted files and both slots are the same byte for byte.',
    'Two things may differ: metadata that passed all of its own checks before the spoilt file was asked for, and, where the image itself is spoilt, bytes of the slot that cannot be booted; no record ever calls those verified.',
    'A signed patch that is no good is refused with its code as well, but the update goes on: the running slot stays the same, and the image comes by the next way.',
    'The gateway of these tests is the real release source over real HTTP, the real selection, and the real installer on two file slots.',
    '',
    'What happens next is the same for all of them: the running system is not touched, `otactl why` shows the code, and the next poll comes after the backoff or after what `Retry-After` asked for, at most a day.',
    'Codes of the class source or transient let a gateway with several base URLs try the next one at once.',
    'No attack from outside gets a release denied: wrong bytes are the fault of the server that sent them (decision 3).',
    '',
    '## Attacks',
    '',
    ...attackTable.flatMap(attackSection),
    '## Behaviours of servers',
    '',
    'Each behaviour spoils one kind of file at a time while all others are served honestly.',
    'The bytes read and the number of requests are bounded in every case, and no trusted file changes but those that passed all of their own checks before the spoilt one was asked for.',
    'Kinds of file: root, timestamp, snapshot and targets metadata, the release document, and the image (a download that goes on where it broke off).',
    'A behaviour that is only another spelling meets a timestamp and an image.',
    '',
    ...table(['behaviour', 'ends with', 'but', 'kinds', 'why tolerated'], behaviourRows),
    '',
    '## Ed25519',
    '',
    'Before the equation is looked at, `verity/ed25519.ts` refuses every length but 32 and 64 bytes, S at or above L, and a key or an R that is not the one canonical encoding of its point or is one of the eight points whose order divides 8.',
    'R needs that as much as the key: an honest signer never makes such an R, and a signature with one shows that its maker chose it.',
    'Keys with a torsion part are not looked for: whoever has such a key could as well have made two keys, and who may sign is what root says.',
    'An oracle in BigInt (`test/verity/edwards-curve.ts`) judges the same vectors; OpenSSL is asked as well and differs from otad in three places that the test names: it takes keys of small order, keys beyond the field, and R of small order.',
    '',
    'The public Wycheproof vectors are not part of this repository.',
    'With a checkout of them, `node dist/test/verity/wycheproof.js testvectors_v1/ed25519_test.json` says which case comes out wrong; at commit dac1dd4729fd1f8dd9e1e9f3dce51d783da6c166 all 151 come out right.',
    '',
  ].join('\n'),
});
