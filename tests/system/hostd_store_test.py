#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A guest's part of the store as drover-hostd makes, moves and removes it, between two real stores.

Usage: hostd_store_test.py [--only CASE]...

Operations are killed at a sample of their system calls; CRASH_EVERY=1 takes them all, CRASH_SEED=N
the same sample again.
"""
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
import xl  # noqa: E402
from lib import equal  # noqa: E402
from xsclient import HEADER, XS_WRITE, build_dir  # noqa: E402

TOOL = build_dir() + "/tests/system/hostd-store"
STEP = build_dir() + "/tests/stress/stress-step"
SEED = int(os.environ.get("CRASH_SEED", random.randrange(1 << 30)))
EVERY = int(os.environ.get("CRASH_EVERY", 0))
# Each death is a start of the program, which costs a sanitizer ten times as much.
SANITIZED = "-fsanitize" in open(build_dir() + "/build.ninja").read()
SAMPLE = 5 if SANITIZED else 25     # of the calls of one operation
GUEST = "deadbeef-0000-4000-8000-000000000001"
OTHER = "deadbeef-0000-4000-8000-000000000002"


def config(directory, uuid=GUEST, name="g1"):
    path = "%s/%s" % (directory, name)
    with open(path, "w") as f:
        json.dump(xl.config(name, uuid, disks=[xl.disk("xvda", "/dev/vg0/root")],
                            nics=[xl.nic(0, "00:16:3e:11:22:33", "xenbr0")]), f)
    return path


class Host:
    """A store, its simulated hypervisor, and what drover-hostd would do there."""

    def __init__(self, d, name):
        self.d, self.name, self.userdata = d, name, d.dir + "/userdata"
        self.dom0 = d.connect()
        os.makedirs(self.userdata)

    def argv(self, *words):
        return [self.d.socket, self.userdata, self.d.dir, self.name, *words]

    def ask(self, *words):
        """The lines of what was asked for, by number."""
        p = subprocess.run([TOOL, *self.argv(*words)], capture_output=True, text=True,
                           timeout=lib.TIMEOUT, check=False)
        assert p.returncode in (0, 1), "%s\n%s%s" % (words, p.stdout, p.stderr)
        lines = sorted((line.split(" ", 3) for line in p.stdout.splitlines()),
                       key=lambda words: int(words[0]))
        return [line[2:] for line in lines]

    def do(self, *words):
        """One operation that succeeds: its domid."""
        (word, *why), = self.ask(*words)
        assert word.lstrip("-").isdigit(), "%s: %s %s" % (words, word, why)
        return int(word)

    def refused(self, *words):
        (word, *why), = self.ask(*words)
        assert not word.lstrip("-").isdigit(), "%s: done, %s" % (words, word)
        return word, " ".join(why)

    @staticmethod
    def stepped(*argv):
        """A program that is traced, in which a sanitizer cannot look for leaks."""
        leaks = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        return subprocess.run([STEP, *argv], capture_output=True, text=True, timeout=lib.TIMEOUT,
                              check=False, env=dict(os.environ, ASAN_OPTIONS=leaks))

    def killed(self, at, *words):
        """The same operation, killed at its at-th system call; whether it came so far."""
        p = self.stepped(str(at), TOOL, "--here", *self.argv(*words))
        assert p.returncode in (0, 137), "%s\n%s%s" % (p.returncode, p.stdout, p.stderr)
        return p.returncode == 137

    def calls(self, *words):
        """Which numbers to kill it at. The operation is done by this."""
        p = self.stepped("--list", TOOL, "--here", *self.argv(*words))
        equal(p.returncode, 0)
        n = int(p.stderr.rsplit("calls: ", 1)[1])
        if EVERY:
            return list(range(1, n + 1, EVERY))
        return sorted(random.Random(SEED).sample(range(1, n + 1), min(SAMPLE, n)))

    def tree(self, path="/"):
        """All nodes below, with values and access lists."""
        found = {path: (self.dom0.read(path), tuple(self.dom0.perms(path)))}
        for name in self.dom0.ls(path):
            found.update(self.tree(path.rstrip("/") + "/" + name))
        return found

    def domains(self):
        r = lib.run(self.d, lib.DROVER, "sim", "--dir", self.d.dir, "list")
        return [int(line.split()[0]) for line in r.lines[1:]]

    def verdicts(self, domid):
        """What the configuration's judge says of each device."""
        r = lib.run(self.d, lib.DROVER, "config", "check", "--json", "--userdata", self.userdata,
                    str(domid), status=None)
        one, = json.loads(r.out)
        return [(i["class"], i["id"], i["verdict"]) for i in one["items"]]

    def empty(self):
        """Nothing of any guest is there."""
        equal(self.domains(), [0])
        equal(os.listdir(self.userdata), [])
        left = [path for path in self.tree() if "deadbeef" in path or path.split("/")[-1].isdigit()]
        equal([path for path in left if path != "/local/domain/0"], [])


