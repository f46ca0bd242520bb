#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""From a program of another version and back to it: another journal, and images of version 1 alone.
The whole state goes as an image with our own records, on every backend. See
docs/decisions/0010-journal-and-recovery.md.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disturb  # noqa: E402
import lib  # noqa: E402
from lib import equal, peers, refusal, until  # noqa: E402

OLDER = peers.build_dir() + "/tests/system/drover-xenstored-older"
TURNS = int(os.environ.get("TURNS", "2"))


def to(d, program):
    disturb.live_update(d, program)
    equal(os.readlink("/proc/%d/exe" % d.pid), os.path.realpath(program))
    disturb.worker(d)


def there_and_back(d, between=lambda: None):
    for program in (OLDER, lib.XENSTORED):
        to(d, program)
        between()


def everything_goes_over(d):
    domid = d.create_guest()
    with d.connect() as x, d.connect() as y, d.guest(domid) as g:
        x.write("/tests/a", "1")
        x.setperms("/tests/a", "n0", "r%d" % domid)
        x.watch("/tests", "tok")
        g.watch("device", "rel")
        equal(x.next_event(lib.TIMEOUT), ("/tests", "tok"))
        equal(g.next_event(lib.TIMEOUT), ("device", "rel"))
        x.control("quota", "set", "watches", "77")
        quota = x.control("quota")
        assert "77" in quota, quota

        def look():
            equal(y.read("/tests/a"), b"1")
            equal(x.perms("/tests/a"), ["n0", "r%d" % domid])
            equal((refusal(g.write, "/tests/a", "2"), refusal(x.watch, "/tests", "tok")),
                  ("EACCES", "EEXIST"))
            equal(x.control("quota"), quota)
            y.write("/local/domain/%d/device/x" % domid, "1")
            equal(g.next_event(lib.TIMEOUT), ("device/x", "rel"))
            y.write("/tests/b", "1")
            equal(x.next_event(lib.TIMEOUT), ("/tests/b", "tok"))
        files = sorted(os.listdir(d.run + "/journal"))
        for _ in range(TURNS):
            look()
            there_and_back(d, look)
        disturb.kill_worker(d)
        look()
        equal(sorted(os.listdir(d.run + "/journal")), files)
        assert not os.path.exists(d.run + "/state_dump")
        x.rm("/tests")
    d.sim.destroy(domid)
    with d.connect() as x:
        until(lambda: not x.is_introduced(domid), "the end of domain %d" % domid)
    lib.clean(d)


def transactions_stay_open(d):
    """Their ends are decided as if nothing had happened."""
    domid = d.create_guest()
    with d.connect() as x, d.connect() as y, d.guest(domid) as g:
        x.write("/tests/a", "1")
        x.write("/tests/b", "1")
        good, bad, given_up, of_guest = x.begin(), x.begin(), y.begin(), g.begin()
        g.write("mine", "1", of_guest)
        x.write("/tests/new", "of good", good)
        equal(x.read("/tests/a", good), b"1")
        equal(x.read("/tests/b", bad), b"1")
        x.write("/tests/never", "1", bad)
        y.write("/tests/never", "1", given_up)
        to(d, OLDER)
        equal(x.read("/tests/new", good), b"of good")
        equal(refusal(y.read, "/tests/new"), "ENOENT")
        x.write("/tests/new2", "of good", good)
        y.write("/tests/b", "2")
        equal(x.read("/tests/b", bad), b"1")
        to(d, lib.XENSTORED)
        x.commit(good)
        equal(refusal(x.commit, bad), "EAGAIN")
        y.abort(given_up)
        g.commit(of_guest)
        equal((y.read("/tests/new"), y.read("/tests/new2")), (b"of good", b"of good"))
        equal(y.read("/local/domain/%d/mine" % domid), b"1")
        equal(refusal(y.read, "/tests/never"), "ENOENT")
        x.rm("/tests")
    d.sim.destroy(domid)


def halves_go_over(d):
    """A request begun and answers not yet read, of a socket and of a ring."""
    domid = d.create_guest()
    with d.connect() as x, d.connect() as y, d.guest(domid) as g:
        x.write("/tests/large", "x" * 3000)
        for program in (OLDER, lib.XENSTORED):
            x.send_raw(b"\x02\0\0\0\x63\0\0\0\0\0\0\0\x0d\0\0\0/test")
            g.send_raw(b"\x0b\0\0\0\x64\0\0\0\0\0\0\0\x08\0\0\0half")
            for _ in range(200):
                y.send(peers.XS_READ, b"/tests/large\0")
            to(d, program)
            x.send_raw(b"s/large\0")
            equal(x.recv_reply()[1:], (0x63, 0, b"x" * 3000))
            g.send_raw(b"\0%03d" % domid)
            equal(g.recv_reply()[:2], (peers.XS_WRITE, 0x64))
            equal(g.read("half"), b"%03d" % domid)
            for _ in range(200):
                equal(y.recv_reply()[3], b"x" * 3000)
        x.rm("/tests")
    d.sim.destroy(domid)


def depth_is_what_version_1_cannot_say(d):
    with d.connect() as x:
        x.watch("/tests", "deep", "1")
        equal(x.next_event(lib.TIMEOUT), ("/tests", "deep"))
        to(d, OLDER)
        assert "lose their depth" in d.output(), d.output()
        x.write("/tests/c/d", "1")
        equal(x.next_event(lib.TIMEOUT), ("/tests/c/d", "deep"))
        to(d, lib.XENSTORED)
        x.rm("/tests")


def clients_at_work_notice_nothing(d):
    with disturb.history(d) as h:
        for _ in range(TURNS):
            there_and_back(d, lambda: h.progress(2))
        disturb.kill_worker(d)
        h.progress(2)
        counts = h.finish()
    print("# %s" % counts)
    lib.clean(d)


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [
        (case, {}) for case in (
            everything_goes_over, transactions_stay_open, halves_go_over,
            depth_is_what_version_1_cannot_say, clients_at_work_notice_nothing)]))
