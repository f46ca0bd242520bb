#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes the golden images of C xenstored: runs it on the simulated host, fills it, and takes the
state that it writes for a live update.

    tests/golden/make.py FOLDER

The images are committed, since they are what a real daemon wrote; this says how they came to be.
c-4.17-fresh      a daemon that nobody used but for who asked for the update
c-4.17-host       domains, devices, watches of both kinds of connection, permissions
c-4.17-partial    half requests, unread replies and events, of sockets and of a guest
c-4.17-many       500 nodes and 40 watches, so that records cross every buffer
"""
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "peers"))
import peers  # noqa: E402


def fresh(_daemon, _x):
    return []


def host(d, x):
    for n in (1, 2):
        d.sim.create(n)
        x.introduce(n)
        x.own_home(n)
        home = "/local/domain/%d" % n
        x.write("%s/name" % home, "guest-%d" % n)
        x.write("%s/memory/target" % home, "131072")
        for dev in range(1):
            back = "/local/domain/0/backend/vif/%d/%d" % (n, dev)
            front = "%s/device/vif/%d" % (home, dev)
            x.write(back + "/frontend", front)
            x.write(back + "/state", "4")
            x.setperms(back, "n0", "r%d" % n)
            x.write(front + "/backend", back)
            x.write(front + "/mac", "00:16:3e:00:%02x:%02x" % (n, dev))
            x.setperms(front, "n%d" % n, "r0")
    x.write("/tool/octets", bytes(range(0, 256, 5)))
    x.write("/tool/empty", b"")
    x.setperms("@releaseDomain", "n0", "r1")
    x.set_target(1, 2)
    other = d.connect()
    other.watch("/local/domain/0/backend", "backends")
    other.watch("@introduceDomain", "")
    other.watch("@releaseDomain", "a token with spaces")
    guest = d.guest(1)
    guest.watch("device", "relative")
    guest.watch("/local/domain/1/memory/target", "balloon")
    guest.write("data/report", "from the guest")
    return [other, guest]


def partial(d, x):
    for n in (1, 2):
        d.sim.create(n)
        x.introduce(n)
        x.own_home(n)
    x.write("/tool/long", b"v" * 300)
    asker = d.connect()
    asker.watch("/tool", "t")
    # A request of which the payload is missing, and one that ends within its header.
    asker.send_raw(struct.pack("<IIII", 2, 7, 0, 11) + b"/tool/")
    other = d.connect()
    other.send_raw(b"\x02\0\0\0\x08\0")
    # More than the socket's buffers hold: what is left of it stays with the daemon.
    reader = d.connect()
    for _ in range(150):
        reader.send_raw(struct.pack("<IIII", 2, 9, 0, 11) + b"/tool/long\0")
    guest = d.guest(1)
    guest.watch("/local/domain/1", "everything")
    # Its ring is full of events that it does not read.
    for i in range(60):
        x.write("/local/domain/1/n%d" % i, "x" * i)
    slow = d.guest(2)
    slow.send_raw(struct.pack("<IIII", 2, 5, 0, 9) + b"data")
    # A round trip: everything before it has been taken.
    x.read("/tool/long")
    return [asker, other, reader, guest, slow]


def many(d, x):
    for i in range(500):
        x.write("/many/%d/%s" % (i % 25, "n%d" % i), b"value" * (i % 60))
    clients = []
    for i in range(8):
        c = d.connect()
        for j in range(5):
            c.watch("/many/%d" % j, "token-%d-%d" % (i, j))
        clients.append(c)
    return clients


WORLDS = {"fresh": fresh, "host": host, "partial": partial, "many": many}


def take(name, target):
    with peers.Daemon("c") as d:
        x = d.connect()
        kept = WORLDS[name](d, x)
        script = d.dir + "/successor"
        with open(script, "w") as f:
            f.write("#!/bin/sh\nunset LD_PRELOAD\ncp %s/state_dump %s\n" % (d.run, target))
        os.chmod(script, 0o700)
        x.control("live-update", "-f", script)
        try:
            x.control("live-update", "-s", "-F", "-t", "2")
        except peers.Closed:
            pass
        d.process.wait(20)
        for c in kept:
            c.close()
    print("%s: %d octets" % (target, os.path.getsize(target)))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name in WORLDS:
        take(name, os.path.join(os.path.abspath(sys.argv[1]), "c-4.17-%s.img" % name))


if __name__ == "__main__":
    main()
