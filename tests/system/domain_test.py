#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`drover domain`: guests that move from one daemon to another while they live."""
import contextlib
import json
import sys

import disturb
import lib
from drover_cli import drover, equal, refused
from xsclient import HEADER, XS_GFN, XS_PORT, XS_READ, XS_WRITE

WHERE = "%d:%d" % (XS_GFN, XS_PORT)


class Move:
    """A guest of one daemon, on its way to another one."""

    def __init__(self, here, there, work):
        self.here, self.there, self.image = here, there, work + "/image"
        self.dom0, self.dom0_there = here.connect(), there.connect()
        self.domid = here.create_guest(client=self.dom0)
        self.home = "/local/domain/%d" % self.domid
        self.guest = here.guest(self.domid)

    def close(self):
        for c in (self.guest, self.dom0, self.dom0_there):
            c.close()

    def leave(self, *args):
        return drover(self.here, "domain", "export", "-o", self.image, *args, str(self.domid))

    def carry_page(self, domid=None):
        """What the guest's memory brings along: its page, and what it has read off it."""
        domid = domid or self.domid
        self.there.sim.create(domid)
        moved = self.there.guest(domid)
        moved.page[:] = self.guest.page[:]
        moved.buf, moved.events, moved.req = self.guest.buf, self.guest.events, self.guest.req
        self.guest.close()
        self.guest = moved

    def arrive(self, *args):
        r = drover(self.there, "domain", "import", "--introduce", WHERE, *args, self.image)
        self.guest.notify()
        return r

    def move(self, *args):
        self.leave(*args)
        self.carry_page()
        self.arrive()


@contextlib.contextmanager
def moving():
    with lib.scratch() as work, lib.daemon() as here, lib.daemon() as there:
        with contextlib.closing(Move(here, there, work)) as m:
            yield m


def octets(kind, *strings, raw=b"", tx=0):
    payload = b"".join(s.encode() + b"\0" for s in strings) + raw
    return HEADER.pack(kind, 7, tx, len(payload)) + payload


def half_a_request_begun_here_is_answered_there():
    with moving() as m:
        request = octets(XS_WRITE, "data", raw=b"whole")
        m.guest.put(request[:11])
        lib.until(lambda: m.guest.field(0) == m.guest.field(1), "its half is taken")
        m.move()
        m.guest.put(request[11:])
        equal(m.guest.recv_reply().payload, b"OK\0")
        equal(m.dom0_there.read(m.home + "/data"), b"whole")


def unread_replies_and_events_arrive_whole_and_once():
    with moving() as m:
        m.guest.write("big", "v" * 1900)
        m.guest.watch("own", "t")
        m.guest.next_event()
        m.guest.put(octets(XS_READ, "big"))
        lib.until(lambda: m.guest.field(3) - m.guest.field(2) == 1024, "a full ring")
        m.dom0.write(m.home + "/own", "1")
        m.move()
        equal(m.guest.recv_reply().payload, b"v" * 1900)
        equal(m.guest.next_event(), ("own", "t"))
        m.dom0_there.write(m.home + "/own", "2")
        equal(m.guest.next_event(), ("own", "t"))
        equal(m.guest.read("own"), b"2")
        equal(len(m.guest.events), 0)


def open_transactions_are_decided_there():
    with moving() as m:
        m.guest.write("counter", "1")
        m.dom0.setperms("/tool", "r0")
        own, other = m.guest.begin(), m.guest.begin()
        equal(m.guest.read("counter", tx=own), b"1")
        m.guest.write("counter", "2", tx=own)
        m.guest.read("/tool", tx=other)
        m.guest.write("counter", "3", tx=other)
        m.move()
        m.guest.write("more", "4", tx=own)
        m.guest.commit(own)
        equal(m.guest.read("counter"), b"2")
        equal(m.guest.read("more"), b"4")
        equal(lib.refusal(m.guest.commit, other), "EAGAIN")
        assert m.guest.begin() not in (own, other)