class Libxl(Host):
    """The same host where somebody else makes the domains, as libxl does."""

    def __init__(self, host):
        self.__dict__.update(host.__dict__)

    def argv(self, *words):
        return [self.d.socket, self.userdata, "libxl", self.name, *words]


@contextlib.contextmanager
def hosts():
    with lib.scratch() as work, lib.daemon() as a, lib.daemon() as b:
        here, there = Host(a, "here"), Host(b, "there")
        try:
            yield work, here, there
        finally:
            here.dom0.close()
            there.dom0.close()


def home(domid):
    return "/local/domain/%d" % domid


def a_guest_has_all_that_a_toolstack_makes_and_leaves_nothing():
    with hosts() as (work, here, _):
        domid = here.do("create", GUEST, "1", config(work))
        equal(here.dom0.read(home(domid) + "/vm"), b"/vm/" + GUEST.encode())
        equal(here.dom0.read("/libxl/%d/type" % domid), b"pv")
        equal(here.dom0.ls("/local/domain/0/backend/qdisk/%d" % domid), ["51712"])
        equal(os.listdir(here.userdata), ["userdata-d.%d.%s.libxl-json" % (domid, GUEST)])
        equal(here.do("find", GUEST), domid)
        with contextlib.closing(here.d.guest(domid)) as g:
            g.write("data", "its own")
        equal(here.do("destroy", GUEST), domid)
        equal(here.do("destroy", GUEST), -1)
        equal(here.do("find", GUEST), -1)
        here.empty()


def octets(kind, *strings, raw=b"", tx=0):
    payload = b"".join(s.encode() + b"\0" for s in strings) + raw
    return HEADER.pack(kind, 7, tx, len(payload)) + payload


def carry(guest, there, domid):
    """The guest's own memory of its ring, on the host where it goes on."""
    moved = there.d.guest(domid)
    moved.buf, moved.events, moved.req = guest.buf, guest.events, guest.req
    return moved


def watches_transactions_and_half_a_request_go_along():
    with hosts() as (work, here, there):
        there.d.create_guest(client=there.dom0)     # so that its domid is another one there
        domid = here.do("create", GUEST, "1", config(work))
        guest = here.d.guest(domid)
        guest.watch("data", "t")
        guest.next_event()
        guest.write("data/counter", "1")
        guest.next_event()
        tx = guest.begin()
        equal(guest.read("data/counter", tx=tx), b"1")
        guest.write("data/counter", "2", tx=tx)
        request = octets(XS_WRITE, "data/half", raw=b"whole")
        guest.put(request[:9])
        lib.until(lambda: guest.field(0) == guest.field(1), "its half is taken")
        guest.close()
        here.do("export", GUEST, work + "/blob")
        before = here.tree(home(domid))
        now = there.do("import", GUEST, "2", work + "/blob", "-")
        assert now != domid, now
        equal(len(there.tree(home(now))), len(before))
        guest = carry(guest, there, now)
        guest.put(request[9:])
        guest.notify()
        there.do("serve", GUEST, "2")
        here.do("destroy", GUEST)
        here.empty()
        equal(guest.recv_reply().payload, b"OK\0")
        equal(guest.next_event(), ("data/half", "t"))
        guest.commit(tx)
        equal(guest.read("data/counter"), b"2")
        equal(guest.next_event(), ("data/counter", "t"))
        equal(len(guest.events), 0)
        guest.close()


