// The network side of the product, which the lab leaves out elsewhere: login prompts, the SSH server and the resolver run, a
// technician comes in with a key, and releases come over TLS from a server that has a name and a certificate of its own CA.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createConnection } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { openCertificates, validNow } from '../../../support/certificates.ts';
import type { CaseContext, LabCase } from '../case.ts';
import { expectConfirmed, expectGoodBoot, expectName, restart, untilConfirmed, versionOf } from '../journey.ts';
import { openNameServer } from '../name-server.ts';
import { createTechnician, makeKey, type Technician } from '../technician.ts';

/** As the layer of the lab masks them. */
const masks = ['systemd-resolved', 'ssh', 'getty@tty1', 'serial-getty@ttyS0']
  .map((unit) => `/etc/systemd/system/${unit}.service`)
  .join(' ');
const serverName = 'updates.lab.internal';
/** The host, as the guest sees it. */
const hostAddress = '10.0.2.2';
const authorityFile = '/etc/otad/site-ca.pem';

interface SecureSite {
  readonly url: string;
  readonly authority: string;
  readonly namePort: number;
  close(): void;
}

/** The server of the lab once more, behind TLS and a name. */
const openSecureSite = async ({ site }: CaseContext): Promise<SecureSite> => {
  const certificates = openCertificates();
  certificates.makeAuthority('site');
  const server = createServer(certificates.makeServer('updates', 'site', `DNS:${serverName}`, validNow), (client) => {
    const upstream = createConnection(site.link.port, '127.0.0.1');
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
    client.pipe(upstream).pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const names = await openNameServer(serverName, hostAddress);
  return {
    url: `https://${serverName}:${(server.address() as AddressInfo).port}/`,
    authority: certificates.read('site.crt').toString(),
    namePort: names.port,
    close: () => {
      server.close();
      names.close();
      certificates.close();
    },
  };
};

/** Everything that the product starts has started, and the technician gets in by key and in no other way. */
const expectShipped = async ({ guest }: CaseContext, { ssh }: Technician, version: string): Promise<void> => {
  assert.equal((await guest.run('systemctl is-system-running --wait')).output, 'running');
  await guest.ok('systemctl is-active systemd-resolved ssh serial-getty@ttyS0');
  assert.match(await guest.ok(`getent ahostsv4 ${serverName}`), new RegExp(`^${hostAddress.replaceAll('.', '\\.')} `));
  const hostKey = await guest.ok('cat /etc/ssh/ssh_host_ed25519_key.pub');
  const status = JSON.parse(await ssh(hostKey, 'otactl status --json')) as { version: string };
  assert.equal(status.version, version);
  assert.equal(await ssh(hostKey, 'otad --check-config'), 'The settings are well formed.');
  await assert.rejects(ssh(hostKey, 'true', '-o', 'PubkeyAuthentication=no'), /Permission denied \(publickey\)/);
};

const runAsShipped = async (context: CaseContext, secure: SecureSite): Promise<void> => {
  const { machine, guest } = context;
  const keyPath = join(machine.folder, 'technician');
  const publicKey = await makeKey(keyPath);
  const technician = await createTechnician(machine, keyPath);
  const settings = `[Network]\nDNS=${hostAddress}:${secure.namePort}\n[DHCPv4]\nUseDNS=no`;
  await guest.write('/etc/systemd/network/80-wired.network.d/60-site.conf', settings);
  await guest.write('/etc/ssh/authorized_keys.d/root', publicKey);
  await guest.write(authorityFile, secure.authority);
  // No `systemctl unmask`, which makes systemd read everything again: it starts anew right now.
  await guest.ok(`rm ${masks} && sync`);
  await restart(context);
  await expectConfirmed(context, { version: versionOf('factory'), slot: 'a' });
  await expectName(context);
  await expectShipped(context, technician, versionOf('factory'));
  const mark = machine.console.mark();
  await guest.configure({ baseUrls: [secure.url], channel: 'good', http: { caFile: authorityFile } });
  await guest.restartAgent();
  await untilConfirmed(context, 'good', mark, 'b');
  await expectGoodBoot(context);
  await expectName(context);
  await expectShipped(context, technician, versionOf('good'));
};

export const asShipped: LabCase = {
  name: 'as-shipped',
  claim: 'with resolver, SSH and login prompts it updates over TLS from a server by name, and lets in by key alone',
  from: 'factory',
  isSmoke: false,
  run: async (context) => {
    const secure = await openSecureSite(context);
    try {
      await runAsShipped(context, secure);
    } finally {
      secure.close();
    }
  },
};
