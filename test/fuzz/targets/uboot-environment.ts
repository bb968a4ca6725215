// The U-Boot environment: a copy is refused, or holds exactly the variables that a plain reading of its bytes finds; and
// whatever it holds means something to model and boot script, without an exception, in one reading.

import { isDeepStrictEqual } from 'node:util';
import { crc32 } from 'node:zlib';
import { decodeCopy, type EnvCopy, encodeCopy } from '../../../bootctl/uboot/environment.ts';
import { chooseBoot } from '../../../bootctl/uboot/firmware.ts';
import { applyModel, decodeModel } from '../../../bootctl/uboot/variables.ts';
import { attempt, Finding, type FuzzTarget, type Judge, mustEqual } from '../target.ts';

const sizeBytes = 1024;
const headerBytes = 5;

type Decode = (image: Uint8Array) => EnvCopy | null;

/** What U-Boot finds, read in the plainest way: a list that fills the copy to its last byte has no end of its own. */
const plainReading = (image: Uint8Array): string => {
  const [list = ''] = Buffer.from(image).toString('latin1', headerBytes).split('\0\0', 1);
  const entries = list.startsWith('\0') ? [] : list.split('\0').filter((entry) => entry.includes('='));
  const last = new Map(
    entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
  return JSON.stringify([...last]);
};

const judgeBy =
  (decode: Decode): Judge =>
  (input) => {
    const { value: copy } = attempt([], () => decode(input));
    if (copy === null) return 'refused';
    if (Buffer.from(input).readUInt32LE(0) !== crc32(input.subarray(headerBytes)))
      throw new Finding('accepted with a wrong CRC');
    mustEqual('other variables than the bytes hold', JSON.stringify([...copy.variables]), plainReading(input));
    const { value: encoded, label } = attempt(['BOOT_ENV_UNWRITABLE'], () =>
      encodeCopy(copy.variables, input.length, copy.flag),
    );
    if (encoded === null) return `accepted, and full: ${label}`;
    const again = decode(encoded);
    if (again === null || !isDeepStrictEqual(new Map(again.variables), new Map(copy.variables))) {
      throw new Finding('does not encode back to itself');
    }
    return `accepted; ${judgeMeaning(copy)}`;
  };

const judgeMeaning = (copy: EnvCopy): string => {
  const { value: model } = attempt([], () => decodeModel(copy.variables));
  if (model === null) return '';
  const { value: rewritten } = attempt([], () => applyModel(copy.variables, model));
  // Written down by us, it must say the same to us: a lost sequence is what applying alone does not give back.
  const sequenced = new Map(rewritten ?? []).set('otad_seq', copy.variables.get('otad_seq') ?? '1');
  if (!isDeepStrictEqual(decodeModel(sequenced), model)) throw new Finding('the model written down is another one');
  const { value: choice } = attempt([], () => chooseBoot(copy.variables));
  return `${model.order.join('') || 'lost'} boots ${choice?.slot ?? 'nothing'}`;
};

/** Trusts the data and not the CRC. */
const hopefulDecode: Decode = (image) => {
  const copy = Buffer.from(image);
  if (copy.length <= headerBytes) return null;
  copy.writeUInt32LE(crc32(copy.subarray(headerBytes)), 0);
  return decodeCopy(copy, true);
};

const variables = new Map([
  ['BOOT_ORDER', 'A B'],
  ['BOOT_A_LEFT', '3'],
  ['BOOT_B_LEFT', '0'],
  ['bootcmd', 'run distro_bootcmd'],
  ['otad_a_root', 'ab'.repeat(32)],
  ['otad_a_hashoffset', '4096'],
  ['otad_seq', '1f'],
  ['otad_trial', 'B'],
]);

export const ubootEnvironmentTarget = (): FuzzTarget => ({
  name: 'uboot-environment',
  seeds: [
    encodeCopy(variables, sizeBytes, 7),
    encodeCopy(new Map([['a', 'b']]), sizeBytes, 255),
    new Uint8Array(sizeBytes),
  ],
  dictionary: [
    'BOOT_ORDER=',
    'BOOT_A_LEFT=',
    'BOOT_B_LEFT=',
    'otad_trial=',
    'otad_seq=',
    'otad_b_root=',
    'A',
    'B',
    'A B',
    'B A',
    '=',
    '=x',
    'a=',
    '10',
    'upgrade_available=1',
    'bootcount=2',
    'mender_boot_part=3',
    'ustate=1',
    '\0',
    '\0\0',
  ],
  mend: (input) => {
    if (input.length <= headerBytes) return input;
    const copy = Buffer.from(input);
    copy.writeUInt32LE(crc32(copy.subarray(headerBytes)), 0);
    return copy;
  },
  judge: judgeBy((image) => decodeCopy(image, true)),
  canary: { bug: 'the CRC is not looked at', judge: judgeBy(hopefulDecode) },
});
