#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Guests that misuse their ring, on real Xen: another guest beats on, dom0 is answered, the store
keeps no more than before, and a new connection over the same ring makes up for everything.

Usage: ring_test.py [--only CASE]...
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import lab  # noqa: E402
import pulse  # noqa: E402
from lab import equal, until  # noqa: E402

GAP_MS = 1000       # nobody else waits longer
TRIES = 3           # a machine that is short of time makes everybody wait, but not each time
FOR_MS = 1500       # how long each kind goes on
GROWTH_KB = 1024    # of the store's memory, over everything below
ERROR_NONE, ERROR_INDEX, ERROR_PROTOCOL = 0, 2, 3
CASES = []

# What the ring says is wrong with it; None: what is random may end in anything.
KINDS = {
    "cons": None, "deaf": ERROR_NONE, "half": ERROR_NONE, "noise": None,
    "oversize": ERROR_PROTOCOL, "prod": ERROR_INDEX, "scribble": None, "storm": ERROR_NONE,
    "types": ERROR_NONE,
}
# Events for a guest that reads none, by somebody who may write its part of the store.
FLOOD = """
import pyxs, sys
x = pyxs.Client(unix_socket_path='/run/xenstored/socket')
x.connect()
for n in range(int(sys.argv[2])):
    x.write(sys.argv[1].encode(), str(n).encode())
"""


def case(function):
    CASES.append(function)
    return function


def guest(h, name, words="aware=1"):
    """One that there is from the first case that wants it on."""
    guests = h.__dict__.setdefault("guests", {})
    if name not in guests:
        guests[name] = pulse.create(h, name, words)
    return guests[name]


def beside(h, happens):
    """What came of it, while another guest beat and did not wait for long."""
    other = guest(h, "other")
    for left in range(TRIES)[::-1]:
        other.gap_ms(reset=True)
        beats = other.fields("gap")["beats"]
        came = happens()
        after = other.fields("gap")
        print("# another: largest gap %.0f ms in %d beats" % (
            after["ns"] / 1e6, after["beats"] - beats))
        assert after["beats"] > beats, "the other's heart stood still"
        if after["ns"] < GAP_MS * 1e6 or not left:
            break
    assert after["ns"] < GAP_MS * 1e6, "another waited for %.0f ms" % (after["ns"] / 1e6)
    return came


def misuse(h, one, kind, number=0):
    """What it says of having done that."""
    def happens():
        serial = one.start("misuse %s %d %d" % (kind, FOR_MS, number))
        h.run("xenstore-ls -f /local/domain/%d" % one.domid)
        return one.finish(serial)

    said = beside(h, happens)
    print("# %s: %s" % (kind, said))
    assert said.startswith("ok "), said
    return {name: int(value) for name, value in
            (word.split("=") for word in said.split()[1:])}


def usable(one):
    """Everything that a connection has works."""
    equal(one.ask("read name"), one.name)
    one.ask("txn open")
    one.ask("txn end")
    equal(one.read("txn"), "written")
    one.ask("watch data/seen token")
    events = one.fields("events")["n"]
    one.write("seen", "1")
    until(lambda: one.fields("events")["n"] > events, "its watch fires")
    one.ask("unwatch data/seen token")


@case
def each_kind_of_misuse_is_the_guests_own_loss(h):
    one = guest(h, "one")
    for kind, error in KINDS.items():
        said = misuse(h, one, kind)
        if error is not None:
            equal((kind, said["error"]), (kind, error))
        if kind == "types":
            equal(said["did"], 100)
        usable(one)


@case
def a_guest_that_only_polls_may_misuse_its_ring_as_well(h):
    one = guest(h, "poller", "")
    for kind in ("prod", "scribble"):
        misuse(h, one, kind)
        usable(one)


@case
def who_reads_late_gets_every_answer_even_if_the_worker_dies(h):
    one = guest(h, "one")
    pid = h.worker_pid()
    serial = one.start("misuse deaf %d" % (3 * FOR_MS))
    h.run("kill -9 %d" % pid)
    until(lambda: h.worker_pid() not in (0, pid), "another worker")
    said = one.finish(serial)
    print("# %s" % said)
    words = dict(word.split("=") for word in said.split()[1:])
    equal(words["did"], words["asked"])
    assert int(words["asked"]) > 50, said   # more than a ring holds
    usable(one)


@case
def events_that_nobody_reads_are_not_kept_for_ever(h):
    one = guest(h, "one")
    one.ask("watch data/flood token")
    before_kb = h.rss_kb()

    def happens():
        serial = one.start("misuse deaf 12000 200")
        h.run(["python3", "-c", FLOOD, one.path("flood"), "3000"])
        during_kb = h.rss_kb()
        one.finish(serial)
        return during_kb

    during_kb = beside(h, happens)
    print("# %d kB before, %d while 3000 events wait" % (before_kb, during_kb))
    assert during_kb - before_kb < GROWTH_KB
    one.ask("reconnect")    # some events are lost, and what it watches is set anew
    usable(one)


@case
def several_at_once_disturb_nobody_else(h):
    kinds = ("scribble", "deaf", "storm", "noise")
    crowd = [guest(h, "crowd-%s" % kind) for kind in kinds]

    def happens():
        serials = [one.start("misuse %s %d" % (kind, 2 * FOR_MS))
                   for one, kind in zip(crowd, kinds)]
        late = pulse.create(h, "late", "aware=1")   # whoever comes meanwhile is served
        usable(late)
        for one, serial in zip(crowd, serials):
            assert one.finish(serial).startswith("ok ")
        h.run("xl shutdown -w late")
        h.consoles.clear()

    beside(h, happens)
    for one in crowd:
        usable(one)
        h.run(["xl", "destroy", one.name])


@case
def a_guest_destroyed_in_the_middle_of_it_leaves_nothing(h):
    for kind in ("scribble", "deaf", "half"):
        one = pulse.create(h, "short-" + kind, "aware=1")
        one.start("misuse %s 60000" % kind)
        h.run(["xl", "destroy", one.name])
        until(lambda d=one.domid: h.run("xenstore-exists /local/domain/%d" % d,
                                        check=False).status, "it goes")
    guest(h, "other").ask("read name")


@case
def the_store_keeps_nothing_of_it(h):
    """After one round of everything, so that what is allocated once has been."""
    one = guest(h, "one")
    before_kb = h.rss_kb()
    pid = h.worker_pid()
    for _ in range(2):
        for kind in KINDS:
            misuse(h, one, kind)
    after_kb = h.rss_kb()
    print("# %d kB before, %d after" % (before_kb, after_kb))
    equal(h.worker_pid(), pid)
    assert after_kb - before_kb < GROWTH_KB


sys.exit(lab.main(__doc__, CASES, store="drover"))
