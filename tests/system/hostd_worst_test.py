#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The worst instants of a hand-over between two drover-hostd, each of which broke it once: clients
that vanish in the middle of a peer to peer migration, guests that would have been started where
they were given away, daemons that end while steps wait.

Usage: hostd_worst_test.py [--only CASE]...
"""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "peers")]
import lib  # noqa: E402
import rpcproxy  # noqa: E402
from hostd_lib import Hostd  # noqa: E402
from lib import equal, peers, until  # noqa: E402

START, COMMIT, TAKEN = 1, 4, 6   # of the program between daemons
DEAF = 20                        # hosts that do not answer
ENV = dict(os.environ, LC_ALL="C")


class Pair:
    """Two hosts; the way of a's peers to it, and of b's to b, goes through a proxy each."""

    def __init__(self, stack, args=(), stores=False):
        self.hosts, self.proxies = [], []
        for i, name in enumerate(("hosta", "hostb")):
            d = stack.enter_context(lib.scratch())
            front = "unix://%s/front" % d
            store = stack.enter_context(peers.Daemon("drover")) if stores else None
            self.hosts.append(Hostd(store, directory=d, name=name, args=[
                "--peer-address", front, "--migration-address", "127.0.0.1", "--verbose", "yes",
                "--migration-port-min", str(21000 + 100 * i),
                "--migration-port-max", str(21099 + 100 * i), *args]))
            self.proxies.append(rpcproxy.Proxy(front, "unix://%s/sock" % d))
            stack.callback(self.proxies[-1].close)
            stack.enter_context(self.hosts[-1])
        self.a, self.b = self.hosts

    def rule(self, to, kind, procedure, action):
        self.proxies[to].rules.append(
            rpcproxy.Rule(kind, procedure, action, program=rpcproxy.PEER))
        return self.proxies[to].rules[-1]

    def create(self, name="g", words="", how="create", at=0, more=""):
        h = self.hosts[at]
        h.virsh(how, big(h, name, words, more))
        if how == "define":
            h.virsh("start", name)
        until(lambda: count(h, name) > 1, "it counts")

    def moved(self, name="g"):
        until(lambda: (self.a.names(), self.b.names()) == ([], [name]), "it has moved")
        until(lambda: not self.a.processes(), "no process is left over")


@contextlib.contextmanager
def pair(*args, stores=False):
    with contextlib.ExitStack() as stack:
        yield Pair(stack, args, stores)


def big(h, name, words, more):
    """A definition of a guest whose 16 MiB are written to, where it fills them."""
    path = h.xml(name, words, more)
    if "fill" in words:
        with open(path, "r+", encoding="utf-8") as f:
            text = f.read().replace("'MiB'>4", "'MiB'>16")
            f.seek(0)
            f.write(text)
    return path


def count(h, name):
    try:
        return sum(1 for words in h.ticks(name) if words[0] == "TICK")
    except FileNotFoundError:
        return 0


def client(h, *words):
    return subprocess.Popen(  # pylint: disable=consider-using-with
        h.argv(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env=ENV)


def end(process, status=None):
    _, err = process.communicate(timeout=lib.TIMEOUT)
    assert status in (None, process.returncode), err
    return err


def descriptors(h):
    return len(os.listdir("/proc/%d/fd" % h.process.pid))


def busy(h, name="g"):
    return "None" not in h.virsh("domjobinfo", name).out


def slow_p2p(p, name="g"):
    virsh = client(p.a, "migrate", "--live", "--p2p", "--bandwidth", "1", name, p.b.uri())
    until(lambda: busy(p.a, name) and p.b.processes(), "it is being sent")
    return virsh


# ---- peer to peer ----

def a_client_that_vanishes_from_a_peer_to_peer_migration_leaves_no_connection():
    with pair() as p:
        p.create(words="fill dirty=5")
        before = descriptors(p.a)
        for _ in range(3):
            virsh = slow_p2p(p)
            virsh.kill()
            end(virsh)
            until(lambda: not busy(p.a), "it is aborted")
        until(lambda: not p.b.processes(), "nothing is left there")
        # the link between the daemons goes with what it was for
        until(lambda: descriptors(p.a) <= before, "its descriptors are closed")
        equal(p.a.state("g"), "running")


def what_ended_late_aborts_no_other_migration():
    with pair() as p, socket.socket(socket.AF_UNIX) as deaf:
        p.create(words="fill dirty=5")
        deaf.bind(p.a.dir + "/deaf")
        deaf.listen(5)
        virsh = client(p.a, "migrate", "--live", "--p2p", "g",
                       "xen+unix:///system?socket=%s/deaf" % p.a.dir)
        conn, _ = deaf.accept()
        virsh.kill()
        end(virsh)
        until(lambda: not busy(p.a), "it is aborted")
        other = client(p.a, "migrate", "--live", "--bandwidth", "4", "g", p.b.uri())
        until(lambda: busy(p.a), "another one goes on")
        conn.close()
        end(other, 0)
        p.moved()


def a_definition_that_cannot_be_taken_is_told_to_a_peer_to_peer_client():
    with pair() as p:
        p.a.virsh("define", p.a.xml("g"))
        unwritable(p.b)
        end(client(p.a, "migrate", "--offline", "--persistent", "--undefinesource", "--p2p", "g",
                   p.b.uri()), 1)
        equal(p.a.names("--all"), ["g"])
        p.a.virsh("start", "g")


def a_daemon_ends_although_a_peer_does_not_answer():
    with pair() as p, socket.socket(socket.AF_UNIX) as deaf:
        p.create()
        deaf.bind(p.a.dir + "/deaf")
        deaf.listen(5)
        virsh = client(p.a, "migrate", "--live", "--p2p", "g",
                       "xen+unix:///system?socket=%s/deaf" % p.a.dir)
        conn, _ = deaf.accept()
        p.a.process.send_signal(signal.SIGTERM)
        equal(p.a.process.wait(12), 0)      # and not only once it gives up the peer: 15 s
        conn.close()
        end(virsh, 1)
        p.a.start()
        equal(p.a.state("g"), "running")


def hosts_that_do_not_answer_keep_no_other_migration_waiting():
    with pair() as p, socket.socket(socket.AF_UNIX) as deaf, contextlib.ExitStack() as stack:
        deaf.bind(p.a.dir + "/deaf")
        deaf.listen(DEAF)
        p.create()
        for i in range(DEAF):
            p.a.virsh("create", p.a.xml("g%d" % i))
        clients = [client(p.a, "migrate", "--live", "--p2p", "g%d" % i,
                          "xen+unix:///system?socket=%s/deaf" % p.a.dir) for i in range(DEAF)]
        for _ in clients:
            stack.enter_context(deaf.accept()[0])
        p.a.virsh("migrate", "--live", "g", p.b.uri())
        equal([virsh.poll() for virsh in clients], [None] * DEAF)   # still wait: for 15 s
        for virsh in clients:
            virsh.kill()
            end(virsh)
        until(lambda: not any(busy(p.a, "g%d" % i) for i in range(DEAF)), "all are aborted")


def what_is_given_back_is_not_called_moved_to_a_peer_to_peer_client():
    with pair() as p:
        p.a.virsh("define", p.a.xml("g"))

        def kill(_link):
            p.b.kill()
            return rpcproxy.CLOSE
        p.rule(0, "reply", COMMIT, kill)
        end(client(p.a, "migrate", "--offline", "--persistent", "--undefinesource", "--p2p", "g",
                   p.b.uri()), 1)
        p.b.start()
        until(lambda: p.a.virsh("start", "g", status=None).status == 0, "it is a's")
        equal(p.b.names("--all"), [])


# ---- what fails at its end ----

def unwritable(h):
    """Its definitions cannot be written: there is a file where their directory was."""
    shutil.rmtree(h.dir + "/state/domains")
    with open(h.dir + "/state/domains", "w", encoding="ascii"):
        pass


def a_definition_that_cannot_be_taken_leaves_nothing():
    with pair() as p:
        p.a.virsh("define", p.a.xml("g"))
        unwritable(p.b)
        p.a.refused("migrate", "--offline", "--persistent", "--undefinesource", "g", p.b.uri())
        equal((p.a.names("--all"), p.b.names("--all")), (["g"], []))
        os.unlink(p.b.dir + "/state/domains")
        os.mkdir(p.b.dir + "/state/domains")
        p.a.virsh("migrate", "--offline", "--persistent", "--undefinesource", "g", p.b.uri())
        equal((p.a.names("--all"), p.b.names("--all")), ([], ["g"]))


def a_guest_comes_back_while_a_host_that_never_took_it_is_away():
    with pair("--peer-timeout-ms", "500") as p, contextlib.ExitStack() as stack:
        third = stack.enter_context(lib.scratch())
        c = stack.enter_context(Hostd(directory=third, name="hostc", args=[
            "--peer-address", "unix://%s/sock" % third, "--migration-address", "127.0.0.1",
            "--migration-port-min", "21200", "--migration-port-max", "21299"]))
        p.create(words="fill dirty=5", how="define")
        virsh = client(p.a, "migrate", "--live", "--bandwidth", "1", "g", p.b.uri())
        until(lambda: busy(p.a) and p.b.processes(), "it is being sent")
        p.b.kill()
        end(virsh, 1)
        until(lambda: not busy(p.a), "it stays")
        p.a.virsh("destroy", "g")       # and begins anew elsewhere
        c.virsh("create", big(c, "g", "fill dirty=5", ""))
        c.virsh("migrate", "--live", "g", p.a.uri())
        equal((p.a.names(), c.names()), (["g"], []))
        p.b.start()


def a_host_that_tells_no_address_is_refused_at_once():
    with pair() as p, contextlib.ExitStack() as stack:
        third = stack.enter_context(lib.scratch())
        mute = stack.enter_context(Hostd(directory=third, name="hostc"))
        p.create()
        why = p.a.refused("migrate", "--live", "g", mute.uri())
        assert "address" in why, why
        equal((p.a.state("g"), busy(p.a), mute.processes()), ("running", False, []))


# ---- who may start a guest ----

CRASH = "<on_crash>restart</on_crash>"


def given_and_unacknowledged(p):
    """The guest runs at b, and a, which gave it, has not heard of it."""
    p.rule(0, "call", TAKEN, hold_all(p))
    virsh = client(p.a, "migrate", "--live", "g", p.b.uri())
    until(lambda: p.b.names() and p.b.state("g") == "running", "it runs there")
    until(lambda: p.proxies[0].is_cut, "nobody hears of it")
    return virsh


def hold_all(p):
    def cut(_link):
        p.proxies[0].is_cut = True
        threading.Thread(target=p.proxies[0].cut, daemon=True).start()
        return rpcproxy.DROP
    return cut


def runs_there_alone(p):
    before = count(p.b, "g")
    n = count(p.a, "g")
    until(lambda: count(p.b, "g") > before + 5, "it counts there")
    equal((count(p.a, "g"), len(p.b.processes())), (n, 1))


def what_was_given_is_not_restarted_when_it_crashes():
    with pair() as p:
        p.create(more=CRASH)
        virsh = given_and_unacknowledged(p)
        old = p.a.processes()
        equal(len(old), 1)
        os.kill(old[0], signal.SIGKILL)
        until(lambda: old[0] not in p.a.processes(), "its process is gone")
        runs_there_alone(p)
        p.proxies[0].mend()
        end(virsh)
        p.moved()


def what_was_given_is_not_restarted_by_a_daemon_that_finds_it_dead():
    with pair() as p:
        p.create(more=CRASH)
        virsh = given_and_unacknowledged(p)
        old = p.a.processes()
        p.a.kill()
        os.kill(old[0], signal.SIGKILL)
        end(virsh)
        p.a.start()
        runs_there_alone(p)
        equal(p.a.processes(), [])
        p.proxies[0].mend()
        p.moved()


def what_was_given_is_not_started_with_the_host():
    with pair() as p:
        p.create(how="define")
        p.a.virsh("autostart", "g")
        virsh = given_and_unacknowledged(p)
        lose_power(p.a)
        end(virsh)
        p.a.start()
        runs_there_alone(p)
        equal(p.a.processes(), [])
        p.proxies[0].mend()
        p.moved()


def a_definition_whose_guest_has_moved_is_not_started_with_the_host():
    with pair() as p:
        p.create(how="define")
        p.a.virsh("autostart", "g")
        p.a.virsh("migrate", "--live", "g", p.b.uri())
        p.moved()
        p.a.kill()
        shutil.rmtree(p.a.dir + "/run")
        p.a.start()
        until(lambda: "has migrated to another" in p.a.log(), "that is said")
        equal((p.a.names(), p.b.names()), ([], ["g"]))
        p.b.virsh("destroy", "g")
        p.a.virsh("start", "g")         # its owner knows, from then on the journal does, too
        lose_power(p.a)
        p.a.start()
        until(p.a.names, "it is started with the host")


def a_host_that_loses_its_power_while_it_sends_starts_the_guest_with_it():
    with pair("--peer-timeout-ms", "1000") as p:
        p.create(words="fill dirty=5", how="define")
        p.a.virsh("autostart", "g")
        virsh = client(p.a, "migrate", "--live", "--bandwidth", "1", "g", p.b.uri())
        until(lambda: busy(p.a) and p.b.processes(), "it is being sent")
        lose_power(p.a)
        end(virsh, 1)
        p.a.start()
        until(lambda: p.a.names() and p.a.state("g") == "running", "it is started with the host")
        until(lambda: not p.b.processes(), "nothing is left there")
        p.a.virsh("migrate", "--live", "g", p.b.uri())
        p.moved()


def lose_power(h):
    h.kill()
    for pid in h.processes():
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(h.dir + "/run")


def a_guest_that_crashes_while_it_is_sent_is_restarted_here():
    with pair() as p:
        p.create(words="fill dirty=5", more=CRASH)
        virsh = client(p.a, "migrate", "--live", "--bandwidth", "1", "g", p.b.uri())
        until(lambda: busy(p.a) and p.b.processes(), "it is being sent")
        old = p.a.processes()
        os.kill(old[0], signal.SIGKILL)
        end(virsh, 1)
        until(lambda: p.a.names() and p.a.state("g") == "running", "it runs again")
        until(lambda: not busy(p.a) and not p.b.processes(), "nothing is left there")
        equal((p.a.processes() != old, len(p.a.processes())), (True, 1))
        p.a.virsh("migrate", "--live", "g", p.b.uri())
        p.moved()


def what_was_destroyed_before_it_was_given_runs_nowhere():
    with pair() as p:
        p.create(words="dirty=5")
        got = []

        def destroy(_link):
            got.append(p.a.virsh("destroy", "g", status=None).status)
            return rpcproxy.FORWARD
        p.rule(0, "call", COMMIT, destroy)
        end(client(p.a, "migrate", "--live", "g", p.b.uri()), 1)
        until(lambda: got, "destroy ends, too")  # the two clients are told in either order
        equal(got, [0])
        until(lambda: p.a.names() + p.b.names() + p.a.processes() + p.b.processes() == [],
              "it is gone")


# ---- a store that is not there ----

def marks(h):
    """What the daemon has written into the store of its guests: words."""
    x = h.store.connect()
    try:
        return [x.read("/drover/guests/" + name).decode().split()
                for name in x.ls("/drover/guests")]
    finally:
        x.close()


def a_guest_goes_on_while_its_store_is_dead():
    with pair(stores=True) as p:
        p.create()
        before = marks(p.a)
        p.rule(1, "reply", START, lambda _link: p.a.store.kill() and rpcproxy.FORWARD)
        end(client(p.a, "migrate", "--live", "g", p.b.uri()), 1)
        equal(p.a.state("g"), "running")
        n = count(p.a, "g")
        until(lambda: count(p.a, "g") > n, "it counts")
        p.a.store.start()
        until(lambda: int(marks(p.a)[0][2]) > int(before[0][2]), "it is served again")
        p.a.virsh("migrate", "--live", "g", p.b.uri())
        p.moved()


def what_a_dead_store_was_not_told_it_is_told_later():
    with pair(stores=True) as p:
        p.create()
        p.rule(0, "call", TAKEN, lambda _link: p.a.store.kill() and rpcproxy.FORWARD)
        p.a.virsh("migrate", "--live", "g", p.b.uri())
        p.moved()
        p.a.store.start()
        until(lambda: not marks(p.a), "nothing is left in the store")
        equal(len(marks(p.b)), 1)


# ---- steps that wait ----

def a_daemon_ends_while_a_migration_waits_for_a_guest():
    with pair(stores=True) as p:
        p.create(words="fill dirty=5")
        virsh = client(p.a, "migrate", "--live", "--bandwidth", "1", "g", p.b.uri())
        until(lambda: busy(p.a) and p.b.processes(), "it is being sent")
        with stopped(p.a.store):
            destroy = client(p.a, "destroy", "g")
            until(lambda: not p.a.processes(), "its process is ended")
            until(lambda: "aborted" in p.a.log(), "the migration ends, too")
            p.a.process.send_signal(signal.SIGTERM)
            equal(p.a.process.wait(20), 0)
        end(destroy)
        end(virsh)
        p.a.start()
        until(lambda: not p.a.names("--all") and not p.b.processes(), "nothing is left")


def a_daemon_ends_while_it_connects_to_where_a_guest_is_received():
    for port_opens in (True, False):
        with pair("--migration-address", "127.0.0.2") as p, socket.socket() as deaf:
            p.create()
            # b, which does not look names up, listens at its own address; a connects to this one.
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(1)
            port = deaf.getsockname()[1]
            with full(deaf):
                virsh = client(p.a, "migrate", "--live", "--migrateuri",
                               "tcp://localhost:%d" % port, "g", p.b.uri())
                until(lambda: connects_to(port), "it connects")
                p.a.process.send_signal(signal.SIGTERM)
                until(lambda: "guests go on" in p.a.log(), "it is told to end")
                if port_opens:
                    deaf.accept()[0].close()
                equal(p.a.process.wait(lib.TIMEOUT), 0)
            end(virsh, 1)
            p.a.start()
            equal(p.a.state("g"), "running")
            until(lambda: not p.b.processes(), "nothing is left there")
            equal((p.a.names(), p.b.names()), (["g"], []))


@contextlib.contextmanager
def full(listening):
    """A listening socket whose queue of one has no place for one more: who connects waits."""
    with socket.socket() as first, socket.socket() as second:
        for s in (first, second):
            s.connect(listening.getsockname())
        yield


def connects_to(port):
    """Whether somebody here has asked for a connection to the port and has no answer yet."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        rows = [line.split() for line in f]
    return any(row[2].endswith(":%04X" % port) and row[3] == "02" for row in rows)


