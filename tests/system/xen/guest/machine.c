/* SPDX-License-Identifier: MIT */
/*
 * The virtual machine. Invariant: an event that came after the last wait ended ends the next one at
 * once. Of what is here nothing is lost when the guest finds itself in another domain without
 * having been told, but where the shared page is, which is therefore said again with each wait.
 */
#include <stdint.h>

#include <xen/arch-x86/hvm/start_info.h>
#include <xen/event_channel.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>
#include <xen/memory.h>
#include <xen/vcpu.h>

#include "machine.h"
#include "text.h"

#define CPUID_XEN 0x40000000u
#define CPUID_XEN_END 0x40010000u
#define DEBUG_PORT 0xe9
#define N_FAULTS 32
#define UPCALL_VECTOR 0xf3

struct gate {
	uint16_t offset_low, selector, flags, offset_middle;
	uint32_t offset_high, zero;
};

extern char hypercall_page[], fault_entries[], upcall_entry[]; /* of start.S */
extern struct shared_info shared_page;
uint32_t upcalls;
static struct gate gates[256];

static struct {
	const struct hvm_start_info *info;
	struct xenstore_domain_interface *store;
	struct xencons_interface *console;
	evtchn_port_t store_port, console_port;
	uint32_t tsc_mul;
	int8_t tsc_shift;
	bool aware;
} machine;

static long hypercall3(unsigned int number, unsigned long a, unsigned long b, unsigned long c)
{
	char *entry = hypercall_page + number * 32ul;
	long ret;

	__asm__ volatile("call *%4"
			 : "=a"(ret), "+D"(a), "+S"(b), "+d"(c)
			 : "r"(entry)
			 : "memory", "rcx", "r8", "r9", "r10", "r11");
	return ret;
}

static long hypercall(unsigned int number, unsigned int op, const void *argument)
{
	return hypercall3(number, op, (unsigned long)argument, 0);
}

static void debug_say(const char *s)
{
	for (; *s; s++)
		__asm__ volatile("outb %0, %1" : : "a"(*s), "Nd"((uint16_t)DEBUG_PORT));
}

static _Noreturn void give_up(const char *why)
{
	debug_say("guest: ");
	debug_say(why);
	debug_say("\n");
	machine_end(SHUTDOWN_crash);
}

_Noreturn void machine_fault(uint32_t vector, uint64_t a, uint64_t b, uint64_t address);

_Noreturn void machine_fault(uint32_t vector, uint64_t a, uint64_t b, uint64_t address)
{
	char buf[128];
	struct text t = TEXT_OF(buf);

	text_add(&t, "fault");
	text_add_field(&t, "vector", vector);
	text_add_field(&t, "at", a);
	text_add_field(&t, "or", b);
	text_add_field(&t, "address", address);
	give_up(buf);
}

static void cpuid(uint32_t leaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
			 : "a"(leaf), "c"(0));
}

/* Any exit is an exit: without the page there is no hypercall to say anything by. */
static void hypercalls_map(void)
{
	uint64_t page = (uint64_t)hypercall_page;
	uint32_t leaf, id[4];

	for (leaf = CPUID_XEN; leaf < CPUID_XEN_END; leaf += 0x100) {
		cpuid(leaf, id);
		if (id[1] == 0x566e6558 && id[2] == 0x65584d4d && id[3] == 0x4d4d566e)
			break; /* XenVMMXenVMM */
	}
	cpuid(leaf + 2, id);
	__asm__ volatile("wrmsr"
			 :
			 : "c"(id[1]), "a"((uint32_t)page), "d"((uint32_t)(page >> 32))
			 : "memory");
}

static void gate_set(unsigned int vector, const char *entry)
{
	uint64_t at = (uint64_t)entry;

	gates[vector] = (struct gate){ .offset_low = (uint16_t)at,
				       .selector = 8,
				       .flags = 0x8e00,
				       .offset_middle = (uint16_t)(at >> 16),
				       .offset_high = (uint32_t)(at >> 32) };
}

static void gates_load(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} pointer = { sizeof(gates) - 1, (uint64_t)gates };
	unsigned int i;

	for (i = 0; i < N_FAULTS; i++)
		gate_set(i, fault_entries + 32ul * i);
	gate_set(UPCALL_VECTOR, upcall_entry);
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

static uint64_t param_get(uint32_t index)
{
	struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index };

	if (hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, &p))
		give_up("a parameter is not told");
	return p.value;
}

static void unmask(evtchn_port_t port)
{
	struct evtchn_unmask u = { .port = port };

	(void)hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_unmask, &u);
}

static void shared_map(void)
{
	struct xen_add_to_physmap map = { .domid = DOMID_SELF,
					  .space = XENMAPSPACE_shared_info,
					  .gpfn = (uint64_t)&shared_page >> 12 };

	if (hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &map))
		give_up("no shared page");
}

