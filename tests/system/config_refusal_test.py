#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What `drover config` refuses, with which status and in which words, and that it changes nothing
then: wrong words, what is not there, locks that are held, stores, backends and readers that are
gone.

Usage: config_refusal_test.py [--kind drover|c] [--only CASE]...
"""
import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import config_lib  # noqa: E402
import lib  # noqa: E402
import xl  # noqa: E402
from config_lib import RECORD, UUID  # noqa: E402
from drover_cli import read_until  # noqa: E402
from lib import equal  # noqa: E402

OWN = {}    # a daemon of its own
CASES = []


def case(function):
    CASES.append((function, OWN))
    return function


def furnished(d):
    """Domain 7, as record and store have it, and a driver domain, 9, with a record, too."""
    h = config_lib.Host(d).furnish()
    h.set_record(9, xl.config("drv", h.uuid(9)))
    return h


def rows(text):
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


# ---- words and domains ----

# Words, standard input, status, and what the line says.
BAD = [
    (["nonsense"], "", 2, "'nonsense' is none of its commands"),
    (["show"], "", 2, "which domain"),
    (["show", "7", "9"], "", 2, "which domain"),
    (["show", "99"], "", 3, "domain 99 is not in the store"),
    (["show", "nobody"], "", 3, "nobody"),
    (["show", "6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2d"], "", 3, "6f1c2b3a"),
    (["show", "7", "--layout", "5"], "", 2, "neither 4.17 nor newest"),
    (["show", "7", "--json", "--xl"], "", 2, "--json or --xl"),
    (["show", "7", "--lock-timeout", "soon"], "", 2, "'soon' is not a number"),
    (["show", "7", "-d", "/nonexistent"], "", 3, "/nonexistent"),
    (["show", "7", "-s", "/nonexistent"], "", 3, "store /nonexistent"),
    (["list", "99"], "", 3, "domain 99"),
    (["diff", "99"], "", 3, "domain 99"),
    (["diff"], "", 2, "which domain"),
    (["check", "99"], "", 3, "domain 99"),
    (["check", "--all", "7"], "", 2, "--all, or which"),
    (["repair"], "", 2, "--all, or which"),
    (["repair", "--all", "7"], "", 2, "--all, or which"),
    (["repair", "nobody"], "", 3, "nobody"),
    (["attach", "7"], "", 2, "attach: which"),
    (["attach", "7", "floppy", "a=b"], "", 2, "floppy: no such class"),
    (["attach", "7", "vbd", "colour=red"], "", 2, "colour: no such field"),
    (["attach", "7", "vbd", "vdev=xvdb", "format=round"], "", 2, "format: "),
    (["attach", "7", "vbd", "phy:/dev/vg0/b"], "", 2, "no vdev"),
    (["attach", "7", "vbd", "/dev/vg0/b,raw,xvdb,w,colour=red"], "", 2, "colour"),
    (["attach", "7", "vif", "mac=zz"], "", 2, "mac: "),
    (["attach", "7", "vif", "mac=zz,bridge=b"], "", 2, '"zz"'),
    (["attach", "7", "vtpm", "nonsense"], "", 2, "'nonsense' is no KEY=VALUE"),
    (["attach", "7", "dtdev", "path=/soc/uart"], "", 2, "dtdev"),
    (["attach", "99", "vbd", "/dev/vg0/b,raw,xvdb,w"], "", 3, "domain 99"),
    (["attach", "7", "vbd", "/dev/vg0/b,raw,xvda,w", "--no-scripts"], "", 3, "vbd xvda"),
    (["attach", "7", "vbd", "/dev/vg0/b,raw,xvdb,w,backend=nobody"], "", 3, "nobody"),
    (["detach", "7", "vbd"], "", 2, "detach: which"),
    (["detach", "7", "vbd", "xvda", "xvdb"], "", 2, "one device"),
    (["detach", "7", "floppy", "0"], "", 2, "floppy: no such class"),
    (["detach", "7", "vbd", "xvdz"], "", 3, "vbd xvdz of domain 7"),
    (["detach", "nobody", "vbd", "xvda"], "", 3, "nobody"),
    (["update", "7", "vbd", "xvda"], "", 2, "KEY=VALUE of xvda"),
    (["update", "7", "vbd", "xvda", "colour=red"], "", 2, "colour: no such field"),
    (["update", "7", "vbd", "xvda", "backend_domname=drv"], "", 2, "backend_domname"),
    (["update", "7", "vbd", "xvdz", "readwrite=0"], "", 3, "no vbd xvdz"),
    (["update", "7", "vif", "bridge=xenbr8"], "", 2, "which device"),
    (["watch", "99"], "", 3, "domain 99"),
    (["watch", "7", "9"], "", 2, "one domain at most"),
    (["locks", "7"], "", 2, "'7' is not expected"),
    (["record"], "", 2, "create DOM FILE"),
    (["record", "make", "7", "file"], "", 2, "'make' is neither"),
    (["record", "create", "9", "/nonexistent"], "", 3, "/nonexistent"),
    (["record", "create", "9", "-"], '{"c_info": nonsense}', 2, "line 1, column 12"),
    (["record", "create", "9", "-"], '{"c_info": {"type": "round"}}', 2, "c_info.type"),
    (["record", "create", "7", "-"], json.dumps(RECORD), 3, "there already"),
    (["record", "create", "99", "-"], json.dumps(RECORD), 3, "domain 99"),
    (["record", "destroy", "seven", UUID], "", 2, "'seven' is not a number"),
    (["record", "destroy", "7", "6f1c"], "", 2, "'6f1c' is no uuid"),
    (["canon"], "", 2, "FILE"),
    (["canon", "/nonexistent"], "", 3, "/nonexistent"),
    (["canon", "-"], '{"disks": [{"vdev": "xvda"}, {"vdev": 5}]}', 2, "disks"),
]


@case
def what_is_refused_changes_nothing(d):
    h = furnished(d)
    before = h.everything()
    for words, stdin, status, says in BAD:
        r = h.drover("config", *words, status=None, stdin=stdin)
        assert (r.status, r.out, len(r.err.splitlines())) == (status, "", 1) and says in r.err, \
            str(r)
        assert r.err.startswith("drover: config"), r.err
        equal(h.everything(), before)


@case
def a_backend_that_is_silent_leaves_nothing_behind(d):
    h = furnished(d)
    with open(h.file(7), "w") as f:     # as ours writes it
        f.write(h.drover("config", "canon", "-", stdin=json.dumps(RECORD)).out + "\0")
    before = h.everything()
    r = h.drover("config", "attach", "7", "vbd", config_lib.B, "--backend-timeout", "200",
                 status=3)
    assert "state 1" in r.err and len(r.err.splitlines()) == 1, r.err
    h.unchanged(before)


@case
def a_lock_that_is_held_is_told_with_its_holder(d):
    h = furnished(d)
    path = h.file(7, "domain-userdata-lock", "l")
    with open(path, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        before = h.everything()
        for words in (["show", "7"], ["check", "7"], ["repair", "7"], ["diff", "pv1"],
                      ["update", "7", "vif", "0", "bridge=b"], ["detach", "7", "vif", "0"]):
            r = h.drover("config", *words, "--lock-timeout", "20", status=3)
            assert path in r.err and str(os.getpid()) in r.err, r.err
            equal((r.out, len(r.err.splitlines())), ("", 1))
            equal(h.everything(), before)
        row, = [row for row in rows(h.drover("config", "list", "--lock-timeout", "20",
                                             status=1).out) if "7" in row[:2]]
        assert "cannot be told" in row[-1] and path in row[-1], row
        equal(rows(h.drover("config", "locks").out),
              [["ID", "UUID", "NAME", "HOLDER", "WHAT"],
               ["7", UUID, "domain-userdata-lock", str(os.getpid()), mine()]])
        one, = json.loads(h.drover("config", "locks", "--json").out)
        equal((one["domid"], one["held"], one["pid"], one["path"]), (7, True, os.getpid(), path))
    os.unlink(path)
    equal(h.drover("config", "locks").out, "")
    h.settled()


def locked(path):
    """The lock's open file. Whoever had it before us has removed its file: then it is not that."""
    while True:
        f = open(path, "w")     # pylint: disable=consider-using-with
        fcntl.flock(f, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(f.fileno())):
                return f
        f.close()


