#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Real guests of QEMU migrate both ways between two hosts, all at once and at different speeds,
while clients and daemons are killed, stopped, and told to give up at random. After each round each
guest runs on exactly one host and goes on counting; no number was counted twice or left out, and
no guest found its memory damaged.

ROUNDS (3) rounds of GUESTS (3) guests; SEED=N the same again, as far as time allows.
"""
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from lib import equal  # noqa: E402
import hosts  # noqa: E402
from hostd_lib import migrated  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "3"))
GUESTS = int(os.environ.get("GUESTS", "3"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
FAULTS = ["client", "daemon", "daemon", "both", "pause", "abort", "nothing"]
MIB_PER_SECOND = [8, 30, 100, 1000]


def wait(seconds):
    with contextlib.suppress(AssertionError):
        lib.until(lambda: False, "", seconds)


def names(h):
    return h.virsh("list", "--all", "--name", check=False).split()


def running(h):
    return h.virsh("list", "--state-running", "--name", check=False).split()


def migrate(r, source, target, name):
    return subprocess.Popen(  # pylint: disable=consider-using-with
        source.argv("migrate", "--live", "--bandwidth", str(r.choice(MIB_PER_SECOND)), name,
                    target.uri),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def disturb(r, pair, clients):
    """One fault, and its end."""
    kind = r.choice(FAULTS)
    if kind == "client" and clients:
        r.choice(clients).kill()
    elif kind in ("daemon", "both"):
        killed = pair if kind == "both" else [r.choice(pair)]
        for h in killed:
            h.kill()
        wait(r.random() * 0.2)
        for h in killed:
            h.start()
    elif kind == "pause":
        h = r.choice(pair)
        os.kill(h.pid, signal.SIGSTOP)
        wait(r.random())
        os.kill(h.pid, signal.SIGCONT)
    elif kind == "abort":
        h = r.choice(pair)
        for name in names(h)[:1]:
            h.virsh("domjobabort", name, check=False)
    return kind


def count(pair, name):
    """How far it has counted, on whichever host: each number once, and none left out."""
    numbers = []
    for h in pair:
        numbers += h.ticks(name)
        if os.path.exists(h.serial_path(name)):
            with open(h.serial_path(name), encoding="latin1") as f:
                odd = re.findall(r"^(?!TICK \d+$).+\n", f.read(), re.M)
            equal(odd, [])
    numbers.sort()
    equal(numbers, list(range(1, len(numbers) + 1)))
    return len(numbers)


def quiet(pair, guests):
    def is_quiet():
        return sorted(n for h in pair for n in names(h)) == guests == sorted(
            n for h in pair for n in running(h))

    try:
        lib.until(is_quiet, "one of each")
    except AssertionError as e:
        raise AssertionError("%s\n%s" % (e, said(pair))) from e
    lib.until(lambda: sum(len(h.guests()) for h in pair) == len(guests), "no other process")
    before = [count(pair, name) for name in guests]
    for name, n in zip(guests, before):
        lib.until(lambda name=name, n=n: count(pair, name) > n, "%s counts on" % name)


def said(pair):
    """What the daemons said last, for who has to find out."""
    texts = []
    for h in pair:
        with open(h.dir + "/daemon.err", encoding="utf-8", errors="replace") as f:
            texts.append("%s: %s\n%s" % (h.name, h.virsh("list", "--all", check=False),
                                         f.read()[-4000:]))
    return "\n".join(texts)


def real_guests_migrate_both_ways_under_faults():
    why = hosts.usable() or (None if os.access(hosts.EMULATOR, os.X_OK) else
                             "qemu-system-x86_64 is not installed")
    if why:
        raise lib.Skip(why)
    r = random.Random(SEED)
    guests = ["g%d" % i for i in range(GUESTS)]
    with tempfile.TemporaryDirectory(prefix="drover-soak-") as base, \
            hosts.Drover(base, "a", args=["-v"]) as a, hosts.Drover(base, "b", args=["-v"]) as b:
        for i, name in enumerate(guests):
            (a, b)[i % 2].virsh("create", hosts.tick_xml(base, name, memory_mib=64))
        for n in range(ROUNDS):
            clients = [migrate(r, h, other, name) for h, other in ((a, b), (b, a))
                       for name in names(h)]
            faults = []
            for _ in range(r.randrange(1, 4)):
                wait(r.random() * 0.6)
                faults.append(disturb(r, (a, b), clients))
            ends = [migrated(p, lambda: said((a, b))) for p in clients]
            quiet((a, b), guests)
            print("# round %d: %s; virsh: %s; %d on a" % (n, ", ".join(faults), ends,
                                                         len(names(a))))
            sys.stdout.flush()


if __name__ == "__main__":
    print("# SEED=%d" % SEED)
    sys.exit(lib.main(__doc__, [real_guests_migrate_both_ways_under_faults]))
