// The Raspberry Pi firmware as far as its documentation tells: which partition starts after a reset. Pure.
// Each rule names its source; what no source tells is modelled so that nothing here depends on it, and says so.
// Sources are files of github.com/raspberrypi/documentation under documentation/asciidoc/computers/ unless said otherwise.

/** What made the device start again. Only an orderly reboot can hand the firmware an argument. */
export type Reset =
  | { readonly kind: 'power-on' | 'watchdog' | 'panic' }
  /** The argument of reboot(2), as in `reboot '0 tryboot'`; null: none was given. */
  | { readonly kind: 'reboot'; readonly argument: string | null };

export type ConfigName = 'config.txt' | 'tryboot.txt';

/** What the firmware finds on the boot medium. */
export interface Medium {
  /** autoboot.txt of the first FAT partition, or null. */
  readonly autoboot: Uint8Array | null;
  /** A FAT partition with what this model of Pi starts from (start4.elf, or config.txt and a device tree). */
  readonly isBootable: (partition: number, config: ConfigName) => boolean;
  /** PARTITION_WALK of the EEPROM configuration. */
  readonly isWalking: boolean;
}

export interface FirmwareChoice {
  /** null: nothing on this medium is bootable; the firmware goes on to the next one of BOOT_ORDER. */
  readonly partition: number | null;
  /** As the device tree will show it. */
  readonly isTryboot: boolean;
  readonly config: ConfigName;
}

/** config_txt/autoboot.adoc, introduction: the file is limited to 512 bytes. */
export const autobootBytesMax = 512;
/** raspberry-pi/eeprom-bootloader.adoc, PARTITION_WALK: checks up to partition 8. */
const partitionMax = 8;

/** One line of autoboot.txt that is a setting, and whether it counts with the flag as given. */
export interface SettingLine {
  readonly index: number;
  readonly name: string;
  readonly value: string;
}

/**
 * The settings that count, in order; the last one of a name wins.
 * config_txt/conditional.adoc: `[all]` resets every filter, `[none]` never passes, `[tryboot]` passes when the flag was
 * set, filters of different kinds combine. config_txt/autoboot.adoc: this file knows these three only, so what stands
 * under another one is taken as not for us. ubuntu.com, 'Edit the Raspberry Pi boot configuration': comments start a
 * line, spaces around `=` are not ignored.
 */
export const effectiveLines = (text: string, isTryboot: boolean): readonly SettingLine[] => {
  let blocked = { none: false, tryboot: false, unknown: false };
  const found: SettingLine[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.replace(/\r$/, '');
    const filter = /^\[(.*)\]\s*$/s.exec(line)?.[1];
    if (filter === 'all') blocked = { none: false, tryboot: false, unknown: false };
    else if (filter === 'none') blocked = { ...blocked, none: true };
    else if (filter === 'tryboot') blocked = { ...blocked, tryboot: !isTryboot };
    else if (filter !== undefined) blocked = { ...blocked, unknown: true };
    if (filter !== undefined || blocked.none || blocked.tryboot || blocked.unknown) continue;
    const setting = /^([a-z_]+)=(\S*)\s*$/.exec(line);
    if (setting !== null) found.push({ index, name: setting[1] ?? '', value: setting[2] ?? '' });
  }
  return found;
};

/** The number that a setting has with the flag as given, or null where the file does not set it. */
export const numberSetting = (text: string, name: string, isTryboot: boolean): number | null => {
  const line = effectiveLines(text, isTryboot).findLast((setting) => setting.name === name);
  return line !== undefined && /^[0-9]{1,3}$/.test(line.value) ? Number(line.value) : null;
};

/**
 * raspberry-pi/bootflow-eeprom.adoc, Fail-safe OS updates: the flag follows the partition number in the argument of
 * `reboot`, is one-shot, and is cleared before anything is started, so that a crash or reset does not see it again. It
 * stands in a register of the chip: power-off loses it.
 */
export const requestOf = (reset: Reset): { readonly partition: number; readonly isTryboot: boolean } => {
  const none = { partition: 0, isTryboot: false };
  if (reset.kind !== 'reboot' || reset.argument === null) return none;
  const [number = '', ...words] = reset.argument.trim().split(/\s+/);
  if (!/^[0-9]{1,2}$/.test(number)) return none;
  return { partition: Number(number), isTryboot: words.includes('tryboot') };
};

/** Nothing tells what becomes of a longer file; here it is as if there were none. otad never writes one. */
const readAutoboot = ({ autoboot }: Medium): string =>
  autoboot === null || autoboot.length > autobootBytesMax ? '' : Buffer.from(autoboot).toString('latin1');

/** One start of the firmware. */
export const startFirmware = (reset: Reset, medium: Medium): FirmwareChoice => {
  const { partition: asked, isTryboot } = requestOf(reset);
  const text = readAutoboot(medium);
  // bootflow-eeprom.adoc, tryboot_a_b mode: config.txt is loaded as ever; without it the flag means tryboot.txt.
  const isAB = numberSetting(text, 'tryboot_a_b', isTryboot) === 1;
  const config: ConfigName = isTryboot && !isAB ? 'tryboot.txt' : 'config.txt';
  // autoboot.adoc, boot_partition: counts unless the argument of `reboot` named a partition; 0 is the default one.
  const wanted = asked !== 0 ? asked : (numberSetting(text, 'boot_partition', isTryboot) ?? 0);
  const all = Array.from({ length: partitionMax }, (_, index) => index + 1);
  const isBootable = (partition: number): boolean => medium.isBootable(partition, config);
  // autoboot.adoc, boot_partition: the default partition is the first bootable FAT partition.
  if (wanted === 0) return { partition: all.find(isBootable) ?? null, isTryboot, config };
  if (isBootable(wanted)) return { partition: wanted, isTryboot, config };
  // eeprom-bootloader.adoc, PARTITION_WALK: each partition in turn from the wanted one, wrapping; autoboot.txt is not
  // read again. Default on since the EEPROM releases of August 2025; before January 2025 there is none.
  const walk = medium.isWalking ? [...all.filter((number) => number > wanted), ...all] : [];
  return { partition: walk.find(isBootable) ?? null, isTryboot, config };
};