@case
def watch_comes_back_to_a_domain_that_was_locked(d):
    h = furnished(d)
    target, path = "/local/domain/7/memory/target", h.file(7, "domain-userdata-lock", "l")
    with h.running("watch", "7", "--lock-timeout", "20") as p:
        out = p.stdout.fileno()
        read_until(out, rb" 7 pv1: - -> there\n")
        h.x.write(target, "524288")     # and all that came with the watches is behind us
        read_until(out, rb" b_info.target_memkb: 1048576 -> 524288\n")
        with locked(path):
            h.x.write(target, "524289")
            read_until(out, rb" 7 pv1: there -> cannot be told \([^\n]*held by[^\n]*\n")
            os.unlink(path)
        read_until(out, rb" 7 pv1 b_info.target_memkb: 524288 -> 524289\n"
                        rb"[^\n]* 7 pv1: cannot be told -> there\n")


def mine():
    with open("/proc/self/cmdline") as f:
        return f.read().rstrip("\0").replace("\0", " ")


@case
def intents_are_listed_with_their_makers(d):
    h = furnished(d)
    with h.running("attach", "7", "vbd", config_lib.B) as p:
        h.await_node("/local/domain/9/backend/vbd/7/51728/state", "1")
        listed = json.loads(h.drover("config", "locks", "--json").out)
        one, = [x for x in listed if x["name"] == "drover-intent"]
        equal((one["domid"], one["uuid"], one["pid"]), (7, UUID, p.pid))
        assert "vbd xvdb" in one["what"], one
        equal(h.items()["vbd xvdb"], "adding")
        p.kill()
        p.wait()
    one, = json.loads(h.drover("config", "locks", "--json").out)
    equal((one["held"], "dead" in one["what"]), (False, True))
    h.repair()
    equal(h.settled(), RECORD)


