/* SPDX-License-Identifier: MIT */
/*
 * Whether two definitions are the same machine to the guest. What differs is named by its element;
 * what only the host sees (a path, a bridge) may be another.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "hostd/xml_own.h"

static int differ(struct xml_in *in, const char *what, const char *src, const char *dst)
{
	return xml_refuse(in, XML_ERR_CONFIG_UNSUPPORTED,
			  "the destination's %s is %.64s, and the guest's is %.64s", what,
			  dst ? dst : "not given", src ? src : "not given");
}

static int same_text(struct xml_in *in, const char *what, const char *src, const char *dst)
{
	if (src == dst || (src && dst && !strcmp(src, dst)))
		return 0;
	return differ(in, what, src, dst);
}

static int same_number(struct xml_in *in, const char *what, uint64_t src, uint64_t dst)
{
	char a[24], b[24];

	if (src == dst)
		return 0;
	(void)snprintf(a, sizeof(a), "%" PRIu64, src);
	(void)snprintf(b, sizeof(b), "%" PRIu64, dst);
	return differ(in, what, a, b);
}

static int same_uuid(struct xml_in *in, const struct guest_def *src, const struct guest_def *dst)
{
	char a[DEF_UUID_TEXT], b[DEF_UUID_TEXT];

	def_uuid_print(src->uuid, a);
	def_uuid_print(dst->uuid, b);
	return same_text(in, "<uuid>", a, b);
}

static int same_machine(struct xml_in *in, const struct guest_def *src, const struct guest_def *dst)
{
	int r = same_uuid(in, src, dst);

	if (!r)
		r = same_text(in, "<domain> type", xml_types()[src->type], xml_types()[dst->type]);
	if (!r)
		r = same_number(in, "<memory> in KiB", src->memory_kib, dst->memory_kib);
	if (!r)
		r = same_number(in, "<vcpu>", src->vcpus, dst->vcpus);
	if (!r)
		r = same_number(in, "current <vcpu>", src->vcpus_current, dst->vcpus_current);
	if (!r)
		r = same_text(in, "<os> type", xml_os_types()[src->os], xml_os_types()[dst->os]);
	if (!r)
		r = same_text(in, "<os> arch", src->arch, dst->arch);
	if (!r)
		r = same_text(in, "<os> machine", src->machine, dst->machine);
	if (!r)
		r = same_number(in, "<features>", src->features, dst->features);
	if (!r)
		r = same_text(in, "<cpu> mode", src->cpu_mode, dst->cpu_mode);
	if (!r)
		r = same_text(in, "<cpu> model", src->cpu_model, dst->cpu_model);
	if (!r)
		r = same_text(in, "<cpu> features", src->cpu_features, dst->cpu_features);
	if (!r)
		r = same_text(in, "<clock> offset", src->clock_offset, dst->clock_offset);
	return r;
}

static int same_disk(struct xml_in *in, const struct def_disk *src, const struct def_disk *dst)
{
	int r = same_text(in, "<disk> target", src->target, dst->target);

	if (!r)
		r = same_text(in, "<disk> bus", src->bus, dst->bus);
	if (!r)
		r = same_text(in, "<disk> device", src->device, dst->device);
	if (!r)
		r = same_number(in, "<disk> readonly", src->readonly, dst->readonly);
	return r ? r : same_text(in, "<disk> address", src->kept, dst->kept);
}

static int same_nic(struct xml_in *in, const struct def_nic *src, const struct def_nic *dst)
{
	char a[18], b[18];
	int r;

	(void)snprintf(a, sizeof(a), "%02x:%02x:%02x:%02x:%02x:%02x", src->mac[0], src->mac[1],
		       src->mac[2], src->mac[3], src->mac[4], src->mac[5]);
	(void)snprintf(b, sizeof(b), "%02x:%02x:%02x:%02x:%02x:%02x", dst->mac[0], dst->mac[1],
		       dst->mac[2], dst->mac[3], dst->mac[4], dst->mac[5]);
	r = same_text(in, "<interface> mac", a, b);
	if (!r)
		r = same_text(in, "<interface> model", src->model, dst->model);
	return r ? r : same_text(in, "<interface> address", src->kept, dst->kept);
}

static int same_chardevs(struct xml_in *in, const char *what, const struct def_chardev *src,
			 size_t n_src, const struct def_chardev *dst, size_t n_dst)
{
	int r = same_number(in, what, n_src, n_dst);

	for (size_t i = 0; !r && i < n_src; i++) {
		r = same_text(in, what, src[i].target_type, dst[i].target_type);
		if (!r)
			r = same_text(in, what, src[i].target_name, dst[i].target_name);
		if (!r)
			r = same_number(in, what, src[i].port, dst[i].port);
	}
	return r;
}

static int same_devices(struct xml_in *in, const struct guest_def *src, const struct guest_def *dst)
{
	int r = same_number(in, "number of <disk>", src->n_disks, dst->n_disks);

	for (size_t i = 0; !r && i < src->n_disks; i++)
		r = same_disk(in, &src->disks[i], &dst->disks[i]);
	if (!r)
		r = same_number(in, "number of <interface>", src->n_nics, dst->n_nics);
	for (size_t i = 0; !r && i < src->n_nics; i++)
		r = same_nic(in, &src->nics[i], &dst->nics[i]);
	if (!r)
		r = same_chardevs(in, "<serial>", src->serials, src->n_serials, dst->serials,
				  dst->n_serials);
	if (!r)
		r = same_chardevs(in, "<console>", src->consoles, src->n_consoles, dst->consoles,
				  dst->n_consoles);
	if (!r)
		r = same_chardevs(in, "<channel>", src->channels, src->n_channels, dst->channels,
				  dst->n_channels);
	if (!r)
		r = same_text(in, "<video> model", src->video_model, dst->video_model);
	if (!r)
		r = same_text(in, "<memballoon> model", src->memballoon, dst->memballoon);
	if (!r)
		r = same_number(in, "number of <rng>", src->rng != NULL, dst->rng != NULL);
	return r;
}

int xml_check_abi(const struct guest_def *src, const struct guest_def *dst, struct xml_error *err)
{
	struct xml_in in = { .err = err };
	int r = same_machine(&in, src, dst);

	return r ? r : same_devices(&in, src, dst);
}
