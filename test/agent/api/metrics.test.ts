import assert from 'node:assert/strict';
import { test } from 'node:test';
import { metrics } from '../../../agent/api/metrics.ts';
import { aFailure, aProgress, aRecord, aRelease, FakeAgent } from './fake-agent.ts';
import { ask, openApi } from './open-api.ts';

test('every line is a comment or a sample, every sample has its help and type before it, no name comes twice', async (t) => {
  const agent = new FakeAgent();
  agent.change(
    {
      attention: aFailure('SLOT_IO', 'failing'),
      records: { a: aRecord(aRelease('1.0', 1)), b: aRecord(aRelease('1.1"\\\n', 2)) },
      lastCheck: { timeMs: 1500, release: null, failure: null, reasons: [] },
    },
    aProgress({ version: '1.1', doneBytes: 1, totalBytes: 3, fetchedBytes: 1 }),
    { slots: { a: { state: 'good', triesLeft: null }, b: { state: 'pending', triesLeft: 2 } } },
  );
  const { api } = await openApi(t, agent);
  const { text, headers } = await ask(api.addresses.status, { path: '/v1/metrics' });
  assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/);
  assert.ok(text.endsWith('\n'));
  const typed = new Set<string>();
  for (const line of text.trimEnd().split('\n')) {
    const type = /^# TYPE (\w+) (gauge|counter)$/.exec(line);
    if (type?.[1] !== undefined) {
      assert.ok(!typed.has(type[1]), line);
      typed.add(type[1]);
      continue;
    }
    if (/^# HELP \w+ \S/.test(line)) continue;
    const sample = /^(\w+)(?:\{(?:\w+="(?:[^"\\\n]|\\["\\n])*",?)+\})? -?\d+(?:\.\d+)?(?:e[+-]\d+)?$/.exec(line);
    assert.ok(sample?.[1] !== undefined && typed.has(sample[1]), line);
  }
  assert.deepEqual(
    [...typed],
    metrics.map((metric) => metric.name),
  );
  assert.ok(text.includes('otad_slot_info{slot="b",state="pending",version="1.1\\"\\\\\\n"} 1'));
  assert.ok(text.includes('otad_slot_tries_left{slot="b"} 2\n'));
  assert.ok(text.includes('otad_attention{code="SLOT_IO"} 1\n'));
  assert.ok(text.includes('otad_last_check_timestamp_seconds 1.5\n'));
});

test('what is not known is absent, not zero', async (t) => {
  const { api } = await openApi(t);
  const { text } = await ask(api.addresses.status, { path: '/v1/metrics' });
  for (const name of ['otad_last_check', 'otad_progress', 'otad_slot_tries_left'])
    assert.ok(!text.includes(name), name);
});
