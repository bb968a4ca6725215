import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { OtadError } from '../../../agent/core/errors.ts';
import { renderLine } from '../../../agent/log/line.ts';
import { createLog } from '../../../agent/log/log.ts';
import { messageIds } from '../../../agent/log/message-ids.ts';
import { runWithDatagrams } from '../../support/datagrams.ts';

const childFile = fileURLToPath(new URL('./log-child.js', import.meta.url));

/** Reads an entry as journald does: NAME=value lines, or NAME, length, bytes. */
const parseEntry = (bytes: Buffer): ReadonlyMap<string, string> => {
  const fields = new Map<string, string>();
  let offset = 0;
  while (offset < bytes.length) {
    const lineEnd = bytes.indexOf(0x0a, offset);
    const line = bytes.subarray(offset, lineEnd);
    const equals = line.indexOf(0x3d);
    if (equals >= 0) {
      fields.set(line.subarray(0, equals).toString(), line.subarray(equals + 1).toString());
      offset = lineEnd + 1;
    } else {
      const length = Number(bytes.readBigUInt64LE(lineEnd + 1));
      fields.set(line.toString(), bytes.subarray(lineEnd + 9, lineEnd + 9 + length).toString());
      offset = lineEnd + 9 + length + 1;
    }
  }
  return fields;
};

const journal = async (what: string): Promise<readonly ReadonlyMap<string, string>[]> => {
  const run = await runWithDatagrams(childFile, [what], { names: ['notify', 'journal'] });
  assert.equal(run.exitCode, 0);
  assert.ok(run.datagrams.every((datagram) => datagram.name === 'journal'));
  return run.datagrams.map((datagram) => parseEntry(datagram.bytes));
};

describe('on the journal socket', () => {
  let story: readonly ReadonlyMap<string, string>[] = [];
  before(async () => {
    story = await journal('story');
  });

  test('an entry has its message, priority, identifier and fields, and none that was forged or empty', () => {
    const [first] = story;
    assert.deepEqual(Object.fromEntries(first ?? []), {
      MESSAGE: 'checked',
      PRIORITY: '6',
      SYSLOG_IDENTIFIER: 'otad',
      OTAD_RELEASE_ID: 'r-7',
      OTAD_FETCHED_BYTES: '600',
    });
  });

  test('line breaks stay inside their field', () => {
    const [, second] = story;
    assert.equal(second?.get('MESSAGE'), 'two\nlines');
    assert.equal(second?.get('PRIORITY'), '4');
    assert.equal(second?.get('OTAD_ODD_KEY_'), 'a\nb');
  });

  test('an error brings its code and its stack', () => {
    const [, , third] = story;
    assert.equal(third?.get('PRIORITY'), '3');
    assert.equal(third?.get('OTAD_ERROR_CODE'), 'SLOT_BUSY');
    assert.match(third?.get('OTAD_ERROR_MESSAGE') ?? '', /slot: b/);
    assert.match(third?.get('OTAD_ERROR_STACK') ?? '', /log-child/);
  });

  test('a history entry has the message id of its type', () => {
    const fourth = story[3];
    assert.deepEqual(Object.fromEntries(fourth ?? []), {
      MESSAGE: 'Rolled back (version 1.2, slot b): did not pass',
      PRIORITY: '3',
      SYSLOG_IDENTIFIER: 'otad',
      MESSAGE_ID: messageIds['rolled-back'],
      OTAD_HISTORY: 'rolled-back',
      OTAD_VERSION: '1.2',
      OTAD_SLOT: 'b',
      OTAD_REASON: 'did not pass',
      OTAD_CODE: 'HEALTH_FAILED',
    });
  });

  test('how an install goes on has message ids of its own', async () => {
    const [progress, failed] = await journal('transfer');
    assert.deepEqual(Object.fromEntries(progress ?? []), {
      MESSAGE: 'half way',
      PRIORITY: '6',
      SYSLOG_IDENTIFIER: 'otad',
      MESSAGE_ID: messageIds['install-progress'],
      OTAD_VERSION: '1.2',
      OTAD_FETCHED_BYTES: '600',
    });
    assert.equal(failed?.get('MESSAGE_ID'), messageIds['attempt-failed']);
  });

  test('long values are cut at a whole character and say so', () => {
    const fifth = story[4];
    const message = fifth?.get('MESSAGE') ?? '';
    assert.equal(Buffer.byteLength(message), 48 * 1024);
    assert.ok(message.endsWith('x…'));
    assert.match(fifth?.get('OTAD_BIG') ?? '', /^ü+…$/);
  });

  test('a thousand lines arrive in order', async () => {
    const messages = (await journal('1000')).map((entry) => entry.get('MESSAGE'));
    assert.deepEqual(
      messages,
      Array.from({ length: 1000 }, (_, n) => `line ${n + 1}`),
    );
  });

  test('what does not fit into the queue is counted and owned up to', async () => {
    const entries = await journal('3000');
    const losses = entries.filter((entry) => entry.has('OTAD_LOST'));
    const lost = losses.reduce((sum, entry) => sum + Number(entry.get('OTAD_LOST')), 0);
    assert.equal(lost + entries.length - losses.length, 3000);
    assert.equal(lost, 3000 - 1024);
    assert.match(losses[0]?.get('MESSAGE') ?? '', /^[0-9]+ log entries were lost\.$/);
  });
});

