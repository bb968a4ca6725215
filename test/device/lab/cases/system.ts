// The system around the agent: who may do what, what is kept over an update, what a temporary start forgets, and what the
// journal can be asked.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCodes } from '../../../../agent/core/errors.ts';
import { messageIds } from '../../../../agent/log/message-ids.ts';
import type { LabBoard } from '../boards.ts';
import type { CaseContext, LabCase } from '../case.ts';
import { expectConfirmed, expectName, follow, restart, sentences, untilConfirmed, versionOf } from '../journey.ts';
import { projectFolder } from '../releases.ts';

const nobody = 'setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs';
const operator = 'setpriv --reuid=65534 --regid=65534 --groups=$(getent group otad-admin | cut -d: -f3) --no-new-privs';

/** Owner, group and mode of what is not in tmpfiles, on a gateway that runs slot b. */
const owners: Readonly<Record<string, string>> = {
  '/run/otad/status.sock': 'otad otad-admin 666',
  '/run/otad/control.sock': 'otad otad-admin 660',
  '/run/otad-boot/socket': 'root otad 660',
  '/dev/disk/by-partlabel/system_a': 'otad-boot otad 460',
  // The running slot is nobody's to write.
  '/dev/disk/by-partlabel/system_b': 'otad-boot otad 440',
};

/** The same of the folders that the agent and its boot helper live in, as the package makes them. */
const folderOwners = async (): Promise<Readonly<Record<string, string>>> => {
  const rules = await readFile(join(projectFolder, 'units/otad.tmpfiles'), 'utf8');
  const folders = rules.matchAll(/^d (\S+) 0?(\d+) (\S+) (\S+) /gm);
  return Object.fromEntries([...folders].map(([, path = '', mode, user, group]) => [path, `${user} ${group} ${mode}`]));
};

/** Of the partition of slot a, by what the kernel command line says of the running slot. */
const modesOfA: Readonly<Record<string, string>> = {
  ...{ quiet: '0460', 'otad.slot=b': '0460', 'rauc.slot=B': '0460' },
  ...{ 'otad.slot=a': '0440', 'rauc.slot=A': '0440' },
};

/** By the rules, as udev reads them; nothing is changed. */
const modeUnder = async ({ guest }: CaseContext, words: string): Promise<string> => {
  const device = '/sys/class/block/$(basename $(readlink -f /dev/disk/by-partlabel/system_a))';
  const said = await guest.ok(`SYSTEMD_PROC_CMDLINE='${words}' udevadm test ${device} 2>&1`);
  return /node permission:\s+(\d+)/.exec(said)?.[1] ?? assert.fail(said);
};

/** What makes a gateway this one and no other, and what a technician left on it. */
const identity =
  'cat /etc/machine-id /etc/hostname /proc/sys/kernel/hostname /etc/ssh/ssh_host_ed25519_key.pub /etc/systemd/network/10-site.network';

const rollBack = async (context: CaseContext): Promise<void> => {
  const { machine, guest } = context;
  const mark = machine.console.mark();
  const before = machine.boot();
  await guest.ok('otactl rollback --yes --no-wait back again');
  await machine.nextBoot(before);
  await machine.said(sentences.confirmed(versionOf('factory')), mark, `${versionOf('factory')} is confirmed`);
};

const argumentOf = ({ board }: CaseContext): NonNullable<LabBoard['argument']> => {
  if (board.argument === null) throw new Error(`${board.name} has its arguments compiled in`);
  return board.argument;
};

