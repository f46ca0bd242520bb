#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Load that goes on: guests in parallel over their rings, each checking what it reads, while
domains come and go and a toolstack watches all of it. Afterwards nothing is left of them: nodes,
watches, memory, descriptors, and CONTROL check agrees. SECONDS (6 by default) is how long.
"""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from lib import equal, peers, refusal, until  # noqa: E402

SECONDS = float(os.environ.get("SECONDS", "6"))
GUESTS = 8


class Worker(threading.Thread):
    """Runs turn(random, n) until told to end; what it raises is raised again by finish."""

    def __init__(self, turn, seed):
        super().__init__(daemon=True)
        self.turn, self.random, self.n = turn, random.Random(seed), 0
        self.over, self.error = threading.Event(), None
        self.start()

    def run(self):
        try:
            while not self.over.is_set():
                self.turn(self.random, self.n)
                self.n += 1
        except Exception as e:  # pylint: disable=broad-except
            self.error = e
            self.over.set()

    def finish(self):
        self.over.set()
        self.join(lib.TIMEOUT)
        if self.error:
            raise self.error
        assert not self.is_alive(), "a worker hangs"
        assert self.n, "a worker did nothing"


def guest_life(d, domid):
    """What a guest does again and again, knowing what it must see."""
    g, mine, committed = d.guest(domid), {}, [0]

    def turn(r, n):
        path = "data/%d" % r.randrange(20)
        what = r.random()
        if what < 0.4:
            mine[path] = b"%d" % n * r.randrange(1, 200)
            g.write(path, mine[path])
        elif what < 0.7:
            got = None if refusal(g.read, path) == "ENOENT" else g.read(path)
            equal(got, mine.get(path))
        elif what < 0.8:
            g.rm(path) if path in mine else None
            mine.pop(path, None)
        elif what < 0.9:
            tx = g.begin()
            count = committed[0] + 1
            g.write("count", str(count), tx)
            g.write("twin", str(count), tx)
            if r.random() < 0.8:
                g.commit(tx)
                committed[0] = count
                equal((g.read("count"), g.read("twin")), (b"%d" % count,) * 2)
            else:
                g.abort(tx)
        else:
            token = "t%d" % n
            g.watch("seen", token)
            equal(g.next_event(lib.TIMEOUT), ("seen", token))
            g.write("seen", str(n))
            equal(g.next_event(lib.TIMEOUT), ("seen", token))
            g.unwatch("seen", token)
    return turn, g


def come_and_go(d):
    """A domain's whole life, each turn."""
    x = d.connect()

    def turn(r, n):
        domid = d.create_guest(client=x)
        home = "/local/domain/%d" % domid
        tx = x.begin()
        for i in range(r.randrange(1, 30)):
            x.write("%s/device/%d/state" % (home, i), "1", tx)
        x.commit(tx)
        x.setperms(home + "/device/0", "n0", "r%d" % domid)
        with d.guest(domid) as g:
            for i in range(r.randrange(10)):
                g.watch("device/%d" % i, "t")
            g.write("mine/a/b/c", str(n))
            g.begin()
        if r.random() < 0.5:
            d.sim.shutdown(domid)
        d.sim.destroy(domid)
        until(lambda: not x.is_introduced(domid), "the end of domain %d" % domid)
        equal(refusal(x.read, home + "/mine/a/b/c"), "ENOENT")
        if refusal(x.rm, home) not in (None, "ENOENT"):
            raise AssertionError("rm " + home)
    return turn, x


def clients_come_and_go(d):
    def turn(r, n):
        with d.connect() as x:
            for i in range(r.randrange(5)):
                x.watch("/local/domain", "%d-%d" % (n, i))
            tx = x.begin()
            x.write("/scratch/%d" % r.randrange(50), "1", tx)
            if r.random() < 0.5:
                refusal(x.commit, tx)
    return turn


def everything(d, seconds):
    """All of it for a while; how many turns there were."""
    with d.connect() as x:
        ids = [d.create_guest(client=x) for _ in range(GUESTS)]
        made = [guest_life(d, domid) for domid in ids] + [come_and_go(d)]
        workers = [Worker(turn, seed) for seed, (turn, _) in enumerate(made)]
        workers.append(Worker(clients_come_and_go(d), 99))
        end = time.monotonic() + seconds
        while time.monotonic() < end and not any(w.error for w in workers):
            x.ls("/local/domain")
            workers[0].over.wait(0.02)
        for w in workers:
            w.over.set()
        for w in workers:
            w.finish()
        for _, client in made:
            client.close()
        for domid in ids:
            d.sim.destroy(domid)
        until(lambda: not any(x.is_introduced(i) for i in ids), "the guests' end")
        for domid in ids:
            refusal(x.rm, "/local/domain/%d" % domid)
        refusal(x.rm, "/scratch")
        return sum(w.n for w in workers)


def guests_toolstack_and_clients_at_once(d):
    with d.connect() as x:
        before = sorted(x.ls("/local/domain")) if not refusal(x.ls, "/local/domain") else []
    assert everything(d, SECONDS / 3) > 50
    fds, rss = lib.open_fds(d.pid), lib.rss_kb(d.pid)
    assert everything(d, SECONDS) > 50
    until(lambda: lib.open_fds(d.pid) <= fds + 1, "closed descriptors: %d before" % fds)
    lib.not_grown(d.pid, rss, 1024)
    lib.clean(d)
    with d.connect() as x:
        equal(sorted(x.ls("/local/domain")), before)


def a_thousand_domains_leave_nothing(d):
    turn, x = come_and_go(d)
    r = random.Random(7)
    for n in range(300):
        turn(r, n)
    fds, rss = lib.open_fds(d.pid), lib.rss_kb(d.pid)
    for n in range(700):
        turn(r, n)
    assert lib.open_fds(d.pid) <= fds, "%d descriptors, %d before" % (lib.open_fds(d.pid), fds)
    lib.not_grown(d.pid, rss, 512)
    x.close()
    lib.clean(d)


def a_large_tree_is_given_back(d):
    with d.connect() as x:
        def fill():
            for i in range(20000):
                x.send(peers.XS_WRITE, b"/big/%d/%d\0value" % (i % 100, i))
                if i % 100 == 99:
                    for _ in range(100):
                        x.recv_reply()
            x.rm("/big")
            lib.clean(d)    # waits for what is destroyed in slices
        for _ in range(4):      # the allocator settles
            fill()
        rss = lib.rss_kb(d.pid)
        for _ in range(4):
            fill()
        lib.not_grown(d.pid, rss, 1024)


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [
        guests_toolstack_and_clients_at_once, a_thousand_domains_leave_nothing,
        a_large_tree_is_given_back]))
