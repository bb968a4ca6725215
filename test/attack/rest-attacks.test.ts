// Local attackers at the real sockets: refused with a code, the agent never hears of it, and the next good order works.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, stat } from 'node:fs/promises';
import { test } from 'node:test';
import { FakeAgent } from '../agent/api/fake-agent.ts';
import { ask, openApi, post } from '../agent/api/open-api.ts';
import { type Door, restAttacks, socketAttacks } from './rest-attacks.ts';

const withHttp = { http: { host: '127.0.0.1', port: 0 } } as const;

for (const { attack, claim, code, door, method, path, headers } of restAttacks) {
  test(`${attack}: ${claim}: ${code}, unheard, and the next good order works`, async (t) => {
    const { agent, api } = await openApi(t, new FakeAgent(), withHttp);
    const addresses: Record<Door, string> = { ...api.addresses, http: api.addresses.http ?? '' };
    const before = JSON.stringify(agent.snapshot());
    const answer = await ask(addresses[door], { method, path, ...(headers === undefined ? {} : { headers }) });
    assert.equal(answer.json?.error?.code, code, answer.text);
    assert.deepEqual(agent.commands, []);
    assert.equal(JSON.stringify(agent.snapshot()), before);
    assert.equal((await post(api.addresses.control, '/v1/check')).status, 202);
    assert.equal((await ask(addresses[door], { path: '/v1/status' })).status, 200);
  });
}

const nobody = 65_534;
/** Connects as a user of no group, and says what came of it. */
const connectAs = (socketPath: string): string => {
  const script = `require('net').connect(${JSON.stringify(socketPath)})
    .on('connect', function () { console.log('connected'); this.destroy(); })
    .on('error', (error) => console.log(error.code));`;
  const identity = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};
  return spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', cwd: '/', ...identity }).stdout.trim();
};

for (const { attack, claim } of socketAttacks) {
  test(`${attack}: ${claim}: the kernel refuses, and the status socket is open to the same user`, async (t) => {
    const { agent, api, directory } = await openApi(t);
    await chmod(directory, 0o755);
    assert.equal((await stat(api.addresses.control)).mode & 0o007, 0, 'nothing for others');
    // Only root can become somebody else; the owner is let in, and the mode above is what keeps all others out.
    const isRoot = process.getuid?.() === 0;
    assert.equal(connectAs(api.addresses.control), isRoot ? 'EACCES' : 'connected');
    assert.equal(connectAs(api.addresses.status), 'connected');
    assert.deepEqual(agent.commands, []);
    assert.equal((await post(api.addresses.control, '/v1/check')).status, 202);
  });
}

test('no door listens beyond this device', async (t) => {
  const { api } = await openApi(t, new FakeAgent(), withHttp);
  assert.match(api.addresses.http ?? '', /^http:\/\/127\.0\.0\.1:\d+$/);
});
