// A program that logs the way the agent does. Argument 1: 'story' (one line of each kind), 'transfer', or a number of lines.

import { inheritedSockets } from '../../../agent/adapters/inherited-descriptors.ts';
import { OtadError } from '../../../agent/core/errors.ts';
import { createLog, lineStyleOf } from '../../../agent/log/log.ts';

const log = createLog({
  level: 'info',
  journalDescriptor: inheritedSockets(process.env, process.pid).get('journal') ?? null,
  stream: process.stdout,
  lineStyle: lineStyleOf(process.env, false),
});

const [what = 'story'] = process.argv.slice(2);
if (what === 'story') {
  log.debug('not shown at this level');
  log.info('checked', { releaseId: 'r-7', fetchedBytes: 600, nothing: null, level: 'forged', messageId: 'forged' });
  log.warn('two\nlines', { 'odd key\n': 'a\nb' });
  log.error('failed', { error: new OtadError('SLOT_BUSY', { slot: 'b' }) });
  log.history({
    type: 'rolled-back',
    timeMs: 1,
    isTimeSynced: true,
    version: '1.2',
    slot: 'b',
    reason: 'did not pass',
    code: 'HEALTH_FAILED',
  });
  log.info(`${'x'.repeat(100_000)}ä`, { big: 'ü'.repeat(20_000) });
} else if (what === 'transfer') {
  log.transfer('install-progress', 'half way', {
    version: '1.2',
    fetchedBytes: 600,
    detour: null,
    messageId: 'forged',
  });
  log.transfer('attempt-failed', 'cut off', { code: 'HTTP_TRUNCATED' });
} else {
  for (let n = 1; n <= Number(what); n++) log.info(`line ${n}`, {});
}
await log.flush();
