#!/usr/bin/env bash
# Builds U-Boot from Debian's source package with otad's environment and boot script compiled in, and prints the folder
# with the results. Usage: u-boot-build.sh sandbox|qemu-arm64|qemu-amd64|raspberry-pi
# Results are kept under .device/u-boot, named by everything they were made from: the second run only prints.
# Installs what it needs with apt; apt's own settings are read and never changed.
set -euo pipefail

target=${1:-}
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/test/device
cache=$root/.device/u-boot
# The release that Debian 13 ships, the one that a product starting today would take.
suite=trixie
jobs=$(nproc)
# Over all commands that take long: unpacking and compiling.
seconds_max=1500

say() { printf 'u-boot: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

packages="make gcc bison flex bc swig python3-dev python3-setuptools libssl-dev libgnutls28-dev xxd bzip2 xz-utils patch dpkg-dev"
case $target in
  sandbox) variants="redundant modern single listed fat" packages="$packages strace mtools gdisk" board_values= ;;
  qemu-arm64)
    variants="redundant" packages="$packages gcc-aarch64-linux-gnu qemu-system-arm mtools gdisk"
    board_values="devtype=virtio devnum=0 kernel_addr_r=0x40400000 ramdisk_addr_r=0x44000000 fdt_addr_r=0x48000000 scriptaddr=0x40200000"
    export CROSS_COMPILE=aarch64-linux-gnu- ;;
  qemu-amd64)
    variants="redundant" packages="$packages python3-pyelftools acpica-tools"
    board_values="--board qemu-amd64-uboot" ;;
  raspberry-pi)
    variants="redundant" packages="$packages gcc-aarch64-linux-gnu" board_values="--board raspberry-pi-uboot"
    export CROSS_COMPILE=aarch64-linux-gnu- ;;
  *) fail "usage: $0 sandbox|qemu-arm64|qemu-amd64|raspberry-pi" ;;
esac

# What each binary is made of, later lines counting: files of settings, and single lines.
settings_of() {
  local sandbox="$here/u-boot-sandbox.config $root/image/uboot/otad.config"
  case $target-$1 in
    sandbox-redundant) cat $sandbox ;;
    sandbox-modern) cat $sandbox; printf '%s\n' CONFIG_HUSH_MODERN_PARSER=y '# CONFIG_HUSH_OLD_PARSER is not set' ;;
    sandbox-single) cat $sandbox; echo '# CONFIG_SYS_REDUNDAND_ENVIRONMENT is not set' ;;
    sandbox-listed) cat $sandbox "$root/image/uboot/listed.config" ;;
    sandbox-fat)
      cat $sandbox
      printf '%s\n' '# CONFIG_ENV_IS_IN_MMC is not set' CONFIG_ENV_IS_IN_FAT=y 'CONFIG_ENV_FAT_INTERFACE="host"' \
        'CONFIG_ENV_FAT_DEVICE_AND_PART="0:1"' ;;
    qemu-amd64-redundant) cat "$source/configs/qemu-x86_64_defconfig" "$root/image/uboot/"{qemu-amd64,otad,listed}.config ;;
    raspberry-pi-redundant) cat "$source/configs/rpi_arm64_defconfig" "$root/image/uboot/"{raspberry-pi,otad,listed}.config ;;
    qemu-arm64-redundant) cat "$source/configs/qemu_arm64_defconfig" "$root/image/uboot/"{qemu-arm64,otad}.config ;;
  esac
}

