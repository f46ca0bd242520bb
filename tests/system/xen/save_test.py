#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Guests of real Xen are saved to files and restored from them by drover-hostd over libxl, at the
word of unmodified virsh, and the daemon may die meanwhile.

Usage: save_test.py [--only CASE]...
"""
import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE]
import daemons  # noqa: E402
import lab  # noqa: E402
from lab import equal, until  # noqa: E402

STATE = "/var/lib/drover"
PV, PVH = ({"os": kind, "machine": machine} for kind, machine in
           (("linux", "xenpv"), ("xenpvh", "xenpvh")))
BOOTS = {"pv": (daemons.LINUX % PV, 96), "pvh": (daemons.LINUX % PVH, 96),
         "pulse": (daemons.PULSE % {"words": "hb=100 aware=1"}, 4),
         "unaware": (daemons.PULSE % {"words": "hb=100"}, 4)}


class Daemon(daemons.Daemon):
    def define(self, name, kind):
        boots, memory = BOOTS[kind]
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as f:
            f.write(daemons.XML % {"name": name, "memory": memory, "boots": boots})
            f.flush()
            self.virsh("define", f.name)

    def domid(self, name):
        """As virsh has it, who has to have Xen's."""
        domid = self.domains()[name][0]
        equal(self.virsh("domid", name).strip(), str(domid))
        return domid

    def state(self, name):
        return self.virsh("domstate", name).strip()

    def beats_on(self, name, above):
        until(lambda: self.heart(name) > above, "%s beats" % name, 60)
        return self.heart(name)

    def clear(self):
        for name in self.virsh("list", "--all", "--name").split():
            self.virsh("destroy", name, check=False)
            self.virsh("undefine", name, "--managed-save", check=False)
        until(lambda: not self.domains(), "the host is empty", 60)


def linux_guests_go_on_from_a_file_and_from_a_managed_one(h, d):
    for kind in ("pvh", "pv"):
        name = "linux-" + kind
        d.define(name, kind)
        d.virsh("start", name)
        h.await_beats(name, 3)
        d.domid(name)
        for save, restore in ((["save", name, "/root/saved"], ["restore", "/root/saved"]),
                              (["managedsave", name], ["start", name])):
            last = h.await_beats(name, 2)
            d.virsh(*save)
            equal((d.domains(), d.state(name)), ({}, "shut off"))
            d.virsh(*restore)
            assert h.await_beats(name, 3) > last
            d.domid(name)
        equal(h.run("ls %s/save" % STATE).out.strip(), "")
        d.virsh("shutdown", name)
        until(lambda: not d.domains(), "it is shut down", 60)


def what_the_store_has_of_a_guest_comes_along(h, d):
    for kind in ("pulse", "unaware"):
        d.define(kind, kind)
        d.virsh("start", kind)
        since = d.beats_on(kind, 5)
        path = "/local/domain/%d/data/kept" % d.domid(kind)
        h.run("xenstore-write %s yes" % path)
        d.virsh("managedsave", kind)
        equal(d.domains(), {})
        d.virsh("start", kind)
        domid = d.domid(kind)
        equal(h.run("xenstore-read /local/domain/%d/data/kept" % domid).out.strip(), "yes")
        assert d.beats_on(kind, since) > since
        d.clear()


def whenever_the_daemon_dies_there_is_the_guest_or_its_file(h, d):
    d.define("dies", "pulse")
    d.virsh("start", "dies")
    since = d.beats_on("dies", 2)
    for words, sign in ((["managedsave"], "ls /run/hostd/*/save"),
                        (["managedsave"], "ls %s/save/*.part" % STATE),
                        (["managedsave"], "ls %s/save/*.save" % STATE),
                        (["start"], "ls /run/hostd/*/def.xml"),
                        (["start"], "xl list dies")):
        if d.state("dies") == ("shut off" if words == ["managedsave"] else "running"):
            d.virsh("start" if words == ["managedsave"] else "managedsave", "dies")
        # Killed there, as soon as that is to be seen.
        h.run("(for i in $(seq 2000); do if %s >/dev/null 2>&1; then kill -9 $(cat "
              "/run/hostd.pid); break; fi; done) </dev/null >/dev/null 2>&1 &" % sign)
        said = d.virsh(*words, "dies", check=False)
        until(lambda: h.run("kill -0 $(cat /run/hostd.pid)", check=False).status != 0,
              "the daemon's death: " + said, 60)
        d.start()
        until(lambda: d.state("dies") in ("running", "shut off"), "what it is", 60)
        state = d.state("dies")
        saved = h.run("ls %s/save" % STATE).out.strip()
        print("# killed at %s of %s: %s, %s" % (sign, words[0], state, saved))
        equal((state == "running", "dies" in d.domains()), ("dies" in d.domains(),
                                                           state == "running"))
        if state == "shut off":
            assert re.fullmatch(r"\S+\.save", saved), saved
            d.virsh("start", "dies")
        else:
            until(lambda: ".part" not in h.run("ls %s/save" % STATE).out, "what was left", 60)
        since = d.beats_on("dies", since)
    d.clear()


def a_saving_that_is_aborted_leaves_the_guest(h, d):
    d.define("stays", "pvh")
    d.virsh("start", "stays")
    last = h.await_beats("stays", 3)
    with d.start_virsh("save", "stays", "/root/stays") as p:
        until(lambda: h.run("ls /root/stays.*.part", check=False).status == 0
              or p.poll() is not None, "its file", 60)
        d.virsh("domjobabort", "stays", check=False)
        said = p.communicate(timeout=daemons.TIMEOUT)[0]
    if p.returncode == 0:
        print("# it was saved before: " + said.strip())
        d.virsh("restore", "/root/stays")
    assert h.await_beats("stays", 3) > last
    equal(list(d.domains()), ["stays"])
    d.clear()


CASES = [linux_guests_go_on_from_a_file_and_from_a_managed_one,
         what_the_store_has_of_a_guest_comes_along,
         whenever_the_daemon_dies_there_is_the_guest_or_its_file,
         a_saving_that_is_aborted_leaves_the_guest]


def with_daemon(function):
    def case(h):
        if not hasattr(h, "saver"):
            h.saver = Daemon(h, 1)
        function(h, h.saver)
    case.__name__ = function.__name__
    return case


if __name__ == "__main__":
    sys.exit(lab.main(__doc__, [with_daemon(function) for function in CASES], store="drover"))
