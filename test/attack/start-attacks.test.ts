// A gateway without a root, or whose root is no root, asks for nothing and installs nothing; with one it goes on.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../agent/config/config.ts';
import { toFailure } from '../../agent/core/errors.ts';
import { aServer, serveFiles } from '../support/loopback-server.ts';
import { aFolder, aGateway, assertInstalled } from './gateway.ts';
import { rootAttacks, switchAttacks } from './start-attacks.ts';
import { addRealRelease, aTrustedRepository } from './vendor.ts';

const usageExit = 64;
const main = join(import.meta.dirname, '../../agent/main.js');

for (const { attack, claim, code, initialRoot } of rootAttacks) {
  test(`${attack}: ${claim}: ${code}, nothing is asked for; with a root the next good update is installed`, async (t) => {
    const repository = aTrustedRepository();
    addRealRelease(repository, 3);
    repository.publish();
    const server = await aServer(t, serveFiles(repository.files));
    const options = { baseUrls: [server.url], initialRoot: initialRoot(repository.initialRoot) };
    const gateway = await aGateway(t, options);
    const before = await gateway.evidence();
    assert.equal((await gateway.update()).outcome, code);
    assert.equal((await (await gateway.restarted()).update()).outcome, code);
    assert.deepEqual(server.paths(), []);
    assert.deepEqual(await gateway.evidence(), before);

    const whole = await aGateway(t, { ...options, initialRoot: repository.initialRoot });
    assert.equal((await whole.update()).outcome, 'taken');
    await assertInstalled(whole, '1.2');
  });
}

test('the roots that are no roots are others than the good one', () => {
  const { initialRoot: good } = aTrustedRepository();
  for (const { claim, initialRoot } of rootAttacks) {
    assert.notEqual(Buffer.compare(initialRoot(good) ?? Buffer.of(), good), 0, claim);
  }
});

for (const { claim, code, settings } of switchAttacks.filter((one) => one.settings !== undefined)) {
  test(`unsigned mode: ${claim} is refused by its name: ${code}`, async (t) => {
    const folder = await aFolder(t);
    const base = { compatible: 'x', baseUrls: ['https://updates.test/'] };
    await writeFile(join(folder, '50-attack.json'), JSON.stringify({ ...base, ...settings }));
    const [key = ''] = Object.keys(settings ?? {});
    await assert.rejects(
      loadConfig([folder]),
      (error) => toFailure(error).code === code && String(error).includes(key),
    );
  });
}

test('unsigned mode: no flag turns verification off', () => {
  for (const { flag } of switchAttacks.filter((one) => one.flag !== undefined)) {
    const { status, stderr } = spawnSync(process.execPath, [main, flag ?? ''], { encoding: 'utf8' });
    assert.equal(status, usageExit);
    assert.match(stderr, new RegExp(`Unknown option '${flag}'`));
  }
});
