/* SPDX-License-Identifier: MIT */
/*
 * The sandbox. Invariant: steps are only ever taken, never undone, and each holds for whatever the
 * process runs later.
 */
#include "keeper/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <seccomp.h>

#include "base/log.h"
#include "base/own.h"

#define FILE_SIZE_MAX (64ull << 30) /* octets of a file that a worker writes */

/* Sanitizers read /proc, and trace threads of their own at the end. */
#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

/* A descriptor more than the keeper gave is no gain; a file larger than any of ours is a mistake.
 */
static void limit_files(void)
{
	struct rlimit rl = { FILE_SIZE_MAX, FILE_SIZE_MAX };

	if (setrlimit(RLIMIT_FSIZE, &rl))
		log_info("sandbox: file size: %s", strerror(errno));
}

static void leave_network(int netns)
{
	if (netns < 0 || setns(netns, CLONE_NEWNET))
		log_info("sandbox: the network namespace stays: not permitted");
}

/* Of all sets, the bounding one too: exec of a root's program gives none back. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0, 0, 0 } };

	int has;

	/* not permitted: there is none to lose */
	for (unsigned long cap = 0; (has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0)) >= 0; cap++)
		if (has)
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &head, none) ? -errno : 0;
}

/* What may be opened, and for what. */
struct place {
	const char *path;
	uint64_t access;
};

static void allow_place(int ruleset, const struct place *p)
{
	struct landlock_path_beneath_attr beneath = {
		.allowed_access = p->access,
		.parent_fd = open(p->path, O_PATH | O_CLOEXEC),
	};

	if (beneath.parent_fd < 0)
		return; /* what is not there needs no permission */
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0))
		log_warning("sandbox: %s: %s", p->path, strerror(errno));
	close(beneath.parent_fd);
}

static int fence_files(const struct sandbox *s)
{
	const uint64_t use = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
			     LANDLOCK_ACCESS_FS_READ_DIR;
	const struct place sim[] = { { s->dir, use } };
	const struct place xen[] = { { "/dev/xen", use }, { "/proc/xen", use } };
	/* everything that the first version of Landlock knows */
	struct landlock_ruleset_attr attr = {
		.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
	};
	int ruleset, err = 0;

	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0) {
		log_notice("sandbox: this kernel has no Landlock: files are fenced by mode alone");
		return 0;
	}
	if (s->dir)
		allow_place(ruleset, sim);
	for (size_t i = 0; i < ARRAY_LEN(xen) && !s->dir; i++)
		allow_place(ruleset, &xen[i]);
	if (syscall(SYS_landlock_restrict_self, ruleset, 0))
		err = errno;
	close(ruleset);
	return -err;
}

int sandbox_enter(const struct sandbox *s)
{
	int r;

	tzset(); /* its file cannot be read later */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	leave_network(s->netns);
	limit_files();
	r = drop_capabilities();
	if (!r && !IS_SANITIZED)
		r = fence_files(s);
	return r;
}

/* What serving needs, start and end of a worker included. */
static const int allowed[] = {
	/* connections and the keeper */
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),
	/* the loop */
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(eventfd2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(ioctl),
	SCMP_SYS(pipe2),
	/* journal, trace file, rings, event channels; openat is fenced by Landlock */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(openat),
	SCMP_SYS(fcntl),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(msync),
	SCMP_SYS(dup),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(sysinfo),
	/* time, chance, signals, the end */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getrandom),
	SCMP_SYS(futex),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(sched_yield),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* Nobody calls these by mistake; everything else that is not allowed is refused with EPERM. */
static const int hostile[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(socket),
	SCMP_SYS(connect),
	SCMP_SYS(bind),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(clone),
	SCMP_SYS(clone3),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(mount),
	SCMP_SYS(chroot),
	SCMP_SYS(pivot_root),
	SCMP_SYS(bpf),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(reboot),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(setuid),
	SCMP_SYS(setresuid),
};

static int add_rules(scmp_filter_ctx ctx)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(allowed) && !r; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	for (size_t i = 0; i < ARRAY_LEN(hostile) && !r; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, hostile[i], 0);
	/* memory that is executed is there from the start */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* abort */
	if (!r)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
	return r;
}

int sandbox_seal(const struct sandbox *s)
{
	scmp_filter_ctx ctx;
	int r;

	(void)s;
	if (IS_SANITIZED) {
		log_info("sandbox: a sanitizer is at work: system calls stay");
		return 0;
	}
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return -ENOMEM;
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a search, not a list */
	r = add_rules(ctx);
	if (!r)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}
