#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Each daemon serves real clients over the socket and guests over the ring, on one simulation.

Usage: peers_test.py [KIND...]
"""
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peers  # noqa: E402


def serves_test_xenstore(d):
    subprocess.run([peers.XEN_BIN + "/test-xenstore", "-i", "2"], check=True, timeout=60,
                   env=dict(os.environ, XENSTORED_PATH=d.socket), stdout=subprocess.DEVNULL)


def guest_reads_and_writes_over_its_ring(d):
    domid = d.create_guest()
    with d.guest(domid) as g, d.connect() as x:
        g.write("data", "a" * 2000)     # twice around the ring
        assert g.read("data") == b"a" * 2000
        assert x.read("/local/domain/%d/data" % domid) == b"a" * 2000
        assert x.perms("/local/domain/%d/data" % domid)[0] == "n%d" % domid
        try:
            g.write("/tool/x", "1")
        except peers.XsError as e:
            assert e.name == "EACCES", e
        else:
            raise AssertionError("a guest wrote to /tool")
    d.sim.destroy(domid)


def guest_sees_watch_events(d):
    domid = d.create_guest()
    with d.guest(domid) as g, d.connect() as x:
        g.write("w", "0")
        g.watch("w", "tok")
        assert g.next_event(10) == ("w", "tok")
        x.write("/local/domain/%d/w" % domid, "1")
        assert g.next_event(10) == ("w", "tok")
    d.sim.destroy(domid)


def toolstack_hears_of_a_death(d):
    domid = d.create_guest()
    with d.connect() as x:
        x.watch("@releaseDomain", "died")
        assert x.next_event(10)[1] == "died"
        assert x.is_introduced(domid)
        d.sim.shutdown(domid)
        assert x.next_event(10)[1] == "died"
        d.sim.destroy(domid)
        assert x.next_event(10)[1] == "died"
        assert not x.is_introduced(domid)


def recycled_domid_speaks_anew(d):
    domid = d.create_guest()
    with d.guest(domid) as g, d.connect() as x:
        g.write("x", "old")
        x.watch("@releaseDomain", "died")
        x.next_event(10)
        d.sim.destroy(domid)
        x.next_event(10)
    assert d.create_guest(domid) == domid
    with d.guest(domid) as g:
        g.write("y", "new")
        assert g.read("y") == b"new"
    d.sim.destroy(domid)


def many_guests(d):
    with d.connect() as x:
        ids = [d.create_guest(client=x) for _ in range(60)]
        guests = [d.guest(i) for i in ids]
        for turn in range(5):
            for g in guests:
                g.send(peers.XS_WRITE, b"n\0" + str(turn).encode())
            for g in guests:
                assert g.recv_reply().type == peers.XS_WRITE
        for g in guests:
            g.close()
        for i in ids:
            d.sim.destroy(i)


def guest_begins_its_ring_anew(d):
    domid = d.create_guest()
    with d.guest(domid) as g:
        g.watch("w", "tok")
        g.send_raw(peers.HEADER.pack(peers.XS_READ, 1, 0, 2) + b"w")     # half a request
        if g.field(4) & 1:
            g.reconnect()
            g.watch("w", "tok")     # EEXIST had the old one stayed
    d.sim.destroy(domid)


def busy_guest(d, domid, ops):
    """Requests of all sizes, one by one and many at once, each reply checked."""
    rnd, have = random.Random(domid), {}
    with d.guest(domid) as g:
        g.watch("n", "tok")
        for _ in range(ops):
            path, value = "n/%d" % rnd.randrange(20), b"v" * rnd.randrange(2000)
            what = rnd.randrange(4)
            if what == 0:
                g.write(path, value)
                have[path] = value
            elif what == 1 and path in have:
                g.rm(path)
                del have[path]
            elif what == 2 and path in have:
                assert g.read(path) == have[path]
            elif path in have:      # more than the ring holds
                for _ in range(20):
                    g.send(peers.XS_READ, path.encode() + b"\0")
                for _ in range(20):
                    assert g.recv_reply().payload == have[path]


def guests_at_once(d):
    ids = [d.create_guest() for _ in range(4)]
    pids = []
    for domid in ids:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                busy_guest(d, domid, 300)
                status = 0
            except Exception as e:  # pylint: disable=broad-except
                print("# domain %d: %r" % (domid, e), flush=True)
            os._exit(status)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * len(pids)
    for domid in ids:
        d.sim.destroy(domid)


TESTS = [serves_test_xenstore, guest_reads_and_writes_over_its_ring, guest_sees_watch_events,
         toolstack_hears_of_a_death, recycled_domid_speaks_anew, guest_begins_its_ring_anew,
         many_guests, guests_at_once]


def main():
    kinds = sys.argv[1:] or ["c", "ocaml"]
    n = failed = 0
    print("1..%d" % (len(kinds) * len(TESTS)), flush=True)
    for kind in kinds:
        d = peers.Daemon(kind) if peers.have(kind) else None
        for test in TESTS:
            n += 1
            name = "%d - %s: %s" % (n, kind, test.__name__)
            if not d:
                print("ok %s # SKIP not installed" % name)
                continue
            try:
                test(d)
                print("ok " + name, flush=True)
            except Exception as e:  # pylint: disable=broad-except
                failed += 1
                print("not ok %s\n# %r\n# %s" % (name, e, d.output()[-2000:].replace("\n", "\n# ")))
        if d and d.stop() and kind.startswith("drover"):    # leaks and faults end here
            failed += 1
            print("# %s ended badly" % kind)
    return failed != 0


sys.exit(main())
