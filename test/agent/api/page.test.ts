import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { aFailure, aRecord, aRelease, FakeAgent } from './fake-agent.ts';
import { ask, openApi } from './open-api.ts';

const hostile = `<img src=x onerror="alert('1')">&`;

test('nothing that comes from the state becomes markup', async (t) => {
  const agent = new FakeAgent();
  agent.change({
    records: {
      a: aRecord(aRelease(hostile, 1), { verity: aRecord(aRelease('1.0', 1)).verity }),
      b: aRecord(aRelease(hostile, 2), { status: 'denied', reason: hostile }),
    },
    hold: { reason: hostile, sinceMs: 0 },
    attention: aFailure('SLOT_IO', hostile),
    denylist: [{ release: aRelease(hostile, 2), reason: hostile, timeMs: 0 }],
    lastCheck: {
      timeMs: 0,
      release: aRelease(hostile, 2),
      failure: aFailure('SLOT_IO', hostile),
      reasons: [{ code: 'wave', sentence: hostile }],
    },
  });
  agent.note('halted', { reason: hostile, version: hostile });
  const { api } = await openApi(t, agent);
  const { text } = await ask(api.addresses.status, { path: '/' });
  assert.ok(text.includes('&lt;img'));
  assert.ok(!text.includes('<img'));
});

test('the policy allows exactly the page own style and script, and no other source', async (t) => {
  const { api } = await openApi(t);
  const { text, headers } = await ask(api.addresses.status, { path: '/' });
  const policy = String(headers['content-security-policy']);
  const hashOf = (tag: string) => {
    const [, content = ''] = new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(text) ?? [];
    assert.notEqual(content, '');
    return `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
  };
  assert.match(policy, /^default-src 'none'; /);
  assert.ok(policy.includes(`style-src ${hashOf('style')};`));
  assert.ok(policy.includes(`script-src ${hashOf('script')};`));
  assert.ok(!policy.includes('unsafe'));
  assert.doesNotMatch(text, /https?:\/\/|\sstyle=|\son\w+=|src=/);
});

test('the page fits a phone and shows version, slots and history', async (t) => {
  const agent = new FakeAgent();
  agent.note('confirmed', { version: '1.0', slot: 'a' });
  const { api } = await openApi(t, agent);
  const { text, headers } = await ask(api.addresses.status, { path: '/' });
  assert.match(String(headers['content-type']), /^text\/html/);
  assert.match(text, /name="viewport" content="width=device-width/);
  for (const words of ['<h1>1.0</h1>', 'Slot a', 'Slot b', 'confirmed <b>1.0</b>', 'channel stable']) {
    assert.ok(text.includes(words), words);
  }
});