export const systemCases: readonly LabCase[] = [
  {
    name: 'kept',
    claim:
      'machine-id, host keys, the name from the hardware and network settings stay over update and rollback, and /etc follows the image',
    from: 'factory',
    isSmoke: false,
    run: async (context) => {
      const { machine, guest } = context;
      await guest.write('/etc/systemd/network/10-site.network', '[Match]\nName=site0\n[Network]\nDHCP=no');
      await expectName(context);
      const before = await guest.ok(identity);
      assert.equal(await guest.ok('cat /etc/lab/release'), 'factory');
      const mark = machine.console.mark();
      await follow(context, 'good');
      await untilConfirmed(context, 'good', mark, 'b');
      assert.equal(await guest.ok(identity), before);
      assert.equal(await guest.ok('cat /etc/lab/release'), 'good');
      await rollBack(context);
      assert.equal(await guest.ok(identity), before);
      assert.equal(await guest.ok('cat /etc/lab/release'), 'factory');
    },
  },
  {
    name: 'journal',
    claim: 'the journal has the life of the gateway as structured entries, of boots before as well',
    from: 'updated',
    isSmoke: false,
    run: async ({ guest }) => {
      const find = async (type: keyof typeof messageIds): Promise<Record<string, string>> => {
        const found = await guest.ok(`journalctl --no-pager -o json -t otad MESSAGE_ID=${messageIds[type]} -n 1`);
        return JSON.parse(found) as Record<string, string>;
      };
      const confirmed = await find('confirmed');
      assert.equal(confirmed.OTAD_HISTORY, 'confirmed', JSON.stringify(confirmed));
      assert.equal(confirmed.OTAD_VERSION, versionOf('good'));
      assert.equal(confirmed.OTAD_SLOT, 'b');
      assert.equal(confirmed._SYSTEMD_UNIT, 'otad.service');
      const activated = await find('activated');
      assert.notEqual(activated._BOOT_ID, confirmed._BOOT_ID, 'the entries of the boot before are kept');
      // The catalog of the image.
      const explained = await guest.ok(`journalctl --no-pager -x -t otad MESSAGE_ID=${messageIds.confirmed} -n 1`);
      assert.ok(explained.includes(`Subject: ${versionOf('good')} is confirmed`), explained);
    },
  },
  {
    name: 'rights',
    claim: 'sockets and folders have their owners and modes, and only the group otad-admin can command the agent',
    from: 'updated',
    isSmoke: false,
    run: async (context) => {
      const { guest, board } = context;
      const folders = await folderOwners();
      assert.ok('/var/lib/otad' in folders && '/run/otad-boot' in folders, Object.keys(folders).join(' '));
      for (const [path, expected] of Object.entries({ ...owners, ...folders }))
        assert.equal(await guest.ok(`stat -L -c '%U %G %a' ${path}`), expected, path);
      for (const [words, mode] of Object.entries(modesOfA)) assert.equal(await modeUnder(context, words), mode, words);
      const members = await guest.ok('getent group otad otad-boot | cut -d: -f4 | tr -d "\\n"');
      assert.equal(members, '', 'nobody else is in the groups of the agent and its helper');
      assert.equal((JSON.parse(await guest.ok(`${nobody} otactl status --json`)) as { phase: string }).phase, 'idle');
      const { status, output } = await guest.run(`${nobody} otactl rollback --yes --no-wait mischief`);
      assert.equal(status, errorCodes.FORBIDDEN.exitCode, output);
      assert.match(output, /You may not use/);
      for (const path of ['/dev/disk/by-partlabel/system_a', '/dev/disk/by-partlabel/system_b', board.bootMedium])
        assert.notEqual((await guest.run(`${nobody} test -w ${path}`)).status, 0, `an ordinary user may write ${path}`);
      await guest.ok(`${operator} otactl hold 'harvest until Friday'`);
      assert.equal((await guest.status()).hold?.reason, 'harvest until Friday');
      await guest.ok(`${operator} otactl release`);
      await expectConfirmed(context, { version: versionOf('good'), slot: 'b' });
    },
  },
  {
    name: 'agent-hangs',
    claim: 'an agent that works keeps the watchdog of its unit quiet, and one that hangs is ended and started again',
    from: 'factory',
    isSmoke: false,
    run: async (context) => {
      const { machine, guest } = context;
      const [shipped = assert.fail('the unit has no watchdog')] =
        /^WatchdogSec=.*$/m.exec(await readFile(join(projectFolder, 'units/otad.service'), 'utf8')) ?? [];
      await guest.write('/run/systemd/system/otad.service.d/70-as-shipped.conf', `[Service]\n${shipped}`);
      await guest.ok('systemctl daemon-reload');
      await guest.restartAgent();
      const show = (property: string): string => `systemctl show -P ${property} otad.service`;
      // Two in the time of the watchdog: three are more than it would wait for.
      const heard = `heard=$(${show('WatchdogTimestampMonotonic')})`;
      const next = `until [ $(${show('WatchdogTimestampMonotonic')}) != $heard ]; do sleep 1; done`;
      for (let pings = 0; pings < 3; pings += 1) await guest.ok(`${heard}; ${next}`);
      assert.equal(await guest.ok(show('NRestarts')), '0');
      const mark = machine.console.mark();
      await guest.ok(`kill -STOP $(${show('MainPID')})`);
      await machine.said(/otad\.service: Watchdog timeout/, mark, 'the word of the watchdog');
      // Within the same boot it says nothing of a start; its unit does, once it is ready.
      await machine.said(/Started otad\.service/, mark, 'the next start of the agent');
      assert.equal(await guest.ok(show('NRestarts')), '1');
      await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
    },
  },
  {
    name: 'volatile',
    isFor: ({ argument }) => argument !== null,
    claim: 'a start with systemd.volatile=overlay takes every change and forgets it',
    from: 'factory',
    isSmoke: false,
    run: async (context) => {
      const { guest } = context;
      const argument = argumentOf(context);
      await guest.ok(argument.add('a', 'systemd.volatile=overlay'));
      await restart(context);
      await guest.status();
      await guest.ok(
        'for folder in /usr/share /etc /var/lib /root; do echo x > $folder/forget-me || exit 1; done; sync',
      );
      await guest.ok(argument.drop('a', 'systemd.volatile=overlay'));
      await restart(context);
      const { output } = await guest.run('ls /usr/share/forget-me /etc/forget-me /var/lib/forget-me /root/forget-me');
      assert.equal(output.match(/No such file or directory/g)?.length, 4, output);
      await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
    },
  },
];
