#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A running C xenstored hands over to ours, by its own live update, and ours to it: the unmodified
binary of the distribution, both on the simulated host's libraries. See
docs/decisions/0011-adoption.md.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disturb  # noqa: E402
import lib  # noqa: E402
from lib import equal, peers, refusal, until  # noqa: E402

TURNS = int(os.environ.get("TURNS", "2"))


def program(d):
    return os.readlink("/proc/%d/exe" % d.pid)


def to_ours(d):
    """Without the sandbox: the simulated host's libraries open files whenever they are asked."""
    disturb.live_update(d, lib.XENSTORED, "-c", " ".join(["-N", "--no-sandbox", *peers.LIFTED]))
    equal(program(d), os.path.realpath(lib.XENSTORED))
    disturb.worker(d)


def to_c(d):
    disturb.live_update(d, disturb.C_XENSTORED)
    equal(program(d), os.path.realpath(disturb.C_XENSTORED))
    equal(disturb.workers(d), [])


class Household:
    """One of everything that goes over, and whether it is there."""

    def __init__(self, d):
        self.d, self.domid = d, d.create_guest()
        self.x, self.y, self.g = d.connect(), d.connect(), d.guest(self.domid)
        x, g = self.x, self.g
        x.write("/tests/a", "1")
        x.setperms("/tests/a", "n0", "r%d" % self.domid)
        x.setperms("@releaseDomain", "n0", "r%d" % self.domid)
        x.watch("/tests", "tok")
        x.watch("@releaseDomain", "died")
        g.watch("device", "rel")
        g.watch("@releaseDomain", "died")
        for c, n in ((x, 2), (g, 2)):
            for _ in range(n):
                c.next_event(lib.TIMEOUT)
        self.n = 0

    def begin_halves(self):
        """A request begun on both transports, and answers that nobody reads yet."""
        self.x.send_raw(b"\x02\0\0\0\x63\0\0\0\0\0\0\0\x09\0\0\0/test")
        self.g.send_raw(b"\x0b\0\0\0\x64\0\0\0\0\0\0\0\x08\0\0\0half")
        for _ in range(200):
            self.y.send(peers.XS_READ, b"/tests/large\0")

    def end_halves(self):
        self.x.send_raw(b"s/a\0")
        equal(self.x.recv_reply()[1:], (0x63, 0, b"1"))
        self.g.send_raw(b"\0%03d" % self.n)
        equal(self.g.recv_reply()[:2], (peers.XS_WRITE, 0x64))
        equal(self.g.read("half"), b"%03d" % self.n)
        for _ in range(200):
            equal(self.y.recv_reply()[3], b"x" * 3000)

    def over(self, update):
        """Everything works before and after."""
        d, x, y, g, home = self.d, self.x, self.y, self.g, "/local/domain/%d" % self.domid
        self.n += 1
        pid = d.pid
        y.write("/tests/large", "x" * 3000)
        equal(x.next_event(lib.TIMEOUT), ("/tests/large", "tok"))
        self.begin_halves()
        update(d)
        equal((d.pid, d.process.poll()), (pid, None))
        self.end_halves()
        equal(x.perms("/tests/a"), ["n0", "r%d" % self.domid])
        equal((y.read("/tests/a"), refusal(g.write, "/tests/a", "no")), (b"1", "EACCES"))
        y.write(home + "/device/%d" % self.n, "1")
        equal(g.next_event(lib.TIMEOUT)[1], "rel")
        y.write("/tests/b", "%d" % self.n)
        equal(x.next_event(lib.TIMEOUT), ("/tests/b", "tok"))
        equal(refusal(x.watch, "/tests", "tok"), "EEXIST")
        tx = g.begin()
        g.write("n", "%d" % self.n, tx)
        g.commit(tx)
        other = d.create_guest(client=y)
        with d.guest(other) as o:
            o.write("mine", "1")
        d.sim.destroy(other)
        for c in (x, g):
            until(lambda c=c: c.next_event(lib.TIMEOUT)[1] == "died", "the news of a death")
        until(lambda: not y.is_introduced(other), "the end of domain %d" % other)
        with d.connect() as z:
            equal(z.read(home + "/n"), b"%d" % self.n)

    def end(self):
        self.x.rm("/tests")
        for c in (self.x, self.y, self.g):
            c.close()
        self.d.sim.destroy(self.domid)


def there_and_back_again():
    with lib.daemon("c") as d:
        household = Household(d)
        for _ in range(TURNS):
            household.over(to_ours)
            household.over(to_ours)     # ours by ours, too
            household.over(to_c)
        household.over(to_ours)
        disturb.kill_worker(d)          # what was adopted is in the journal
        household.end()
        lib.clean(d)
        until(lambda: not os.path.exists(d.run + "/state_dump"), "the image is removed")


def c_gets_no_depth(d):
    with d.connect() as x:
        x.watch("/tests", "deep", "1")
        equal(x.next_event(lib.TIMEOUT), ("/tests", "deep"))
        x.write("/tests/c/d", "1")
        to_c(d)
        assert "depth" in d.output(), d.output()
        x.write("/tests/c/d", "2")      # a depth watch is a plain one now: more is told
        equal(x.next_event(lib.TIMEOUT), ("/tests/c/d", "deep"))
        to_ours(d)
        x.rm("/tests")


