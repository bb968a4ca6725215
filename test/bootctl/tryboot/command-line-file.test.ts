import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import { parseKernelCommandLine } from '../../../bootctl/kernel-command-line.ts';
import { checkPanic, withSlotArguments } from '../../../bootctl/tryboot/command-line-file.ts';
import { contractVerity } from '../../contract/boot-control.ts';

const codeOf = (check: () => void): string => {
  try {
    check();
    return 'fine';
  } catch (error) {
    if (error instanceof OtadError) return error.code;
    throw error;
  }
};

test('a kernel that would not reset after a panic is refused; the last panic= counts', () => {
  for (const text of [
    'root=/dev/x',
    'panic=0',
    'panic=10 panic=0',
    'panic=',
    'panic=soon',
    'oops=panic',
    'note="panic=10"',
  ]) {
    assert.equal(
      codeOf(() => checkPanic('b', text)),
      'BOOT_COMMAND_LINE_UNSAFE',
      text,
    );
  }
  for (const text of ['panic=10', 'panic=-1', 'panic=0 quiet panic=5']) {
    assert.equal(
      codeOf(() => checkPanic('b', text)),
      'fine',
      text,
    );
  }
});

test('the slot’s arguments replace older ones and leave the board’s as they are, quotes too', () => {
  const board = 'console=tty1  dyndbg="file x +p" root=/dev/mapper/root otad.root=ff otad.slot=a panic=10';
  const text = withSlotArguments(`${board}\n`, 'b', contractVerity('b', 3));
  const { rootHex, hashOffsetBytes } = contractVerity('b', 3);
  assert.equal(
    text,
    `console=tty1 dyndbg="file x +p" root=/dev/mapper/root panic=10 otad.slot=b otad.root=${rootHex} otad.hashoffset=${hashOffsetBytes}\n`,
  );
  const { slot, root } = parseKernelCommandLine(text);
  assert.deepEqual([slot, root], ['b', rootHex]);
  assert.equal(withSlotArguments(text, 'b', contractVerity('b', 3)), text);
});

test('without a root nothing names one', () => {
  const text = withSlotArguments('panic=10 otad.root=ff otad.hashoffset=4096\n', 'b', null);
  assert.equal(text, 'panic=10 otad.slot=b\n');
});

test('a command line that the kernel would cut off is refused', () => {
  const long = `panic=10 ${'x'.repeat(1500)}`;
  assert.equal(
    codeOf(() => withSlotArguments(long, 'b', contractVerity('b'))),
    'BOOT_ENV_UNSUPPORTED',
  );
});