environment=$(node "$root/dist/image/uboot-environment.js" $board_values) || fail "run npm run build first"
hash=$(cat "$0" "$here"/u-boot-sandbox.{config,dts} "$root"/image/uboot/* - <<<"$environment" | sha256sum | cut -c1-16)
out=$cache/$target-$hash
if [ -e "$out/version" ]; then echo "$out"; exit 0; fi

mkdir -p "$cache"
# One build at a time: they share the source and the objects.
exec 9>"$cache/lock"
flock 9
if [ -e "$out/version" ]; then echo "$out"; exit 0; fi
say "building for $target; a few minutes the first time"

as_root=
if [ "$(id -u)" != 0 ]; then as_root="sudo -n"; fi
missing=$(for name in $packages; do dpkg-query -W -f '${Status}' "$name" 2>&1 | grep -q 'ok installed' || echo "$name"; done)
if [ -n "$missing" ]; then
  say "installing" $missing
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update || true
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing >&2 ||
    fail "install these packages and try again:" $missing
fi

# The mirror is the one that this machine's apt uses for its own release.
fetch_source() {
  local codename mirror apt=$cache/apt
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN) $(IDENTIFIER)' |
    awk -v release="$codename" '$2 == release && $3 == "main" && $4 == "Debian" && $5 == "Packages" { print $1; exit }')
  [ -n "$mirror" ] || fail "apt knows no Debian mirror here: run apt-get update on a Debian system"
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
  local options=(-q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt" -o Dir::Cache::archives="$apt/archives" -o APT::Sandbox::User=)
  rm -rf "$cache/source" "$cache/unpacked"
  mkdir -p "$cache/unpacked"
  apt-get "${options[@]}" update >&2
  # Both are checked against the signed index of sources, so the .dsc is not needed.
  (cd "$cache/unpacked" && apt-get "${options[@]}" --tar-only source u-boot >&2 && apt-get "${options[@]}" --diff-only source u-boot >&2)
  local debian
  debian=$(echo "$cache"/unpacked/*.debian.tar.xz)
  mkdir "$cache/unpacked/tree"
  tar -C "$cache/unpacked/tree" --strip-components=1 -xf "$cache"/unpacked/*.orig.tar.*[!c]
  tar -C "$cache/unpacked/tree" -xf "$debian"
  (
    cd "$cache/unpacked/tree"
    grep -v '^#' debian/patches/series | while read -r name _; do
      if [ -n "$name" ]; then patch -s -p1 <"debian/patches/$name"; fi
    done
    # The sandbox board has its own list of places for the environment; without it the generic one counts, as on a board.
    sed -i '/^\/\* specific order for sandbox/,/^int dram_init/{/^int dram_init/!d}' board/sandbox/sandbox.c
    if grep -q env_get_location board/sandbox/sandbox.c; then fail "board/sandbox/sandbox.c has changed"; fi
  )
  basename "$debian" .debian.tar.xz >"$cache/unpacked/tree/.version"
  mv "$cache/unpacked/tree" "$cache/source"
}

source=$cache/source
[ -e "$source/.version" ] || fetch_source
version=$(cat "$source/.version")
export SOURCE_DATE_EPOCH=1735689600

objects=$cache/objects-$target
rm -rf "$out" "$out.part"
mkdir -p "$objects" "$out.part"
printf '%s\n' "$environment" >"$objects/otad.env"
# Read by every board, those without a header of their own too.
header=$source/include/config_fallbacks.h
[ -e "$header.debian" ] || cp "$header" "$header.debian"
cmp -s <(cat "$header.debian" "$root/image/uboot/listed.h") "$header" || cat "$header.debian" "$root/image/uboot/listed.h" >"$header"

run_make() {
  local left=$((seconds_max - SECONDS))
  if ! timeout "$((left > 0 ? left : 1))" nice make -C "$source" O="$objects" "$@" >>"$cache/$target.log" 2>&1 </dev/null; then
    tail -n 25 "$cache/$target.log" >&2
    fail "the build failed; the whole log is $cache/$target.log"
  fi
}

: >"$cache/$target.log"
for variant in $variants; do
  say "$version, $target, $variant"
  settings_of "$variant" | sed "s|=\"otad.env\"|=\"$objects/otad.env\"|" >"$objects/.config"
  cp "$objects/.config" "$out.part/$variant.config"
  run_make olddefconfig
  own=$root/image/uboot/$target.config
  [ -e "$own" ] || own=/dev/null
  # A setting that the release does not know is dropped without a word, and with it what the script needs.
  sed "s|=\"otad.env\"|=\"$objects/otad.env\"|" "$root/image/uboot/otad.config" "$own" | grep -E '^CONFIG_' | while read -r line; do
    case $variant-$line in single-CONFIG_SYS_REDUNDAND*) continue ;; esac
    grep -qxF "$line" "$objects/.config" || fail "this U-Boot does not take $line"
  done
  case $target in
    sandbox) run_make -j"$jobs" u-boot tools && cp "$objects/u-boot" "$out.part/u-boot-$variant" ;;
    # The ROM has no target of its own: binman puts it together when all else is there.
    qemu-amd64) run_make -j"$jobs" all && cp "$objects/u-boot.rom" "$out.part/u-boot-$variant.rom" ;;
    *) run_make -j"$jobs" u-boot.bin && cp "$objects/u-boot.bin" "$out.part/u-boot-$variant.bin" ;;
  esac
done
cp "$objects/otad.env" "$out.part/otad.env"
cp "$objects/scripts/dtc/dtc" "$out.part/"
if [ "$target" = sandbox ]; then
  cp "$objects/tools/mkimage" "$out.part/"
  "$out.part/dtc" -q -I dts -O dtb -o "$out.part/board.dtb" "$here/u-boot-sandbox.dts"
fi
echo "$version" >"$out.part/version"
mv "$out.part" "$out"
say "built in $SECONDS s"
echo "$out"
