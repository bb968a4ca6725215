# otad: A/B boot logic for U-Boot (hush). How it gets into a board: docs/guides/u-boot.md
# The rules are those of firmware.ts: a slot on trial is counted before it starts, a confirmed one never is;
# without tries everywhere the slots that have a verity root get them back; nothing in the environment stops it.
#
# Needs: test, setenv, saveenv, for. With setexpr the sequence number is raised at each save; without, it is left.
# A board can set otad_bootargs (arguments before ours) and otad_boot (loads and starts slot ${otad_slot}; the default
# takes Image, initrd and board.dtb from partition boot_a or boot_b). Both may be compiled in. bootargs belongs to
# this script. Words that start with o_ are local to it and never saved.

o_dirty=
o_unsaved=
o_again=

# No sequence number: nobody has confirmed anything in this environment, so both slots are counted.
if test -z "${otad_seq}"; then
  if test "${otad_trial}" != "A B"; then setenv otad_trial "A B"; o_dirty=1; fi
fi

# Slots that something vouches for; both when nothing does.
o_rooted=
if test -n "${otad_a_root}"; then o_rooted=A; fi
if test -n "${otad_b_root}"; then
  if test -n "${o_rooted}"; then o_rooted="A B"; else o_rooted=B; fi
fi
if test -z "${o_rooted}"; then o_rooted="A B"; fi

# The counters and one less than each, without setexpr. What is not one digit is a full counter.
# U-Boot's older shell reads quotation marks in a value as its own: a test may then be a syntax error, which leaves the
# result of the command before it (hence 'false'), or be about other words. So only constants are kept, never the value.
o_prev=0
o_a_left=
o_b_left=
for o_n in 0 1 2 3 4 5 6 7 8 9; do
  false
  if test "${BOOT_A_LEFT}" = "${o_n}"; then o_a_left=${o_n}; o_a_less=${o_prev}; fi
  false
  if test "${BOOT_B_LEFT}" = "${o_n}"; then o_b_left=${o_n}; o_b_less=${o_prev}; fi
  o_prev=${o_n}
done
if test -z "${o_a_left}"; then setenv BOOT_A_LEFT 3; o_a_left=3; o_a_less=2; o_dirty=1; fi
if test -z "${o_b_left}"; then setenv BOOT_B_LEFT 3; o_b_left=3; o_b_less=2; o_dirty=1; fi

# The order, each slot once. A lost one is made anew and leaves out slots without a root.
o_first=
o_second=
for o_s in ${BOOT_ORDER} end; do
  o_known=
  false
  if test "${o_s}" = A; then o_known=A; fi
  false
  if test "${o_s}" = B; then o_known=B; fi
  if test -n "${o_known}"; then
    if test -z "${o_first}"; then
      o_first=${o_known}
    elif test "${o_known}" != "${o_first}"; then
      o_second=${o_known}
    fi
  fi
done
if test -z "${o_first}"; then
  setenv BOOT_ORDER "${o_rooted}"
  o_dirty=1
  if test "${o_rooted}" = B; then o_first=B; else o_first=A; fi
  if test "${o_rooted}" = "A B"; then o_second=B; fi
fi

# No tries left anywhere: the slots that may still hold a system get them back and are counted again.
o_alive=
for o_s in ${o_first} ${o_second}; do
  if test "${o_s}" = A -a "${o_a_left}" != 0; then o_alive=1; fi
  if test "${o_s}" = B -a "${o_b_left}" != 0; then o_alive=1; fi
done
if test -z "${o_alive}"; then
  echo "otad: no tries left, giving them back to ${o_rooted}"
  if test "${o_rooted}" = "A B"; then
    if test "${o_first}" = B; then o_second=A; else o_second=B; fi
    setenv BOOT_ORDER "${o_first} ${o_second}"
  else
    o_first=${o_rooted}
    o_second=
    setenv BOOT_ORDER "${o_first}"
  fi
  for o_s in ${o_first} ${o_second}; do
    setenv BOOT_${o_s}_LEFT 3
    if test "${o_s}" = A; then o_a_left=3; o_a_less=2; else o_b_left=3; o_b_less=2; fi
  done
  setenv otad_trial "${o_rooted}"
  o_dirty=1
fi

o_a_trial=
o_b_trial=
for o_s in ${otad_trial} end; do
  false
  if test "${o_s}" = A; then o_a_trial=1; fi
  false
  if test "${o_s}" = B; then o_b_trial=1; fi
done

# After 'again': only slots whose counter could not be saved, and only because nothing else starts.
for o_s in ${o_first} ${o_second} again ${o_first} ${o_second}; do
  o_go=
  o_left=0
  if test "${o_s}" = again; then
    o_again=1
  elif test "${o_s}" = A; then
    o_slot=a
    o_left=${o_a_left}
    o_less=${o_a_less}
    o_trial=${o_a_trial}
    o_root=${otad_a_root}
    o_offset=${otad_a_hashoffset}
  else
    o_slot=b
    o_left=${o_b_left}
    o_less=${o_b_less}
    o_trial=${o_b_trial}
    o_root=${otad_b_root}
    o_offset=${otad_b_hashoffset}
  fi
  if test "${o_left}" != 0; then
    if test -n "${o_again}"; then
      if test -n "${o_unsaved}" -a -n "${o_trial}"; then o_go=1; fi
    else
      o_go=1
      # Counted before it starts: a system that hangs must find its counter lower next time.
      if test -n "${o_trial}"; then setenv BOOT_${o_s}_LEFT ${o_less}; o_dirty=1; fi
      if test -n "${o_dirty}"; then
        if test -n "${otad_seq}"; then setexpr otad_seq ${otad_seq} + 1; fi
        if saveenv; then
          o_dirty=
        else
          o_unsaved=1
          # A trial that is not counted never ends: first see whether a confirmed slot starts.
          if test -n "${o_trial}"; then setenv BOOT_${o_s}_LEFT ${o_left}; o_go=; fi
        fi
      fi
    fi
  fi
  if test -n "${o_go}"; then
    echo "otad: starting slot ${o_s}"
    setenv otad_slot ${o_slot}
    setenv bootargs "${otad_bootargs} otad.slot=${o_slot}"
    if test -n "${o_root}"; then setenv bootargs "${bootargs} otad.root=${o_root}"; fi
    if test -n "${o_offset}"; then setenv bootargs "${bootargs} otad.hashoffset=${o_offset}"; fi
    # For what watches over a trial in Linux without being able to read the environment.
    if test -n "${o_trial}"; then setenv bootargs "${bootargs} otad.trial=1"; fi
    if test -n "${otad_boot}"; then
      run otad_boot
    elif part number ${devtype} ${devnum} boot_${o_slot} otad_part; then
      if load ${devtype} ${devnum}:${otad_part} ${fdt_addr_r} board.dtb; then
        if load ${devtype} ${devnum}:${otad_part} ${kernel_addr_r} Image; then
          if load ${devtype} ${devnum}:${otad_part} ${ramdisk_addr_r} initrd; then
            booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr_r}
          fi
        fi
      fi
    fi
    # Back here: the slot could not be opened. A confirmed slot pays for that, so that it cannot hold the board in a loop.
    echo "otad: slot ${o_s} could not be started"
    setenv otad_slot
    setenv otad_part
    setenv bootargs
    if test -z "${o_trial}"; then setenv BOOT_${o_s}_LEFT ${o_less}; o_dirty=1; fi
  fi
done

if test -n "${o_dirty}"; then
  if test -n "${otad_seq}"; then setexpr otad_seq ${otad_seq} + 1; fi
  saveenv
fi
echo "otad: nothing could be started"
reset