def nodes_permissions_and_named_subtrees_go_along():
    with moving() as m:
        for path, value in ((m.home + "/name", "g"), ("/vm/u/uuid", "u"), ("/vm/v", "v")):
            m.dom0.write(path, value)
        m.dom0.setperms("/vm/u", "n0", "r%d" % m.domid)
        m.move("--with", "/vm/u")
        equal(m.guest.read("/vm/u"), b"")
        equal(m.dom0_there.read("/vm/u/uuid"), b"u")
        equal(m.dom0_there.perms("/vm/u"), m.dom0.perms("/vm/u"))
        equal(m.dom0_there.perms(m.home), m.dom0.perms(m.home))
        equal(lib.refusal(m.dom0_there.read, "/vm/v"), "ENOENT")
        # and the place that it left is as a destroyed domain leaves it
        m.here.sim.destroy(m.domid)
        lib.until(lambda: lib.refusal(m.dom0.read, m.home) == "ENOENT", "it is gone")


def a_move_called_off_loses_nothing():
    with moving() as m:
        m.guest.watch("own", "t")
        m.guest.next_event()
        tx = m.guest.begin()
        m.guest.write("a", "1", tx=tx)
        m.leave()
        m.dom0.write(m.home + "/own", "1")
        m.guest.put(octets(XS_READ, "own"))
        equal(m.dom0.read(m.home + "/own"), b"1")
        assert m.guest.field(0) != m.guest.field(1)
        drover(m.here, "domain", "unquiesce", str(m.domid))
        equal(m.guest.recv_reply().payload, b"1")
        equal(m.guest.next_event(), ("own", "t"))
        m.guest.commit(tx)


def what_is_in_the_way_is_named_and_nothing_changes():
    with moving() as m:
        m.dom0.write("/vm/u/x", "1")
        m.dom0_there.write("/vm/u", "mine")
        m.leave("--with", "/vm/u")
        m.carry_page()
        before = drover(m.there, "ls", "-p").text
        r = refused(m.there, "domain", "import", "--introduce", WHERE, m.image)
        equal(r.err, "drover: domain import %d: /vm/u exists already (EEXIST)\n" % m.domid)
        equal(drover(m.there, "ls", "-p").text, before)
        m.dom0_there.rm("/vm/u")
        m.arrive()
        equal(m.guest.read("/local/domain/%d" % m.domid), b"")
        r = refused(m.there, "domain", "import", m.image)
        equal(r.err, "drover: domain import %d: domain %d is not quiesced (EBUSY)\n"
              % (m.domid, m.domid))


def another_domid_gets_what_names_it_and_each_change_is_said():
    with moving() as m:
        back = "/local/domain/0/backend/vif/%d/0" % m.domid
        front = m.home + "/device/vif/0"
        for path, value in ((front + "/backend", back), (back + "/frontend", front),
                            (back + "/frontend-id", str(m.domid)),
                            (m.home + "/domid", str(m.domid)), (m.home + "/other", "5")):
            m.dom0.write(path, value)
        m.dom0.setperms(back, "n0", "r%d" % m.domid)
        m.guest.watch(m.home + "/device", "w")
        m.guest.next_event()
        m.leave("--with", "/local/domain/0/backend/vif/%d" % m.domid)
        new = m.domid + 70
        m.carry_page(new)
        said = m.arrive("--as", str(new)).text
        home, nback = "/local/domain/%d" % new, "/local/domain/0/backend/vif/%d/0" % new
        x = m.dom0_there
        equal(x.read(home + "/device/vif/0/backend"), nback.encode())
        equal(x.read(nback + "/frontend"), (home + "/device/vif/0").encode())
        equal(x.read(nback + "/frontend-id"), str(new).encode())
        equal(x.read(home + "/domid"), str(new).encode())
        equal(x.read(home + "/other"), b"5")
        equal(x.perms(nback), ["n0", "r%d" % new])
        equal(lib.refusal(x.read, m.home), "ENOENT")
        for line in ("%s -> %s" % (back, nback),
                     "%s: value %s -> %s" % (front + "/backend", back, nback),
                     "%s: permissions r%d -> r%d" % (back, m.domid, new),
                     "%s -> %s" % (m.home + "/device", home + "/device")):
            assert line in said.splitlines(), (line, said)
        x.write(home + "/device/x", "1")
        equal(m.guest.next_event(), (home + "/device/x", "w"))