@contextlib.contextmanager
def stopped(daemon):
    pids = lib.family(daemon.pid)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


CASES = [
    a_client_that_vanishes_from_a_peer_to_peer_migration_leaves_no_connection,
    what_ended_late_aborts_no_other_migration,
    a_definition_that_cannot_be_taken_is_told_to_a_peer_to_peer_client,
    a_daemon_ends_although_a_peer_does_not_answer,
    what_is_given_back_is_not_called_moved_to_a_peer_to_peer_client,
    hosts_that_do_not_answer_keep_no_other_migration_waiting,
    a_definition_that_cannot_be_taken_leaves_nothing,
    a_guest_comes_back_while_a_host_that_never_took_it_is_away,
    a_host_that_tells_no_address_is_refused_at_once,
    what_was_given_is_not_restarted_when_it_crashes,
    what_was_given_is_not_restarted_by_a_daemon_that_finds_it_dead,
    what_was_given_is_not_started_with_the_host,
    a_definition_whose_guest_has_moved_is_not_started_with_the_host,
    a_host_that_loses_its_power_while_it_sends_starts_the_guest_with_it,
    a_guest_that_crashes_while_it_is_sent_is_restarted_here,
    what_was_destroyed_before_it_was_given_runs_nowhere,
    a_guest_goes_on_while_its_store_is_dead,
    what_a_dead_store_was_not_told_it_is_told_later,
    a_daemon_ends_while_a_migration_waits_for_a_guest,
    a_daemon_ends_while_it_connects_to_where_a_guest_is_received,
]

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
