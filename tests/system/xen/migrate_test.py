#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Guests move between two hosts of real Xen, each with drover-hostd over libxl, at the word of
unmodified virsh; and whatever goes wrong meanwhile, one guest goes on, on one of the hypervisors.

Usage: migrate_test.py [--only CASE]...
"""
import os
import re
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import daemons  # noqa: E402
import rpcproxy  # noqa: E402
from daemons import LINUX, XML, alone, move_words  # noqa: E402
from lab import equal, until  # noqa: E402

PERFORM, FINISH = 305, 306
SLOW = "2"          # MiB/s: so that there is time to do something meanwhile
CASES = []


def case(function):
    CASES.append(function)
    return function


def ended(p):
    """What virsh said, which was told to end by now."""
    return p.communicate(timeout=daemons.TIMEOUT)[0]


# ---- a life

@case
def a_linux_guest_moves_live_there_and_back(a, b):
    a.create_linux("mover")
    uuid = a.virsh("domuuid", "mover").strip()
    for here, there in ((a, b), (b, a)):
        before = here.host.await_beats("mover", 3)
        domid = here.domains()["mover"][0]
        begin = time.monotonic()
        here.virsh(*move_words("mover", there))
        alone("mover", there, here)
        last = there.host.await_beats("mover", 5)
        beats = [n for n, _ in there.host.beats("mover") if n > before]
        assert last > before + 5
        print("# %s to %s: %.1f s, first beat there %d after the last but some here %d" % (
            here.host.name, there.host.name, time.monotonic() - begin, beats[0], before))
        gap = there.host.largest_gap_ms("mover", since=beats[-5])
        print("# largest gap among the last: %d ms; domain %d is %d" % (
            gap, domid, there.domains()["mover"][0]))
        done = there.virsh("domjobinfo", "--completed", "mover")
        assert re.search(r"Job type:\s+Completed", done), done
        equal(there.virsh("domuuid", "mover").strip(), uuid)
        record = there.host.run("cat /var/lib/xen/userdata-d.%d.%s.libxl-json" % (
            there.domains()["mover"][0], uuid)).out
        assert '"name": "mover"' in record
    a.virsh("shutdown", "mover")
    until(lambda: not a.domains(), "it is shut down", 60)


@case
def a_small_guest_moves_ten_times(a, b):
    a.create_pulse("ten")
    here, there = a, b
    for _ in range(10):
        since = here.heart("ten")
        here.virsh(*move_words("ten", there))
        here, there = there, here
        alone("ten", here, there)
        assert here.heart("ten") > since


@case
def a_guest_that_knows_nothing_of_it_moves(a, b):
    a.create_pulse("unaware", "hb=100")
    since = a.heart("unaware")
    a.virsh(*move_words("unaware", b))
    alone("unaware", b, a)
    assert b.heart("unaware") > since


@case
def a_pv_guest_is_refused_live_and_moves_stopped(a, b):
    a.create_linux("pv", "linux")
    said = a.refused(*move_words("pv", b))
    assert "shadow" in said, said
    alone("pv", a, b)
    last = a.host.await_beats("pv", 1)
    a.virsh("migrate", "pv", b.uri)
    alone("pv", b, a)
    assert b.host.await_beats("pv", 3) > last


@case
def a_paused_guest_is_refused_by_name(a, b):
    a.create_pulse("paused")
    a.virsh("suspend", "paused")
    said = a.refused(*move_words("paused", b))
    assert "paused" in said, said
    a.virsh("resume", "paused")
    alone("paused", a, b)


# ---- its process dies, its daemon dies

@case
def a_guest_outlives_its_process_and_its_daemon(a, b):
    a.create_pulse("lives")
    for _ in range(3):
        pid = a.guest_pid("lives")
        a.host.run("kill -9 %d" % pid)
        until(lambda p=pid: a.guest_pid("lives") != p, "another process", 60)
        a.virsh("suspend", "lives")
        assert "p" in a.domains()["lives"][1]
        a.virsh("resume", "lives")
        a.await_heart("lives")
    a.kill()
    pid = a.guest_pid("lives")
    a.host.run("kill -9 %d" % pid)
    a.start()
    alone("lives", a, b)
    assert a.guest_pid("lives") != pid
    a.virsh(*move_words("lives", b))
    alone("lives", b, a)


def when_sending(here, there, name, act):
    """Sends it slowly, and acts once memory flows; what virsh said."""
    p = here.start_virsh(*move_words(name, there, "--bandwidth", SLOW))
    try:
        until(lambda: re.search(r"Data processed:\s+[1-9]", here.virsh(
            "domjobinfo", name, check=False)) or p.poll() is not None, "it is sent", 60)
        assert p.poll() is None, p.communicate()[0]
        act()
        return ended(p)
    finally:
        p.kill()


@case
def a_process_that_dies_while_it_sends_leaves_the_guest_here(a, b):
    a.create_linux("sent")
    said = when_sending(a, b, "sent", lambda: a.host.run("kill -9 %d" % a.guest_pid("sent")))
    assert "error" in said, said
    alone("sent", a, b)
    a.virsh(*move_words("sent", b))
    alone("sent", b, a)


@case
def a_process_that_dies_while_it_receives_leaves_the_guest_here(a, b):
    a.create_linux("got")
    said = when_sending(a, b, "got", lambda: b.host.run("kill -9 %d" % b.guest_pid("got")))
    assert "error" in said, said
    alone("got", a, b)


@case
def a_process_that_dies_while_it_creates_leaves_nothing(a, b):
    a.host.run("mv /usr/libexec/drover/drover-xlguest /root/xlguest; printf '#!/bin/sh\n"
               "case $* in *--again*) ;; *) (while ! grep -q creating domain; do :; done; "
               "kill -9 $$) & esac\nexec /root/xlguest \"$@\"\n' > "
               "/usr/libexec/drover/drover-xlguest; "
               "chmod 755 /usr/libexec/drover/drover-xlguest")
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as f:
            f.write(XML % {"name": "half", "memory": 96, "boots": LINUX % {
                "os": "xenpvh", "machine": "xenpvh"}})
            f.flush()
            said = a.refused("create", f.name)
    finally:
        a.host.run("mv /root/xlguest /usr/libexec/drover/drover-xlguest")
    assert "its process died" in said, said
    until(lambda: not a.domains() and a.journal_is_quiet(), "nothing is left", 60)
    equal(b.domains(), {})


# ---- cancelled

@case
def a_migration_that_is_cancelled_leaves_the_guest_here(a, b):
    a.create_linux("stays")
    said = when_sending(a, b, "stays", lambda: a.virsh("domjobabort", "stays"))
    assert "error" in said, said
    alone("stays", a, b)
    beats = a.host.await_beats("stays", 10)
    assert a.host.largest_gap_ms("stays", since=beats - 9) < 2000


@case
def a_client_that_is_killed_while_memory_flows_aborts(a, b):
    a.create_linux("stays2")
    p = None

    def kill():
        p.kill()

    p = a.start_virsh(*move_words("stays2", b, "--bandwidth", SLOW))
    until(lambda: re.search(r"Data processed:\s+[1-9]", a.virsh(
        "domjobinfo", "stays2", check=False)), "it is sent", 60)
    kill()
    p.communicate()
    alone("stays2", a, b)


# ---- the worst

def migrate_with(here, there, name, rule_at, kind, procedure, action):
    """Until virsh has ended by itself or by the action; (its status, what it said)."""
    box = {}
    ready = threading.Event()

    def act(link):
        ready.wait()
        return action(box["virsh"]) or rpcproxy.FORWARD

    rule = rpcproxy.Rule(kind, procedure, act)
    rule_at.proxy.rules.append(rule)
    box["virsh"] = here.start_virsh(*move_words(name, there))
    ready.set()
    said = ended(box["virsh"])
    assert rule.fired.is_set(), said
    return box["virsh"].returncode, said


@case
def finishs_reply_is_lost(a, b):
    a.create_pulse("lost")

    def lose(virsh):
        virsh.kill()
        return rpcproxy.DROP

    migrate_with(a, b, "lost", b, "reply", FINISH, lose)
    alone("lost", b, a)


@case
def the_client_is_killed_before_finish(a, b):
    a.create_pulse("orphan")

    def kill(virsh):
        virsh.kill()
        return rpcproxy.CLOSE

    migrate_with(a, b, "orphan", b, "call", FINISH, kill)
    alone("orphan", b, a)


@case
def the_source_daemon_is_killed_after_perform(a, b):
    a.create_pulse("widow")

    def kill(_virsh):
        a.kill()
        return rpcproxy.FORWARD

    migrate_with(a, b, "widow", a, "reply", PERFORM, kill)
    a.start()
    alone("widow", b, a)


@case
def the_destination_daemon_is_killed_at_finish(a, b):
    a.create_pulse("found")

    def kill(_virsh):
        b.kill()
        return rpcproxy.CLOSE

    migrate_with(a, b, "found", b, "call", FINISH, kill)
    b.start()
    alone("found", b, a)


sys.exit(daemons.main(__doc__, CASES))
