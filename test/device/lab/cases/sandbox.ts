// The split of rights in a booted device: the agent that talks to the network may write one slot, the helper that flips the
// bootloader's files, and neither anything else.

import assert from 'node:assert/strict';
import type { CaseContext, LabCase } from '../case.ts';
import type { CommandResult } from '../control-channel.ts';

/** As `systemd-analyze security` counts it, 0 to 10. */
const exposureMax = { 'otad.service': 1.5, 'otad-boot.service': 1.0 } as const;

/** A process of this unit, seen from outside and from within. */
interface Sandbox {
  readonly unit: string;
  /** Its folder in /proc. */
  readonly process: string;
  /** In its mounts and its control group, which decides about devices; as this user, or as root. */
  inside(user: string, command: string): Promise<CommandResult>;
}

const openSandbox = async ({ guest }: CaseContext, unit: string): Promise<Sandbox> => {
  const pid = await guest.ok(`systemctl show -P MainPID ${unit}`);
  assert.match(pid, /^[1-9][0-9]*$/, `${unit} runs`);
  const process = `/proc/${pid}`;
  const group = `/sys/fs/cgroup${await guest.ok(`systemctl show -P ControlGroup ${unit}`)}`;
  return {
    ...{ unit, process },
    inside: (user, command) => {
      const enter = `echo $$ > ${group}/cgroup.procs && exec nsenter --mount=${process}/ns/mnt`;
      return guest.run(
        `sh -c '${enter} setpriv --reuid=${user} --regid=${user} --init-groups --no-new-privs ${command}'`,
      );
    },
  };
};

/** Opens it for writing, and writes nothing. */
const openForWriting = (path: string): string => `dd if=/dev/null of=${path} conv=notrunc,nocreat status=none`;

/** It was the kernel that said no, and not a command that failed for another reason. */
const expectRefused = ({ status, output }: CommandResult, what: string): void => {
  assert.notEqual(status, 0, `${what}: ${output}`);
  assert.match(output, /Permission denied|Operation not permitted|Read-only file system/, what);
};

/** What the kernel says of the process. */
const expectNoRights = async ({ guest }: CaseContext, { unit, process }: Sandbox): Promise<void> => {
  const status = await guest.ok(`cat ${process}/status`);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`^${set}:\\s+0+$`, 'm'), unit);
  assert.match(status, /^NoNewPrivs:\s+1$/m, unit);
  // 2: filtered.
  assert.match(status, /^Seccomp:\s+2$/m, unit);
};

/** The disk, both slots and all that the bootloader goes by, as the device names them. */
const findDevices = async ({ guest, board }: CaseContext) => {
  const running = await guest.ok('readlink -f /dev/disk/by-partlabel/system_a');
  const disk = await guest.ok(`lsblk --nodeps --noheadings --output PKNAME ${running}`);
  const medium = await guest.ok(`findmnt --noheadings --output SOURCE ${board.bootMedium}`);
  const files = (await guest.ok(`find ${board.bootMedium} -type f`)).split('\n');
  return { running, other: '/dev/disk/by-partlabel/system_b', disk: `/dev/${disk.trim()}`, medium, files };
};

const expectAgentSandbox = async (context: CaseContext): Promise<void> => {
  const { guest } = context;
  const agent = await openSandbox(context, 'otad.service');
  assert.equal(await guest.ok(`stat -c %U ${agent.process}`), 'otad');
  await expectNoRights(context, agent);
  const { running, other, disk, medium, files } = await findDevices(context);
  for (const path of [running, disk, medium, ...files]) {
    await guest.ok(openForWriting(path));
    expectRefused(await agent.inside('otad', openForWriting(path)), `otad may write ${path}`);
  }
  const opened = await agent.inside('otad', openForWriting(other));
  assert.equal(opened.status, 0, `otad writes the slot that does not run: ${opened.output}`);
  // Not even root could, in there: storage is all that there is.
  const console = '/dev/ttyS0';
  await guest.ok(openForWriting(console));
  assert.match((await agent.inside('root', openForWriting(console))).output, /Operation not permitted/);
  const { bootMedium, bootPlace } = context.board;
  for (const path of [`${bootMedium}/x`, `${bootPlace('b')}/x`, '/usr/lib/otad/x', '/etc/otad/x', '/dev/mapper/x'])
    expectRefused(await agent.inside('otad', `touch ${path}`), `otad may write ${path}`);
};

const expectHelperSandbox = async (context: CaseContext): Promise<void> => {
  const { guest } = context;
  const devices = await findDevices(context);
  await guest.wakeHelper();
  const helper = await openSandbox(context, 'otad-boot.service');
  assert.equal(await guest.ok(`stat -c %U ${helper.process}`), 'otad-boot');
  await expectNoRights(context, helper);
  const network = await guest.ok(`readlink /proc/1/ns/net ${helper.process}/ns/net`);
  const [ofSystem, ofHelper] = network.split('\n');
  assert.notEqual(ofHelper, ofSystem, 'the helper has a network of its own, with nobody in it');
  const { running, other, disk } = devices;
  for (const path of [running, other, disk]) {
    for (const user of ['otad-boot', 'root'])
      expectRefused(await helper.inside(user, openForWriting(path)), `${user} may write ${path} there`);
  }
  for (const path of [running, other]) {
    const { status, output } = await helper.inside('otad-boot', `dd if=${path} of=/dev/null count=1 status=none`);
    assert.equal(status, 0, `the helper reads ${path}: ${output}`);
  }
};

export const sandboxCases: readonly LabCase[] = [
  {
    name: 'sandbox',
    claim: 'the agent and its helper run without rights: no capability, filtered calls, no way to what is not theirs',
    from: 'factory',
    isSmoke: true,
    run: async (context) => {
      for (const [unit, max] of Object.entries(exposureMax)) {
        const said = await context.guest.ok(`systemd-analyze security --no-pager ${unit} | tail -n 1`);
        const level = /: ([0-9.]+) /.exec(said)?.[1];
        assert.ok(Number(level) <= max, `${unit}: ${said}`);
      }
      await expectAgentSandbox(context);
      await expectHelperSandbox(context);
    },
  },
];
