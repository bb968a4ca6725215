// The boards that the reference image is built for, as data. A root is one build of the system; boards that share a root
// differ in how they start and how their disk is divided, never in a byte of the root. A new board is a new entry here.

export interface Root {
  readonly architecture: 'amd64' | 'arm64';
  /** Architecture as EFI names it in its files. */
  readonly efiName: 'x64' | 'aa64';
  /** GUID of a root partition (Discoverable Partitions Specification). */
  readonly slotType: string;
  /** Stands for the kernel that is newest in the archive, or in the lock. */
  readonly kernelMetapackage: string;
  /** Unpacked beside the kernel, never installed: what boards of this root start by. */
  readonly bootPackages: readonly string[];
  /** Parts of the archive that those come from, beside `main`. */
  readonly bootComponents: readonly string[];
  /** Loaded in the initramfs, in this order; dependencies come by themselves. */
  readonly initramfsModules: readonly string[];
  /** Besides those; what they depend on comes by itself. */
  readonly rootModules: readonly string[];
}

/** How a board starts; it decides which partitions stand before the slots. */
export type Start =
  | { readonly kind: 'systemd-boot' }
  /** uboot/NAME.env has what is compiled in beside the boot script. */
  | { readonly kind: 'u-boot' }
  /** Raspberry Pi: its firmware starts U-Boot, which lies on the disk. */
  | { readonly kind: 'pi-u-boot' }
  /** Raspberry Pi: its firmware starts the kernel, and knows one trial. */
  | { readonly kind: 'tryboot' };

export interface Board {
  readonly name: string;
  readonly root: Root;
  readonly start: Start;
  /** Arguments that do not change from boot to boot. */
  readonly commandLine: readonly string[];
  /** `boot`: of each partition with kernel and initramfs. */
  readonly sizesMiB: { readonly boot: number; readonly slot: number; readonly data: number };
}

const commonRootModules = [
  'virtio_net',
  'virtio_console',
  'virtio-rng',
  'vfat',
  'nls_ascii',
  'nls_cp437',
  'nls_iso8859-1',
  'autofs4',
  'loop',
  'tun',
  'nf_tables',
];

const commonCommandLine = [
  'rootwait',
  'panic=10',
  'quiet',
  'loglevel=4',
  // The image says what is mounted; nothing is guessed from the partition table.
  'systemd.gpt_auto=no',
  'systemd.show_status=auto',
];

const commonInitramfsModules = [
  'virtio_pci',
  'virtio_mmio',
  'virtio_blk',
  'nvme',
  'dm_verity',
  'squashfs',
  'ext4',
  'overlay',
  // For a word to the bootloader when the slot cannot be opened.
  'vfat',
  'nls_cp437',
  'nls_ascii',
];

const amd64: Root = {
  architecture: 'amd64',
  efiName: 'x64',
  slotType: '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709',
  kernelMetapackage: 'linux-image-cloud-amd64',
  bootPackages: ['systemd-boot-efi'],
  bootComponents: [],
  initramfsModules: ['i6300esb', 'ahci', 'sd_mod', 'virtio_scsi', ...commonInitramfsModules, 'efivarfs'],
  rootModules: commonRootModules,
};

const arm64: Root = {
  architecture: 'arm64',
  efiName: 'aa64',
  slotType: 'B921B045-1DF0-41C3-AF44-4C6F280D3FAE',
  kernelMetapackage: 'linux-image-arm64',
  bootPackages: ['raspi-firmware'],
  bootComponents: ['non-free-firmware'],
  // Watchdog first; then the Pi's own: SD card, USB (which hangs on PCIe), network.
  initramfsModules: [
    ...['bcm2835_wdt', 'i6300esb', 'sdhci_iproc', 'bcm2835', 'mmc_block', 'reset_raspberrypi'],
    ...['pcie_brcmstb', 'xhci_pci', 'uas', 'usb_storage', ...commonInitramfsModules],
  ],
  rootModules: [...commonRootModules, 'genet', 'bcm_phy_lib', 'broadcom', 'macb', 'raspberrypi_cpufreq'],
};

const piCommandLine = ['console=ttyS1,115200', 'console=tty1', ...commonCommandLine];

export const boards: readonly Board[] = [
  {
    name: 'qemu-amd64',
    root: amd64,
    start: { kind: 'systemd-boot' },
    commandLine: ['console=ttyS0', ...commonCommandLine],
    sizesMiB: { boot: 128, slot: 192, data: 256 },
  },
  {
    name: 'qemu-amd64-uboot',
    root: amd64,
    start: { kind: 'u-boot' },
    // U-Boot sets up fewer memory type registers than the kernel expects, and it would throw away most of the memory.
    commandLine: ['console=ttyS0', 'disable_mtrr_trim', ...commonCommandLine],
    sizesMiB: { boot: 64, slot: 192, data: 256 },
  },
  {
    name: 'raspberry-pi-tryboot',
    root: arm64,
    start: { kind: 'tryboot' },
    commandLine: piCommandLine,
    sizesMiB: { boot: 128, slot: 256, data: 256 },
  },
  {
    name: 'raspberry-pi-uboot',
    root: arm64,
    start: { kind: 'pi-u-boot' },
    commandLine: piCommandLine,
    sizesMiB: { boot: 128, slot: 256, data: 256 },
  },
];

/** Throws what `refuse` makes of the names that are known. */
export const findBoard = (name: string, refuse: (known: string) => Error): Board => {
  const board = boards.find((known) => known.name === name);
  if (board !== undefined) return board;
  throw refuse(boards.map((known) => known.name).join(', '));
};
