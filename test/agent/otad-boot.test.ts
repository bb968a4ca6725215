import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createBootClient } from '../../agent/adapters/boot-client.ts';
import { requestBytesMax, toWire } from '../../agent/adapters/boot-protocol.ts';
import { OtadError } from '../../agent/core/errors.ts';
import { type BenchRelease, createHelperBench, type HelperBench } from '../support/helper-bench.ts';
import { treeRoot } from '../support/reference.ts';
import { signFile, testKey } from '../support/tuf-repository.ts';

const { signal } = new AbortController();
const code = (wanted: string) => (error: unknown) =>
  error instanceof OtadError && error.code === wanted ? true : assert.fail(String(error));

/** Installs as otad does: told to the helper before the first byte, then written, then activated. */
const update = async (bench: HelperBench, next: BenchRelease, slot: 'a' | 'b' = 'b'): Promise<void> => {
  const { boot } = bench.client();
  await boot.invalidate(slot, signal);
  await bench.install(slot, next);
  await boot.activate(slot, 3, next.verity, signal);
};

/** An update that was tried and confirmed. */
const live = async (bench: HelperBench, next: BenchRelease, slot: 'a' | 'b' = 'b'): Promise<void> => {
  await update(bench, next, slot);
  assert.equal(await bench.boot(), slot);
  await bench.client().boot.markGood(slot, signal);
};

