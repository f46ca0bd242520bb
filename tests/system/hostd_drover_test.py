#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`drover migrate` and `drover migrations` between two drover-hostd with their stores: what they
say, their exit status, and what is in the stores afterwards.

Usage: hostd_drover_test.py [--only CASE]...
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hostd_lib  # noqa: E402
import lib  # noqa: E402
import peers  # noqa: E402
from lib import equal, until  # noqa: E402

SLOW = ("--bandwidth", "1")         # MiB/s, of a guest that writes more than that
FULL = "fill whole dirty=50"
UNIX = "unix://%s/sock"


class Pair:
    def __init__(self, stack, kinds=("drover", "drover")):
        self.hosts = []
        for name, kind in zip(("hosta", "hostb"), kinds):
            store = stack.enter_context(lib.daemon(kind=kind))
            directory = stack.enter_context(lib.scratch())
            self.hosts.append(stack.enter_context(hostd_lib.Hostd(
                store, directory, name=name, args=["--peer-address", UNIX % directory,
                                                   "--migration-address", "127.0.0.1"])))
        self.a, self.b = self.hosts

    def create(self, name="g1", words=""):
        self.a.virsh("create", self.a.xml(name, words))
        # its memory is written to from its first tick on
        until(lambda: any(line[0] == "TICK" for line in self.a.ticks(name)), "its first tick")

    def argv(self, *words, at=None, to=None):
        """drover migrate from a to b, or from `at` to `to`."""
        return [lib.DROVER, "migrate", "-c", (at or self.a).uri(), *words,
                (to or self.b).uri()]

    def migrate(self, *words, status=0, **where):
        p = subprocess.run(self.argv(*words, **where), capture_output=True, text=True,
                           timeout=lib.TIMEOUT, check=False)
        equal((p.returncode, p.stderr if status == 0 else ""), (status, ""))
        return lib.Result(p)

    @contextlib.contextmanager
    def migrating(self, *words, name="g1"):
        """One that is under way, the guest on its way already; .wait() for its end."""
        with subprocess.Popen(self.argv("--live", *SLOW, *words, name), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
            try:
                until(lambda: self.phases(self.b, "--open") == ["receiving"], "it arrives")
                yield p
            finally:
                if p.poll() is None:
                    p.kill()

    def migrations(self, host, *words, status=0, read_only=False):
        p = subprocess.run([lib.DROVER, "migrations", "-c", host.uri(read_only), *words],
                           capture_output=True, text=True, timeout=lib.TIMEOUT, check=False)
        equal(p.returncode, status)
        return lib.Result(p)

    def rows(self, host, *words):
        return json.loads(self.migrations(host, "--json", *words).out)

    def phases(self, host, *words):
        return [row["phase"] for row in self.rows(host, *words)]

    def is_at(self, host, name="g1"):
        """There alone, and nothing is left at the other, not in its store either."""
        other = self.b if host is self.a else self.a
        until(lambda: not self.rows(self.a, "--open") + self.rows(self.b, "--open"), "quiet")
        equal((host.names(), other.names("--all"), host.state(name)), ([name], [], "running"))
        equal((len(host.processes()), other.processes()), (1, []))
        equal((len(guests(host)), guests(other)), (1, {}))
        equal([len(records(h)) for h in (host, other)], [1, 0])


def below(x, path):
    try:
        return x.ls(path)
    except peers.XsError as e:
        equal(e.name, "ENOENT")
        return []


def guests(host):
    """Names of guests in the store, by domid; none is without the daemon's own note."""
    with host.store.connect() as x:
        notes = [x.read("/drover/guests/" + uuid).split()[0].decode()
                 for uuid in below(x, "/drover/guests")]
        homes = [n for n in below(x, "/local/domain") if n != "0"]
        equal(sorted(notes), sorted(homes))
        return {int(n): x.read("/local/domain/%s/name" % n).decode() for n in homes}


def records(host):
    return os.listdir(host.dir + "/userdata")


@contextlib.contextmanager
def pair(**more):
    with contextlib.ExitStack() as stack:
        yield Pair(stack, **more)


def a_guest_moves_and_its_part_of_the_store_with_it():
    with pair() as p:
        p.create()
        domid, = guests(p.a)
        with p.a.store.connect() as x:
            x.write("/local/domain/%d/data/own" % domid, "kept")
        said = p.migrate("--live", "g1").out
        assert re.fullmatch(r"g1: moved to \S+ in \d+\.\d\d s(, .*)?\n", said), said
        p.is_at(p.b)
        now, = guests(p.b)
        with p.b.store.connect() as x:
            equal(x.read("/local/domain/%d/data/own" % now), b"kept")
        # and back again, told to a program
        told = json.loads(p.migrate("--live", "--json", "g1", at=p.b, to=p.a).out)
        equal((told["guest"], told["outcome"], told["cancelled"], "error" in told),
              ("g1", "moved", False, False))
        p.is_at(p.a)
        equal(p.a.ticks("g1")[0][0], "START")


def a_guest_is_named_by_its_uuid_or_id_too():
    with pair() as p:
        p.create()
        uuid = p.a.virsh("domuuid", "g1").out.strip()
        p.migrate("--live", uuid)
        p.migrate("--live", p.b.virsh("domid", "g1").out.strip(), at=p.b, to=p.a)
        p.is_at(p.a)


def another_name_is_that_in_the_store_too():
    with pair() as p:
        p.create()
        p.migrate("--live", "--dname", "g2", "g1")
        equal(list(guests(p.b).values()), ["g2"])
        p.is_at(p.b, "g2")


def a_definition_moves_offline():
    with pair() as p:
        p.a.virsh("define", p.a.xml("g1"))
        p.migrate("--offline", "--persistent", "--undefinesource", "g1")
        equal((p.a.names("--all"), p.b.names("--all"), p.b.names()), ([], ["g1"], []))
        equal((guests(p.a), guests(p.b)), ({}, {}))


def interrupted_it_is_called_off_and_the_truth_is_told():
    with pair() as p:
        p.create(words=FULL)
        with p.migrating() as m:
            m.send_signal(signal.SIGINT)
            out, err = m.communicate(timeout=lib.TIMEOUT)
        equal((m.returncode, out), (1, ""))
        assert "called off; it goes on at " + p.a.uri() in err, err
        p.is_at(p.a)
        equal([row["outcome"] for row in p.rows(p.a)], ["stayed"])


def it_is_called_off_after_its_time():
    with pair() as p:
        p.create(words=FULL)
        said = p.migrate("--live", *SLOW, "--timeout", "1", "--json", "g1", status=1)
        told = json.loads(said.out)
        equal((told["outcome"], told["cancelled"]), ("stayed", True))
        p.is_at(p.a)


def a_killed_client_leaves_the_guest_where_it_is():
    with pair() as p:
        p.create(words=FULL)
        with p.migrating() as m:
            m.kill()
        p.is_at(p.a)


def a_source_that_dies_is_asked_when_it_is_back():
    with pair() as p:
        p.create(words=FULL)
        with p.migrating() as m:
            p.a.kill()
            p.a.start()
            _, err = m.communicate(timeout=lib.TIMEOUT)
        equal(m.returncode, 1)
        assert "it stays at " + p.a.uri() in err, err
        p.is_at(p.a)


def a_destination_that_dies_has_nothing_of_it():
    with pair() as p:
        p.create(words=FULL)
        with p.migrating() as m:
            p.b.kill()
            p.b.start()
            equal((m.wait(lib.TIMEOUT), m.stdout.read()), (1, ""))
        p.is_at(p.a)


def what_is_refused_at_once_is_not_called_moved():
    with pair() as p:
        p.a.virsh("define", p.a.xml("g1"))
        p.a.virsh("start", "g1")
        p.migrate("--live", "g1")
        # The definition is still here, the guest runs there: by the migration before.
        said = p.migrate("--live", "g1", status=1)
        assert "is not running" in said.err and "moved" not in said.out, (said.out, said.err)
        told = json.loads(p.migrate("--live", "--json", "g1", status=1).out)
        equal((told["outcome"], told["memory_processed"]), ("stayed", 0))
        said = p.migrate("--xml", "/no/such/file", "g1", status=1)
        assert "--xml /no/such/file: No such file" in said.err, said.err
        equal(p.b.state("g1"), "running")


def a_host_is_not_its_own_destination():
    with pair() as p:
        p.create()
        said = p.migrate("--live", "g1", to=p.a, status=1)
        assert "cannot be its destination" in said.err, said.err
        p.is_at(p.a)


def without_a_uri_it_is_this_hosts_daemon():
    """Whichever of the two that is; its sockets are at fixed places, so on a /run of our own."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        raise lib.Skip("namespaces are not allowed")
    for files, uri in ((["virtqemud-sock"], "qemu:///system: "), ([], "xen:///system: "),
                       (["virtqemud-sock", "virtxend-sock"], "xen:///system: ")):
        p = subprocess.run(
            ["unshare", "-m", "sh", "-c", "mount --make-rprivate / && mount -t tmpfs none /run && "
             "mkdir /run/libvirt && cd /run/libvirt && touch . %s && exec %s migrations"
             % (" ".join(files), os.path.abspath(lib.DROVER))], capture_output=True, text=True,
            timeout=lib.TIMEOUT, check=False,
            env={k: v for k, v in os.environ.items() if k != "LIBVIRT_DEFAULT_URI"})
        assert p.returncode == 1 and uri in p.stderr, (files, p.stderr)


def nobody_who_answers_is_not_taken_for_an_answer():
    with pair() as p:
        p.create(words=FULL)
        with p.migrating("--settle", "1", "--json") as m:
            p.a.kill()
            out, _ = m.communicate(timeout=lib.TIMEOUT)
            p.a.start()
        told = json.loads(out)
        equal((m.returncode, told["outcome"]), (3, "not settled"))
        assert told["source"].startswith("does not answer: "), told
        p.is_at(p.a)


def what_the_destinations_store_refuses_leaves_the_sources_as_it_was():
    with pair() as p:
        p.create()
        domid, = guests(p.a)
        uuid = p.a.virsh("domuuid", "g1").out.strip()
        with contextlib.closing(p.a.store.guest(domid)) as g:
            g.watch("data", "t")
            g.next_event()
        with p.b.store.connect() as x:
            x.write("/vm/%s/x" % uuid, "mine")
        said = p.migrate("--live", "g1", status=1)
        assert "/vm/%s exists already" % uuid in said.err, said.err
        with p.b.store.connect() as x:
            equal(x.read("/vm/%s/x" % uuid), b"mine")
        p.is_at(p.a)
        with contextlib.closing(p.a.store.guest(domid)) as g:
            g.notify()
            g.write("data/x", "1")
            equal(g.next_event(), ("data/x", "t"))


def a_store_that_cannot_move_it_is_named():
    with pair(kinds=("c", "drover")) as p:
        p.create()
        said = p.migrate("--live", "g1", status=1)
        assert "cannot move a guest's watches and transactions" in said.err, said.err
        p.is_at(p.a)
        p.migrate("--live", "--unsafe", "g1")
        p.is_at(p.b)


def migrations_are_listed_with_their_timelines():
    with pair() as p:
        equal((p.rows(p.a), p.migrations(p.a).lines[1:]), ([], []))
        p.create()
        p.migrate("--live", "g1")
        p.is_at(p.b)
        there, = p.rows(p.b)
        here, = p.rows(p.a)
        equal((here["id"], here["side"], there["side"], here["phase"], here["outcome"]),
              (there["id"], "source", "destination", "done", "moved"))
        equal((here["peer"], there["peer"], here["guest"]), ("hostb", "hosta", "g1"))
        equal([s["phase"] for s in here["steps"]], ["performing", "given", "done"])
        equal([s["phase"] for s in there["steps"]], ["receiving", "owned", "done"])
        equal(sorted(s["at_ms"] for s in here["steps"]), [s["at_ms"] for s in here["steps"]])
        one = p.migrations(p.b, here["id"][:6], read_only=True).out
        assert one.startswith(here["id"] + "\n") and "came from  hosta" in one, one
        assert p.migrations(p.a).lines[1].split()[:5] == \
            [here["id"][:8], "g1", "to", "hostb", "moved"]
        equal(p.rows(p.a, "--open"), [])
        said = p.migrations(p.a, "ffffffff", status=1)
        equal(said.err, "drover: migrations: ffffffff: there is no such migration here\n")
        p.a.kill()
        p.a.start()
        equal(p.rows(p.a), [here])


def one_under_way_says_what_it_waits_for():
    with pair() as p:
        p.create(words=FULL)
        with p.migrating():
            row, = p.rows(p.a, "--open")
            equal((row["phase"], row["outcome"]), ("performing", "open"))
            assert row["waits_for"], row


def words_that_are_wrong_are_said():
    with pair() as p:
        p.create()
        for words, why in ((("--offline", "g1"), "--offline needs --persistent"),
                           (("--bandwidth", "x", "g1"), "--bandwidth"),
                           (("--nonsense", "g1"), "nonsense"),
                           ((), "which guest, and where to?")):
            assert why in p.migrate(*words, status=2).err, words
        for words in (("g9",), ("--xml", "/nonexistent", "g1")):
            p.migrate(*words, status=1)
        p.migrations(p.a, "xyz", status=2)
        for uri in ("xen+unix:///system?socket=/nonexistent", "nonsense"):
            r = subprocess.run([lib.DROVER, "migrate", "-c", p.a.uri(), "g1", uri],
                               capture_output=True, text=True, timeout=lib.TIMEOUT, check=False)
            equal(r.returncode, 1)
            assert uri.rsplit("=", 1)[-1] in r.stderr, r.stderr
        p.is_at(p.a)


def every_setting_is_in_the_sample_and_the_man_page():
    r = subprocess.run([hostd_lib.HOSTD, "--help"], capture_output=True, text=True,
                       timeout=lib.TIMEOUT, check=True)
    keys = set(re.findall(r"^  --([a-z_]+) ", r.stdout, re.M)) - {"config", "help", "version"}
    assert len(keys) > 30, keys
    with open(peers.ROOT + "/packaging/hostd.conf", encoding="utf-8") as f:
        equal(set(re.findall(r"^#([a-z_]+) =", f.read(), re.M)) ^ keys, set())
    with open(peers.ROOT + "/man/drover-hostd.8", encoding="utf-8") as f:
        told = [re.findall(r"[a-z_]+", line) for line in
                re.findall(r"^\.It Cm (.*)$", f.read(), re.M)]
    equal(keys - set(sum(told, [])), set())


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [
        a_guest_moves_and_its_part_of_the_store_with_it,
        a_guest_is_named_by_its_uuid_or_id_too,
        another_name_is_that_in_the_store_too,
        a_definition_moves_offline,
        interrupted_it_is_called_off_and_the_truth_is_told,
        it_is_called_off_after_its_time,
        a_killed_client_leaves_the_guest_where_it_is,
        a_source_that_dies_is_asked_when_it_is_back,
        a_destination_that_dies_has_nothing_of_it,
        what_is_refused_at_once_is_not_called_moved,
        a_host_is_not_its_own_destination,
        without_a_uri_it_is_this_hosts_daemon,
        nobody_who_answers_is_not_taken_for_an_answer,
        what_the_destinations_store_refuses_leaves_the_sources_as_it_was,
        a_store_that_cannot_move_it_is_named,
        migrations_are_listed_with_their_timelines,
        one_under_way_says_what_it_waits_for,
        words_that_are_wrong_are_said,
        every_setting_is_in_the_sample_and_the_man_page,
    ]))
