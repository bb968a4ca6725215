import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const settings = 'image/layers/base/files/usr/lib/systemd/system.conf.d/50-watchdog.conf';

test("the watchdog's limits are ones that a Raspberry Pi's driver, which takes them modulo 16, does not make shorter than a ping", async () => {
  const text = await readFile(settings, 'utf8');
  const limits = [...text.matchAll(/^(?:Runtime|Reboot)WatchdogSec=([0-9]+)s$/gm)].map(([, seconds]) =>
    Number(seconds),
  );
  assert.equal(limits.length, 2);
  // Every 8 seconds the kernel feeds it; a third more, for a machine that is busy.
  for (const limit of limits) assert.ok(limit % 16 >= 11, `${limit} s are ${limit % 16} s there`);
});