def all_that_names_its_domid_names_the_new_one():
    with hosts() as (work, here, there):
        there.d.create_guest(client=there.dom0)
        domid = here.do("create", GUEST, "1", config(work))
        here.do("export", GUEST, work + "/blob")
        now = there.do("import", GUEST, "2", work + "/blob", config(work, name="renamed"))
        equal(there.dom0.read(home(now) + "/name"), b"renamed")
        equal(there.dom0.read("/vm/%s/name" % GUEST), b"renamed")
        assert there.dom0.read(home(now) + "/device/vbd/51712/backend") == \
            b"/local/domain/0/backend/qdisk/%d/51712" % now
        equal(there.dom0.read("/local/domain/0/backend/qdisk/%d/51712/frontend-id" % now),
              b"%d" % now)
        equal(there.dom0.perms(home(now)), ["n0", "r%d" % now])
        equal(there.verdicts(now), here.verdicts(domid))
        for path in there.tree():
            assert "/%d/" % domid not in path + "/" or domid in there.domains(), path


def what_is_prepared_needs_its_image_alone():
    with hosts() as (work, here, there):
        here.do("create", GUEST, "1", config(work))
        prepared = there.do("prepare", GUEST, "2", config(work))
        equal(there.do("find", GUEST), -1)
        here.do("export", GUEST, work + "/blob")
        equal(there.do("import", GUEST, "2", work + "/blob", config(work)), prepared)
        equal(there.do("find", GUEST), prepared)
        there.do("serve", GUEST, "2")
        with contextlib.closing(there.d.guest(prepared)) as g:
            equal(g.read("name"), b"g1")
        # prepared, and never imported
        there.do("prepare", OTHER, "1", config(work, OTHER, "g2"))
        there.do("sweep", GUEST)
        equal(there.domains(), [0, prepared])
        there.do("destroy", GUEST)
        there.empty()


def a_move_called_off_loses_nothing():
    with hosts() as (work, here, _):
        domid = here.do("create", GUEST, "1", config(work))
        guest = here.d.guest(domid)
        tx = guest.begin()
        guest.write("data/a", "1", tx=tx)
        guest.close()
        here.do("export", GUEST, work + "/blob")
        here.do("export", GUEST, work + "/again")
        back = carry(guest, here, domid)
        here.do("serve", GUEST, "1")
        here.do("serve", GUEST, "1")
        back.commit(tx)
        equal(back.read("data/a"), b"1")
        # somebody speaks as it: it has not stopped
        word, why = here.refused("export", GUEST, work + "/third")
        equal(word, "EBUSY")
        assert "speaks as the guest" in why, why
        equal(back.read("data/a"), b"1")
        back.close()


def feature(host, domid):
    """A node that libxl makes for the guest to write to."""
    host.dom0.write(home(domid) + "/control/feature-x", "")
    host.dom0.setperms(home(domid) + "/control/feature-x", "n%d" % domid)


def moved_by_libxl(work, here, there, how):
    """From a domain of here to one that was made for it there, and waits; its guest and number."""
    there.d.create_guest(client=there.dom0)     # so that its domid is another one there
    domid = here.do("create", GUEST, "1", config(work))
    guest = here.d.guest(domid)
    guest.watch("data", "t")
    guest.next_event()
    guest.write("data/own", "1")
    guest.next_event()
    feature(here, domid)
    guest.write("control/feature-x", "1")
    here.dom0.setperms(home(domid) + "/data/own", "n%d" % domid, "r0")
    guest.next_event()
    tx = guest.begin()
    guest.write("data/own", "2", tx=tx)
    request = octets(XS_WRITE, "data/half", raw=b"whole")
    guest.put(request[:9])
    lib.until(lambda: guest.field(0) == guest.field(1), "its half is taken")
    guest.close()
    here.dom0.write(home(domid) + "/vm-data", "the toolstack's")
    equal(Libxl(here).do("join", GUEST, "1", str(domid)), domid)
    Libxl(here).do(how, GUEST, work + "/blob")
    now = there.do("create", GUEST, "2", config(work))
    feature(there, now)
    there.dom0.write(home(now) + "/name", "libxl's")
    equal(Libxl(there).do("join-incoming", GUEST, "2", str(now)), now)
    equal(Libxl(there).do("find", GUEST), -1)
    before = there.tree(home(now) + "/device")
    for _ in range(2):
        equal(Libxl(there).do("import", GUEST, "2", work + "/blob", "-"), now)
    equal(Libxl(there).do("find", GUEST), now)
    equal(there.tree(home(now) + "/device"), before)
    equal(there.dom0.read(home(now) + "/data/own"), b"1")
    equal(there.dom0.perms(home(now) + "/data/own"), ["n%d" % now, "r0"])
    equal(there.dom0.read(home(now) + "/control/feature-x"), b"1")
    equal(there.dom0.read(home(now) + "/vm-data"), b"the toolstack's")
    equal(there.dom0.read(home(now) + "/name"), b"libxl's")
    return guest, now, tx, request[9:]


