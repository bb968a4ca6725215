// What a local user, or a web page in a browser on the gateway, sends to the REST API. Commands only pass the control socket.

import type { AttackCase } from './attack-table.ts';

export type Door = 'status' | 'control' | 'http';

export interface RestAttack extends AttackCase {
  readonly door: Door;
  readonly headers?: Readonly<Record<string, string>>;
  readonly method: 'GET' | 'POST';
  readonly path: string;
}

const install = { method: 'POST', path: '/v1/install', code: 'FORBIDDEN' } as const;
const status = { method: 'GET', path: '/v1/status', code: 'FORBIDDEN' } as const;
const readOnly: readonly Door[] = ['status', 'http'];
const doors: readonly Door[] = [...readOnly, 'control'];

export const restAttacks: readonly RestAttack[] = [
  ...readOnly.map(
    (door): RestAttack => ({
      attack: 'command on a read-only door',
      claim: `an order to install, at the ${door} door`,
      door,
      ...install,
    }),
  ),
  ...readOnly.map(
    (door): RestAttack => ({
      attack: 'command on a read-only door',
      claim: `an order to install in the guise of a GET, at the ${door} door`,
      door,
      ...install,
      method: 'GET',
      code: 'NOT_FOUND',
      headers: { 'x-http-method-override': 'POST' },
    }),
  ),
  ...doors.map(
    (door): RestAttack => ({
      attack: 'foreign Origin',
      claim: `an order from a web page, at the ${door} door`,
      door,
      ...install,
      headers: { origin: 'http://evil.example' },
    }),
  ),
  ...doors.map(
    (door): RestAttack => ({
      attack: 'foreign Origin',
      claim: `a look from a page without a name, at the ${door} door`,
      door,
      ...status,
      headers: { origin: 'null' },
    }),
  ),
  ...['evil.example', 'localhost.evil.example', '169.254.1.1', '127.0.0.1.nip.io'].map(
    (host): RestAttack => ({
      attack: 'foreign Host',
      claim: `a look by the Host '${host}' (DNS rebinding)`,
      door: 'http',
      ...status,
      headers: { host },
    }),
  ),
];

/** Driven by the modes and groups of the sockets: the kernel refuses the connection before otad sees it. */
export const socketAttacks: readonly AttackCase[] = [
  {
    attack: 'stranger at the control socket',
    claim: 'a local user outside the group connects',
    code: 'AGENT_UNREACHABLE',
  },
];