/* All that a domain made anew has not kept: on first start and after each suspension. */
static void host_attach(void)
{
	shared_map();
	machine.store = (void *)(param_get(HVM_PARAM_STORE_PFN) << 12);
	machine.store_port = (evtchn_port_t)param_get(HVM_PARAM_STORE_EVTCHN);
	machine.console = (void *)(param_get(HVM_PARAM_CONSOLE_PFN) << 12);
	machine.console_port = (evtchn_port_t)param_get(HVM_PARAM_CONSOLE_EVTCHN);
	unmask(machine.store_port);
	(void)hypercall3(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
}

static void upcalls_attach(void)
{
	struct xen_hvm_param via = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ };

	via.value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | UPCALL_VECTOR;
	if (hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, &via))
		give_up("no upcalls");
}

void machine_init(uint32_t start_info_paddr)
{
	const volatile struct vcpu_time_info *t = &shared_page.vcpu_info[0].time;

	machine.info = (void *)(uint64_t)start_info_paddr;
	hypercalls_map();
	gates_load();
	host_attach();
	machine.tsc_mul = t->tsc_to_system_mul;
	machine.tsc_shift = t->tsc_shift;
}

void machine_take_upcalls(void)
{
	machine.aware = true;
	upcalls_attach();
	__asm__ volatile("sti");
}

bool machine_is_aware(void)
{
	return machine.aware;
}

const char *machine_command_line(void)
{
	return machine.info->cmdline_paddr ? (const char *)machine.info->cmdline_paddr : "";
}

static uint64_t tsc_read(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static uint64_t tsc_to_ns(uint64_t tsc)
{
	tsc = machine.tsc_shift < 0 ? tsc >> -machine.tsc_shift : tsc << machine.tsc_shift;
	return (uint64_t)(((unsigned __int128)tsc * machine.tsc_mul) >> 32);
}

uint64_t machine_now_ns(void)
{
	return tsc_to_ns(tsc_read());
}

/* Xen's time when the guest's own will be until_ns, as the shared page has it. */
static uint64_t host_time_ns(uint64_t until_ns)
{
	const volatile struct vcpu_time_info *t = &shared_page.vcpu_info[0].time;
	uint64_t then_ns, now_ns = machine_now_ns(), ns;
	uint32_t version;

	do {
		version = t->version;
		BARRIER();
		then_ns = tsc_to_ns(t->tsc_timestamp);
		ns = t->system_time;
		BARRIER();
	} while ((version & 1) || version != t->version);
	ns += now_ns - then_ns;
	return until_ns > now_ns ? ns + (until_ns - now_ns) : ns;
}

struct xenstore_domain_interface *machine_store_ring(void)
{
	return machine.store;
}

static void notify(evtchn_port_t port)
{
	struct evtchn_send s = { .port = port };

	(void)hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &s);
}

void machine_store_notify(void)
{
	notify(machine.store_port);
}

/*
 * Whoever waits looks himself at what he waits for: which event it was does not matter. Xen raises
 * an upcall when it sets a selector that was not set, so none may be left behind: it is over when
 * the selector was found clear.
 */
static void events_clear(void)
{
	unsigned long words;

	while ((words = __atomic_exchange_n(&shared_page.vcpu_info[0].evtchn_pending_sel, 0,
					    __ATOMIC_SEQ_CST)))
		for (; words; words &= words - 1)
			(void)__atomic_exchange_n(
				&shared_page.evtchn_pending[__builtin_ctzl(words)], 0,
				__ATOMIC_SEQ_CST);
}

/*
 * By the hypervisor's own look at the port, which it has in any domain. An aware guest does not
 * halt either: an emulated processor may take the upcall between sti and hlt, which then waits for
 * ever.
 */
void machine_wait(uint64_t until_ns)
{
	struct sched_poll poll = { .nr_ports = 1 };

	if (!machine.aware)
		shared_map();
	set_xen_guest_handle(poll.ports, &machine.store_port);
	if (until_ns != UINT64_MAX)
		poll.timeout = host_time_ns(until_ns);
	(void)hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, &poll);
	if (!machine.aware)
		shared_map();
	events_clear();
}

uint32_t machine_upcalls(void)
{
	return __atomic_load_n(&upcalls, __ATOMIC_SEQ_CST);
}

static void console_put(char c)
{
	struct xencons_interface *con = machine.console;
	XENCONS_RING_IDX prod = con->out_prod;

	if (prod - con->out_cons >= sizeof(con->out))
		return;
	con->out[MASK_XENCONS_IDX(prod, con->out)] = c;
	BARRIER();
	con->out_prod = prod + 1;
}

void machine_say(const char *line)
{
	for (; *line; line++)
		console_put(*line);
	console_put('\n');
	notify(machine.console_port);
}

_Noreturn void machine_end(unsigned int reason)
{
	struct sched_shutdown s = { .reason = reason };

	for (;;)
		(void)hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &s);
}

bool machine_suspend(void)
{
	struct sched_shutdown s = { .reason = SHUTDOWN_suspend };
	long cancelled;

	__asm__ volatile("cli" : : : "memory");
	cancelled = hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &s);
	if (!cancelled) {
		host_attach();
		upcalls_attach();
	}
	__asm__ volatile("sti" : : : "memory");
	return cancelled != 0;
}
