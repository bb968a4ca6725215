import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { EventStream, streamClientsMax } from '../../../agent/api/event-stream.ts';
import { errorSchema, type StatusBody, statusSchema } from '../../../agent/api/schema.ts';
import type { Clock } from '../../../agent/core/ports.ts';
import { FakeAgent } from './fake-agent.ts';
import { apiOptions, ask, openApi } from './open-api.ts';

interface Listening {
  readonly call: ClientRequest;
  readonly response: IncomingMessage;
  next(): Promise<StatusBody>;
}

const listen = async (t: TestContext, socketPath: string): Promise<Listening> => {
  const call = request({ socketPath, path: '/v1/events', agent: false });
  t.after(() => call.destroy());
  // The server may end the connection at any time; each test looks at that by itself.
  call.on('error', () => {});
  call.end();
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  response.setEncoding('utf8');
  const pieces = (response as AsyncIterable<string>)[Symbol.asyncIterator]();
  let rest = '';
  return {
    call,
    response,
    next: async () => {
      while (!rest.includes('\n\n')) {
        const piece = await pieces.next();
        if (piece.done === true) throw new Error('the stream ended');
        rest += piece.value;
      }
      const [block = ''] = rest.split('\n\n', 1);
      rest = rest.slice(block.length + 2);
      const [name, data = ''] = block.split('\n');
      assert.equal(name, 'event: status');
      return statusSchema.parse(JSON.parse(data.slice('data: '.length)));
    },
  };
};

test('a client gets the status at once and after a change', async (t) => {
  const { agent, api } = await openApi(t);
  const client = await listen(t, api.addresses.status);
  assert.equal((await client.next()).phase, 'idle');
  agent.change({ phase: { kind: 'checking', isForced: false, halted: null } });
  assert.equal((await client.next()).phase, 'checking');
});

test('a burst of changes becomes two events, and the last one is the newest state', async (t) => {
  const { agent, api } = await openApi(t);
  const client = await listen(t, api.addresses.status);
  await client.next();
  for (let plan = 2; plan <= 1000; plan++) agent.change({ plan });
  assert.equal((await client.next()).plan, 2);
  assert.equal((await client.next()).plan, 1000);
});

test('one client too many is told BUSY, and the place of one that left is free again', async (t) => {
  const { agent, api } = await openApi(t);
  const clients = await Promise.all(Array.from({ length: streamClientsMax }, () => listen(t, api.addresses.status)));
  const refused = await ask(api.addresses.status, { path: '/v1/events' });
  assert.equal(errorSchema.parse(refused.json).error.code, 'BUSY');
  // The other door has its own places: a crowd on the status socket does not shut an administrator out.
  await (await listen(t, api.addresses.control)).next();
  const first = clients[0];
  assert.ok(first);
  first.call.destroy();
  let isFree = false;
  while (!isFree) {
    const answer = await Promise.race([
      listen(t, api.addresses.status).then((client) => client.response.statusCode),
      once(first.call, 'never'),
    ]);
    isFree = answer === 200;
  }
  assert.ok(agent.listeners > 0);
});

test('without clients nothing is subscribed to', async (t) => {
  const { agent, api } = await openApi(t);
  assert.equal(agent.listeners, 0);
  const client = await listen(t, api.addresses.status);
  await client.next();
  assert.equal(agent.listeners, 1);
  await api.close();
  assert.equal(agent.listeners, 0);
});

test('close ends the streams, and the last change is told before', async (t) => {
  const { agent, api } = await openApi(t);
  const client = await listen(t, api.addresses.status);
  await client.next();
  for (let plan = 2; plan <= 10; plan++) agent.change({ plan });
  await api.close();
  assert.equal((await client.next()).plan, 2);
  assert.equal((await client.next()).plan, 10);
  await assert.rejects(client.next(), /the stream ended/);
});

test('close does not wait for a client that reads nothing', () => {
  const agent = new FakeAgent();
  const { clock, pending } = handClock(agent);
  const stream = new EventStream({ ...apiOptions(agent, '/nowhere'), clock });
  const client = aBlockedResponse();
  stream.add(client.response);
  agent.change({ plan: 2 });
  agent.change({ plan: 3 });
  stream.close();
  assert.equal(client.isDestroyed(), true);
  assert.deepEqual([agent.listeners, pending()], [0, 0]);
});

/** Timers that fire when the test says so. */
const handClock = (agent: FakeAgent) => {
  const due = new Map<() => void, number>();
  const clock: Clock = {
    now: () => agent.moment,
    setTimer: (delayMs, fire) => {
      due.set(fire, delayMs);
      return { cancel: () => void due.delete(fire) };
    },
  };
  const fire = (atLeastMs: number) => {
    for (const [call, delayMs] of [...due]) {
      if (delayMs < atLeastMs) continue;
      due.delete(call);
      call();
    }
  };
  return { clock, fire, pending: () => due.size };
};

/** A response whose socket takes nothing until it is drained. */
const aBlockedResponse = () => {
  const handlers = new Map<string, () => void>();
  const written: string[] = [];
  let isDestroyed = false;
  let isBlocked = true;
  const response = {
    on: (name: string, handler: () => void) => void handlers.set(name, handler),
    writeHead: () => {},
    write: (text: string) => {
      written.push(text);
      return !isBlocked;
    },
    destroy: () => {
      isDestroyed = true;
      handlers.get('close')?.();
    },
    end: () => handlers.get('close')?.(),
  };
  return {
    response: response as unknown as Parameters<EventStream['add']>[0],
    written,
    isDestroyed: () => isDestroyed,
    drain: () => {
      isBlocked = false;
      handlers.get('drain')?.();
    },
  };
};

test('a client that does not read costs no memory, and gets the newest state when it reads again', () => {
  const agent = new FakeAgent();
  const { clock, fire } = handClock(agent);
  const stream = new EventStream({ ...apiOptions(agent, '/nowhere'), clock });
  const client = aBlockedResponse();
  stream.add(client.response);
  for (let plan = 2; plan <= 500; plan++) {
    agent.change({ plan });
    fire(100);
  }
  assert.equal(client.written.length, 1);
  client.drain();
  assert.equal(client.written.length, 2);
  assert.match(client.written[1] ?? '', /"plan":500/);
  stream.close();
});

test('a client that reads nothing for two heartbeats is dropped, and its timers with it', () => {
  const agent = new FakeAgent();
  const { clock, fire, pending } = handClock(agent);
  const stream = new EventStream({ ...apiOptions(agent, '/nowhere'), clock });
  const client = aBlockedResponse();
  stream.add(client.response);
  fire(10_000);
  assert.equal(client.isDestroyed(), false);
  fire(10_000);
  assert.equal(client.isDestroyed(), true);
  assert.deepEqual([agent.listeners, pending()], [0, 0]);
});

test('a quiet stream carries heartbeats', () => {
  const agent = new FakeAgent();
  const { clock, fire } = handClock(agent);
  const stream = new EventStream({ ...apiOptions(agent, '/nowhere'), clock });
  const client = aBlockedResponse();
  stream.add(client.response);
  client.drain();
  fire(10_000);
  fire(10_000);
  assert.deepEqual(client.written.slice(1), [': alive\n\n', ': alive\n\n']);
  stream.close();
});
