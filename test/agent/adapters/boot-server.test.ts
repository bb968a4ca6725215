import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { connectionsMax } from '../../../agent/adapters/boot-server.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import { bootBySystemdBoot } from '../../../bootctl/systemd-boot/boot-rule.ts';
import { createSystemdBootMachine } from '../../bootctl/systemd-boot/machine.ts';
import { createUbootMachine } from '../../bootctl/uboot/machine.ts';
import { contractVerity, createModelMachine, describeBootControl } from '../../contract/boot-control.ts';
import { plainVerbs, serveMachine, serveVerbs } from '../../support/served-control.ts';

describeBootControl(
  "reference model behind the helper's socket",
  () => Promise.resolve(createModelMachine()).then(serveMachine),
  { knowsRoot: true, triesMax: 9, walks: 2, steps: 60 },
);
describeBootControl("U-Boot behind the helper's socket", () => createUbootMachine(2).then(serveMachine), {
  knowsRoot: true,
  triesMax: 9,
  walks: 1,
  steps: 20,
});
describeBootControl("systemd-boot behind the helper's socket", () => createSystemdBootMachine().then(serveMachine), {
  knowsRoot: true,
  triesMax: 9,
  walks: 1,
  steps: 20,
  boot: bootBySystemdBoot,
});

const { signal } = new AbortController();

const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers) await close();
});
const serving: typeof serveVerbs = async (...args) => {
  const served = await serveVerbs(...args);
  closers.push(served.close);
  return served;
};

const answerTo = (socketPath: string, bytes: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(socketPath);
    let answer = '';
    socket.setEncoding('utf8').on('data', (piece: string) => {
      answer += piece;
    });
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(answer));
    socket.write(bytes);
  });

test('the hundredth caller is told at once that it is too many', async () => {
  const served = await serving(plainVerbs(createModelMachine().control), { requestTimeoutMs: 3_600_000 });
  const holding = await Promise.all(
    Array.from({ length: connectionsMax }, async () => {
      const socket = connect(served.socketPath);
      await once(socket, 'connect');
      socket.write('{"verb":');
      return socket;
    }),
  );
  const crowd = await Promise.all(
    Array.from({ length: 100 }, () => answerTo(served.socketPath, '{"verb":"status"}\n')),
  );
  assert.deepEqual([...new Set(crowd.map((answer) => JSON.parse(answer).code))], ['BUSY']);
  for (const socket of holding) socket.destroy();
});

test('half a request is sent away in time', async () => {
  const served = await serving(plainVerbs(createModelMachine().control), { requestTimeoutMs: 50 });
  const answer = JSON.parse(await answerTo(served.socketPath, '{"verb":'));
  assert.deepEqual([answer.code, answer.details.reason], ['BAD_REQUEST', 'not whole within 50 ms']);
});

test('changes come one after another, and looks need not wait for them', async () => {
  const { control } = createModelMachine();
  const order: string[] = [];
  let proceed = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    proceed = resolve;
  });
  const served = await serving({
    ...plainVerbs(control),
    activate: async () => {
      order.push('activate begins');
      await held;
      order.push('activate ends');
      return null;
    },
    markGood: async () => {
      order.push('markGood');
      return null;
    },
  });
  const { boot } = served.client;
  const first = boot.activate('b', 3, contractVerity('b'), signal);
  while (order.length === 0) await boot.status(signal);
  const second = boot.markGood('a', signal);
  await boot.status(signal);
  assert.deepEqual(order, ['activate begins']);
  proceed();
  await Promise.all([first, second]);
  assert.deepEqual(order, ['activate begins', 'activate ends', 'markGood']);
});

test('whoever goes away is not served any more', async () => {
  const gone = new AbortController();
  let sawAbort = (): void => undefined;
  const aborted = new Promise<void>((resolve) => {
    sawAbort = resolve;
  });
  const served = await serving({
    ...plainVerbs(createModelMachine().control),
    markGood: (_, its) =>
      new Promise((resolve) => {
        its.addEventListener('abort', () => resolve(null));
        its.addEventListener('abort', sawAbort);
        gone.abort();
      }),
  });
  await assert.rejects(served.client.boot.markGood('a', gone.signal), { code: 'CANCELLED' });
  await aborted;
});

test('an error comes through with its code and its facts, an unknown one as a bug', async () => {
  const details = { slot: 'b', bytes: 7, isLost: true, nothing: null };
  const served = await serving({
    ...plainVerbs(createModelMachine().control),
    markGood: async () => {
      throw new OtadError('BOOT_WRITE_LOST', details);
    },
    markBad: async () => {
      throw new RangeError('surprise');
    },
  });
  const { boot } = served.client;
  await assert.rejects(boot.markGood('a', signal), (error) => {
    assert.ok(error instanceof OtadError);
    assert.deepEqual([error.code, error.details], ['BOOT_WRITE_LOST', details]);
    return true;
  });
  await assert.rejects(boot.markBad('a', signal), { code: 'INTERNAL', message: /surprise/ });
});

test('an answer that is none is refused, as is one that never ends', async () => {
  const odd = { ...(await createModelMachine().control.status(signal)), booted: 'c' };
  const served = await serving({
    ...plainVerbs(createModelMachine().control),
    status: async () => odd as never,
    inspect: async () => ({ records: ['x'.repeat(2 * 1024 * 1024)] }) as never,
  });
  await assert.rejects(served.client.boot.status(signal), { code: 'BAD_REQUEST', message: /answer.*booted/ });
  await assert.rejects(served.client.inspect(signal), { code: 'BAD_REQUEST', message: /answer.*too long/ });
});
