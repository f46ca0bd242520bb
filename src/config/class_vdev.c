/* SPDX-License-Identifier: MIT */
/*
 * Numbers of virtual disks and their names.
 *
 * Invariant: vdev_to_devid gives back the number of whatever name vdev_of_devid made of it.
 */
#include "config/class_vdev.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXTENDED (1u << 28)

/* A major number has `parts` minors for each of its disks. */
struct family {
	const char *prefix;
	unsigned int disks;	 /* how many can be named */
	unsigned int partitions; /* the largest */
};

static const struct family xvd = { "xvd", 1u << 20, 255 };
static const struct family hd = { "hd", 4, 63 };
static const struct family sd = { "sd", 16, 15 };

static uint32_t xvd_devid(uint32_t disk, uint32_t partition)
{
	if (disk < 16 && partition < 16)
		return 202u << 8 | disk << 4 | partition;
	return EXTENDED | disk << 8 | partition;
}

/* Letters count like digits without a zero: a…z, aa…az, ba… */
static bool family_parse(const struct family *f, const char *name, uint32_t *disk,
			 uint32_t *partition)
{
	size_t prefix_len = strlen(f->prefix);
	uint32_t n = 0, p = 0;

	if (strncmp(name, f->prefix, prefix_len) != 0)
		return false;
	name += prefix_len;
	if (*name < 'a' || *name > 'z')
		return false;
	for (; *name >= 'a' && *name <= 'z'; name++) {
		n = n * 26 + (uint32_t)(*name - 'a') + 1;
		if (n > f->disks)
			return false;
	}
	if (*name == '0')
		return false;
	for (; *name >= '0' && *name <= '9'; name++) {
		p = p * 10 + (uint32_t)(*name - '0');
		if (p > f->partitions)
			return false;
	}
	*disk = n - 1;
	*partition = p;
	return !*name;
}

/* A number as C writes it, whole up to `end`. */
static bool parse_number(const char *text, char end, uint32_t max, uint32_t *ret,
			 const char **ret_end)
{
	unsigned long long n;
	char *stop;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &stop, 0);
	if (errno || *stop != end || n > max)
		return false;
	*ret = (uint32_t)n;
	*ret_end = stop;
	return true;
}

int vdev_to_devid(const char *name, uint32_t *ret)
{
	uint32_t disk, partition;
	const char *end;

	if ((name[0] == 'd' && parse_number(name + 1, 'p', xvd.disks - 1, &disk, &end) &&
	     parse_number(end + 1, '\0', xvd.partitions, &partition, &end)) ||
	    family_parse(&xvd, name, &disk, &partition))
		*ret = xvd_devid(disk, partition);
	else if (parse_number(name, '\0', INT_MAX, &disk, &end))
		*ret = disk;
	else if (family_parse(&hd, name, &disk, &partition))
		*ret = (disk < 2 ? 3u : 22u) << 8 | (disk & 1) << 6 | partition;
	else if (family_parse(&sd, name, &disk, &partition))
		*ret = 8u << 8 | disk << 4 | partition;
	else
		return -EINVAL;
	return 0;
}

static void family_print(const struct family *f, uint32_t disk, uint32_t partition, char *ret)
{
	char letters[8];
	size_t at = sizeof(letters) - 1;

	letters[at] = '\0';
	for (uint32_t n = disk + 1; n; n = (n - 1) / 26)
		letters[--at] = (char)('a' + (n - 1) % 26);
	if (partition)
		snprintf(ret, VDEV_NAME_MAX, "%s%s%" PRIu32, f->prefix, letters + at, partition);
	else
		snprintf(ret, VDEV_NAME_MAX, "%s%s", f->prefix, letters + at);
}

void vdev_of_devid(uint32_t devid, char ret[VDEV_NAME_MAX])
{
	uint32_t major = devid >> 8, minor = devid & 0xff, again;

	snprintf(ret, VDEV_NAME_MAX, "%" PRIu32, devid);
	if ((devid & EXTENDED) && devid < EXTENDED << 1)
		family_print(&xvd, (devid & ~EXTENDED) >> 8, minor, ret);
	else if (major == 202)
		family_print(&xvd, minor >> 4, minor & 15, ret);
	else if (major == 8)
		family_print(&sd, minor >> 4, minor & 15, ret);
	else if ((major == 3 || major == 22) && minor < 128)
		family_print(&hd, (major == 22 ? 2 : 0) + (minor >> 6), minor & 63, ret);
	/* "xvda" in the extended numbering is another device than "xvda": it has no name. */
	if (vdev_to_devid(ret, &again) || again != devid)
		snprintf(ret, VDEV_NAME_MAX, "%" PRIu32, devid);
}
