#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Real Xen in half a minute: our store from boot, a PV guest whose Linux beats over xenbus and a
PVH guest whose program speaks to its ring itself, the worker killed and updated meanwhile.

Usage: short_test.py [--only CASE]...
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import lab  # noqa: E402
import pulse  # noqa: E402
from checks import awake, configs_agree, gone, kill_worker, update, while_guests_beat  # noqa: E402
from lab import equal  # noqa: E402


def guests_of_both_kinds_use_the_store(h):
    """Reads, writes, watches and transactions, of a kernel and of a bare ring."""
    h.create("linux", kind="pv")
    bare = pulse.create(h, "bare", "hb=100 aware=1")
    equal(bare.ask("read name"), "bare")
    awake(h, "linux")


def configurations_are_what_xl_says(h):
    configs_agree(h)


def no_guest_misses_a_worker_that_is_killed(h):
    while_guests_beat(h, ["linux"], 1, kill_worker)


def no_guest_misses_a_live_update(h):
    while_guests_beat(h, ["linux"], 1, update)


def guests_leave_nothing(h):
    domids = [h.domid("linux"), h.domid("bare")]
    h.run("xl shutdown -w linux; xl destroy bare")
    for domid in domids:
        gone(h, domid)


CASES = [guests_of_both_kinds_use_the_store, configurations_are_what_xl_says,
         no_guest_misses_a_worker_that_is_killed, no_guest_misses_a_live_update,
         guests_leave_nothing]

sys.exit(lab.main(__doc__, CASES, store="drover", memory_mib=1280, dom0_mib=640))
