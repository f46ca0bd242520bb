/* SPDX-License-Identifier: MIT */
/*
 * A guest in one boot sector: counts, and says so on COM1, ten times a second.
 *
 *	TICK 1\r\n
 *	TICK 2\r\n
 *
 * Its first act is to fill FILL_MIB of memory with words of a linear congruence, and each tick it
 * writes its count into the first word of each of DIRTY_PAGES pages, so that to migrate it is work.
 * The count lives in memory that it checks at every tick (count and its complement, and the words
 * that the tick before left in the pages): where they differ it says "LOST n" and stops, for then
 * its memory is not what it was.
 *
 * It switches itself off when the power button is pressed (ACPI's fixed registers, where QEMU's
 * firmware puts them). It is the machine's own from the boot on: no call of the firmware, its own
 * interrupt for the timer, and data beyond 1 MiB through FS with a limit of 4 GiB.
 *
 *	as --32 -o tickguest.o tickguest.S
 *	ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o tick.img tickguest.o
 */
	.set	HZ, 100
	.set	TICKS_PER_COUNT, 10
	.set	FILL_MIB, 32
	.set	DIRTY_PAGES, 256
	.set	DIRTY_BASE, 0x200000
	.set	COM1, 0x3f8
	.set	PM1, 0x600

	.code16
	.globl	_start
_start:
	cli
	cld
	ljmp	$0, $1f
1:	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp

	/* FS: base 0, limit 4 GiB. */
	inb	$0x92, %al
	orb	$2, %al
	andb	$0xfe, %al
	outb	%al, $0x92
	lgdtl	gdt_at
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	movw	$8, %bx
	movw	%bx, %fs
	andb	$0xfe, %al
	movl	%eax, %cr0

	/* COM1: 115200, 8N1, FIFO, nothing interrupts. */
	movw	$init, %si
2:	lodsw
	testb	%al, %al
	jz	3f
	movzbw	%al, %dx
	addw	$COM1 - 0x10, %dx
	movb	%ah, %al
	outb	%al, %dx
	jmp	2b

	/* Timer: mode 2, HZ a second. Every interrupt but its own is masked. */
3:	movw	$tick, 8 * 4
	movw	$0, 8 * 4 + 2
	movb	$0xfe, %al
	outb	%al, $0x21
	movb	$0xff, %al
	outb	%al, $0xa1
	movb	$0x34, %al
	outb	%al, $0x43
	movw	$1193182 / HZ, %ax
	outb	%al, $0x40
	movb	%ah, %al
	outb	%al, $0x40

	/* The power button may set its status bit. */
	movw	$PM1 + 2, %dx
	movw	$0x100, %ax
	outw	%ax, %dx

	movl	$0x100000, %edi
	movl	$FILL_MIB * 0x40000, %ecx
	movl	$0x2545f491, %eax
4:	imull	$1664525, %eax, %eax
	addl	$1013904223, %eax
	movl	%eax, %fs:(%edi)
	addl	$4, %edi
	decl	%ecx
	jnz	4b

	movl	$0, count
	movl	$-1, count_not
	movl	$0, interrupts
	xorl	%eax, %eax
	call	mark
	sti

wait:	hlt
	movw	$PM1, %dx
	inw	%dx, %ax
	cmpw	$-1, %ax	/* no such registers */
	je	5f
	testb	$1, %ah
	jz	5f
	movw	$0x2000, %ax	/* sleep, of the type that is "off" */
	movw	$PM1 + 4, %dx
	outw	%ax, %dx
5:	cmpl	$TICKS_PER_COUNT, interrupts
	jb	wait
	movl	$0, interrupts

	movl	count, %eax
	movl	%eax, %ebx
	notl	%ebx
	cmpl	%ebx, count_not
	jne	lost
	call	check
	incl	%eax
	movl	%eax, count
	notl	%eax
	movl	%eax, count_not
	notl	%eax
	call	mark
	movw	$text_tick, %si
	call	print
	jmp	wait

lost:	movw	$text_lost, %si
	call	print
6:	cli
	hlt
	jmp	6b

/* %eax into the pages; keeps %eax. */
mark:	movl	$DIRTY_BASE, %edi
	movw	$DIRTY_PAGES, %cx
7:	movl	%eax, %fs:(%edi)
	addl	$4096, %edi
	decw	%cx
	jnz	7b
	ret

/* Whether it is there still; keeps %eax. */
check:	movl	$DIRTY_BASE, %edi
	movw	$DIRTY_PAGES, %cx
8:	cmpl	%eax, %fs:(%edi)
	jne	lost
	addl	$4096, %edi
	decw	%cx
	jnz	8b
	ret

/* The text at %si, a decimal %eax, and the end of the line. */
print:	lodsb
	testb	%al, %al
	jz	9f
	call	put
	jmp	print
9:	movl	count, %eax
	movl	$10, %ebx
	xorw	%cx, %cx
10:	xorl	%edx, %edx
	divl	%ebx
	addb	$'0', %dl
	pushw	%dx
	incw	%cx
	testl	%eax, %eax
	jnz	10b
11:	popw	%ax
	call	put
	loop	11b
	movb	$'\r', %al
	call	put
	movb	$'\n', %al
put:	movb	%al, %ah
	movw	$COM1 + 5, %dx
12:	inb	%dx, %al
	testb	$0x20, %al
	jz	12b
	movw	$COM1, %dx
	movb	%ah, %al
	outb	%al, %dx
	ret

tick:	pushw	%ax
	incl	%cs:interrupts
	movb	$0x20, %al
	outb	%al, $0x20
	popw	%ax
	iretw

	/* Register of COM1 + 0x10, value. */
init:	.byte	0x11, 0x00, 0x13, 0x80, 0x10, 0x01, 0x11, 0x00
	.byte	0x13, 0x03, 0x12, 0x07, 0x14, 0x03, 0x00, 0x00
text_tick: .asciz "TICK "
text_lost: .asciz "LOST "

	.balign	4
gdt:	.quad	0
	.quad	0x00cf92000000ffff
gdt_at:	.word	15
	.long	gdt

	.org	510
	.word	0xaa55

	.set	count, 0x8000
	.set	count_not, 0x8004
	.set	interrupts, 0x8008
