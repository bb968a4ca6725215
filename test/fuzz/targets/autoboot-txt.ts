// autoboot.txt: no text, or the settings that a second reading of the filters finds; and whatever it holds, the sector made of
// it starts what was wanted with and without the flag, and keeps every line that is not ours.

import { formatAutoboot, parseAutoboot } from '../../../bootctl/tryboot/autoboot-txt.ts';
import { startFirmware } from '../../../bootctl/tryboot/firmware.ts';
import { attempt, Finding, type FuzzTarget, type Judge, mustEqual } from '../target.ts';

const sectorBytes = 512;
const wanted = { default: 2, trial: 3 };

type Format = typeof formatAutoboot;

/** The last value of a setting, by looking back from each of its lines to the filters above it. */
const plainNumber = (text: string, name: string, isTryboot: boolean): string => {
  const lines = text.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  let value = '';
  for (const [index, line] of lines.entries()) {
    if (!line.startsWith(`${name}=`) || /\s/.test(line.trimEnd())) continue;
    const filters = lines
      .slice(0, index)
      .map((above) => above.trimEnd())
      .filter((above) => above.startsWith('[') && above.endsWith(']'));
    const since = filters.slice(filters.lastIndexOf('[all]') + 1);
    const last = since.filter((filter) => filter === '[tryboot]').length;
    if (last === since.length && (last === 0 || isTryboot)) value = line.trimEnd().slice(name.length + 1);
  }
  return /^[0-9]{1,3}$/.test(value) ? `${Number(value)}` : 'null';
};

const foreignLines = (text: string): string =>
  text
    .split('\n')
    .filter((line) => !/^(?:boot_partition|tryboot_a_b)=|^\[|^[ \t\r]*$/.test(line))
    .map((line) => line.trimEnd())
    .join('\n');

const judgeSector = (before: string, sector: Uint8Array, format: Format): void => {
  if (sector.length !== sectorBytes) throw new Finding(`a sector of ${sector.length} bytes`);
  for (const argument of [null, '0 tryboot']) {
    const medium = { autoboot: sector, isBootable: () => true, isWalking: false };
    const { partition, config } = startFirmware({ kind: 'reboot', argument }, medium);
    const meant = argument === null ? wanted.default : wanted.trial;
    mustEqual(`starts something else with ${argument}`, `${partition} ${config}`, `${meant} config.txt`);
  }
  const after = parseAutoboot(sector);
  if (after === null) throw new Finding('cannot read what it wrote');
  mustEqual('lost a line', foreignLines(after.text), foreignLines(before));
  const again = format(after.text, wanted);
  mustEqual('does not settle', Buffer.from(again).toString('latin1'), Buffer.from(sector).toString('latin1'));
};

const judgeBy =
  (format: Format): Judge =>
  (input) => {
    const { value: autoboot } = attempt([], () => parseAutoboot(input));
    if (autoboot === null) return 'refused';
    const text = Buffer.from(input).toString('latin1');
    const facts = `${autoboot.default} ${autoboot.trial} ${autoboot.isSwitchingPartitions}`;
    const plain = [plainNumber(text, 'boot_partition', false), plainNumber(text, 'boot_partition', true)];
    const isSwitching = plainNumber(text, 'tryboot_a_b', true) === '1';
    mustEqual('says something else', facts, [...plain, isSwitching].join(' '));
    const { value: sector, label } = attempt(['BOOT_ENV_UNSUPPORTED'], () => format(autoboot.text, wanted));
    if (sector === null) return `accepted, and full: ${label}`;
    judgeSector(autoboot.text, sector, format);
    const isKept = Buffer.from(sector).toString('latin1').startsWith(autoboot.text);
    return `accepted ${autoboot.default === null} ${autoboot.trial === null} ${isSwitching} ${isKept}`;
  };

const text = '[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n';

export const autobootTarget = (): FuzzTarget => ({
  name: 'autoboot-txt',
  seeds: [
    formatAutoboot(null, wanted),
    Buffer.from(text),
    Buffer.from(`# ours\r\n[none]\r\nboot_partition=7\r\n${text.replaceAll('\n', '\r\n')}`),
    Buffer.from(`[gpio4=1]\nboot_partition=9\n${text}[all]\n# last`),
    formatAutoboot('# Büro\nboot_partition=3\n[tryboot]\nboot_partition=2', wanted),
  ],
  dictionary: [
    '[all]\n',
    '[none]\n',
    '[tryboot]\n',
    '[pi5]\n',
    '[all] \n',
    '[all]',
    'boot_partition=2\n',
    'boot_partition=3\n',
    'boot_partition=\n',
    'tryboot_a_b=1\n',
    'tryboot_a_b=0\n',
    'boot_partition=02\n',
    '# ',
    '=',
    '\n',
    '\r',
    '\t',
  ],
  judge: judgeBy(formatAutoboot),
  canary: {
    bug: 'settings are put at the end without a filter above them',
    judge: judgeBy((before, partitions) => {
      const sector = formatAutoboot(before, partitions);
      const made = `${before ?? ''}\n[tryboot]\nboot_partition=${partitions.trial}\n`;
      return made.length > sectorBytes || before === null
        ? sector
        : Buffer.from(made.padEnd(sectorBytes, '\n'), 'latin1');
    }),
  },
});
