import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addTally, closingLine, failureText, noTally, restartsIn, restartsLine } from './lab/tally.ts';

test('the closing line counts what became of the cases', () => {
  const passed = { ...noTally, paths: ['u-boot'], cases: 1, cuts: 1 };
  const failed = { ...noTally, paths: ['u-boot'], cases: 1, failed: ['kept@u-boot'], restarts: 2 };
  const alone = { ...noTally, cases: 1, failed: ['u-boot-cut'] };
  assert.equal(
    closingLine([passed, failed, alone].reduce(addTally, noTally), 12.34),
    'device lab: 3 cases on 1 boot paths, 2 failed, 1 power cuts, 2 restarts of the emulator, 12.3 minutes',
  );
});

test('restarts that a case of the bootloaders tells of are counted', () => {
  assert.equal(restartsIn(`one\n${restartsLine(1)}\n  ✔ two\n${restartsLine(2)}\n`), 3);
  assert.equal(restartsIn(`${restartsLine(0)}\n`), 0);
  assert.equal(restartsIn('✔ starts the kernel'), 0);
});

test('a failed case says what was seen, where to look, and the command that runs it alone', () => {
  assert.equal(
    failureText('kept@u-boot: stays (2 s)', ['gone', 'look at console.log'], 'kept@u-boot', ' --seed 2'),
    [
      '  FAILED  kept@u-boot: stays (2 s)',
      '          gone',
      '          look at console.log',
      '          again, alone: npm run test:device -- --case kept@u-boot --seed 2',
    ].join('\n'),
  );
});