describe('without the journal socket', () => {
  const run = (env: Readonly<Record<string, string>> = {}, stdout: number | 'pipe' = 'pipe') =>
    spawnSync(process.execPath, [childFile, 'story'], { env, encoding: 'utf8', stdio: ['ignore', stdout, 'inherit'] });

  test('plain lines carry time, level, message and fields', () => {
    const lines = run().stdout.trim().split('\n');
    assert.equal(lines.length, 5);
    assert.match(lines[0] ?? '', /^\d{4}-\d\d-\d\dT[\d:.]+Z info {2}checked releaseId=r-7 fetchedBytes=600$/);
    assert.match(lines[1] ?? '', / warn {2}two\\nlines odd key\\n="a\\nb"$/);
    assert.match(lines[2] ?? '', /error failed errorMessage=".*" errorCode=SLOT_BUSY$/);
    assert.match(lines[3] ?? '', /error Rolled back \(version 1\.2, slot b\): did not pass code=HEALTH_FAILED$/);
  });

  test('lines carry their priority when stdout is the stream that JOURNAL_STREAM names', () => {
    const file = join(tmpdir(), `otad-log-${process.pid}`);
    const descriptor = openSync(file, 'w');
    const { dev, ino } = fstatSync(descriptor);
    run({ JOURNAL_STREAM: `${dev}:${ino}` }, descriptor);
    closeSync(descriptor);
    const lines = readFileSync(file, 'utf8').split('\n');
    rmSync(file);
    assert.equal(lines[0], '<6>checked releaseId=r-7 fetchedBytes=600');
    assert.match(lines[1] ?? '', /^<4>two\\nlines/);
  });

  test('a stale JOURNAL_STREAM changes nothing', () => {
    assert.match(run({ JOURNAL_STREAM: '1:1' }).stdout, /^\d{4}-/);
  });

  test('a terminal gets colour, and control characters reach none', () => {
    const line = renderLine({ level: 40, time: 0, msg: 'a\x1b[2Jb\nc', slot: '\x07' }, 'terminal');
    assert.equal(line, '\x1b[2m00:00:00\x1b[0m \x1b[33mwarn \x1b[0m a\\u001b[2Jb\\nc\x1b[2m slot="\\u0007"\x1b[0m');
  });
});

test('the level keeps less severe lines out, and libraries may use pino itself', () => {
  const lines: string[] = [];
  const stream = { write: (text: string) => lines.push(text) };
  const log = createLog({ level: 'warn', journalDescriptor: null, stream, lineStyle: 'prefixed' });
  log.info('no', {});
  log.warn('yes', {});
  log.pino.error({ err: new OtadError('BUSY') }, 'from pino');
  assert.equal(lines[0], '<4>yes\n');
  assert.match(lines[1] ?? '', /^<3>from pino errMessage=/);
  assert.equal(lines.length, 2);
});
