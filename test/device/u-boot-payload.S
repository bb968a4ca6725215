/* Stands for a kernel: looks through the device tree that U-Boot hands over for our arguments, prints them on the serial
   port of QEMU's `virt` machine and turns the power off. Starts with the header of an arm64 Image. */
	.text
	b	start
	.long	0
	.quad	0		/* text offset */
	.quad	0x10000		/* size in memory */
	.quad	0xa		/* little-endian, 4 KiB pages, anywhere */
	.quad	0, 0, 0
	.ascii	"ARM\x64"
	.long	0
start:
	mov	x1, #0x09000000
	adr	x4, wanted
	add	x7, x0, #0x100000
next:
	cmp	x0, x7
	b.eq	off
	mov	x5, #0
compare:
	ldrb	w2, [x4, x5]
	cbz	w2, found
	ldrb	w3, [x0, x5]
	add	x5, x5, #1
	cmp	w2, w3
	b.eq	compare
	add	x0, x0, #1
	b	next
found:
	adr	x4, prefix
mark:
	ldrb	w2, [x4], #1
	cbz	w2, say
	str	w2, [x1]
	b	mark
say:
	ldrb	w2, [x0], #1
	cbz	w2, off
	str	w2, [x1]
	b	say
off:
	mov	w2, #10
	str	w2, [x1]
	/* PSCI SYSTEM_OFF */
	movz	w0, #0x0008
	movk	w0, #0x8400, lsl #16
	hvc	#0
	b	.
wanted:	.asciz	"otad.slot="
prefix:	.asciz	"@kernel "
