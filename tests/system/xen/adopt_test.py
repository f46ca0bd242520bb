#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Adoption on real Xen: the host boots with C xenstored, or with oxenstored, guests run, and
`drover adopt` puts our store in its place under them; later `drover unadopt` puts it back. No guest
misses a beat, and what xl does goes on.

Usage: adopt_test.py [--only CASE]...
"""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import lab  # noqa: E402
import pulse  # noqa: E402
from checks import GAP_MS, awake, configs_agree, gone, kill_worker, while_guests_beat  # noqa: E402
from image import XEN_BIN  # noqa: E402
from lab import equal, until  # noqa: E402

BOOT = "/etc/default/xen"
SETTINGS = "# of this host\n#XENSTORED=/usr/sbin/oxenstored\nXENSTORED_ARGS=\n"
KINDS = {"beat-pv": "pv", "beat-pvh": "pvh"}
ADOPT = "drover adopt"
TIMEOUT = 400       # it reads the tree twice, beside guests that keep the store busy
OURS = "/usr/sbin/drover-xenstored"


def exe(h):
    return h.run("readlink /proc/%d/exe" % h.store_pid()).out.strip()


def serves(h, program):
    equal(exe(h), program)


def settings(h):
    h.run("mkdir -p /etc/default")
    h.put(BOOT, SETTINGS.encode())


def begin(h):
    settings(h)
    for name, kind in KINDS.items():
        h.create(name, kind=kind)
    for name in KINDS:
        awake(h, name)
    return list(KINDS)


def adopt(h, command=ADOPT):
    said = h.run(command, check=False, timeout=TIMEOUT)
    assert said.status == 0, said.out + said.err + h.run("tail -n 30 /var/log/messages",
                                                         check=False).out
    for line in said.lines:
        if line.startswith(("tree", "hypervisor")):
            print("# " + line)
    return said


def unadopt(h, *words):
    return adopt(h, " ".join(("drover unadopt",) + words))


def xl_goes_on(h):
    domid = h.create("comes-and-goes", kind="pv")
    assert "comes-and-goes" in h.run("xl list").out
    h.guest_line("comes-and-goes", "^beat 3 ")
    h.run("xl destroy comes-and-goes")
    gone(h, domid)
    h.consoles.pop("comes-and-goes").kill()
    h.run("rm -f /var/log/xen/console/guest-comes-and-goes.log")


def a_dry_run_on_xen_changes_nothing(h):
    said = h.run(ADOPT + " --dry-run")
    assert re.search(r"^hypervisor +Xen 4\.17$", said.out, re.M), said.out
    assert "result         possible" in said.out, said.out
    equal(h.get(BOOT).decode(), SETTINGS)


def guests_are_adopted_with_their_host(h):
    """Under C xenstored, and given back to it, and adopted again."""
    names, theirs = begin(h), exe(h)
    watcher = h.start("xenstore-watch /tests")
    watcher.line("^/tests")
    a_dry_run_on_xen_changes_nothing(h)
    serves(h, theirs)
    for turn in range(2):
        while_guests_beat(h, names, 1, adopt)
        serves(h, OURS)
        assert "\nXENSTORED=/usr/" in h.get(BOOT).decode(), h.get(BOOT)
        h.run("xenstore-write /tests/a adopted-%d" % turn)
        watcher.line("^/tests/a")           # a client of before
        for name in names:
            awake(h, name)
        xl_goes_on(h)
        configs_agree(h)
        while_guests_beat(h, names, 1, kill_worker)
        if turn == 0:
            while_guests_beat(h, names, 1, unadopt)
            serves(h, theirs)
            equal(h.get(BOOT).decode(), SETTINGS)
            for name in names:
                awake(h, name)
            xl_goes_on(h)
    h.run("xl save beat-pv /root/image && xl restore /root/image")
    awake(h, "beat-pv")
    for name in names:
        domid = h.domid(name)
        h.run("xl shutdown -w " + name)
        gone(h, domid)


def oxenstored_hands_over_too(h):
    names = begin(h)
    equal(exe(h), XEN_BIN + "/oxenstored")
    watcher = h.start("xenstore-watch /tests")
    watcher.line("^/tests")
    while_guests_beat(h, names, 1, adopt)
    serves(h, OURS)
    h.run("xenstore-write /tests/a adopted")
    watcher.line("^/tests/a")
    for name in names:
        awake(h, name)
    xl_goes_on(h)
    configs_agree(h)
    while_guests_beat(h, names, 1, kill_worker)
    said = h.run("drover unadopt", check=False)
    assert said.status and "oxenstored" in said.err, said.out + said.err
    while_guests_beat(h, names, 1, lambda h: unadopt(h, "--to", XEN_BIN + "/xenstored"))
    serves(h, XEN_BIN + "/xenstored")
    for name in names:
        awake(h, name)


def five_guests_in_transactions_notice_nothing(h):
    """Each begins one after the other, without a pause, while the host is adopted."""
    settings(h)
    crowd = [pulse.create(h, "busy-%d" % n, "hb=100" + n % 2 * " aware=1") for n in range(5)]
    for change in (adopt, unadopt, adopt):
        for one in crowd:
            one.gap_ms(reset=True)
            one.ask("watch data/poke poke-%d" % one.serial)
        starved = h.starved_ms()
        loads = [one.start("txns 15000") for one in crowd]
        change(h)
        done = [one.finish(serial) for one, serial in zip(crowd, loads)]
        starved = h.starved_ms() - starved
        gaps = [one.gap_ms() for one in crowd]
        print("# %s: %s" % (change.__name__, "; ".join(done)))
        print("# largest gaps of heartbeats, in ms: %s; the machine itself waited %d ms" % (
            " ".join("%.0f" % gap for gap in gaps), starved))
        assert all(re.match(r"ok n=[1-9]\d+ .*bad=0$", text) for text in done), done
        assert max(gaps) < GAP_MS or starved > max(gaps) // 2, (gaps, starved)
        for one in crowd:
            fired = one.fields("events")["n"]
            one.write("poke", "1")
            until(lambda one=one, fired=fired: one.fields("events")["n"] > fired, "its watch")
    serves(h, OURS)
    assert "contradiction" not in h.run("drover control check").out


if __name__ == "__main__":
    sys.exit(lab.main(__doc__, [
        (guests_are_adopted_with_their_host, {"store": "c"}),
        (five_guests_in_transactions_notice_nothing, {"store": "c"}),
        (oxenstored_hands_over_too, {"store": "oxen"})]))
