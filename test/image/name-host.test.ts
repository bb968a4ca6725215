import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { aFolder } from '../publish/publisher-fixture.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../../../image/layers/base/files/usr/lib/gateway/name-host', import.meta.url));

const serial = 'firmware/devicetree/base/serial-number';
const productUuid = 'class/dmi/id/product_uuid';
const boardSerial = 'class/dmi/id/board_serial';
const machineId = '5f0c1d2e3a4b';

interface Interface {
  readonly address: string;
  readonly type?: number;
  /** 0: burnt in; 1: made up by the kernel at this start. */
  readonly assigned?: number;
  readonly isRadio?: boolean;
  readonly isVirtual?: boolean;
}

interface Board {
  readonly files?: Readonly<Record<string, string>>;
  readonly interfaces?: Readonly<Record<string, Interface>>;
}

/** As sysfs has it: the interface is a link, and so is its device, which leads to the bus and not back to the interface. */
const addInterface = async (sys: string, name: string, facts: Interface): Promise<void> => {
  const device = join(sys, 'devices/pci0000:00', `0000:00:${name}`);
  const home = facts.isVirtual === true ? join(sys, 'devices/virtual/net', name) : join(device, 'net', name);
  await mkdir(home, { recursive: true });
  await writeFile(join(home, 'address'), `${facts.address}\n`);
  await writeFile(join(home, 'type'), `${facts.type ?? 1}\n`);
  await writeFile(join(home, 'addr_assign_type'), `${facts.assigned ?? 0}\n`);
  if (facts.isRadio === true) await mkdir(join(home, 'phy80211'));
  if (facts.isVirtual !== true) await symlink(device, join(home, 'device'));
  await mkdir(join(sys, 'class/net'), { recursive: true });
  await symlink(home, join(sys, 'class/net', name));
};

/** The name that the gateway has in the end, as the file that is kept says it; the kernel must say the same. */
const nameOf = async (t: TestContext, { files = {}, interfaces = {} }: Board): Promise<string> => {
  const root = await aFolder(t);
  for (const folder of ['sys', 'etc', 'proc/sys/kernel']) await mkdir(join(root, folder), { recursive: true });
  await writeFile(join(root, 'etc/machine-id'), `${machineId}\n`);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, 'sys', path)), { recursive: true });
    await writeFile(join(root, 'sys', path), text);
  }
  for (const [name, facts] of Object.entries(interfaces)) await addInterface(join(root, 'sys'), name, facts);
  await run('/bin/sh', [script], { env: { PATH: '/usr/bin:/bin', OTAD_ROOT: root } });
  const name = await readFile(join(root, 'etc/hostname'), 'utf8');
  assert.equal(await readFile(join(root, 'proc/sys/kernel/hostname'), 'utf8'), name);
  return name.trim();
};

const nameAfter = (id: string): string => `gw-${createHash('sha256').update(`${id}\n`).digest('hex').slice(0, 8)}`;
const eth0 = { eth0: { address: 'dc:a6:32:01:02:03' } };
const afterAddress = nameAfter('dc:a6:32:01:02:03');

test('the serial number of the device tree comes first', async (t) => {
  const files = { [serial]: '10000000ABCDEF01\0', [productUuid]: 'a-b-c\n' };
  assert.equal(await nameOf(t, { files, interfaces: eth0 }), nameAfter('10000000abcdef01'));
});

test('DMI comes next: the product, then the board', async (t) => {
  const uuid = '4C4C4544-0047-3510-8052-B4C04F4E3332';
  const both = { [productUuid]: `${uuid}\n`, [boardSerial]: 'BSN 12345\n' };
  assert.equal(await nameOf(t, { files: both }), nameAfter(uuid.toLowerCase()));
  assert.equal(await nameOf(t, { files: { [boardSerial]: 'BSN 12345\n' } }), nameAfter('bsn12345'));
});

const placeholders = [
  ...['', '0', '0000000000000000', '00000000-0000-0000-0000-000000000000', 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'],
  ...['To be filled by O.E.M.', 'To Be Filled By O.E.M.', 'Default string', 'Not Specified', 'None', 'N/A', 'Unknown'],
  ...['System Serial Number', '0123456789', 'xxxxxxxx', '........', '03000200-0400-0500-0006-000700080009'],
];

test('what vendors leave in place of a number names nobody', async (t) => {
  for (const text of placeholders) {
    const files = { [serial]: `${text}\0`, [productUuid]: `${text}\n`, [boardSerial]: `${text}\n` };
    assert.equal(await nameOf(t, { files, interfaces: eth0 }), afterAddress, text);
  }
});

test('the address of the first wired interface, whatever else has one', async (t) => {
  const interfaces = {
    ...{ bond0: { address: '02:00:00:00:00:01', isVirtual: true }, can0: { address: '', type: 280 } },
    ...{ dummy0: { address: '02:00:00:00:00:02', assigned: 1 }, ena0: { address: '00:00:00:00:00:00' } },
    ...{ enradio: { address: 'dc:a6:32:0a:0b:0c', isRadio: true }, lo: { address: '', type: 772, isVirtual: true } },
    ...eth0,
    eth1: { address: 'dc:a6:32:01:02:04' },
  };
  assert.equal(await nameOf(t, { interfaces }), afterAddress);
});

test('the name is the same after everything was installed anew', async (t) => {
  const board = { files: { [boardSerial]: 'Not Specified\n' }, interfaces: eth0 };
  assert.equal(await nameOf(t, board), await nameOf(t, board));
});

test('a board that nothing tells from others is named after its machine id', async (t) => {
  assert.equal(await nameOf(t, {}), nameAfter(machineId));
});
