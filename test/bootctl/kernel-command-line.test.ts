import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseKernelCommandLine } from '../../bootctl/kernel-command-line.ts';

const root = 'AB'.repeat(32);
const missing = { code: 'BOOT_EVIDENCE_MISSING' };

describe('kernel command line', () => {
  it('tells slot and root, the root in lower case', () => {
    const facts = parseKernelCommandLine(`console=ttyS0 otad.slot=b otad.root=${root} ro\n`);
    assert.equal(facts.slot, 'b');
    assert.equal(facts.root, root.toLowerCase());
    assert.equal(facts.evidence.length, 2);
  });

  it('takes the slot that RAUC names when ours is not there', () => {
    assert.deepEqual(parseKernelCommandLine('rauc.slot=A quiet').slot, 'a');
  });

  it('has no root when none is given, or when it is not one', () => {
    for (const text of [
      'otad.slot=a',
      'otad.slot=a otad.root=abc',
      `otad.slot=a otad.root=${root} otad.root=${'00'.repeat(32)}`,
    ]) {
      assert.equal(parseKernelCommandLine(text).root, null, text);
    }
  });

  it('does not look inside quoted arguments or longer names', () => {
    const facts = parseKernelCommandLine('dyndbg="file x otad.slot=b +p" xotad.slot=b otad.slotted=b otad.slot=a');
    assert.equal(facts.slot, 'a');
  });

  it('refuses to guess from nothing, from other values, from contradictions and from endless input', () => {
    for (const text of [
      '',
      'quiet',
      'otad.slot=',
      'otad.slot=A',
      'otad.slot=c',
      'rauc.slot=a',
      'otad.slot=a otad.slot=b',
      'otad.slot=a rauc.slot=B',
      'otad.slot=a otad.slot=c',
      ' otad.slot=a'.repeat(6000),
    ]) {
      assert.throws(() => parseKernelCommandLine(text), missing, text.slice(0, 40));
    }
  });

  it('takes the same slot said twice', () => {
    assert.equal(parseKernelCommandLine('otad.slot=b rauc.slot=B otad.slot=b').slot, 'b');
  });
});
