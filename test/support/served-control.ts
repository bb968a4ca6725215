// Any boot control behind the boot helper's server and client, over a real unix socket: what the contract suite holds the
// two of them to.

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createBootClient } from '../../agent/adapters/boot-client.ts';
import { type BootServerOptions, type BootVerbs, createBootServer } from '../../agent/adapters/boot-server.ts';
import type { BootControl } from '../../agent/core/ports.ts';
import type { BootMachine } from '../contract/boot-control.ts';

const done = async (step: Promise<void>): Promise<null> => {
  await step;
  return null;
};

/** The verbs without a guard: the contract is the bootloader's, not the helper's. */
export const plainVerbs = (control: BootControl): BootVerbs => ({
  status: (_, signal) => control.status(signal),
  inspect: async (_, signal) => ({
    bootloader: 'uboot',
    foundBy: 'the test',
    status: await control.status(signal),
    slots: {
      a: { device: null, disk: null, label: null, uuid: null, sizeBytes: 0 },
      b: { device: null, disk: null, label: null, uuid: null, sizeBytes: 0 },
    },
    problems: [],
    records: [],
  }),
  invalidate: ({ slot }, signal) => done(control.invalidate(slot, signal)),
  activate: ({ slot, tries, verity }, signal) => done(control.activate(slot, tries, verity, signal)),
  markGood: ({ slot }, signal) => done(control.markGood(slot, signal)),
  markBad: ({ slot }, signal) => done(control.markBad(slot, signal)),
  prepareReboot: (_, signal) => done(control.prepareReboot(signal)),
  reboot: async () => null,
  bootFile: async () => null,
});

export const serveVerbs = async (verbs: BootVerbs, over: Partial<BootServerOptions> = {}) => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-served-'));
  const socketPath = join(folder, 'socket');
  const { server, ended, close } = createBootServer({ verbs, idleMs: null, ...over });
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    socketPath,
    ended,
    client: createBootClient({ socketPath, carry: async () => [], timeoutMs: 20_000 }),
    close: async (): Promise<void> => {
      close();
      await ended;
      await rm(folder, { recursive: true });
    },
  };
};

/** The same machine, its control asked through the socket. */
export const serveMachine = async (machine: BootMachine): Promise<BootMachine> => {
  const served = await serveVerbs(plainVerbs(machine.control));
  return {
    control: served.client.boot,
    powerOn: (isBootable) => machine.powerOn(isBootable),
    close: async () => {
      await served.close();
      await machine.close();
    },
  };
};
