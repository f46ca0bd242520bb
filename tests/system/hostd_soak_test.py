#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Guests migrate both ways between two hosts, all at once, with unmodified virsh, while clients and
daemons are killed, stopped and started at random. After each round, once the daemons can talk
again: each guest runs on exactly one host, as one process, it never ran on both, and nothing else
is left.

ROUNDS (4) rounds of GUESTS (6) guests; SEED=N the same again, as far as time allows.
"""
import contextlib
import os
import random
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from hostd_lib import Hostd, migrated  # noqa: E402
from lib import equal, peers  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "4"))
GUESTS = int(os.environ.get("GUESTS", "6"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
RUNS = ("START", "RESUME")
STOPS = ("PAUSE", "SENT", "END", "REBOOT")


def host(stack, name, ports):
    d = stack.enter_context(peers.Daemon("drover"))
    h = Hostd(d, name=name, args=["--migration-address", "127.0.0.1", "--migration-port-min",
                                  str(ports), "--migration-port-max", str(ports + 99)])
    h.args += ["-v", "--peer-address", "unix://" + h.socket]
    return stack.enter_context(h)


def migrate(source, target, name):
    return subprocess.Popen(  # pylint: disable=consider-using-with
        source.argv("migrate", "--live", name, target.uri()), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=dict(os.environ, LC_ALL="C"))


def disturb(r, hosts, clients):
    """One fault, and its end."""
    kind = r.choice(["client", "daemon", "daemon", "both", "restart", "pause", "nothing"])
    if kind == "client" and clients:
        r.choice(clients).kill()
    elif kind == "daemon":
        h = r.choice(hosts)
        h.kill()
        h.start()
    elif kind == "restart":
        h = r.choice(hosts)
        h.stop()
        h.start()
    elif kind == "both":
        for h in r.sample(hosts, 2):
            h.kill()
        for h in r.sample(hosts, 2):
            h.start()
    elif kind == "pause":
        h = r.choice(hosts)
        os.kill(h.process.pid, signal.SIGSTOP)
        wait(r.random())
        os.kill(h.process.pid, signal.SIGCONT)
    return kind


def wait(seconds):
    with contextlib.suppress(AssertionError):
        lib.until(lambda: False, "", seconds)


def spans(h, name):
    """When it ran there: from a start to a stop, or to its last tick."""
    found, since, last = [], None, None
    path = "%s/log/%s.ticks" % (h.dir, name)
    if not os.path.exists(path):
        return found
    for words in h.ticks(name):
        what, when = words[0], int(words[4].split("=")[1])
        if since is None and what in RUNS + ("TICK",):
            since = when
        if what in STOPS and since is not None:
            found.append((since, when))
            since = None
        if since is not None:
            last = when
    return found + ([(since, last)] if since is not None else [])


def never_on_both(a, b, name):
    all_spans = sorted([(s, e, "a") for s, e in spans(a, name)] +
                       [(s, e, "b") for s, e in spans(b, name)])
    for (_, end, one), (start, _, other) in zip(all_spans, all_spans[1:]):
        assert one == other or end <= start, "%s ran on both: %s" % (name, all_spans)


def counts_on(a, b, name):
    """Each tick has one number more than the one before, wherever it was."""
    lines = sorted((int(w[4].split("=")[1]), int(w[1])) for h in (a, b)
                   if os.path.exists("%s/log/%s.ticks" % (h.dir, name))
                   for w in h.ticks(name) if w[0] == "TICK")
    numbers = [n for _, n in lines]
    equal(numbers, list(range(numbers[0], numbers[0] + len(numbers))))


def is_quiet(a, b, names):
    """Each runs on exactly one of them, nothing is paused, no job is left, on either side."""
    here = [h.virsh("list", "--all").out for h in (a, b)]
    states = [line.split(None, 2) for text in here for line in text.splitlines() if line.strip()]
    if sorted(words[1] for words in states) != sorted(names):
        return False
    if any(words[2].strip() != "running" for words in states):
        return False
    return not any("Unbounded" in h.virsh("domjobinfo", name).out
                   for h in (a, b) for name in h.names())


def quiet(a, b, names):
    try:
        lib.until(lambda: is_quiet(a, b, names), "one of each")
    except AssertionError as e:
        raise AssertionError("%s\n%s\n%s\n%s\n%s" % (
            e, a.virsh("list", "--all").out, b.virsh("list", "--all").out, a.log()[-3000:],
            b.log()[-3000:])) from e
    # who moved away is known to be gone before its process is
    lib.until(lambda: len(a.processes()) + len(b.processes()) == len(names), "no other process")
    for h in (a, b):
        equal(sorted(n for n in os.listdir(h.dir + "/run") if "-" in n),
              sorted(h.virsh("domuuid", n).out.strip() for n in h.names()))
        with h.store.connect() as x:
            there = [x.read("/local/domain/%s/name" % i).decode()
                     for i in x.ls("/local/domain") if i != "0" and
                     not lib.refusal(x.read, "/local/domain/%s/name" % i)]
        equal(sorted(there), sorted(h.names()))


def moved(h, name):
    """A guest that came says so, whoever was killed meanwhile."""
    said = h.virsh("domjobinfo", "--completed", name).out
    assert "Completed" in said and "Incoming migration" in said, said


def ended(p, a, b):
    return migrated(p, lambda: "%s\n%s" % (a.log()[-6000:], b.log()[-6000:]))


def guests_migrate_both_ways_under_faults():
    r = random.Random(SEED)
    names = ["g%d" % i for i in range(GUESTS)]
    with contextlib.ExitStack() as stack:
        a, b = host(stack, "hosta", 49200), host(stack, "hostb", 49300)
        for i, name in enumerate(names):
            (a, b)[i % 2].virsh("create", a.xml(name, "dirty=20"))
        for n in range(ROUNDS):
            where = [(h, other, h.names()) for h, other in ((a, b), (b, a))]
            clients = [migrate(h, other, name) for h, other, there in where for name in there]
            faults = []
            for _ in range(r.randrange(1, 4)):
                wait(r.random() * 0.2)
                faults.append(disturb(r, (a, b), clients))
            ends = [ended(p, a, b) for p in clients]
            for p in clients:
                p.stderr.close()
            quiet(a, b, names)
            for h, other, there in where:
                for name in set(there) & set(other.names()):
                    moved(other, name)
            for name in names:
                never_on_both(a, b, name)
                counts_on(a, b, name)
            print("# round %d: %s; virsh: %s; %d on hosta" % (n, ", ".join(faults), ends,
                                                            len(a.names())))
            sys.stdout.flush()


if __name__ == "__main__":
    print("# SEED=%d" % SEED)
    sys.exit(lib.main(__doc__, [guests_migrate_both_ways_under_faults]))
