/* For CONFIG_ENV_WRITEABLE_LIST: append this to include/configs/BOARD.h, or to include/config_fallbacks.h. What boot.cmd stores, and what it needs to set. */
#ifdef CONFIG_ENV_WRITEABLE_LIST
#define CFG_ENV_FLAGS_LIST_STATIC \
	"BOOT_ORDER:sw,BOOT_A_LEFT:sw,BOOT_B_LEFT:sw," \
	"otad_seq:sw,otad_trial:sw," \
	"otad_a_root:sw,otad_b_root:sw," \
	"otad_a_hashoffset:sw,otad_b_hashoffset:sw," \
	"otad_slot:sw,otad_part:sw,bootargs:sw,filesize:sw,fileaddr:sw," \
	"fdt_addr:sw,fdtcontroladdr:sw"
#endif
