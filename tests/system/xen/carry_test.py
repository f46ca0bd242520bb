#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a guest of real Xen has in the store moves with it: nodes of every guest, and of one that
does not know that it moves its watches, its open transaction and its ring, too.

Usage: carry_test.py [--only CASE]...
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import daemons  # noqa: E402
import pulse  # noqa: E402
from daemons import alone, move_words  # noqa: E402
from lab import equal, until  # noqa: E402


def created(d, name, words):
    d.create_pulse(name, words)
    return pulse.Pulse(d.host, name)


def moved(here, there, one):
    """To the other host; as it is spoken to there."""
    here.virsh(*move_words(one.name, there))
    alone(one.name, there, here)
    now = pulse.Pulse(there.host, one.name)
    now.serial = one.serial
    return now


def perms(host, path):
    return host.run(["xenstore-ls", "-p", path[:path.rindex("/")]]).out


def a_number_that_is_taken_becomes_another(a, b):
    one = created(a, "one", "hb=100")
    numbers = []
    while not numbers or numbers[-1] < one.domid:
        b.create_pulse("filler%d" % len(numbers), "hb=1000")
        numbers = sorted(domid for domid, _ in b.domains().values())
    equal(numbers[-1], one.domid)
    one.ask("txn open")
    one.ask("watch data/x token")
    one.write("own", "mine")
    a.virsh(*move_words("one", b))
    b.await_heart("one")
    equal(a.domains(), {})
    now = pulse.Pulse(b.host, "one")
    now.serial = one.serial
    assert now.domid not in numbers
    equal(now.read("own"), "mine")
    equal(b.host.run("xenstore-read /local/domain/%d/domid" % now.domid).out.strip(),
          str(now.domid))


def nodes_come_along_and_devices_are_the_new_hosts(a, b):
    one = created(a, "nodes", "aware=1 hb=100")
    one.ask("write data/own/deep 1")
    one.ask("mkdir data/empty")
    home = "/local/domain/%d/" % one.domid
    a.host.run("xenstore-write %sattr/os/name pulse %sdata/shared x" % (home, home))
    a.host.run("xenstore-chmod %sdata/shared n%d r0" % (home, one.domid))
    now = moved(a, b, one)
    equal(now.ask("read data/own/deep"), "1")
    equal(now.ask("read data/empty"), "")
    home = "/local/domain/%d/" % now.domid
    equal(b.host.run("xenstore-read %sattr/os/name" % home).out.strip(), "pulse")
    said = perms(b.host, home + "data/shared")
    assert re.search(r"shared = \"x\"[ .]+\(n%d,r0\)" % now.domid, said), said
    life = now.read("life")
    assert "moved=1" in life and "watched=new" in life, life
    # what the new host made for it stays
    equal(b.host.run("xenstore-read %sname" % home).out.strip(), "nodes")
    assert b.host.run("drover config check %d" % now.domid).status == 0


def an_open_transaction_ends_and_watches_fire(a, b):
    one = created(a, "knows-nothing", "hb=100")
    one.ask("watch data/x token")
    one.ask("txn open")
    before = one.read("hb")
    now = moved(a, b, one)
    equal(now.domid, one.domid)
    assert int(now.read("hb")) > int(before)
    seen = now.ask("events")
    now.write("x", "1")
    until(lambda: now.ask("events") != seen, "its watch fires", 30)
    # the same again is refused: it is still set
    refused = now.finish(now.start("watch data/x token"))
    equal(refused, "EEXIST")
    equal(now.finish(now.start("txn end")), "EAGAIN")
    now.ask("txn open")
    now.ask("txn end")
    # and back, in the middle of its questions
    serial = now.start("load 8000")
    back = moved(b, a, now)
    until(lambda: back.read("reply").startswith("%d ok" % serial), "it is done with them", 120)
    assert "bad=0" in back.read("reply"), back.read("reply")


sys.exit(daemons.main(__doc__, [
    # first: libxl gives no number again for a minute
    an_open_transaction_ends_and_watches_fire,
    a_number_that_is_taken_becomes_another,
    nodes_come_along_and_devices_are_the_new_hosts,
]))
