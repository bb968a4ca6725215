// The boot script on one line means the same as on many: a POSIX shell runs both.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { flattenScript } from '../../../bootctl/uboot/boot-script.ts';

const script = `
# A comment; with a semicolon.
for word in one two three; do
  if test "$word" = one; then
    echo "first"
  elif test "$word" = two; then
    echo "second; really"
  else
    echo other
  fi
  false
  if test -z ""; then echo empty; fi
done
echo done
echo after
`;

const runShell = (text: string): string => execFileSync('sh', ['-c', text], { encoding: 'utf8', timeout: 10_000 });

describe('boot script on one line', () => {
  it('does what it does on many', () => {
    const line = flattenScript(script);
    assert.ok(!line.includes('\n'));
    assert.equal(runShell(line), runShell(script));
    assert.match(runShell(line), /done\nafter\n$/);
  });

  it('is accepted by a shell when it is the real one, and fits an environment of 16 KiB with room to spare', () => {
    const real = readFileSync(new URL('../../../../bootctl/uboot/boot.cmd', import.meta.url), 'utf8');
    const line = flattenScript(real);
    execFileSync('sh', ['-n', '-c', line], { timeout: 10_000 });
    assert.ok(line.length < 8192, `${line.length} bytes`);
  });

  it('refuses what one line cannot hold', () => {
    assert.throws(() => flattenScript('echo a # and more'), RangeError);
    assert.throws(() => flattenScript('echo a \\\n  b'), RangeError);
  });
});
