#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`drover sim` manages domains and speaks as guests, whichever daemon serves them.

Usage: drover_sim_test.py [KIND...]
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peers  # noqa: E402


class Case:
    def __init__(self, daemon):
        self.d = daemon
        self.env = dict(os.environ, DROVER_SIM_DIR=daemon.dir, XENSTORED_PATH=daemon.socket)

    def sim(self, *args, status=0):
        """What `drover sim` prints, on both outputs."""
        r = subprocess.run([peers.build_dir() + "/drover", "sim", *map(str, args)], env=self.env,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, text=True,
                           check=False)
        assert r.returncode == status, (args, r.returncode, r.stdout)
        return r.stdout

    def run(self, domid, script, status=0):
        return self.sim("run", domid, "--", script, status=status).splitlines()


def domain_is_created_listed_and_ended(c):
    assert c.sim("create", 70) == "domain 70: created, introduced, owns /local/domain/70\n"
    assert c.sim("create", 70, status=1) == "drover sim: domain 70 exists already\n"
    assert c.sim("create", 71, "--no-introduce") == "domain 71: created, not introduced\n"
    rows = [line.split() for line in c.sim("list").splitlines()]
    assert ["70", "running", "yes"] in rows and ["71", "running", "no"] in rows, rows
    assert "not introduced" in c.sim("run", 71, "--", "ls", status=1)
    c.sim("introduce", 71)
    c.run(71, "write x 1")
    c.sim("shutdown", 70)
    assert "   70  shut down  " in c.sim("list")
    c.sim("destroy", 70)
    c.sim("destroy", 71)
    assert "does not exist" in c.sim("destroy", 70, status=1)
    assert "does not exist" in c.sim("run", 70, "--", "ls", status=1)


def guest_speaks_over_its_ring(c):
    c.sim("create", 80)
    assert c.run(80, 'write data/a "two words"; read data/a; ls; perms data/a') == [
        "write data/a: done", 'read data/a: "two words"', "ls /local/domain/80: data",
        "perms data/a: n80"]
    assert c.sim("run", 80, "--", "mkdir", "m", ";", "setperms", "m", "n80", "r3", ";", "perms",
                 "m").splitlines()[-1] == "perms m: n80 r3"
    assert c.run(80, "rm data; read data/a", status=1)[-1] == (
        "read data/a: refused: ENOENT, no such node")
    assert c.run(80, "write /tool/x 1", status=1) == [
        "write /tool/x: refused: EACCES, not permitted"]
    c.sim("destroy", 80)


def each_run_begins_anew(c):
    c.sim("create", 81)
    for _ in range(3):  # the second would be EEXIST
        lines = c.run(81, "watch w; write w 1; begin")
        assert lines.count("watch w: watching") == 1, lines
        assert "event: w (token w)" in lines, lines
    c.sim("destroy", 81)


def conflict_is_said_in_words(c):
    c.sim("create", 82)
    c.run(82, "write a 1")
    with subprocess.Popen([peers.build_dir() + "/drover", "sim", "run", "82", "--",
                           "begin; read a; watch go 2; write b 1; commit"], env=c.env,
                          stdout=subprocess.PIPE, text=True) as p, c.d.connect() as x:
        lines = []
        for line in p.stdout:
            lines.append(line.strip())
            if lines[-1] == "watch go: watching":   # it has read a, and waits
                x.write("/local/domain/82/a", "2")
                x.write("/local/domain/82/go", "")
    assert p.returncode == 1, lines
    assert lines[-1].startswith("commit: refused: EAGAIN, conflict"), lines
    c.sim("destroy", 82)


def usage_is_told(c):
    assert "usage:" in c.sim("nothing", status=2)
    assert "usage:" in c.sim("--help")
    assert "not a domid" in c.sim("destroy", "x", status=2)
    c.sim("create", 83)
    assert "no such operation" in c.sim("run", 83, "--", "jump", status=2)
    assert "arguments" in c.sim("run", 83, "--", "read", status=2)
    c.sim("destroy", 83)


TESTS = [domain_is_created_listed_and_ended, guest_speaks_over_its_ring, each_run_begins_anew,
         conflict_is_said_in_words, usage_is_told]


def main():
    kinds = sys.argv[1:] or ["drover"]
    n = failed = 0
    print("1..%d" % (len(kinds) * len(TESTS)))
    for kind in kinds:
        d = peers.Daemon(kind) if peers.have(kind) else None
        for test in TESTS:
            n += 1
            name = "%d - %s: %s" % (n, kind, test.__name__)
            if not d:
                print("ok %s # SKIP not installed" % name)
                continue
            try:
                test(Case(d))
                print("ok " + name)
            except Exception as e:  # pylint: disable=broad-except
                failed += 1
                print("not ok %s\n# %r\n# %s" % (name, e, d.output()[-2000:].replace("\n", "\n# ")))
        if d and d.stop() and kind.startswith("drover"):    # leaks and faults end here
            failed += 1
            print("# %s ended badly" % kind)
    return failed != 0


sys.exit(main())
