// The split of rights in a booted device: the agent that talks to the network owns nothing, the helper that flips believes
// nothing, and the timer that ends a trial needs neither.

import assert from 'node:assert/strict';
import type { CaseContext, LabCase } from '../case.ts';
import { expectConfirmed, versionOf } from '../journey.ts';

/** As `systemd-analyze security` counts it, 0 to 10. */
const exposureMax = { 'otad.service': 1.5, 'otad-boot.service': 1.0 } as const;

const asAgent = 'setpriv --reuid=otad --regid=otad --clear-groups --no-new-privs';
const helperSocket = '/run/otad-boot/socket';
const liar = '/run/lab/lie.mjs';

/** Says one line to the helper and prints what it answers. */
const liarText = `import { connect } from "node:net";
const socket = connect("${helperSocket}", () => socket.write(process.argv[2] + "\\n"));
socket.on("data", (bytes) => process.stdout.write(bytes));
socket.on("error", (error) => console.log(error.code));`;

const noVerity = {
  algorithm: 'sha256',
  blockSizeBytes: 4096,
  saltHex: '',
  rootHex: 'a'.repeat(64),
  hashOffsetBytes: 4096,
};

/** What a broken-into agent would try. */
const lies: readonly (readonly [name: string, request: unknown])[] = [
  ['activate an empty slot', { verb: 'activate', slot: 'b', tries: 3, verity: noVerity, metadata: [] }],
  ['invalidate the running slot', { verb: 'invalidate', slot: 'a', metadata: [] }],
  ['bless a slot that does not run', { verb: 'markGood', slot: 'b' }],
  ['a verb that is none', { verb: 'shell', command: 'id' }],
  ['a slot that is a path', { verb: 'activate', slot: '../a', tries: 3, verity: noVerity, metadata: [] }],
];

const bootState = async ({ guest }: CaseContext): Promise<unknown> => {
  const { booted, primary, records, slots } = await guest.boot();
  return { booted, primary, records, states: slots.map(({ name, state }) => [name, state]) };
};

export const sandboxCases: readonly LabCase[] = [
  {
    name: 'sandbox',
    claim: 'the agent runs without rights: no capability, no way to the bootloader, exposed as little as is said',
    from: 'factory',
    isSmoke: false,
    run: async ({ guest, board }) => {
      for (const [unit, max] of Object.entries(exposureMax)) {
        const said = await guest.ok(`systemd-analyze security --no-pager ${unit} | tail -n 1`);
        const level = /: ([0-9.]+) /.exec(said)?.[1];
        assert.ok(Number(level) <= max, `${unit}: ${said}`);
      }
      const process = '/proc/$(systemctl show -P MainPID otad)';
      assert.equal(await guest.ok(`stat -c %U ${process}`), 'otad');
      assert.match(await guest.ok(`grep Cap ${process}/status`), /CapEff:\s0+\nCapBnd:\s0+\n/);
      assert.match(await guest.ok(`grep NoNewPrivs ${process}/status`), /1/);
      const inside = `nsenter --mount=${process}/ns/mnt ${asAgent}`;
      for (const path of [
        `${board.bootMedium}/x`,
        `${board.bootPlace('b')}/x`,
        '/usr/lib/otad/x',
        '/etc/otad/x',
        '/dev/mapper/x',
      ])
        assert.notEqual((await guest.run(`${inside} touch ${path}`)).status, 0, `otad may write ${path}`);
    },
  },
  {
    name: 'helper-lies',
    claim: 'the helper refuses what a broken-into agent asks of it, and changes nothing',
    from: 'factory',
    isSmoke: false,
    run: async (context) => {
      const { guest } = context;
      await guest.write(liar, liarText);
      const before = await bootState(context);
      for (const [name, request] of lies) {
        const answer = await guest.ok(`${asAgent} node ${liar} '${JSON.stringify(request)}'`);
        assert.match(answer, /"ok":false/, `${name}: ${answer}`);
      }
      assert.deepEqual(await bootState(context), before);
      const stranger = 'setpriv --reuid=65534 --regid=65534 --clear-groups';
      assert.match(await guest.ok(`${stranger} node ${liar} '{"verb":"status"}'`), /EACCES/);
      await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
    },
  },
];