def transactions_end_before_c_begins(d):
    """Open ones with EAGAIN; others are not begun meanwhile, and begun by C. All else goes on."""
    domid = d.create_guest()
    with d.connect() as x, d.connect() as y, d.connect() as z, d.guest(domid) as g:
        tx, of_guest, second = x.begin(), g.begin(), z.begin()
        x.write("/tests/never", "1", tx)
        env = lib.environment(d)
        with lib.started([disturb.CONTROL, "live-update", disturb.C_XENSTORED], env) as p:
            until(lambda: "open transactions: EAGAIN" in d.output(), "what C cannot hold")
            y.send(peers.XS_TRANSACTION_START, b"\0")   # on a connection that has none: waits
            equal(refusal(z.commit, z.begin()), "EAGAIN")   # on one that has: it ends as they do
            with d.connect() as other:
                other.write("/tests/meanwhile", "1")
                equal(other.read("/tests/meanwhile"), b"1")
            assert p.poll() is None and program(d) == os.path.realpath(lib.XENSTORED)
            equal(x.read("/tests/never", tx), b"1")
            equal((refusal(x.commit, tx), refusal(z.commit, second)), ("EAGAIN", "EAGAIN"))
            g.abort(of_guest)
            begun = int(y.recv_reply()[3].rstrip(b"\0"))
            equal((p.wait(lib.TIMEOUT), program(d)), (0, os.path.realpath(disturb.C_XENSTORED)))
        y.write("/tests/by_c", "1", begun)
        y.commit(begun)
        equal(x.read("/tests/by_c"), b"1")
        to_ours(d)
        x.rm("/tests")
    d.sim.destroy(domid)


def a_calm_that_is_given_up_is_over(d):
    """By who asked, and by the worker's death."""
    for dies in (False, True):
        with d.connect() as x, d.connect() as y:
            tx, seen = x.begin(), d.output().count("EAGAIN")
            with d.connect() as asker:
                asker.control("live-update", "-f", disturb.C_XENSTORED)
                asker.send(peers.XS_CONTROL, b"live-update\0-s\0")
                until(lambda n=seen: d.output().count("EAGAIN") > n, "the calm")
                y.send(peers.XS_TRANSACTION_START, b"\0")
                equal(x.read("/tool", tx), b"")
                if dies:
                    disturb.kill_worker(d)
            begun = int(y.recv_reply()[3].rstrip(b"\0"))
            y.commit(begun)
            assert refusal(x.commit, tx) in (None, "EAGAIN")
    equal(program(d), os.path.realpath(lib.XENSTORED))


def who_does_not_end_in_time_is_named(d):
    """Nothing is lost then; with -F it is."""
    domid = d.create_guest()
    with d.connect() as x, d.connect() as y, d.guest(domid) as g:
        tx, of_guest = x.begin(), g.begin()
        said = disturb.live_update(d, disturb.C_XENSTORED, "-t", "1", status=None)
        text = said.out + said.err + d.output()
        assert said.status and "domain %d: 1" % domid in text and "connection" in text, text
        equal(program(d), os.path.realpath(lib.XENSTORED))
        y.commit(y.begin())             # as before
        equal((refusal(x.commit, tx), refusal(g.commit, of_guest)), ("EAGAIN", "EAGAIN"))
        tx = x.begin()
        disturb.live_update(d, disturb.C_XENSTORED, "-t", "1", "-F")
        equal(program(d), os.path.realpath(disturb.C_XENSTORED))
        assert "lost by force" in d.output(), d.output()
        equal(refusal(x.commit, tx), "ENOENT")
        to_ours(d)
    d.sim.destroy(domid)


def a_program_that_cannot_take_over_changes_nothing(d):
    with d.connect() as x:
        x.write("/tests/a", "1")
        tx = x.begin()
        before = disturb.worker(d)
        for bad in ("/bin/false", "/etc/passwd", "/nonexistent"):
            said = disturb.live_update(d, bad, status=None)
            assert said.status and bad in said.err + said.out + d.output(), said.err
        equal((program(d), disturb.worker(d)), (os.path.realpath(lib.XENSTORED), before))
        x.write("/tests/b", "1", tx)
        x.commit(tx)
        x.rm("/tests")


def clients_at_work_notice_nothing():
    """From C to ours, by ours, back to C, and to ours again, under full load."""
    with lib.daemon("c") as d:
        with disturb.history(d, "--lenient") as h:
            for update in (to_ours, to_ours, to_c, to_ours):
                h.progress(2)
                if program(d).endswith("/xenstored"):
                    with h.calm():      # C answers no START that comes while it waits
                        update(d)
                else:
                    update(d)
            disturb.kill_worker(d)
            h.progress(2)
            counts = h.finish()
        print("# %s" % counts)
        lib.clean(d)


if __name__ == "__main__":
    XEN = {"kind": "drover-xen"}
    lib.need(disturb.C_XENSTORED)
    sys.exit(lib.main(__doc__, [
        there_and_back_again, (c_gets_no_depth, XEN), (transactions_end_before_c_begins, XEN),
        (a_calm_that_is_given_up_is_over, XEN), (who_does_not_end_in_time_is_named, XEN),
        (a_program_that_cannot_take_over_changes_nothing, XEN),
        clients_at_work_notice_nothing]))
