import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openApiDocument } from '../../../agent/api/openapi.ts';
import { errorSchema } from '../../../agent/api/schema.ts';
import { FakeAgent } from './fake-agent.ts';
import { ask, openApi } from './open-api.ts';

const placeOf = (document: unknown, reference: string): unknown =>
  reference
    .replace(/^#\//, '')
    .split('/')
    .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], document);

test('every reference leads somewhere and every operation has its own id', () => {
  const document = openApiDocument('0.1.0');
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1] ?? '');
  assert.ok(references.length > 20);
  for (const reference of references) assert.ok(placeOf(document, reference) !== undefined, reference);
  const ids = Object.values(document.paths).flatMap(({ get, post }) => [get?.operationId, post?.operationId]);
  const named = ids.filter((id) => id !== undefined);
  assert.equal(new Set(named).size, named.length);
});

test('every documented operation is mounted, with the documented success status', async (t) => {
  const agent = new FakeAgent();
  const { api } = await openApi(t, agent);
  const { json } = await ask(api.addresses.status, { path: '/v1/openapi.json' });
  assert.deepEqual(json, JSON.parse(JSON.stringify(openApiDocument('0.1.0'))));
  for (const [path, { get, post }] of Object.entries(openApiDocument('0.1.0').paths)) {
    if (get !== undefined && path !== '/v1/events') {
      assert.ok(Object.hasOwn(get.responses, (await ask(api.addresses.control, { path })).status), path);
    }
    if (post !== undefined) {
      const answer = await ask(api.addresses.control, { method: 'POST', path });
      assert.ok(Object.hasOwn(post.responses, answer.status), `${path} ${answer.status}`);
      assert.notEqual(answer.json?.error?.code, 'NOT_FOUND', path);
      if (answer.status >= 400) errorSchema.parse(answer.json);
    }
  }
});