def an_image_may_come_through_a_pipe_and_is_a_good_one():
    with moving() as m:
        m.guest.watch("own", "t")
        m.guest.next_event()
        image = drover(m.here, "domain", "export", "--unquiesce", str(m.domid)).out
        m.guest.write("own", "still here")
        with open(m.image, "wb") as f:
            f.write(image)
        drover(None, "image", "verify", m.image)
        assert json.loads(drover(None, "image", "dump", "--json", m.image).text)
        m.carry_page()
        drover(m.there, "domain", "import", "--introduce", WHERE, stdin=image)
        equal(m.dom0_there.perms(m.home), ["n%d" % m.domid])


def a_broken_image_is_refused_with_its_record():
    with moving() as m:
        m.leave()
        with open(m.image, "rb") as f:
            good = f.read()
        m.carry_page()
        for bad in (b"", good[:8], good[:-4], good[:20] + b"\xff" * 4 + good[24:]):
            r = refused(m.there, "domain", "import", "--introduce", WHERE, stdin=bad)
            assert r.err.startswith("drover: domain import: standard input: "), r.err
        r = refused(m.there, "domain", "import", m.image + "x")
        assert "No such file" in r.err, r.err
        m.arrive()


def words_that_are_wrong_are_said():
    with lib.daemon() as d:
        for args in ((), ("x",), ("export",), ("export", "x"), ("export", "1", "2"),
                     ("quiesce",), ("import", "a", "b"), ("import", "--as", "x"),
                     ("import", "--introduce", "5")):
            r = refused(d, "domain", *args, status=2)
            assert r.err.startswith("drover: domain: "), r.err
        for args in (("export", "7"), ("quiesce", "7"), ("unquiesce", "7")):
            r = refused(d, "domain", *args)
            equal(r.err, "drover: domain %s 7: no such domain (ESRCH)\n" % args[0])
        r = refused(d, "domain", "export", "0")
        assert "EINVAL" in r.err, r.err


def a_domain_stays_quiesced_when_the_worker_is_killed():
    with moving() as m:
        m.guest.watch("own", "t")
        m.guest.next_event()
        tx = m.guest.begin()
        m.guest.write("a", "1", tx=tx)
        drover(m.here, "domain", "quiesce", str(m.domid))
        disturb.kill_worker(m.here)
        m.guest.put(octets(XS_READ, "own"))
        m.dom0.write(m.home + "/own", "1")
        assert m.guest.field(0) != m.guest.field(1)
        m.leave()
        m.carry_page()
        m.arrive()
        disturb.kill_worker(m.there)
        equal(m.guest.recv_reply().payload, b"1")
        equal(m.guest.next_event(), ("own", "t"))
        m.guest.commit(tx)
        equal(m.dom0_there.read(m.home + "/a"), b"1")


CASES = [
    half_a_request_begun_here_is_answered_there,
    unread_replies_and_events_arrive_whole_and_once,
    open_transactions_are_decided_there,
    nodes_permissions_and_named_subtrees_go_along,
    a_move_called_off_loses_nothing,
    what_is_in_the_way_is_named_and_nothing_changes,
    another_domid_gets_what_names_it_and_each_change_is_said,
    an_image_may_come_through_a_pipe_and_is_a_good_one,
    a_broken_image_is_refused_with_its_record,
    words_that_are_wrong_are_said,
    a_domain_stays_quiesced_when_the_worker_is_killed,
]

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
