#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Bad input and greedy clients: what one connection does, others do not notice, and the daemon
lives on: any octets, messages that never end, a thousand connections, clients that read nothing,
no descriptors left, rings written over by their guests.
"""
import os
import random
import select
import shutil
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from lib import equal, peers, refusal, serves, until  # noqa: E402

SEEDS = range(40)
STALL_S = 10.0      # far below any wait for the other; generous to a busy machine


def header(kind, size, req_id=1, tx=0):
    return struct.pack("=IIII", kind, req_id, tx, size)


def quickly(call, *args):
    start = time.monotonic()
    r = call(*args)
    took = time.monotonic() - start
    assert took < STALL_S, "took %.2f s" % took
    return r


def closed(x):
    try:
        while True:
            x.recv(lib.TIMEOUT)
    except peers.Closed:
        return True


def octets_without_sense(d):
    for seed in SEEDS:
        r = random.Random(seed)
        with d.connect() as x:
            try:
                x.send_raw(r.randbytes(r.randrange(1, 3000)))
            except peers.Closed:
                pass
            serves(d)


def messages_nearly_well_formed(d):
    for seed in SEEDS:
        r = random.Random(seed)
        with d.connect() as x:
            sent = 0
            for _ in range(50):
                size = r.choice([0, 1, 2, 3, 16, 100, 4096])
                payload = bytes(r.choice(b"/@ab\0\0 n05TF\xff") for _ in range(size))
                kind = r.choice([k for k in range(32) if k != peers.XS_CONTROL])
                x.send(kind, payload, r.choice([0, 0, 1, 2, 0xffffffff]), req_id=sent)
                sent += 1
            for req_id in range(sent):      # each is answered, in turn
                equal(x.recv_reply().req_id, req_id)
            x.call(peers.XS_RESET_WATCHES, b"\0")
        serves(d)
    with d.connect() as x:
        for name in x.ls("/"):
            if name not in ("tool", "local"):
                x.rm("/" + name)


def too_long_a_message_closes_its_connection(d):
    for size in 4097, 65536, 0x40000000, 0x7fffffff, 0x80000000, 0xffffffff:
        with d.connect() as x, d.connect() as other:
            x.send_raw(header(peers.XS_WRITE, size))
            assert closed(x)
            equal(other.read("/tool"), b"")


def half_a_message_delays_only_itself(d):
    halves = [header(peers.XS_READ, 6)[:7], header(peers.XS_READ, 6),
              header(peers.XS_READ, 6) + b"/to"]
    waiting = [(d.connect(), half) for half in halves]
    for x, half in waiting:
        x.send_raw(half)
    for _ in range(20):
        quickly(serves, d)
    for x, half in waiting:
        x.send_raw((header(peers.XS_READ, 6) + b"/tool\0")[len(half):])
        equal(x.recv_reply().payload, b"")
        x.close()


def an_octet_at_a_time(d):
    with d.connect() as x:
        for octet in header(peers.XS_READ, 6) + b"/tool\0":
            x.send_raw(bytes([octet]))
        equal(x.recv_reply().payload, b"")


def closed_in_the_middle(d):
    before = lib.open_fds(d.pid)
    for n in (1, 7, 16, 20):
        for _ in range(20):
            with d.connect() as x:
                x.begin()
                x.watch("/", "t")
                x.send_raw((header(peers.XS_WRITE, 9) + b"/half\0abc")[:n])
    serves(d)
    until(lambda: lib.open_fds(d.pid) <= before, "closed descriptors")


def a_thousand_connections(d):
    before = lib.open_fds(d.pid)
    everybody = [d.connect() for _ in range(1000)]
    for i, x in enumerate(everybody):
        x.write("/crowd/%d" % i, str(i))
    for i, x in enumerate(everybody):
        x.watch("/crowd/all", "t")
    with d.connect() as x:
        quickly(x.write, "/crowd/all", "now")
    for x in everybody:
        equal(x.next_event(lib.TIMEOUT)[1], "t")    # the watch itself
        equal(x.next_event(lib.TIMEOUT), ("/crowd/all", "t"))
        x.close()
    until(lambda: lib.open_fds(d.pid) <= before, "closed descriptors")
    with d.connect() as x:
        x.rm("/crowd")


def who_reads_no_replies_is_no_longer_read(d):
    with d.connect() as x:
        x.write("/big", "v" * 4000)
        request = header(peers.XS_READ, 5) + b"/big\0"
        x.sock.setblocking(False)
        sent, deadline = 0, time.monotonic() + 3
        while time.monotonic() < deadline:
            try:
                sent += x.sock.send(request * 100)
            except BlockingIOError:
                if not select.select([], [x.sock], [], 0.3)[1]:
                    break       # not read any more: its own affair
        else:
            raise AssertionError("%d octets of requests were taken" % sent)
        assert lib.rss_kb(d.pid) < 200_000
        for _ in range(20):
            quickly(serves, d)
        x.sock.setblocking(True)
        for _ in range(sent // len(request)):   # it reads: everything is there
            equal(len(x.recv_reply().payload), 4000)
    with d.connect() as x:
        x.rm("/big")


def who_reads_no_events_costs_no_more_than_the_bound(d):
    with d.connect() as deaf, d.connect() as x:
        deaf.watch("/deaf", "t" * 1000)
        for i in range(60_000 if not lib.options.valgrind else 2_000):
            x.send(peers.XS_WRITE, b"/deaf/%d\0" % (i % 3000))
            if i % 50 == 49:
                for _ in range(50):
                    x.recv_reply()
        assert lib.rss_kb(d.pid) < 300_000, lib.rss_kb(d.pid)
        quickly(serves, d)
        x.rm("/deaf")


def no_descriptors_left(d):
    if lib.options.valgrind:
        raise lib.Skip("memcheck keeps descriptors of its own")
    everybody = []
    for _ in range(100):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        s.connect(d.socket)
        everybody.append(s)
    request = header(peers.XS_READ, 6) + b"/tool\0"
    for s in everybody:
        s.send(request)
    answered = select.select(everybody, [], [], lib.TIMEOUT)[0]
    assert answered, "nobody is served"
    until(lambda: "connections wait" in d.output(), "a word of it in the log")
    assert d.process.poll() is None
    busy = cpu_s(d.pid)
    select.select([], [], [], 0.5)
    assert cpu_s(d.pid) - busy < 0.3, "it spins"
    # As those served go, the others get their turn.
    waiting = set(everybody)
    while waiting:
        ready = select.select(list(waiting), [], [], lib.TIMEOUT)[0]
        assert ready, "%d wait for ever" % len(waiting)
        for s in ready:
            assert s.recv(4096)
            s.close()
            waiting.discard(s)
    serves(d)
    assert d.output().count("connections wait") < 20, "the log is full of it"


def cpu_s(pid):
    ticks = 0
    for one in lib.family(pid):
        with open("/proc/%d/stat" % one) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def reconnected(g):
    g.field(5, 1)
    g.notify()
    until(lambda: g.field(5) == 0, "a fresh ring")
    g.buf = b""
    equal(g.field(6), 0)


def error_of(g):
    until(lambda: g.field(6), "an error beside the ring")
    return g.field(6)


def a_guest_writes_over_its_indices(d):
    domid, other = d.create_guest(), d.create_guest()
    with d.guest(domid) as g, d.guest(other) as peer:
        for index, value in ((1, 5000), (1, 0x80000000), (0, 77777), (2, 123456), (3, 9999)):
            g.field(index, value)
            g.notify()
            if index in (2, 3):     # its own replies' indices count once there is one
                g.field(1, (g.field(0) + 16) & 0xffffffff)
                g.notify()
            peer.write("x", "1")
            equal(error_of(g), 2)
            reconnected(g)
            g.write("after", str(value))
    assert "protocol" in d.output() or "ring" in d.output()
    d.sim.destroy(domid)
    d.sim.destroy(other)


def a_guest_sends_too_long_a_message(d):
    domid, other = d.create_guest(), d.create_guest()
    with d.guest(domid) as g, d.guest(other) as peer:
        for size in 4097, 0x7fffffff, 0xffffffff:
            g.send_raw(header(peers.XS_WRITE, size))
            equal(error_of(g), 3)
            peer.write("x", "1")
            reconnected(g)
            g.write("after", "1")
    d.sim.destroy(domid)
    d.sim.destroy(other)


def a_guest_scribbles_while_it_is_served(d):
    domid, other = d.create_guest(), d.create_guest()
    with d.guest(domid) as g, d.guest(other) as peer:
        for seed in SEEDS:
            r = random.Random(seed)
            for _ in range(30):
                at = r.randrange(0, 2048 + 28)
                g.page[at] = r.randrange(256)
                g.notify()
            peer.write("seed", str(seed))
            equal(peer.read("seed"), str(seed).encode())
        for index in range(7):
            g.field(index, 0)
        reconnected(g)
        g.write("after", "1")
    d.sim.destroy(domid)
    d.sim.destroy(other)


def a_guest_that_reads_nothing(d):
    domid, other = d.create_guest(), d.create_guest()
    with d.guest(domid) as g, d.guest(other) as peer, d.connect() as x:
        g.write("v", "v" * 900)
        g.watch("v", "t")
        g.timeout = 0.3
        try:
            while True:
                g.send(peers.XS_READ, b"v\0")
        except peers.Timeout:
            pass        # the daemon takes no more of its requests
        for i in range(300):
            quickly(x.write, "/local/domain/%d/v" % domid, str(i))
            quickly(peer.write, "x", str(i))
        g.timeout = lib.TIMEOUT
    d.sim.destroy(domid)
    d.sim.destroy(other)


def guests_die_in_the_middle(d):
    with d.connect() as x:
        x.watch("@releaseDomain", "r")
        x.next_event(lib.TIMEOUT)
        for n in range(25):
            domid = d.create_guest()
            with d.guest(domid) as g:
                g.write("a/b", "1")
                g.watch("a", "t")
                tx = g.begin()
                g.write("c", "1", tx)
                g.send_raw((header(peers.XS_WRITE, 100) + b"x\0" + b"v" * 98)[:1 + 4 * n])
                d.sim.destroy(domid)
            equal(x.next_event(lib.TIMEOUT)[1], "r")
            equal(refusal(x.read, "/local/domain/%d/a/b" % domid), "ENOENT")


def nothing_is_left(d):
    lib.clean(d)
    with d.connect() as x:
        equal(sorted(x.ls("/")), ["local", "tool"])


FEW = {"prefix": [shutil.which("prlimit") or "prlimit", "--nofile=60:60"]}

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [
        octets_without_sense, messages_nearly_well_formed,
        too_long_a_message_closes_its_connection, half_a_message_delays_only_itself,
        an_octet_at_a_time, closed_in_the_middle, a_thousand_connections,
        who_reads_no_replies_is_no_longer_read,
        who_reads_no_events_costs_no_more_than_the_bound, a_guest_writes_over_its_indices,
        a_guest_sends_too_long_a_message, a_guest_scribbles_while_it_is_served,
        a_guest_that_reads_nothing, guests_die_in_the_middle, nothing_is_left,
        (no_descriptors_left, FEW)]))
