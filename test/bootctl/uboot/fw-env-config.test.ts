import assert from 'node:assert/strict';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { OtadError } from '../../../agent/core/errors.ts';
import { chooseByFlag, encodeCopy } from '../../../bootctl/uboot/environment.ts';
import { parseFwEnvConfig } from '../../../bootctl/uboot/fw-env-config.ts';
import { readCopies } from '../../../bootctl/uboot/medium.ts';
import { fwPrintenv } from './fw-tools.ts';

const file = '/etc/fw_env.config';

describe('fw_env.config', () => {
  let folder: string;
  let disk: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'otad-fwenv-'));
    disk = join(folder, 'disk');
    const handle = await open(disk, 'w');
    await handle.truncate(0x10000);
    // A copy of its own kind and name at each place that a line below may mean.
    for (const [offset, size] of [
      [0, 0x1000],
      [0x1000, 0x1000],
      [0x2000, 0x2000],
      [0x8000, 0x1000],
    ] as const) {
      const flag = offset === 0x8000 ? 9 : offset === 0x1000 ? 8 : null;
      await handle.write(encodeCopy(new Map([['place', `0x${offset.toString(16)}`]]), size, flag), 0, size, offset);
    }
    await handle.close();
  });

  after(() => rm(folder, { recursive: true, force: true }));

  const accepted: readonly (readonly [name: string, text: string, place: string])[] = [
    ['hex with prefix', '@ 0x0 0x1000\n', '0x0'],
    ['no final newline', '@ 0x0 0x1000', '0x0'],
    ['size without prefix is hex', '@ 0x2000 2000\n', '0x2000'],
    ['offset without prefix is decimal', '@ 8192 0x2000\n', '0x2000'],
    ['offset with leading zero is octal', '@ 020000 0x2000\n', '0x2000'],
    ['upper case', '@ 0X2000 0X2000\n', '0x2000'],
    ['plus sign', '@ +0x2000 0x2000\n', '0x2000'],
    ['tabs, sector size, count', '@\t0x2000\t0x2000\t0x1000\t2\n', '0x2000'],
    ['tabs, sector size, count, lock column', '@\t0x2000\t0x2000\t0x1000\t2\t1\n', '0x2000'],
    ['vertical tabs and form feeds between fields', '@\v0x2000\f0x2000\n', '0x2000'],
    ['comments and blank lines', '# a\n\n#@ 0x0 0x1000\n@ 0x2000 0x2000 # here\n\n', '0x2000'],
    ['leading blanks', '   @ 0x2000 0x2000\n  # indented\n', '0x2000'],
    ['carriage returns', '@ 0x2000 0x2000\r\n', '0x2000'],
    ['redundant, newer in the second', '@ 0x1000 0x1000\n@ 0x8000 0x1000\n', '0x8000'],
    ['redundant, newer in the first', '@ 0x8000 0x1000\n# b\n@ 0x1000 0x1000\n', '0x8000'],
    ['a third line is not read', '@ 0x1000 0x1000\n@ 0x8000 0x1000\n@ 0x0 0x1000\n', '0x8000'],
  ];
  for (const [name, text, place] of accepted) {
    it(`is read as fw_printenv reads it: ${name}`, async () => {
      const path = join(folder, 'config');
      const content = text.replaceAll('@', disk);
      await writeFile(path, content);
      const copies = (await readCopies(parseFwEnvConfig(content, path))).map(({ copy }) => copy);
      assert.equal(copies[chooseByFlag(copies) ?? 0]?.variables.get('place'), place);
      assert.equal((await fwPrintenv(path))?.get('place'), place);
    });
  }

  const refused: readonly (readonly [name: string, text: string, line: number | undefined, word: RegExp])[] = [
    ['nothing', '# only this\n', undefined, /no line names a device/],
    ['no offset', '/boot/uboot.env\n', 1, /offset/],
    ['no size', '\n/boot/uboot.env 0x0\n', 2, /size/],
    ['an offset that is no number', '/boot/uboot.env here 0x1000\n', 1, /'here'/],
    ['a size of zero', '/boot/uboot.env 0x0 0x0\n', 1, /64 to/],
    ['a huge size', '/boot/uboot.env 0x0 0x10000000\n', 1, /1048576/],
    ['an offset out of range', '/boot/uboot.env 0xffffffffffffffff 0x1000\n', 1, /range/],
    ['MTD', '# x\n/dev/mtd1 0x0 0x4000 0x4000\n', 2, /block device/],
    ['UBI', '/dev/ubi0:env 0x0 0x1f000\n', 1, /UBI/],
    ['a colon', '/dev/disk/by-path/a:b 0x0 0x1000\n', 1, /colon/],
    ['a relative path', 'uboot.env 0x0 0x1000\n', 1, /absolute/],
    ['the YAML form', 'uboot:\n  size : 0x4000\n', 1, /one line per copy/],
    ['the YAML form after a comment', '# x\nuboot :\n  size : 0x4000\n', 2, /one line per copy/],
    ['a YAML document mark', '---\nuboot:\n', 1, /one line per copy/],
    ['MTD as a block device', '/dev/mtdblock0 0x0 0x4000\n', 1, /raw flash/],
    ['a byte order mark', '\ufeff/a 0x0 0x1000\n', 1, /absolute/],
    ['a no-break space', '/a\u00a00x0 0x1000\n', 1, /size/],
    ['a signed size', '/a 0x0 -0x1000\n', 1, /hex number/],
    ['an offset in octal that is none', '/a 08 0x1000\n', 1, /'08'/],
    ['a suffix', '/a 0x0 4K\n', 1, /'4K'/],
    ['sizes that differ', '/a 0x0 0x1000\n/b 0x0 0x2000\n', 2, /same size/],
    ['copies that overlap', '/a 0x0 0x1000\n/a 0x800 0x1000\n', 2, /overlap/],
    ['a mistyped second line', '/a 0x0 0x1000\n/a 0x1000O 0x1000\n', 2, /0x1000O/],
  ];
  for (const [name, text, line, reason] of refused) {
    it(`is refused with file, line and the way out: ${name}`, () => {
      assert.throws(
        () => parseFwEnvConfig(text, file),
        (error) => {
          assert.ok(error instanceof OtadError);
          assert.equal(error.code, 'BOOT_ENV_UNSUPPORTED');
          assert.equal(error.details.file, file);
          assert.equal(error.details.line, line);
          assert.match(String(error.details.reason), reason);
          return true;
        },
      );
    });
  }

  it('counts a negative offset from the end, which only a block device has', async () => {
    const config = parseFwEnvConfig(`${disk} -0x2000 0x1000\n`, file);
    assert.equal(config.copies[0]?.offsetBytes, -0x2000);
    await assert.rejects(readCopies(config), { code: 'BOOT_ENV_UNSUPPORTED' });
  });
});
