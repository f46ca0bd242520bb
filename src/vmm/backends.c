/* SPDX-License-Identifier: MIT */
/*
 * Which backends there are. What is not listed cannot be opened.
 */
#include <string.h>

#include "vmm/backend.h"

unsigned int vmm_backend_can(const char *backend)
{
	const struct vmm_backend *be = vmm_backend_find(backend);

	return be ? be->can : 0;
}

const struct vmm_backend *vmm_backend_find(const char *name)
{
	static const struct vmm_backend *(*const backends[])(void) = {
		qemu_backend,
		sim_backend,
		xl_backend,
		NULL,
	};

	for (size_t i = 0; backends[i]; i++)
		if (!strcmp(backends[i]()->name, name))
			return backends[i]();
	return NULL;
}
