/* SPDX-License-Identifier: MIT */
/*
 * What several processes share of a simulated hypervisor: ring pages, the table, the lock; and
 * what becomes of it when one of them misbehaves or is killed.
 */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "hv/sim/host_test.h"

#include <xen/io/xs_wire.h>

/* A ring carries any octets around its end, and refuses indices that cannot be. */
static void ring_carries_octets_both_ways(void **state)
{
	struct host *h = *state;
	struct xenstore_domain_interface *ring;
	struct sim_guest *g;
	char out[700], in[700];
	void *page;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	assert_int_equal(sim_guest_open(h->dir, 5, &g), 0);
	assert_int_equal(h->hv->ops->ring_map(h->hv, 5, 0, &page), 0);
	ring = page;
	for (uint32_t turn = 0; turn < 20; turn++) {
		memset(out, (int)turn, sizeof(out));
		assert_int_equal(sim_guest_write(g, out, sizeof(out)), sizeof(out));
		for (uint32_t i = 0; i < sizeof(out); i++) {
			uint32_t at = MASK_XENSTORE_IDX(ring->req_cons + i);

			ring->rsp[MASK_XENSTORE_IDX(ring->rsp_prod + i)] = ring->req[at];
		}
		ring->req_cons += (uint32_t)sizeof(out);
		ring->rsp_prod += (uint32_t)sizeof(out);
		assert_int_equal(sim_guest_read(g, in, sizeof(in)), sizeof(in));
		assert_memory_equal(in, out, sizeof(in));
		assert_int_equal(sim_guest_read(g, in, sizeof(in)), 0);
	}
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(sim_guest_write(g, out, 700), i ? (i == 1 ? 324 : 0) : 700);
	ring->req_cons += 1u << 30;
	ring->rsp_prod -= 1;
	assert_int_equal(sim_guest_write(g, out, 1), -EIO);
	assert_int_equal(sim_guest_read(g, in, 1), -EIO);
	h->hv->ops->ring_unmap(h->hv, 5, page);
	sim_guest_close(g);
}

/* The guest that empties a full ring says so: the daemon waits for room. */
static void reader_of_a_full_ring_notifies(void **state)
{
	struct host *h = *state;
	struct xenstore_domain_interface *ring;
	struct sim_guest *g;
	char in[XENSTORE_RING_SIZE];
	void *page;
	uint32_t port;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	assert_int_equal(sim_guest_open(h->dir, 5, &g), 0);
	assert_int_equal(h->hv->ops->ring_map(h->hv, 5, 0, &page), 0);
	ring = page;
	port = bind_port(h->hv, 5);
	events_drop(h->hv);
	ring->rsp_prod += XENSTORE_RING_SIZE - 1;
	assert_int_equal(sim_guest_read(g, in, sizeof(in)), XENSTORE_RING_SIZE - 1);
	assert_int_equal(event(h->hv), -1);
	ring->rsp_prod += XENSTORE_RING_SIZE;
	assert_int_equal(sim_guest_read(g, in, 10), 10);
	assert_int_equal(event(h->hv), port);
	h->hv->ops->ring_unmap(h->hv, 5, page);
	sim_guest_close(g);
}

/* Whatever a guest writes into the shared table, the daemon's calls come to an end. */
static void scribbled_table_harms_nobody(void **state)
{
	struct host *h = *state;
	struct sim_table *saved = malloc(sizeof(*saved));
	unsigned char *octets;
	struct hv_dominfo d;
	uint32_t port, seed = 1;
	uint16_t domid;
	bool all;
	void *page;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	port = bind_port(h->hv, 5);
	assert_non_null(saved);
	memcpy(saved, h->sim->table, sizeof(*saved));
	for (int turn = 0; turn < 20; turn++) {
		octets = (unsigned char *)h->sim->table;
		for (size_t i = offsetof(struct sim_table, listener); i < sizeof(*h->sim->table);
		     i++) {
			seed = seed * 1103515245u + 12345u;
			octets[i] = turn % 3 ? (unsigned char)(seed >> 16) : 0xff;
		}
		for (int i = 0; i < 100; i++) {
			uint32_t some = 0;

			if (h->hv->ops->event_next(h->hv, &some) > 0)
				h->hv->ops->evtchn_unmask(h->hv, some);
			h->hv->ops->evtchn_notify(h->hv, some);
			h->hv->ops->next_changed(h->hv, &domid, &all);
			h->hv->ops->domain_info(h->hv, (uint16_t)i, &d);
			h->hv->ops->evtchn_bind(h->hv, (uint16_t)i, (uint32_t)i % 13, &some);
		}
		if (!h->hv->ops->ring_map(h->hv, 5, 0, &page))
			h->hv->ops->ring_unmap(h->hv, 5, page);
	}
	h->hv->ops->evtchn_unbind(h->hv, port);
	h->hv->ops->evtchn_unbind(h->hv, UINT32_MAX);
	memcpy(h->sim->table, saved, sizeof(*saved));
	free(saved);
}

#define GUESTS 4u