def a_guest_that_libxl_moves_keeps_what_is_its_own():
    with hosts() as (work, here, there):
        _, now, _, _ = moved_by_libxl(work, here, there, "export")
        Libxl(there).do("serve", GUEST, "2")
        with contextlib.closing(there.d.guest(now)) as guest:   # its ring is new, and knows nothing
            guest.write("data/own", "3")
            equal(guest.read("data/own"), b"3")
            equal(len(guest.events), 0)
        # domain and nodes are libxl's to end
        equal(Libxl(there).do("destroy", GUEST), now)
        assert now in there.domains()
        equal(there.dom0.read(home(now) + "/data/own"), b"3")


def a_guest_that_does_not_know_that_libxl_moves_it_goes_on():
    with hosts() as (work, here, there):
        guest, now, tx, rest = moved_by_libxl(work, here, there, "export-unaware")
        guest = carry(guest, there, now)
        guest.put(rest)
        guest.notify()
        Libxl(there).do("serve", GUEST, "2")
        equal(guest.recv_reply().payload, b"OK\0")
        equal(guest.read("data/half"), b"whole")
        equal(sorted(guest.next_event() for _ in range(2)), [("data", "t"), ("data/half", "t")])
        equal(lib.refusal(guest.commit, tx), "EAGAIN")
        equal(guest.read("data/own"), b"1")
        equal(len(guest.events), 0)
        guest.close()


def what_libxl_has_not_made_is_refused():
    with hosts() as (work, here, there):
        domid = here.do("create", GUEST, "1", config(work))
        lx = Libxl(here)
        for number in ("0", "999", "65535", str(here.d.create_guest(client=here.dom0))):
            equal(lx.refused("join", GUEST, "1", number)[0], "ENOENT")
        equal(lx.refused("join", OTHER, "1", str(domid))[0], "ENOENT")
        lx.do("join", GUEST, "1", str(domid))
        lx.do("export", GUEST, work + "/blob")
        equal(Libxl(there).refused("import", GUEST, "2", work + "/blob", "-")[0], "ENOENT")
        # one without a ring's page is for libxl's domains alone
        equal(there.refused("import", GUEST, "2", work + "/blob", "-")[0], "EBADMSG")
        there.empty()
        # marks alone are swept
        equal(lx.do("sweep", "-"), 1)
        assert domid in here.domains()


def what_cannot_arrive_leaves_nothing():
    with hosts() as (work, here, there):
        here.do("create", GUEST, "1", config(work))
        here.do("export", GUEST, work + "/blob")
        blob = open(work + "/blob", "rb").read()

        def refused(data, uuid=GUEST, epoch="2"):
            with open(work + "/bad", "wb") as f:
                f.write(data)
            answer = there.refused("import", uuid, epoch, work + "/bad", "-")
            there.empty()
            return answer

        equal(refused(b"")[0], "EBADMSG")
        equal(refused(blob[:-1])[0], "EBADMSG")
        equal(refused(blob[:100] + b"x" + blob[101:])[1],
              "the guest's part of the store: its checksum is wrong")
        equal(refused(blob, uuid=OTHER)[1], "the guest's part of the store is another guest's")
        there.dom0.write("/vm/%s/x" % GUEST, "mine")
        word, why = there.refused("import", GUEST, "2", work + "/blob", "-")
        equal(word, "EEXIST")
        assert "/vm/%s exists already" % GUEST in why, why


