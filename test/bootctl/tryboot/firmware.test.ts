import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Medium, requestOf, startFirmware } from '../../../bootctl/tryboot/firmware.ts';
import { rotaAutoboot } from './machine.ts';

const aMedium = (text: string | null, over: Partial<Medium> = {}): Medium => ({
  autoboot: text === null ? null : Buffer.from(text),
  isBootable: (partition, config) => config === 'config.txt' && (partition === 2 || partition === 3),
  isWalking: true,
  ...over,
});
const tryboot = { kind: 'reboot', argument: '0 tryboot' } as const;
const only =
  (partition: number): Medium['isBootable'] =>
  (candidate) =>
    candidate === partition;

test('the flag starts the other partition once; power-on, watchdog, panic and a plain reboot start the default', () => {
  assert.deepEqual(startFirmware(tryboot, aMedium(rotaAutoboot)), {
    partition: 3,
    isTryboot: true,
    config: 'config.txt',
  });
  for (const reset of [
    { kind: 'power-on' },
    { kind: 'watchdog' },
    { kind: 'panic' },
    { kind: 'reboot', argument: null },
    { kind: 'reboot', argument: 'recovery' },
  ] as const) {
    const { partition, isTryboot } = startFirmware(reset, aMedium(rotaAutoboot));
    assert.deepEqual([partition, isTryboot], [2, false], reset.kind);
  }
});

test('a partition in the argument of the reboot counts before autoboot.txt', () => {
  assert.deepEqual(requestOf({ kind: 'reboot', argument: '3' }), { partition: 3, isTryboot: false });
  assert.equal(startFirmware({ kind: 'reboot', argument: '3' }, aMedium(rotaAutoboot)).partition, 3);
});

test('without autoboot.txt, or with one that is too long or empty, the first bootable partition starts', () => {
  for (const text of [null, '', `${'#'.repeat(600)}\n${rotaAutoboot}`, '\0'.repeat(512)]) {
    assert.equal(startFirmware({ kind: 'power-on' }, aMedium(text)).partition, 2);
    assert.equal(startFirmware({ kind: 'power-on' }, aMedium(text, { isBootable: only(3) })).partition, 3);
  }
});

test('a default that is not bootable is walked past, and nothing starts where walking is off', () => {
  const broken = { isBootable: only(3) };
  assert.equal(startFirmware({ kind: 'power-on' }, aMedium(rotaAutoboot, broken)).partition, 3);
  assert.equal(
    startFirmware({ kind: 'power-on' }, aMedium(rotaAutoboot, { ...broken, isWalking: false })).partition,
    null,
  );
  assert.equal(startFirmware(tryboot, aMedium(rotaAutoboot, { isBootable: only(2) })).partition, 2);
});

test('without tryboot_a_b the flag looks for tryboot.txt', () => {
  const text = rotaAutoboot.replace('tryboot_a_b=1\n', '');
  assert.deepEqual(startFirmware(tryboot, aMedium(text)), { partition: null, isTryboot: true, config: 'tryboot.txt' });
  assert.equal(startFirmware({ kind: 'power-on' }, aMedium(text)).partition, 2);
});

test('filters combine until [all], and a later setting replaces an earlier one', () => {
  const start = (text: string, flag: boolean) =>
    startFirmware(flag ? tryboot : { kind: 'power-on' }, aMedium(`tryboot_a_b=1\n${text}`)).partition;
  assert.equal(start('boot_partition=2\nboot_partition=3', false), 3);
  assert.equal(start('[tryboot]\nboot_partition=3\n[all]\nboot_partition=2', true), 2);
  assert.equal(start('boot_partition=2\n[none]\n[tryboot]\nboot_partition=3', true), 2);
  assert.equal(start('boot_partition=2\n[pi5]\nboot_partition=3', false), 2);
  assert.equal(start('boot_partition=2\r\n[tryboot]\r\nboot_partition=3\r\n', true), 3);
  assert.equal(start('boot_partition=2\n# boot_partition=3\nboot_partition = 3', false), 2);
});
