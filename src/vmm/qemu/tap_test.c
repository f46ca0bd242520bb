/* SPDX-License-Identifier: MIT */
/*
 * Taps, in a network of their own that nobody else sees. Skipped where that may not be made.
 */
#include "vmm/qemu/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_up(int s, const char *name)
{
	struct ifreq ifr = { 0 };

	strncpy(ifr.ifr_name, name, IFNAMSIZ - 1);
	return ioctl(s, SIOCGIFFLAGS, &ifr) == 0 && ifr.ifr_flags & IFF_UP;
}

static int network_of_its_own(void)
{
	if (unshare(CLONE_NEWNET) || access("/dev/net/tun", R_OK | W_OK)) {
		print_message("# no network namespace, or no /dev/net/tun: %s\n", strerror(errno));
		skip();
	}
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void a_tap_is_up_and_in_its_bridge_and_ends_with_its_descriptor(void **state)
{
	struct def_nic nic = { .type = (char[]){ "bridge" }, .source = (char[]){ "br7" } };
	int s = network_of_its_own(), first, second;
	struct ifreq ifr = { 0 };

	(void)state;
	if (ioctl(s, SIOCBRADDBR, "br7") < 0) {
		print_message("# no bridge can be made: %s\n", strerror(errno));
		close(s);
		skip();
	}
	first = tap_open(&nic);
	assert_true(first >= 0);
	second = tap_open(&nic);
	assert_true(second >= 0);
	assert_true(is_up(s, "vnet0"));
	assert_true(is_up(s, "vnet1"));
	strcpy(ifr.ifr_name, "br7");
	ifr.ifr_ifindex = (int)if_nametoindex("vnet1");
	assert_int_equal(ioctl(s, SIOCBRADDIF, &ifr), -1);
	assert_int_equal(errno, EBUSY); /* it is in it */
	close(first);
	assert_int_equal(if_nametoindex("vnet0"), 0);
	close(second);
	assert_int_equal(ioctl(s, SIOCBRDELBR, "br7"), 0);
	close(s);
}

static void what_cannot_be_is_an_error_and_leaves_no_tap(void **state)
{
	struct def_nic nic = { .source = (char[]){ "nowhere" }, .target = (char[]){ "t0" } };
	int s = network_of_its_own(), fd;

	(void)state;
	assert_int_equal(tap_open(&nic), -ENODEV);
	assert_int_equal(if_nametoindex("t0"), 0);
	nic.target = (char[]){ "a-name-of-16-oct" };
	assert_int_equal(tap_open(&nic), -ENAMETOOLONG);
	nic = (struct def_nic){ .target = (char[]){ "t0" } };
	fd = tap_open(&nic);
	assert_true(fd >= 0);
	assert_true(is_up(s, "t0"));
	assert_int_equal(tap_open(&nic), -EBUSY);
	close(fd);
	close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tap_is_up_and_in_its_bridge_and_ends_with_its_descriptor),
		cmocka_unit_test(what_cannot_be_is_an_error_and_leaves_no_tap),
	};

	return cmocka_run_group_tests_name("vmm/qemu tap", tests, NULL, NULL);
}
