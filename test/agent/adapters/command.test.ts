import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { commandFailure, runCommand } from '../../../agent/adapters/command.ts';

/**
 * A program that does not end at SIGKILL, as one in uninterruptible sleep: its tracer, which has a session of its own, is
 * stopped, and before that has taken note of its end nobody else hears of it.
 */
const unkillable = (): readonly string[] => [
  ...['strace', '-DDD', '-qq', '-o', '/dev/null', 'sh', '-c'],
  'tracer=$(sed -n "s/^TracerPid:[[:space:]]*//p" /proc/$$/status); echo $tracer; kill -STOP $tracer; exec sleep 600',
];

test('a program that even SIGKILL does not end is waited for no longer', async () => {
  const timeoutMs = 1000;
  const result = await runCommand(unkillable(), { timeoutMs, graceMs: 10 }, new AbortController().signal);
  const tracer = Number(result.output);
  try {
    assert.match(await readFile(`/proc/${tracer}/stat`, 'utf8'), /\(strace\) T/);
    assert.equal(commandFailure(result, timeoutMs), `no answer within 1000 ms, and it cannot be ended: ${tracer}`);
    assert.ok(result.durationMs < 10_000);
  } finally {
    process.kill(tracer, 'SIGKILL');
  }
});
