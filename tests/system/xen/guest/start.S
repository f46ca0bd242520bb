/* SPDX-License-Identifier: MIT */
/*
 * Where the domain builder enters the guest: 32 bits, flat, no paging, the physical address of the
 * start info in ebx (Xen's misc/pvh, "x86/HVM direct boot ABI"). From here to 64 bits with the first
 * 4 GiB mapped as they are, then main(). Also what an event and a fault enter.
 */
	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 4, 18			/* length of the name, of the value; PHYS32_ENTRY */
	.asciz "Xen"
	.long start32

	.section .text.start, "ax"
	.code32
	.globl start32
start32:
	cld
	movl $stack_top, %esp
	movl %ebx, %esi			/* rdmsr and the loops leave it alone */

	movl $pdpt + 3, pml4		/* present, writable */
	movl $4, %ecx
	movl $pdpt, %edi
	movl $pd + 3, %eax
1:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	decl %ecx
	jnz 1b

	movl $2048, %ecx
	movl $pd, %edi
	movl $0x83, %eax		/* present, writable, 2 MiB */
1:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	decl %ecx
	jnz 1b

	movl $pml4, %eax
	movl %eax, %cr3
	movl %cr4, %eax
	orl $0x20, %eax			/* PAE */
	movl %eax, %cr4
	movl $0xc0000080, %ecx		/* EFER */
	rdmsr
	orl $0x100, %eax		/* LME */
	wrmsr
	movl %cr0, %eax
	orl $0x80000001, %eax		/* PG, PE */
	movl %eax, %cr0
	lgdt gdt_pointer
	ljmp $8, $start64

	.code64
start64:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movq $stack_top, %rsp
	movl %esi, %edi
	call guest_main
1:	cli
	hlt
	jmp 1b

	/* An event: Xen's mark is taken back before anybody looks at which, and that it came, counted. */
	.globl upcall_entry
	.balign 16
upcall_entry:
	movb $0, shared_page(%rip)	/* vcpu_info[0].evtchn_upcall_pending */
	incl upcalls(%rip)
	iretq

	/* Faults, none of which is survived; 32 bytes each, which machine_init() counts on. */
	.globl fault_entries
	.balign 32
fault_entries:
	.set vector, 0
	.rept 32
	.balign 32
	movl $vector, %edi
	jmp fault
	.set vector, vector + 1
	.endr
fault:
	movq (%rsp), %rsi
	movq 8(%rsp), %rdx
	movq %cr2, %rcx
	andq $-16, %rsp
	call machine_fault

	.section .data
	.balign 8
gdt:
	.quad 0
	.quad 0x00af9a000000ffff	/* code, 64 bits */
	.quad 0x00cf92000000ffff	/* data */
gdt_pointer:
	.word . - gdt - 1
	.long gdt
	.long 0

	.section .bss
	.balign 4096
	.globl hypercall_page, shared_page
pml4:		.skip 4096
pdpt:		.skip 4096
pd:		.skip 4 * 4096
hypercall_page:	.skip 4096
shared_page:	.skip 4096
	.skip 16384
stack_top:
	.section .note.GNU-stack, "", @progbits