/* Guests, as processes of their own, raise events; each is seen, none after they ended. */
static void processes_share_the_host(void **state)
{
	enum { ROUNDS = 500 };
	const uint16_t guests = GUESTS;
	struct host *h = *state;
	struct xenstore_domain_interface *ring[GUESTS];
	uint32_t ports[GUESTS], seen[GUESTS] = { 0 };
	pid_t pids[GUESTS];
	uint32_t port;
	int status;

	for (uint16_t i = 0; i < guests; i++) {
		void *page;

		assert_int_equal(sim_domain_create(h->sim, 10 + i, NULL), 0);
		assert_int_equal(h->hv->ops->ring_map(h->hv, 10 + i, 0, &page), 0);
		ring[i] = page;
		ports[i] = bind_port(h->hv, 10 + i);
		pids[i] = fork();
		if (!pids[i]) {
			struct sim_guest *g;
			char octet;

			if (sim_guest_open(h->dir, 10 + i, &g))
				_exit(1);
			for (int n = 0; n < ROUNDS; n++) {
				if (sim_guest_write(g, "x", 1) != 1 || sim_guest_notify(g))
					_exit(2);
				while (!sim_guest_read(g, &octet, 1))
					if (sim_guest_wait(g, 10000) != 1)
						_exit(3);
			}
			_exit(0);
		}
	}
	for (uint32_t left = GUESTS; left;) {
		struct pollfd pfd = { .fd = h->hv->ops->fd(h->hv), .events = POLLIN };

		assert_int_equal(poll(&pfd, 1, 10000), 1);
		while (h->hv->ops->event_next(h->hv, &port) > 0) {
			for (uint16_t i = 0; i < guests; i++) {
				uint32_t n;

				if (ports[i] != port)
					continue;
				n = __atomic_load_n(&ring[i]->req_prod, __ATOMIC_SEQ_CST) -
				    ring[i]->req_cons;
				if (!n)
					continue;
				seen[i] += n;
				left -= seen[i] == ROUNDS;
				__atomic_fetch_add(&ring[i]->req_cons, n, __ATOMIC_SEQ_CST);
				__atomic_fetch_add(&ring[i]->rsp_prod, n, __ATOMIC_SEQ_CST);
				assert_int_equal(h->hv->ops->evtchn_notify(h->hv, port), 0);
			}
			if (port)
				h->hv->ops->evtchn_unmask(h->hv, port);
		}
	}
	for (uint16_t i = 0; i < guests; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
		h->hv->ops->ring_unmap(h->hv, 10 + i, ring[i]);
	}
}

/* Processes create and destroy at once: each life has its own number, none is lost. */
static void processes_create_and_destroy_at_once(void **state)
{
	enum { PROCESSES = 4, LIVES = 50 };
	struct host *h = *state;
	struct sim_dominfo d;
	pid_t pids[PROCESSES];
	uint64_t before;
	int status;

	before = h->sim->table->next_unique;
	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			struct sim *s;
			uint16_t domid;

			if (sim_open(h->dir, &s))
				_exit(1);
			for (int n = 0; n < LIVES; n++)
				if (sim_domain_create(s, 0, &domid) ||
				    sim_domain_shutdown(s, domid) || sim_domain_destroy(s, domid))
					_exit(2);
			_exit(0);
		}
	}
	for (int i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(h->sim->table->next_unique - before, PROCESSES * LIVES);
	assert_int_equal(sim_domain_next(h->sim, 1, &d), 0);
}

/* A process killed while it held the lock blocks nobody, and its change is reported. */
static void killed_holder_of_the_lock_is_made_good(void **state)
{
	struct host *h = *state;
	int ready[2], status;
	char octet;
	pid_t pid;

	events_drop(h->hv);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct sim *s;

		if (sim_open(h->dir, &s) || sim_lock(s, 42) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &octet, 1), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(sim_domain_create(h->sim, 8, NULL), 0);
	assert_int_equal(event(h->hv), 0);
	assert_string_equal(changes(h->hv), "8 42");
	close(ready[0]);
	close(ready[1]);
}

static void thousands_of_domains_fit(void **state)
{
	struct host *h = *state;
	uint32_t ports[3000];
	struct sim_dominfo d;
	uint16_t domid;
	uint32_t n = 0;

	for (uint32_t i = 0; i < 3000; i++) {
		assert_int_equal(sim_domain_create(h->sim, 0, &domid), 0);
		ports[i] = bind_port(h->hv, domid);
	}
	for (uint32_t from = 1; sim_domain_next(h->sim, from, &d); from = d.domid + 1u)
		n += d.bound;
	assert_int_equal(n, 3000);
	for (uint32_t i = 0; i < 3000; i++)
		assert_int_equal(h->hv->ops->evtchn_notify(h->hv, ports[i]), 0);
}

/* Without descriptors to spare, wake-ups still arrive. */
static void scarce_descriptors_are_shared(void **state)
{
	struct host *h = *state;
	struct rlimit limit, low;
	uint32_t ports[20];
	struct sim_guest *g;
	uint16_t domid;

	for (uint32_t i = 0; i < 20; i++) {
		assert_int_equal(sim_domain_create(h->sim, 0, &domid), 0);
		ports[i] = bind_port(h->hv, domid);
	}
	assert_int_equal(sim_guest_open(h->dir, domid, &g), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)sim_guest_fd(g) + 4u;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(h->hv->ops->evtchn_notify(h->hv, ports[i]), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(sim_guest_wait(g, 0), 1);
	sim_guest_close(g);
}

static void other_versions_table_is_refused(void **state)
{
	struct host *h = *state;
	struct sim *s;

	h->sim->table->version++;
	assert_int_equal(sim_open(h->dir, &s), -EPROTO);
	h->sim->table->version--;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(ring_carries_octets_both_ways),
		TEST(reader_of_a_full_ring_notifies),
		TEST(scribbled_table_harms_nobody),
		TEST(processes_share_the_host),
		TEST(processes_create_and_destroy_at_once),
		TEST(killed_holder_of_the_lock_is_made_good),
		TEST(thousands_of_domains_fit),
		TEST(scarce_descriptors_are_shared),
		TEST(other_versions_table_is_refused),
	};

	return cmocka_run_group_tests_name("hv/sim/shared", tests, NULL, NULL);
}