describe('the boot helper', () => {
  let bench: HelperBench;
  before(async () => {
    bench = await createHelperBench();
  });
  after(() => bench.close());

  test('lives through update, confirmation, rollback to what left the factory, and the next update', async () => {
    const client = bench.client();
    const status = await client.boot.status(signal);
    assert.deepEqual([status.booted, status.primary, status.slots.a.state], ['a', 'a', 'good']);
    assert.equal(await readFile(bench.at('run/confirmed'), 'latin1'), '');
    assert.equal((await client.inspect(signal)).bootloader, 'uboot');

    const two = await bench.publish(2);
    await update(bench, two);
    assert.equal((await client.boot.status(signal)).primary, 'b');
    await client.boot.prepareReboot(signal);
    await client.rebooter.request('b', signal);
    assert.equal(await readFile(bench.at('run/reboot-requested'), 'latin1'), '');
    await rm(bench.at('run/reboot-requested'));

    assert.equal(await bench.boot(), 'b');
    assert.equal((await client.boot.status(signal)).slots.b.state, 'pending');
    await assert.rejects(readFile(bench.at('run/confirmed')), { code: 'ENOENT' });
    await client.boot.markGood('b', signal);
    assert.equal(await readFile(bench.at('run/confirmed'), 'latin1'), '');

    // No metadata ever named the factory's release: it ran here and was good.
    await bench.client(async () => []).boot.activate('a', 3, bench.factory.verity, signal);
    assert.equal(await bench.boot(), 'a');
    await client.boot.markGood('a', signal);
    await live(bench, await bench.publish(3));
  });

  test('remembers what was signed when the install began, should the channel have moved on by the time of the flip', async () => {
    const { boot } = bench.client();
    const next = await bench.publish(5);
    await boot.invalidate('a', signal);
    await bench.install('a', next);
    await bench.publish(6);
    await bench.restart();
    await boot.activate('a', 3, next.verity, signal);
    await boot.invalidate('a', signal);
  });

  test('goes on when it is killed and when its ledger is lost, and notes again what runs', async () => {
    await rm(bench.at('state/ledger.json'));
    await bench.restart();
    const { boot } = bench.client();
    const { booted, bootedRoot } = await boot.status(signal);
    const { ledger } = JSON.parse(await readFile(bench.at('state/ledger.json'), 'utf8'));
    assert.deepEqual(ledger.confirmed, [{ rootHex: bootedRoot, sequence: 3, bootSetSha256Hex: null }]);
    assert.deepEqual([booted, ledger.floor.sequence], ['b', 3]);
  });

  test('gives the bootloader the root that it has lost, of what is signed or ran here and is still there', async () => {
    const { rootHex, hashOffsetBytes } = (await bench.record('b')).verity;
    const lost = { triesLeft: 3, isTrial: true, verity: null };
    const forget = async (): Promise<void> => {
      await bench.remember({ order: ['b', 'a'], slots: { a: { ...lost, triesLeft: 0 }, b: lost } });
      assert.equal(await bench.boot(), 'b');
    };
    const rootNow = async () => (await bench.client().boot.status(signal)).roots?.b ?? null;
    const { boot } = bench.client();

    await forget();
    assert.deepEqual([(await boot.status(signal)).bootedRoot, await rootNow()], [null, null]);
    await boot.markGood('b', signal);
    assert.equal(await rootNow(), rootHex);
    assert.equal(await bench.boot(), 'b');
    assert.equal((await boot.status(signal)).bootedRoot, rootHex);

    // A byte is another one.
    await forget();
    const whole = await readFile(bench.slotPaths.b);
    await writeFile(bench.slotPaths.b, Buffer.from(whole).fill(0xff, 5000, 5001));
    await boot.markGood('b', signal);
    assert.equal(await rootNow(), null);
    await writeFile(bench.slotPaths.b, whole);

    // Nobody vouches for what runs.
    await forget();
    await rm(bench.at('state/ledger.json'));
    await bench.restart();
    await boot.markGood('b', signal);
    assert.equal(await rootNow(), null);

    await bench.remember({
      order: ['b'],
      slots: { a: lost, b: { ...lost, isTrial: false, verity: { rootHex, hashOffsetBytes } } },
    });
    assert.equal(await bench.boot(), 'b');
  });

  test('works with a disk that takes nothing, and remembers for this boot', async () => {
    const nowhere = ['--state-dir', bench.at('root.json/state')];
    await bench.restart(...nowhere);
    const next = await bench.publish(7);
    const { boot } = bench.client();
    await boot.invalidate('a', signal);
    await bench.install('a', next);
    await bench.restart(...nowhere);
    await bench.client(async () => []).boot.activate('a', 3, next.verity, signal);
    assert.ok(JSON.parse(await readFile(bench.at('run/ledger.json'), 'utf8')).serial > 0);
  });

  test('ends by itself when nobody asks', { timeout: 20_000 }, async () => {
    const child = await bench.restart('--idle-ms', '50');
    const exit = new Promise((resolve) => child.once('exit', resolve));
    assert.equal(child.exitCode ?? (await exit), 0);
    await bench.restart();
  });

  test('answers on the socket that systemd hands over, the first request included, and leaves it there', async () => {
    const path = bench.at('systemd.socket');
    const command = ['--fdname=boot', '-l', path, process.execPath, ...bench.command, '--idle-ms', '3000'];
    const activator = spawn('systemd-socket-activate', command, { stdio: 'ignore' });
    const exit = once(activator, 'exit');
    while (!(await readdir(bench.folder)).includes('systemd.socket')) await delay(20);
    const { boot } = createBootClient({ socketPath: path, carry: async () => [] });
    assert.equal((await boot.status(signal)).booted, 'b');
    assert.deepEqual(await exit, [0, null]);
    // The socket is systemd's to remove.
    await rm(path);
  });

  test('tells what is wrong with the board to each request, and looks again with the next', async () => {
    const path = bench.at('config.d/90-wrong.json');
    await writeFile(path, JSON.stringify({ bootloader: { uboot: { fwEnvConfigPath: '/nonexistent' } } }));
    await bench.restart();
    for (let again = 0; again < 2; again += 1) {
      await assert.rejects(bench.client().boot.status(signal), code('BOOT_ENV_UNREADABLE'));
    }
    await rm(path);
    await bench.restart();
  });
});

