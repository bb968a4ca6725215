import assert from 'node:assert/strict';
import { Resolver } from 'node:dns/promises';
import { test } from 'node:test';
import { answerName, openNameServer } from './lab/name-server.ts';

test('the name server tells a resolver the address of its one name, and that no other exists', async (context) => {
  const server = await openNameServer('updates.lab.internal', '10.0.2.2');
  context.after(() => server.close());
  const resolver = new Resolver({ tries: 1 });
  resolver.setServers([`127.0.0.1:${server.port}`]);
  assert.deepEqual(await resolver.resolve4('Updates.lab.internal'), ['10.0.2.2']);
  await assert.rejects(resolver.resolve6('updates.lab.internal'), { code: 'ENODATA' });
  await assert.rejects(resolver.resolve4('other.lab.internal'), { code: 'ENOTFOUND' });
});

test('a message that ends in its question gets no answer', () => {
  assert.equal(answerName(Buffer.from('000001000001000000000000076c6162', 'hex'), 'lab', '10.0.2.2'), null);
  assert.equal(answerName(Buffer.alloc(0), 'lab', '10.0.2.2'), null);
});
