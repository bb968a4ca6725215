import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import { formatAutoboot, padAutoboot, parseAutoboot } from '../../../bootctl/tryboot/autoboot-txt.ts';
import { autobootBytesMax, effectiveLines } from '../../../bootctl/tryboot/firmware.ts';
import { createRandom } from '../random.ts';
import { rotaAutoboot } from './machine.ts';

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1').trimEnd();

test('only the two numbers change; comments, filters and other settings stay where they are', () => {
  const text =
    '# do not edit\n[none]\nboot_partition=7\n[all]\ntryboot_a_b=1\nboot_partition=2\n# trial\n[tryboot]\nboot_partition=3\n[pi5]\nx=1';
  const sector = formatAutoboot(text, { default: 3, trial: 2 });
  assert.equal(sector.length, autobootBytesMax);
  assert.equal(textOf(sector), text.replace('=2', '=x').replace('=3', '=2').replace('=x', '=3'));
  assert.equal(textOf(formatAutoboot(textOf(sector), { default: 2, trial: 3 })), text);
});

test('image-rota ships a shorter file: filling it up keeps its bytes, so any mix of old and new length is whole', () => {
  const padded = padAutoboot(rotaAutoboot.trimEnd());
  assert.equal(padded.length, autobootBytesMax);
  assert.equal(Buffer.from(padded).toString('latin1').startsWith(rotaAutoboot), true);
});

test('settings that are missing or in each other’s way are put in order', () => {
  for (const text of [
    null,
    '',
    'boot_partition=2',
    '[tryboot]\nboot_partition=3\n[all]\nboot_partition=2',
    '[all]\nx=1',
  ]) {
    const parsed = parseAutoboot(formatAutoboot(text, { default: 3, trial: 2 }));
    assert.deepEqual(
      [parsed?.default, parsed?.trial, parsed?.isSwitchingPartitions, parsed?.isPadded],
      [3, 2, true, true],
    );
  }
});

test('a number under a filter that this file does not know never stands after ours', () => {
  const sector = formatAutoboot(`${rotaAutoboot}[pi5]\nboot_partition=9`, { default: 2, trial: 3 });
  const text = textOf(sector);
  assert.ok(text.indexOf('boot_partition=9') < text.indexOf('boot_partition=2'));
  assert.deepEqual(formatAutoboot(text, { default: 2, trial: 3 }), sector);
});

test('whatever stands in the file, the result says what is wanted, keeps the rest, and is stable', () => {
  const random = createRandom(7);
  const lines = [
    '[all]',
    '[tryboot]',
    '[none]',
    '[pi5]',
    'boot_partition=2',
    'boot_partition=3',
    'tryboot_a_b=1',
    'tryboot_a_b=0',
    '# c',
    'uart_2ndstage=1',
    '',
  ];
  for (let round = 0; round < 1000; round += 1) {
    const text = Array.from({ length: random.below(14) }, () => random.pick(lines)).join('\n');
    const wanted = random.pick([
      { default: 2, trial: 3 },
      { default: 3, trial: 2 },
      { default: 12, trial: 4 },
    ]);
    const sector = formatAutoboot(text, wanted);
    const parsed = parseAutoboot(sector);
    assert.deepEqual(
      [parsed?.default, parsed?.trial, parsed?.isSwitchingPartitions],
      [wanted.default, wanted.trial, true],
      text,
    );
    assert.deepEqual(formatAutoboot(parsed?.text ?? '', wanted), sector);
    for (const flag of [false, true]) {
      const foreign = (from: string) =>
        effectiveLines(from, flag).filter(({ name }) => name === 'uart_2ndstage').length;
      assert.equal(foreign(parsed?.text ?? ''), foreign(text), text);
    }
  }
});

test('what is no text is not believed: zeros, binary, more than a sector', () => {
  for (const bytes of [Buffer.alloc(512), Buffer.from([0x5b, 0x01]), Buffer.alloc(513, '\n')]) {
    assert.equal(parseAutoboot(bytes), null);
  }
});

test('a file that would outgrow its sector is refused', () => {
  const refused = () => formatAutoboot(`#${'x'.repeat(500)}`, { default: 2, trial: 3 });
  assert.throws(refused, (error) => error instanceof OtadError && error.code === 'BOOT_ENV_UNSUPPORTED');
});
