/* SPDX-License-Identifier: MIT */
/*
 * Taps, made here for the emulator may not start a program for them. Linux
 * Documentation/networking/tuntap.rst.
 */
#include "vmm/qemu/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define TAP_NAME "vnet%d" /* the kernel counts */

/* Names of interfaces are short. */
static int name_copy(char to[IFNAMSIZ], const char *name)
{
	size_t len = strlen(name);

	if (len >= IFNAMSIZ)
		return -ENAMETOOLONG;
	memset(to, 0, IFNAMSIZ);
	memcpy(to, name, len);
	return 0;
}

static int make(int tap, const char *target, char ret_name[IFNAMSIZ])
{
	struct ifreq ifr = { 0 };
	int r = name_copy(ifr.ifr_name, target ? target : TAP_NAME);

	if (r < 0)
		return r;
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(tap, TUNSETIFF, &ifr) < 0)
		return -errno;
	memcpy(ret_name, ifr.ifr_name, IFNAMSIZ);
	return 0;
}

static int join(int s, const char *bridge, const char name[IFNAMSIZ])
{
	struct ifreq ifr = { 0 };
	int r = name_copy(ifr.ifr_name, bridge);

	if (r < 0)
		return r;
	ifr.ifr_ifindex = (int)if_nametoindex(name);
	if (!ifr.ifr_ifindex || ioctl(s, SIOCBRADDIF, &ifr) < 0)
		return -errno;
	return 0;
}

static int set_up(int s, const char name[IFNAMSIZ])
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, name, IFNAMSIZ);
	if (ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
	return ioctl(s, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

int tap_open(const struct def_nic *nic)
{
	int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), s, r;
	char name[IFNAMSIZ] = "";

	s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	r = tap < 0 || s < 0 ? -errno : make(tap, nic->target, name);
	if (r == 0 && nic->source)
		r = join(s, nic->source, name);
	if (r == 0)
		r = set_up(s, name);
	if (s >= 0)
		close(s);
	if (r == 0)
		return tap;
	log_error("nic %s%s%s: %s", *name ? name : "tap", nic->source ? " in bridge " : "",
		  nic->source ? nic->source : "", strerror(-r));
	if (tap >= 0)
		close(tap);
	return r;
}