/** Slot b runs release 3, confirmed, after 2; slot a holds what is asked about. */
describe('an otad that was broken into', () => {
  let bench: HelperBench;
  let [two, three, four]: BenchRelease[] = [];
  const release = (one: BenchRelease | undefined): BenchRelease => one ?? assert.fail();
  before(async () => {
    bench = await createHelperBench();
    two = await bench.publish(2);
    three = await bench.publish(3);
    await live(bench, three);
    four = await bench.publish(4);
    await bench.client().boot.invalidate('a', signal);
  });
  after(() => bench.close());

  /** A typed refusal, and everything as it was. */
  const refused = async (wanted: string, attack: () => Promise<unknown>): Promise<void> => {
    const before = await bench.standing();
    await assert.rejects(attack(), code(wanted));
    assert.deepEqual(await bench.standing(), before);
  };
  const activate = (one: BenchRelease | undefined, carry = async () => bench.metadata()) =>
    bench.client(carry).boot.activate('a', 3, release(one).verity, signal);

  test('cannot touch the running slot', async () => {
    const { boot } = bench.client();
    await refused('SLOT_RUNNING', () => boot.invalidate('b', signal));
    await refused('SLOT_RUNNING', () => boot.activate('b', 3, release(three).verity, signal));
  });

  test('cannot make another slot good than the one that runs', async () => {
    await refused('BAD_REQUEST', () => bench.client().boot.markGood('a', signal));
  });

  test('cannot leave a confirmed system for a slot that no root vouches for', async () => {
    const { rootHex, hashOffsetBytes } = release(three).verity;
    const good = { triesLeft: 3, isTrial: false };
    const b = { ...good, verity: { rootHex, hashOffsetBytes } };
    await bench.remember({ order: ['b', 'a'], slots: { a: { ...good, verity: null }, b } });
    await refused('NO_ROLLBACK_TARGET', () => bench.client().boot.markBad('b', signal));
    await bench.remember({ order: ['b'], slots: { a: { triesLeft: 0, isTrial: false, verity: null }, b } });
  });

  test('cannot start an empty slot, nor another root than the slot has', async () => {
    await bench.install('a', release(four));
    await refused('VERITY_ROOT_MISMATCH', () => activate(three));
    const other = { ...release(four).verity, hashOffsetBytes: 4096 };
    await refused('VERITY_ROOT_MISMATCH', () => bench.client().boot.activate('a', 3, other, signal));
    await writeFile(bench.slotPaths.a, Buffer.alloc(256 * 1024));
    await refused('RELEASE_UNSIGNED', () => activate(four));
  });

  test('cannot start a release that nobody signed', async () => {
    // Made like every other, but never published by who has the keys.
    const mallory = await createHelperBench();
    try {
      const own = await mallory.publish(9);
      await bench.install('a', own);
      await refused('RELEASE_UNSIGNED', () => activate(own));
      await refused('RELEASE_UNSIGNED', () => activate(own, async () => []));
    } finally {
      await mallory.close();
    }
  });

  test('cannot hand over metadata that other keys signed, or that is cut or mixed', async () => {
    const nine = { ...release(four), release: { ...release(four).release, id: 'gw-9', version: '1.9', sequence: 9 } };
    await bench.install('a', nine);
    const files = new Map(bench.metadata().map(({ name, bytes }) => [name, bytes]));
    const targets = JSON.parse(Buffer.from(files.get('targets.json') ?? []).toString());
    const resigned = signFile(targets.signed, [testKey('mallory')]);
    for (const [name, bytes] of [
      ['targets.json', resigned],
      ['timestamp.json', Buffer.from('{}')],
      ['snapshot.json', new Uint8Array()],
      ['release-document', Buffer.from('{"schema":1}')],
    ] as const) {
      const spoiled = [...new Map([...files, [name, bytes]])].map(([key, value]) => ({ name: key, bytes: value }));
      await refused('RELEASE_UNSIGNED', () => activate(nine, async () => spoiled));
    }
  });

  test('cannot pass off a record that says more than was signed', async () => {
    for (const over of [
      { release: { id: 'gw-4', version: '1.4', sequence: 400 } },
      { release: { id: 'gw-5', version: '1.4', sequence: 4 } },
      { compatible: 'another-gateway' },
      { imageSha256Hex: 'ab'.repeat(32) },
    ]) {
      await bench.install('a', release(four), over);
      await refused('RELEASE_UNSIGNED', () => activate(four));
    }
  });

  test('cannot start a slot whose bytes are not those of the signed root', async () => {
    await bench.install('a', release(four));
    const disk = await readFile(bench.slotPaths.a);
    for (const offset of [5000, release(four).verity.hashOffsetBytes + 4096 + 7]) {
      const spoiled = Buffer.from(disk);
      spoiled[offset] = (spoiled[offset] ?? 0) ^ 1;
      await writeFile(bench.slotPaths.a, spoiled);
      await refused('SLOT_READBACK_MISMATCH', () => activate(four));
    }
  });

  test('cannot go back to a signed release that is older than what was confirmed here and never was itself', async () => {
    const { repository } = bench;
    await bench.install('a', release(two));
    // The metadata of its day, with its true signatures.
    const old = await createHelperBench();
    try {
      await old.publish(2);
      assert.deepEqual(repository.initialRoot, old.repository.initialRoot);
      await refused('RELEASE_BELOW_FLOOR', () => activate(two, async () => old.metadata()));
    } finally {
      await old.close();
    }
  });

  test('cannot reboot a confirmed system into itself', async () => {
    await refused('NOTHING_TO_DO', () => bench.client().rebooter.request('a', signal));
  });

  test('gets a typed answer to every kind of noise, and the helper goes on', async () => {
    const before = await bench.standing();
    const giant = Buffer.alloc(requestBytesMax + 2, 'x');
    const wire = toWire(bench.metadata());
    for (const bytes of [
      '',
      '\n',
      'null\n',
      '{"verb":"status"}',
      '{"verb":"status"}\n{"verb":"status"}\n',
      '{"verb":"status","slot":"b"}\n',
      '{"verb":"explode"}\n',
      '{"verb":"__proto__"}\n',
      '{"verb":"status","__proto__":{"slot":"a"}}\n',
      '{"verb":"markGood","slot":"B"}\n',
      '{"verb":"markGood","slot":["b"]}\n',
      `${JSON.stringify({ verb: 'activate', slot: 'a', tries: 99, verity: two?.verity, metadata: wire })}\n`,
      `${JSON.stringify({ verb: 'invalidate', slot: 'a', metadata: [['../ledger.json', 'AAAA']] })}\n`,
      `${JSON.stringify({ verb: 'invalidate', slot: 'a', metadata: [['root.json', 'not base64!']] })}\n`,
      `${'['.repeat(100_000)}\n`,
      Buffer.from([0xff, 0xfe, 0x00, 0x0a]),
      giant,
    ]) {
      const shown = Buffer.from(bytes).toString('latin1', 0, 60);
      const answer = await bench.raw(bytes);
      assert.equal(JSON.parse(answer).code, 'BAD_REQUEST', `${shown} -> ${answer.slice(0, 200)}`);
    }
    assert.match(await bench.raw(giant), /longer than/);
    assert.deepEqual(await bench.standing(), before);
    assert.equal((await bench.client().boot.status(signal)).booted, 'b');
  });

  test('is the only one who can ask: the socket lets in its own group and nobody else', async (context) => {
    if (process.getuid?.() !== 0) return context.diagnostic('not run: needs root');
    // Another user, who may enter the folders on the way there, whosever they are.
    const someone = [
      '--reuid=4243',
      '--clear-groups',
      '--inh-caps=+dac_read_search',
      '--ambient-caps=+dac_read_search',
    ];
    const ask = (gid: string) =>
      spawnSync('setpriv', [...someone, `--regid=${gid}`, process.execPath, '-e', connectAndTell, bench.socketPath], {
        encoding: 'utf8',
      }).stdout;
    const connectAndTell =
      "require('net').connect(process.argv[1]).on('connect', function () { console.log('in'); this.destroy(); }).on('error', (error) => console.log(error.code))";
    // As otad-boot.socket makes it.
    await chown(bench.socketPath, 0, 4242);
    await chmod(bench.socketPath, 0o660);
    assert.equal(ask('4242'), 'in\n');
    assert.equal(ask('4243'), 'EACCES\n');
  });

  test('can start the newest signed release, and go back to one that was confirmed here', async () => {
    await bench.install('a', release(four));
    await activate(four);
    assert.equal(await bench.boot(), 'a');
    const { boot } = bench.client();
    await refused('UNCONFIRMED', () => boot.invalidate('b', signal));
    await boot.markGood('a', signal);
    await bench.client(async () => []).boot.activate('b', 3, release(three).verity, signal);
    assert.equal(await bench.boot(), 'b');
  });
});

test('a client without a helper says so, by what systemd calls it', async () => {
  const { boot } = createBootClient({ socketPath: '/nonexistent/socket', carry: async () => [] });
  await assert.rejects(boot.status(signal), { code: 'BOOT_HELPER_UNREACHABLE', message: /otad-boot\.socket/ });
});

test('a time that is none is refused before the helper listens', () => {
  const program = join(treeRoot(), 'dist/agent/otad-boot.js');
  for (const idle of ['abc', '1h', '0', '-5', '1e9']) {
    const { status, stderr } = spawnSync(process.execPath, [program, `--idle-ms=${idle}`], { encoding: 'utf8' });
    assert.equal(status, 64, stderr);
    assert.match(stderr, /^otad-boot: --idle-ms takes a whole number from 1 to 86400000/);
  }
});
