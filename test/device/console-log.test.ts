import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createConsoleLog } from './lab/console-log.ts';

const waitingLine =
  '\r\u001b[K[\u001b[0;31m*\u001b[0;1;31m*\u001b[0m    ] (1 of 2) Job otad.service/start running (47s / 15min)\r\n';
const words =
  '[  OK  ] Started otad.service.\n[   42.022914] systemd[1]: [ ***  ] is no mark here\n[      ] nor here\n';

test('that systemd waits is not kept and is no word, in whatever pieces it comes', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'otad-console-'));
  context.after(() => rm(folder, { recursive: true }));
  const bytes = Buffer.from(`${waitingLine}${words}${waitingLine}${waitingLine}`);
  for (const size of [1, 7, 40, bytes.length]) {
    const path = join(folder, `${size}.log`);
    const log = createConsoleLog(path);
    for (let at = 0; at < bytes.length; at += size) log.append(bytes.subarray(at, at + size));
    assert.equal(log.text(), words);
    const heardMs = log.lastHeardMs();
    for (let count = 0; count < 10; count += 1) log.append(Buffer.from(waitingLine));
    assert.equal(log.lastHeardMs(), heardMs);
    log.append(Buffer.from('\u001b[1;3'));
    log.append(Buffer.from('1mlogin: '));
    assert.equal(log.text(), `${words}login: `);
    await log.close();
    assert.equal(await readFile(path, 'utf8'), log.text());
  }
});
