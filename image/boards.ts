// The boards that the reference image is built for, as data: architecture, kernel, modules, how their disk is divided. All
// of them start by systemd-boot. A new board is a new entry here and a folder of files in boards/.

export interface Board {
  readonly name: string;
  readonly architecture: 'amd64' | 'arm64';
  /** Architecture as the kernel and EFI name it. */
  readonly efiName: 'x64' | 'aa64';
  /** GUID of a root partition (Discoverable Partitions Specification). */
  readonly slotType: string;
  /** Stands for the kernel that is newest in the archive, or in the lock. */
  readonly kernelMetapackage: string;
  /** Loaded in the initramfs, in this order; dependencies come by themselves. */
  readonly initramfsModules: readonly string[];
  /** Besides those; what they depend on comes by itself. */
  readonly rootModules: readonly string[];
  /** Arguments that do not change from boot to boot. */
  readonly commandLine: readonly string[];
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
];

export const boards: readonly Board[] = [
  {
    name: 'qemu-amd64',
    architecture: 'amd64',
    efiName: 'x64',
    slotType: '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709',
    kernelMetapackage: 'linux-image-cloud-amd64',
    initramfsModules: ['i6300esb', 'ahci', 'sd_mod', 'virtio_scsi', ...commonInitramfsModules, 'efivarfs'],
    rootModules: commonRootModules,
    commandLine: ['console=ttyS0', ...commonCommandLine],
    sizesMiB: { boot: 128, slot: 192, data: 256 },
  },
];
