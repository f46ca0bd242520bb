#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every command of `drover`, against a running daemon: what it prints, what it refuses, its exit
status. Those that need no more than the protocol are tried on the C xenstored, too.

Usage: cli_test.py [KIND...]
"""
import base64
import json
import os
import re
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "peers")]
import disturb  # noqa: E402
import openmetrics  # noqa: E402
import peers  # noqa: E402
from drover_cli import (  # noqa: E402
    DROVER, TIMEOUT, Churn, Table, Terminal, drover, environment, equal, read_until, refused)
COMPLETION = peers.ROOT + "/packaging/bash-completion/drover"


# What needs no more than the protocol.

def ls_draws_a_tree(d):
    with d.connect() as x:
        x.write("/t/b10/leaf", "v")
        x.write("/t/b9", b"say \"hi\"\n\0\xff")
        x.write("/t/empty", "")
        x.write("/t/full", "text")
        x.write("/t/full/below", "1")
    equal(drover(d, "ls", "/t").lines, [
        "/t",
        "├─ b9 = \"say \\\"hi\\\"\\n\\x00\\xff\"",
        "├─ b10",
        "│  └─ leaf = \"v\"",
        "├─ empty = \"\"",
        "└─ full = \"text\"",
        "   └─ below = \"1\""])
    equal(drover(d, "ls", "--depth", "1", "/t", locale="C").lines, [
        "/t", "  b9 = \"say \\\"hi\\\"\\n\\x00\\xff\"", "  b10", "  empty", "  full = \"text\""])
    equal(drover(d, "ls", "--full", "/t/full").lines,
          ["/t/full = \"text\"", "/t/full/below = \"1\""])
    assert "└─ tool" in drover(d, "ls").text or "├─ tool" in drover(d, "ls").text


def ls_shows_permissions(d):
    domid = d.create_guest()
    with d.connect() as x:
        x.write("/p/a", "1")
        x.setperms("/p/a", "b%d" % domid, "r0", "n7", "w3")
    equal(drover(d, "ls", "-p", "/p").lines,
          ["n0" + " " * 9 + "  /p", "b%d,r0,n7,w3  └─ a = \"1\"" % domid])
    equal(drover(d, "ls", "-pf", "/p/a").lines, ["b%d,r0,n7,w3  /p/a = \"1\"" % domid])
    d.sim.destroy(domid)


def ls_json_holds_every_octet(d):
    every = bytes(range(256))
    with d.connect() as x:
        x.write("/j/text", "a\tb \"q\" \\ \x01 ü".encode())
        x.write("/j/octets", every)
        x.write("/j/nul", b"a\0b")
        x.setperms("/j/text", "n0", "r0")
    j = json.loads(drover(d, "ls", "--json", "/j").text)
    equal(j["path"], "/j")
    equal((j["value"], j["perms"]), ("", ["n0"]))
    c = j["children"]
    equal(list(c), ["nul", "octets", "text"])
    equal(c["text"], {"value": "a\tb \"q\" \\ \x01 ü", "perms": ["n0", "r0"], "children": {}})
    equal(base64.b64decode(c["octets"]["value_base64"], validate=True), every)
    assert "value" not in c["octets"]
    equal(c["nul"]["value"], "a\0b")
    j = json.loads(drover(d, "ls", "--json", "--depth", "0", "/j").text)
    assert "children" not in j, j


def ls_reads_thousands_of_children_and_deep_trees(d):
    with d.connect() as x:
        for i in range(2000):
            x.send(peers.XS_MKDIR, b"/wide/some-longer-name-%d\0" % i)
            if i % 16 == 15:
                for _ in range(16):
                    equal(x.recv_reply().type, peers.XS_MKDIR)
        x.mkdir("/deep" + "/d" * 1000)
    equal(len(drover(d, "ls", "/wide").lines), 2001)
    equal(len(json.loads(drover(d, "ls", "--json", "/wide").text)["children"]), 2000)
    equal(len(drover(d, "ls", "--full", "/deep").lines), 1001)
    with d.connect() as x:
        x.rm("/wide")
        x.rm("/deep")


def ls_skips_what_vanishes(d):
    def turn(x, i):
        x.write("/churn/%d/a/b" % (i % 20), "1")
        x.rm("/churn/%d" % ((i + 10) % 20))
    with d.connect() as x:
        x.write("/churn/stays", "")
    with Churn(d, turn):
        for _ in range(30):
            j = json.loads(drover(d, "ls", "--json", "/churn").text)
            assert "stays" in j["children"]


def ls_consistent_shows_one_moment(d):
    def turn(x, i):
        tx = x.begin()
        x.write("/pair/a", i, tx)
        x.write("/pair/b", i, tx)
        x.commit(tx)
    with d.connect() as x:
        turn(x, 0)
    with Churn(d, turn):
        for _ in range(30):
            c = json.loads(drover(d, "ls", "--consistent", "--json", "/pair").text)["children"]
            equal(c["a"]["value"], c["b"]["value"])


def read_prints_values(d):
    with d.connect() as x:
        x.write("/r/a", b"one\n\xfe")
        x.write("/r/b", "two words")
    equal(drover(d, "read", "/r/a", "/r/b").out, b"one\\n\\xfe\ntwo words\n")
    equal(drover(d, "read", "-p", "/r/b").out, b"/r/b = two words\n")
    equal(drover(d, "read", "--raw", "/r/a").out, b"one\n\xfe")
    r = refused(d, "read", "/r/nothing", "/r/b")
    equal(r.out, b"two words\n")
    equal(r.err, "drover: read /r/nothing: no such node (ENOENT)\n")


def write_sets_all_or_none(d):
    drover(d, "write", "/w/a", "-1", "/w/b", "")
    drover(d, "write", "--stdin", "/w/c", stdin=b"\0\xff\n")
    with d.connect() as x:
        equal([x.read("/w/" + n) for n in "abc"], [b"-1", b"", b"\0\xff\n"])
    r = refused(d, "write", "/w/d", "1", "/w//e", "2", "/w/f", "3")
    equal(r.err, "drover: write /w//e: not a valid path or argument (EINVAL)\n")
    with d.connect() as x:
        equal(sorted(x.ls("/w")), ["a", "b", "c"])
    r = refused(d, "write", "--stdin", "/w/big", stdin=b"x" * 5000)
    equal(r.err, "drover: write /w/big: too long (E2BIG)\n")


def rm_removes_subtrees(d):
    with d.connect() as x:
        x.write("/d/a/b", "")
        x.write("/d/c", "")
        drover(d, "rm", "/d/a", "/d/c")
        equal(x.ls("/d"), [])
    r = refused(d, "rm", "/d/no/such")
    equal(r.err, "drover: rm /d/no/such: no such node (ENOENT)\n")


def chmod_sets_permissions(d):
    domid = d.create_guest()
    with d.connect() as x:
        x.write("/c/a/b", "")
        drover(d, "chmod", "/c", "n0", "r%d" % domid)
        equal((x.perms("/c"), x.perms("/c/a")), (["n0", "r%d" % domid], ["n0"]))
        drover(d, "chmod", "-r", "/c", "b%d" % domid, "w0")
        for path in ("/c", "/c/a", "/c/a/b"):
            equal(x.perms(path), ["b%d" % domid, "w0"])
    r = refused(d, "chmod", "/c/none", "n0")
    equal(r.err, "drover: chmod /c/none: no such node (ENOENT)\n")
    for args in (["/c", "n999"], ["-r", "/c", "n999"]):
        equal(refused(d, "chmod", *args).err, "drover: chmod /c: no such domain (ESRCH)\n")
    assert "'x1' is not" in refused(d, "chmod", "/c", "x1", status=2).err
    d.sim.destroy(domid)


def watching(d, *args):
    return subprocess.Popen([DROVER, "watch", *args], env=environment(d), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


STAMP = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} "


def watch_prints_events(d):
    with watching(d, "--count", "4", "/v/a", "/v/b") as p, d.connect() as x:
        got = read_until(p.stdout.fileno(), rb"(/v/a /v/a\n.*/v/b /v/b|/v/b /v/b\n.*/v/a /v/a)\n")
        x.write("/v/a/x", "1")
        got = read_until(p.stdout.fileno(), rb"/v/a/x /v/a\n", got)
        x.write("/v/b", "1")
        got = read_until(p.stdout.fileno(), rb"\S+ /v/b /v/b\n$", got)
        equal(p.wait(TIMEOUT), 0)
        for line in got.splitlines():
            assert re.match(STAMP, line), line
        equal(len(got.splitlines()), 4)
    assert "(EINVAL)" in refused(d, "watch", "/v//a").err


def stat_tells_about_a_node(d):
    domid = d.create_guest()
    with d.connect() as x:
        x.write("/s/n/c1", "")
        x.write("/s/n", b"12\0")
        x.setperms("/s/n", "r%d" % domid, "b5", "n0")
    lines = drover(d, "stat", "/s/n").lines
    equal(lines[:-1], [
        "path         /s/n",
        "owner        domain %d" % domid,
        "permissions  r%d,b5,n0" % domid,
        "             domain %d: reads and writes, owns it" % domid,
        "             domain 5: reads and writes",
        "             domain 0: neither reads nor writes",
        "             any other: reads",
        "value        3 octets",
        "children     1"])
    generation = int(re.fullmatch(r"generation   (\d+)", lines[-1]).group(1))
    with d.connect() as x:
        x.mkdir("/s/n/c2")
    lines = drover(d, "stat", "/s/n").lines
    equal(lines[-2], "children     2")
    assert int(lines[-1].split()[1]) > generation
    equal(refused(d, "stat", "/s/no").err, "drover: stat /s/no: no such node (ENOENT)\n")
    d.sim.destroy(domid)


def control_passes_commands_on(d):
    r = drover(d, "control", "help")
    assert "memreport" in r.text and r.text.endswith("\n"), r.text
    assert "nodes" in drover(d, "control", "quota").text
    drover(d, "control", "quota", "set", "nodes", "12345")
    assert re.search(r"nodes +: +12345\b", drover(d, "control", "quota").text)
    drover(d, "control", "quota", "set", "nodes", "2000000")
    assert "not a command of the daemon" in refused(d, "control", "no-such-command").err
    assert "(E2BIG)" in refused(d, "control", "print", "x" * 5000).err


def wrong_usage_is_status_2(d):
    for args in ([], ["frob"], ["help", "frob"], ["help", "ls", "rm"], ["-z"], ["ls", "-z"],
                 ["ls", "/a", "/b"], ["ls", "--depth", "x"], ["ls", "--depth", "-1"], ["read"],
                 ["write"], ["write", "/a"], ["write", "/a", "1", "/b"], ["write", "--stdin"],
                 ["rm"], ["chmod", "/a"], ["chmod", "/a", "n"], ["watch"],
                 ["watch", "--count", "many", "/a"], ["top", "--sort", "colour", "--once"],
                 ["top", "--interval", "0"], ["top"], ["top", "x"], ["metrics", "x"],
                 ["control"], ["version", "x"]):
        r = refused(d, *args, status=2)
        assert r.err and not r.out, args


def help_tells_about_every_command(d):
    r = drover(d, "help")
    equal(drover(d, "--help").out, r.out)
    names = re.findall(r"^  ([a-z]+) ", r.text, re.M)
    for name in ("ls read write rm chmod watch stat top metrics sim control update domain image "
                 "help version").split():
        assert name in names, name
        text = drover(d, "help", name).text
        assert text.startswith("usage: drover " + name), text
        if name not in ("sim", "help", "version"):
            equal(drover(d, name, "--help").text, text)
    assert re.fullmatch(r"drover [0-9.]+\n", drover(d, "version").text)
    equal(drover(d, "--version").out, drover(d, "version").out)


def the_socket_is_found(d):
    bare = {k: v for k, v in environment(d).items() if k != "XENSTORED_PATH"}
    nowhere = dict(bare, XENSTORED_PATH="/nonexistent/socket")
    drover(d, "-s", d.socket, "ls", env=nowhere)
    drover(d, "ls", "-s", d.socket, env=nowhere)
    drover(d, "ls", "--socket", d.socket, env=nowhere)
    drover(d, "ls", env=dict(bare, XENSTORED_RUNDIR=d.run))
    for args in (["ls"], ["top", "--once"], ["metrics"], ["watch", "/a"], ["stat"]):
        equal(refused(None, *args).err,
              "drover: %s: no daemon at /nonexistent/socket: there is no such socket (ENOENT)\n"
              % args[0])


def bash_completes_commands_and_paths(d):
    def complete(*words):
        script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _drover; ' \
                 'printf "%s\\n" "${COMPREPLY[@]}"'
        env = environment(d)
        env["PATH"] = os.path.dirname(DROVER) + ":" + env["PATH"]
        p = subprocess.run(["bash", "-c", script, "bash", COMPLETION, "drover", *words], env=env,
                           capture_output=True, timeout=TIMEOUT, check=False)
        equal((p.returncode, p.stderr), (0, b""))
        return sorted(p.stdout.decode().split())
    names = re.findall(r"^  ([a-z]+) ", drover(d, "help").text, re.M)
    equal(complete(""), sorted(names + ["--help", "--socket"]))
    for name in names:
        equal(complete(name[:-1]).count(name), 1)
        told = set(re.findall(r"(--[a-z-]+)", drover(d, "help", name).text))
        assert told <= set(complete(name, "-")) or name == "sim", (name, told)
    with d.connect() as x:
        x.write("/comp/one/below", "a b")
        x.write("/comp/other", "c d")
    equal(complete("read", "/comp/o"), ["/comp/one", "/comp/other"])
    equal(complete("read", "/comp/one/"), ["/comp/one/below"])
    equal(complete("top", "--sort", "e"), ["eagains"])
    equal(complete("-s", "x", "metr"), ["metrics"])


def output_that_cannot_be_written_is_a_failure(d):
    with open("/dev/full", "wb") as full:
        p = subprocess.run([DROVER, "ls", "/"], env=environment(d), stdout=full,
                           stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
    equal((p.returncode, p.stderr), (1, b"drover: output: No space left on device\n"))


def watch_ends_with_the_daemon(d):
    with peers.Daemon(d.kind) as other, watching(other, "/x") as p:
        read_until(p.stdout.fileno(), rb"/x /x\n")
        other.kill()
        equal(p.wait(TIMEOUT), 1)
        equal(p.stderr.read(), b"drover: watch: the daemon has gone (ENOTCONN)\n")


# What needs our daemon's counters.

def watch_keeps_to_its_depth(d):
    with watching(d, "--depth", "1", "--count", "2", "/y") as p, d.connect() as x:
        read_until(p.stdout.fileno(), rb"/y /y\n")
        x.write("/y/a/too-deep", "1")
        x.write("/y/b", "1")
        got = read_until(p.stdout.fileno(), rb"/y/b /y\n")
        equal(p.wait(TIMEOUT), 0)
        assert b"too-deep" not in got


def refuse_some(d):
    """A guest that was refused: its domid."""
    drover(d, "control", "quota", "set", "watches", "3")
    domid = d.create_guest()
    with d.guest(domid) as g:
        for i in range(5):
            try:
                g.watch("w%d" % i, "t")
            except peers.XsError as e:
                equal(e.name, "ENOSPC")
    return domid


def top_once_shows_a_table(d):
    with peers.Daemon(d.kind, quotas="default") as own, own.connect() as x:
        domid = refuse_some(own)
        quiet = own.create_guest()
        tx = x.begin()
        text = drover(own, "top", "--once").text
        x.abort(tx)
        t = Table(text)
        row = t.rows[domid]
        equal(t.order, [0, domid, quiet])
        equal((row["WATCHES"], row["REFUSALS"], row["NODES"]), ("3", "2", "1"))
        assert int(row["REQUESTS"]) >= 5 and int(row["BYTES"]) > 0, row
        equal(t.rows[0]["TRANS"], "1")
        equal(t.below[0], "latest refusals")
        assert re.search(r"domain %d  watches: 2 \(2 in all, limit 3\)" % domid, text), text
        t = Table(drover(own, "top", "--once", "--sort", "refusals").text)
        equal(t.order[0], domid)


def top_lives_on_a_terminal(d):
    with peers.Daemon(d.kind, quotas="default") as own:
        domid = own.create_guest()
        t = Terminal(own, "--interval", "0.1")
        t.until(rb"requests/s, by domain.*DOMAIN.*nothing was refused.*\033\[J")
        os.write(t.fd, b"s")
        t.until(rb"by nodes.*\033\[J")
        with own.guest(domid) as g:
            g.write("x", "")
            try:
                g.setperms("x", "n%d" % domid, *["r%d" % i for i in range(20)])
            except peers.XsError as e:
                equal(e.name, "ENOSPC")
        t.until(rb"\d\d:\d\d:\d\d  domain %d  node-permissions: 1 \(1 in all.*\033\[J" % domid)
        t.resize(12, 40)
        t.process.send_signal(signal.SIGWINCH)
        screen = t.until(rb"  TR\033\[K[^H]*\033\[J").split(b"\033[H")[-1]
        lines = re.sub(rb"\033\[[0-9;?]*[a-zA-Z]", b"", screen).split(b"\r\n")
        assert len(lines) <= 12 and max(map(len, lines)) == 40, lines
        os.write(t.fd, b"q")
        t.until(rb"\033\[\?1049l")
        equal(t.end(), 0)


def top_leaves_the_terminal_as_it_was(d):
    for sig in (signal.SIGTERM, signal.SIGINT):
        t = Terminal(d)
        t.until(rb"DOMAIN.*\033\[J")
        t.process.send_signal(sig)
        t.until(rb"\033\[\?1049l")
        equal(t.end(), 0)


def counters_of_many_domains_are_all_there(d):
    with peers.Daemon(d.kind) as own, own.connect() as x:
        ids = [own.create_guest(client=x) for _ in range(100)]
        t = Table(drover(own, "top", "--once").text)
        equal(t.order, [0] + ids)
        m = openmetrics.parse(drover(own, "metrics").text)
        for i in ids:
            equal(m["drover_domain_nodes"].value(domain=i), 1)
        equal(m["drover_domains"].value(), 101)


def metrics_are_openmetrics(d):
    with peers.Daemon(d.kind, quotas="default") as own, own.connect() as x:
        domid = refuse_some(own)
        m = openmetrics.parse(drover(own, "metrics").text)
        x.read("/")
        later = openmetrics.parse(drover(own, "metrics").text)
        for name, f in m.items():
            assert name.startswith("drover_"), name
            equal(set(f.samples), set(later[name].samples))
            if f.type == "counter":
                assert all(v <= later[name].samples[k] for k, v in f.samples.items()), name
        equal(m["drover_domain_watches"].value(domain=domid), 3)
        equal(m["drover_domain_refusals"].value(domain=domid, kind="watches"), 2)
        equal(m["drover_domain_refusals"].value(domain=domid, kind="nodes"), 0)
        equal(m["drover_domain_limit"].value(domain=domid, kind="memory"), 2621440)
        for name in ("nodes", "memory_bytes", "watches", "transactions", "queued_events",
                     "requests", "conflicts"):
            assert len(m["drover_domain_" + name].samples) == 2, name
        for name in ("nodes", "watches", "connections", "rounds", "uptime_seconds"):
            equal(len(m["drover_" + name].samples), 1)
        assert m["drover_requests"].value() < later["drover_requests"].value()


def metrics_replace_a_file_as_a_whole(d):
    path = d.dir + "/metrics/drover.prom"
    os.mkdir(os.path.dirname(path))
    with open(path, "w") as f:
        f.write("old\n")
    with open(path) as old:
        drover(d, "metrics", "--output", path)
        equal(old.read(), "old\n")  # another file took its place
    with open(path) as f:
        openmetrics.parse(f.read())
    equal((os.listdir(os.path.dirname(path)), os.stat(path).st_mode & 0o777),
          (["drover.prom"], 0o644))
    missing = d.dir + "/no-such-folder/drover.prom"
    equal(refused(d, "metrics", "--output", missing).err,
          "drover: metrics: %s: No such file or directory\n" % missing)


def stat_tells_about_the_daemon(d):
    words = dict(line.split(None, 1) for line in drover(d, "stat").lines)
    equal(words["socket"], d.socket)
    assert int(words["connections"]) >= 1 and int(words["nodes"]) >= 3, words


def update_replaces_the_daemon(d):
    program = os.path.realpath(peers.build_dir() + "/drover-xenstored")
    with peers.Daemon(d.kind) as own, own.connect() as x:
        x.write("/kept", "1")
        x.watch("/kept", "token")
        x.next_event(TIMEOUT)
        for args in ([], [program], [os.path.relpath(program)], ["-t", "30", program]):
            pid = disturb.worker(own)
            equal(drover(own, "update", *args).lines, [program + " serves"])
            assert disturb.worker(own) != pid
        for args, said in ((["/bin/false"], "the daemon goes on"), (["/none/such"], "No such file"),
                           (["--options", "--hv=none"], "the daemon goes on")):
            pid = disturb.worker(own)
            assert said in refused(own, "update", *args).err, args
            equal(disturb.worker(own), pid)
            assert "no file was named" in x.control("live-update", "-s"), args
        for args in (["-t", "soon"], ["a", "b"], ["--none"]):
            refused(own, "update", *args, status=2)
        x.write("/kept", "2")
        equal(x.next_event(TIMEOUT), ("/kept", "token"))


def a_guest_goes_on_where_its_last_speaker_stopped(d):
    with peers.Daemon(d.kind) as own:
        sim = ["sim", "--dir", own.dir]
        drover(own, *sim, "create", "7")
        drover(own, *sim, "run", "7", "--", "watch data/go ; begin ; write data/x 1")
        drover(own, "write", "/local/domain/7/data/go", "1")
        equal(drover(own, *sim, "run", "--as-left", "7", "--",
                     "events 1 ; transaction 1 ; read data/x").lines,
              ["event: data/go (token data/go)", "transaction 1: what follows is in it",
               "read data/x: \"1\""])
        assert "no such transaction" in refused(
            own, *sim, "run", "7", "--", "transaction 1 ; commit").text
        with peers.Daemon(d.kind) as there:
            refused(there, "sim", "--dir", there.dir, "create", "8", "--from", own.dir)
            domains = drover(there, "sim", "--dir", there.dir, "list").lines[1:]
            equal([line.split()[0] for line in domains], ["0"])
            refused(there, "sim", "--dir", there.dir, "create", "--from", own.dir, status=2)


# What another daemon does not have.

def counters_of_another_daemon_are_not_made_up(d):
    for args in (["top", "--once"], ["metrics"], ["stat"]):
        r = refused(d, *args)
        assert "does not tell its counters" in r.err and not r.out, r.err


def the_reader_of_metrics_is_strict(_):
    gauge, counter = "# HELP a x\n# TYPE a gauge\n", "# HELP a x\n# TYPE a counter\n"
    for text in (gauge + "a 1\n", counter + 'a_total{x="1",y="b\\"c"} 2.5\na_total{x="2",y=""} 0\n',
                 gauge):
        openmetrics.parse(text + "# EOF\n")
    for text in ("a 1\n", counter + "a 1\n", counter + "a_total -1\n", gauge + "a 1\na 1\n",
                 gauge + 'a{x="1"} 1\na{x="1"} 2\n', gauge + "a  1\n", gauge + "a one\n",
                 gauge + "a{x=1} 1\n", gauge + 'a{x="1",} 1\n', gauge + "a{} 1\n",
                 gauge + '\na 1\n', gauge + 'a{x="\\q"} 1\n', "# TYPE a gauge\na 1\n",
                 "# HELP a x\n# TYPE a info\n", gauge + "# HELP b x\n# TYPE b gauge\n" + gauge,
                 gauge + 'a{x="1"} 1\na 1\n'):
        try:
            openmetrics.parse(text + "# EOF\n")
        except ValueError:
            continue
        raise AssertionError("taken: " + text)


ANY = [ls_draws_a_tree, ls_shows_permissions, ls_json_holds_every_octet,
       ls_reads_thousands_of_children_and_deep_trees, ls_skips_what_vanishes, read_prints_values,
       write_sets_all_or_none, rm_removes_subtrees, chmod_sets_permissions, watch_prints_events,
       watch_ends_with_the_daemon, stat_tells_about_a_node, control_passes_commands_on,
       wrong_usage_is_status_2, help_tells_about_every_command, the_socket_is_found,
       output_that_cannot_be_written_is_a_failure, bash_completes_commands_and_paths]
OURS = [ls_consistent_shows_one_moment, watch_keeps_to_its_depth, top_once_shows_a_table,
        top_lives_on_a_terminal, top_leaves_the_terminal_as_it_was,
        counters_of_many_domains_are_all_there, metrics_are_openmetrics,
        metrics_replace_a_file_as_a_whole, stat_tells_about_the_daemon,
        update_replaces_the_daemon, a_guest_goes_on_where_its_last_speaker_stopped,
        the_reader_of_metrics_is_strict]
OTHERS = [counters_of_another_daemon_are_not_made_up]


def main():
    kinds = sys.argv[1:] or ["drover", "c"]
    plan = [(k, t) for k in kinds for t in ANY + (OURS if k == "drover" else OTHERS)]
    daemons, failed = {}, 0
    print("1..%d" % len(plan))
    for n, (kind, test) in enumerate(plan, 1):
        name = "%d - %s: %s" % (n, kind, test.__name__)
        if kind not in daemons:
            daemons[kind] = peers.Daemon(kind) if peers.have(kind) else None
        d = daemons[kind]
        if not d:
            print("ok %s # SKIP not installed" % name)
            continue
        try:
            test(d)
            print("ok " + name, flush=True)
        except Exception as e:  # pylint: disable=broad-except
            failed += 1
            print("not ok %s\n# %r\n# %s" % (name, e, d.output()[-2000:].replace("\n", "\n# ")),
                  flush=True)
    for d in filter(None, daemons.values()):
        d.stop()
    return failed != 0


sys.exit(main())
