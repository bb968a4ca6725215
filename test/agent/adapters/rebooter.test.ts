import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createRebooter } from '../../../agent/adapters/rebooter.ts';

const never = new AbortController().signal;

test('runs the command as it stands, without a shell, and tells it the slot', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-reboot-'));
  const file = join(folder, 'asked');
  const command = ['sh', '-c', 'printf "%s %s" "$OTAD_SLOT" "$1" > "$2"', 'sh', '$HOME; x', file];
  await createRebooter({ command }).request('b', never);
  assert.equal(await readFile(file, 'utf8'), 'b $HOME; x');
  await rm(folder, { recursive: true });
});

test('lets a reboot go on in the background', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-reboot-'));
  const pipe = join(folder, 'done');
  await createRebooter({ command: ['sh', '-c', `mkfifo ${pipe}; (echo rebooting > ${pipe}) & exit 0`] }).request(
    'b',
    never,
  );
  assert.equal(await readFile(pipe, 'utf8'), 'rebooting\n');
  await rm(folder, { recursive: true });
});

test('says why the command was refused', async () => {
  const refused = createRebooter({ command: ['sh', '-c', 'echo Access denied >&2; exit 4'] });
  await assert.rejects(refused.request('a', never), {
    code: 'REBOOT_REFUSED',
    message: /exit status 4: Access denied/,
  });
  const missing = createRebooter({ command: ['/nowhere/reboot'] });
  await assert.rejects(missing.request('a', never), {
    code: 'REBOOT_REFUSED',
    message: /could not be started: ENOENT/,
  });
  const hanging = createRebooter({ command: ['sleep', '600'], timeoutMs: 50 });
  await assert.rejects(hanging.request('a', never), { code: 'REBOOT_REFUSED', message: /no answer within 50 ms/ });
});