def nothing_arrives_but_what_is_the_guests_own():
    with hosts() as (work, here, there):
        domid = here.do("create", GUEST, "1", config(work))
        neighbour = here.d.create_guest(client=here.dom0)
        assert there.d.create_guest(client=there.dom0) in (domid, neighbour)
        path = home(domid) + "/data"
        here.dom0.setperms(path, "n%d" % domid, "b%d" % neighbour, "r0")
        here.do("export", GUEST, work + "/blob")
        now = there.do("import", GUEST, "2", work + "/blob", "-")
        # the neighbour's number is somebody else's there
        equal(there.dom0.perms(home(now) + "/data"), ["n%d" % now, "r0"])
        there.do("destroy", GUEST)
        here.do("serve", GUEST, "1")
        here.dom0.setperms(path, "n%d" % neighbour)
        here.do("export", GUEST, work + "/blob")
        word, why = there.refused("import", GUEST, "2", work + "/blob", "-")
        equal((word, why), ("EBADMSG", "the guest's image: %s belongs to another domain" % path))


def a_later_epoch_and_another_host_are_left_alone():
    with hosts() as (work, here, _):
        made = here.do("create", GUEST, "5", config(work))
        word, why = here.refused("create", GUEST, "4", config(work))
        equal((word, why), ("ESTALE", "store: guest %s is of epoch 5, not 4" % GUEST))
        equal(here.do("find", GUEST), made)
        other = Host.__new__(Host)
        other.__dict__.update(here.__dict__, name="there")
        equal(other.refused("create", GUEST, "9", config(work))[0], "EEXIST")
        equal(other.do("find", GUEST), -1)
        equal(other.do("sweep", "-"), 0)
        equal(other.do("destroy", GUEST), -1)
        equal(here.do("find", GUEST), made)
        again = here.do("create", GUEST, "5", config(work))
        equal(here.domains(), [0, again])


def words_that_are_wrong_are_named():
    with hosts() as (work, here, _):
        for text, why in (("{", "configuration: line 1, column"),
                          ("{}", "c_info.name: not set"),
                          ('{"c_info": {"uuid": "%s"}}' % OTHER, "c_info.uuid is " + OTHER)):
            with open(work + "/bad", "w") as f:
                f.write(text)
            word, said = here.refused("create", GUEST, "1", work + "/bad")
            equal(word, "EINVAL")
            assert why in said, said
        equal(here.refused("export", GUEST, work + "/blob")[0], "ENOENT")
        equal(here.refused("serve", GUEST, "1")[0], "ENOENT")
        here.empty()


def killed_anywhere_it_can_be_repeated_or_swept():
    with hosts() as (work, here, there):
        file, blob = config(work), work + "/blob"
        here.do("create", GUEST, "1", file)
        here.do("export", GUEST, blob)
        cases = (  # what is there before, the operation, what is asked of it afterwards
            ((), ("create", GUEST, "2", file)),
            ((), ("import", GUEST, "2", blob)),
            ((), ("prepare", GUEST, "2", file)),
            ((("prepare", GUEST, "2", file),), ("import", GUEST, "2", blob)),
            ((("create", GUEST, "2", file),), ("destroy", GUEST)),
            ((("create", GUEST, "2", file),), ("serve", GUEST, "3")),
            ((("create", GUEST, "2", file),), ("export", GUEST, work + "/other")))
        for before, operation in cases:
            for words in before:
                there.do(*words)
            for at in there.calls(*operation):
                for redo in (True, False):
                    for words in before:
                        there.do("destroy", GUEST)
                        there.do(*words)
                    there.killed(at, *operation)
                    if redo:
                        words = operation + (("-",) if operation[0] == "import" else ())
                        there.do(*words)
                    there.do("sweep", "-")
                    there.empty()
        here.do("serve", GUEST, "1")
        lib.clean(there.d)