@case
def no_store_is_told_and_a_store_that_goes(d):
    h = furnished(d)
    with h.running("watch") as p:
        read_until(p.stdout.fileno(), rb" 9 drv: - -> there\n")
        d.kill()
        equal((p.wait(lib.TIMEOUT), len(p.stderr.readlines())), (3, 1))
    for words in (["list"], ["show", "7"], ["check", "--all"], ["repair", "--all"], ["locks"],
                  ["attach", "7", "vif", "bridge=b"], ["watch"],
                  ["record", "destroy", "7", UUID]):
        files = h.files()
        r = h.drover("config", *words, status=3)
        equal((r.out, len(r.err.splitlines())), ("", 1))
        assert h.socket in r.err, r.err
        equal(h.files(), files)
    d.restart()


# ---- output ----

@case
def output_that_cannot_be_written_is_a_failure(d):
    h = furnished(d)
    for words in (["list"], ["show", "7"], ["check"], ["show", "7", "--json"]):
        with open("/dev/full", "wb") as full:
            p = subprocess.run(h.drover_argv("config", *words), env=h.environment(), stdout=full,
                               stderr=subprocess.PIPE, timeout=lib.TIMEOUT, check=False)
        equal((p.returncode, p.stderr), (1, b"drover: output: No space left on device\n"))


@case
def a_reader_that_is_gone_cuts_no_change_short(d):
    h = furnished(d)

    def deaf(*words):
        read, write = os.pipe()
        os.close(read)
        p = subprocess.run(h.drover_argv("config", *words), env=h.environment(), stdout=write,
                           stderr=subprocess.DEVNULL, timeout=lib.TIMEOUT, check=False)
        os.close(write)
        assert p.returncode, words
    with xl.Backend(h, 9):
        deaf("list")
        deaf("attach", "7", "vbd", config_lib.B)
        equal(h.items()["vbd xvdb"], "attached")
        deaf("detach", "7", "vbd", "xvdb")
        equal(h.settled(), RECORD)
    h.set_record(7, config_lib.without(RECORD, disks=RECORD["disks"] + [
        xl.disk("xvdc", "/dev/vg0/gone"), xl.disk("xvde", "/dev/vg0/gone")]))
    deaf("repair", "7")
    equal(h.settled(), RECORD)


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
