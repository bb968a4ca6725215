// Descriptors that systemd hands over by name (OpenFile=, LISTEN_FDS). Reads the environment that it is given; opens and
// closes nothing.

import { fstatSync } from 'node:fs';

const firstDescriptor = 3;
const descriptorsMax = 64;

type Environment = Readonly<Record<string, string | undefined>>;

const isSocket = (descriptor: number): boolean => {
  try {
    return fstatSync(descriptor).isSocket();
  } catch {
    return false;
  }
};

/**
 * The inherited sockets by name (LISTEN_FDNAMES); of equal names the first. Empty when LISTEN_PID names another process:
 * the variables were meant for a parent.
 */
export const inheritedSockets = (env: Environment, pid: number): ReadonlyMap<string, number> => {
  const sockets = new Map<string, number>();
  const count = Number(env.LISTEN_FDS);
  if (env.LISTEN_PID !== String(pid) || !Number.isInteger(count) || count < 0 || count > descriptorsMax) return sockets;
  const names = (env.LISTEN_FDNAMES ?? '').split(':');
  for (let index = 0; index < count; index++) {
    const name = names[index] ?? '';
    const descriptor = firstDescriptor + index;
    if (name !== '' && !sockets.has(name) && isSocket(descriptor)) sockets.set(name, descriptor);
  }
  return sockets;
};