def a_store_that_hangs_ends_in_time():
    with hosts() as (work, here, _):
        here.do("create", GUEST, "1", config(work))
        pids = lib.family(here.d.pid)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            answers = here.ask("find", GUEST, ",", "find", OTHER, ",", "destroy", GUEST)
            equal([words[0] for words in answers], ["ETIMEDOUT"] * 3)
            assert time.monotonic() - begun < 30, "it waited for longer than its limits"
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        assert here.do("find", GUEST) > 0


def no_store_is_told_as_such():
    with hosts() as (work, here, _):
        with contextlib.closing(here.d.connect()):
            here.d.kill()
            word, why = here.refused("create", GUEST, "1", config(work))
            equal(word, "ECONNREFUSED")
            assert here.d.socket in why, why
            here.d.start()


def none_at_all_succeeds():
    with lib.scratch() as work:
        open(work + "/blob", "w").close()
        p = subprocess.run([TOOL, "none", work, work, "h", "create", GUEST, "1", config(work), ",",
                            "export", GUEST, work + "/blob", ",", "import", GUEST, "2",
                            work + "/blob", "-", ",", "sweep", "-"],
                           capture_output=True, text=True, timeout=lib.TIMEOUT, check=True)
        # one after the other for a guest, a sweep alone
        equal(p.stdout, "1 create -1\n2 export 0\n3 import -1\n4 sweep 0\n")


def a_store_that_cannot_move_it_says_so():
    with lib.scratch() as work, lib.daemon(kind="c") as a, lib.daemon() as b:
        here, there = Host(a, "here"), Host(b, "there")
        with contextlib.closing(here.dom0), contextlib.closing(there.dom0):
            here.do("create", GUEST, "1", config(work))
            word, why = here.refused("export", GUEST, work + "/blob")
            equal(word, "EOPNOTSUPP")
            assert "only drover-xenstored can" in why, why
            here.do("export-unsafe", GUEST, work + "/blob")
            equal(there.refused("import", GUEST, "2", work + "/blob", "-")[0], "EOPNOTSUPP")
            there.empty()
            now = there.do("import-unsafe", GUEST, "2", work + "/blob", "-")
            there.do("serve", GUEST, "2")
            equal(there.dom0.read(home(now) + "/name"), b"g1")
            here.do("serve", GUEST, "1")
            here.do("destroy", GUEST)


def many_guests_at_once_keep_their_order():
    with hosts() as (work, here, _):
        words, uuids = [], ["deadbeef-0000-4000-8000-0000000001%02d" % i for i in range(40)]
        for i, uuid in enumerate(uuids):
            file = config(work, uuid, "m%d" % i)
            words += ["create", uuid, "1", file, ",", "find", uuid, ",", "destroy", uuid, ",",
                      "create", uuid, "2", file, ","]
        answers = here.ask(*words[:-1])
        for i in range(0, len(answers), 4):
            made, found, gone, again = (int(one[0]) for one in answers[i:i + 4])
            equal((found, gone), (made, made))
            assert again > 0 and again != made, answers[i:i + 4]
        equal(len(here.domains()), 41)
        equal(here.do("sweep", ",".join(uuids[:10])), 30)
        equal(len(here.domains()), 11)
        here.do("sweep", "-")
        here.empty()


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [
        a_guest_has_all_that_a_toolstack_makes_and_leaves_nothing,
        watches_transactions_and_half_a_request_go_along,
        all_that_names_its_domid_names_the_new_one,
        what_is_prepared_needs_its_image_alone,
        a_move_called_off_loses_nothing,
        a_guest_that_libxl_moves_keeps_what_is_its_own,
        a_guest_that_does_not_know_that_libxl_moves_it_goes_on,
        what_libxl_has_not_made_is_refused,
        what_cannot_arrive_leaves_nothing,
        nothing_arrives_but_what_is_the_guests_own,
        a_later_epoch_and_another_host_are_left_alone,
        words_that_are_wrong_are_named,
        killed_anywhere_it_can_be_repeated_or_swept,
        a_store_that_hangs_ends_in_time,
        no_store_is_told_as_such,
        none_at_all_succeeds,
        a_store_that_cannot_move_it_says_so,
        many_guests_at_once_keep_their_order,
    ]))
