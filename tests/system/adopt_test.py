#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`drover adopt` and `drover unadopt` on the simulated host's libraries, beside the distribution's
C xenstored and oxenstored: what they refuse and leave as it was, what they change, and the death
of whoever has a part in it.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disturb  # noqa: E402
import lib  # noqa: E402
from lib import equal, peers, refusal, until  # noqa: E402

OCAML = peers.XEN_BIN + "/oxenstored"
STRACE = shutil.which("strace") or "/usr/bin/strace"
# Without the sandbox: the simulated host's libraries open files whenever they are asked.
OURS = ("--program", lib.XENSTORED, "--options", "--no-sandbox")
SETTINGS = '# settings\n#XENSTORED=/usr/sbin/none\nXENSTORED=/usr/sbin/other\nXENSTORED_ARGS="-V"\n'


class Done:
    def __init__(self, p):
        self.status, self.out, self.err = p.returncode, p.stdout, p.stderr
        self.text = p.stdout + p.stderr


def boot_file(d, text=SETTINGS):
    path = d.dir + "/xencommons"
    if not os.path.exists(path):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
    return path


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def argv(d, command, *words):
    return [lib.DROVER, command, "--boot-file", boot_file(d), *words]


def drover(d, command, *words, status=0):
    p = subprocess.run(argv(d, command, *words), env=lib.environment(d), capture_output=True,
                       text=True, timeout=lib.TIMEOUT, check=False)
    assert status in (None, p.returncode), "%s: %d\n%s%s%s" % (
        words, p.returncode, p.stdout, p.stderr, d.output()[-3000:])
    return Done(p)


def program(d):
    return os.readlink("/proc/%d/exe" % d.pid)


def is_ours(d):
    return program(d) == os.path.realpath(lib.XENSTORED)


def snapshot(d):
    """All that a dry run must leave: files with their text, the process, the tree."""
    files = {name: read(d.run + "/" + name) for name in sorted(os.listdir(d.run))
             if name not in ("socket", "journal")}
    with d.connect() as x:
        tree = x.ls("/"), x.ls("/tool")
    return program(d), read(boot_file(d)), files, tree


class Household:
    """A guest, clients, their watches and permissions: what goes over."""

    def __init__(self, d):
        self.d, self.domid = d, d.create_guest()
        self.x, self.y, self.g = d.connect(), d.connect(), d.guest(self.domid)
        self.x.write("/tests/a", "\x01\xff,\n")
        self.x.setperms("/tests/a", "n0", "r%d" % self.domid)
        self.x.watch("/tests", "tok,en")
        self.g.watch("device", "rel")
        for c in (self.x, self.g):
            c.next_event(lib.TIMEOUT)
        self.n = 0

    def works(self):
        x, y, g, home = self.x, self.y, self.g, "/local/domain/%d" % self.domid
        self.n += 1
        equal(x.perms("/tests/a"), ["n0", "r%d" % self.domid])
        equal((g.read("/tests/a"), refusal(g.write, "/tests/a", "no")),
              ("\x01\xff,\n".encode(), "EACCES"))
        y.write("/tests/n", "%d" % self.n)
        equal(x.next_event(lib.TIMEOUT), ("/tests/n", "tok,en"))
        y.write(home + "/device/%d" % self.n, "1")
        equal(g.next_event(lib.TIMEOUT)[1], "rel")
        equal(refusal(x.watch, "/tests", "tok,en"), "EEXIST")
        tx = g.begin()
        g.write("n", "%d" % self.n, tx)
        g.commit(tx)
        with self.d.connect() as z:
            equal(z.read(home + "/n"), b"%d" % self.n)
            other = self.d.create_guest(client=z)
            with self.d.guest(other) as o:
                o.write("mine", "1")
            self.d.sim.destroy(other)
            until(lambda: not z.is_introduced(other), "the end of domain %d" % other)

    def end(self):
        for c in (self.x, self.y, self.g):
            c.close()
        self.d.sim.destroy(self.domid)


def of(kind):
    return {"kind": kind, "quotas": "lifted"}


def a_dry_run_changes_nothing(d):
    before = snapshot(d)
    said = drover(d, "adopt", "--dry-run", *OURS)
    equal(snapshot(d), before)
    for word in ("result         possible", "options", "hypervisor", "memory", "boot", d.run):
        assert word in said.text, said.text
    assert "adopted" not in said.text
    o = json.loads(drover(d, "adopt", "-n", "--json", *OURS).out)
    equal((o["result"], o["daemon"]["pid"], o["daemon"]["program"]),
          ("possible", d.pid, program(d)))
    equal([f for f in o["findings"] if f["verdict"] == "refused"], [])
    equal(snapshot(d), before)


def it_goes_over_and_back(d):
    household, pid, former = Household(d), d.pid, program(d)
    household.works()
    mode = os.stat(boot_file(d)).st_mode
    for _ in range(2):
        said = drover(d, "adopt", *OURS)
        assert re.search(r"tree +\d+ nodes and \d domains are as they were", said.out), said.out
        assert is_ours(d) and d.process.poll() is None and d.pid == pid
        household.works()
        text = read(boot_file(d))
        assert "\nXENSTORED=%s\n" % lib.XENSTORED in text, text
        assert "# before drover adopt: XENSTORED=/usr/sbin/other\n" in text, text
        equal(os.stat(boot_file(d)).st_mode, mode)
        said = drover(d, "adopt")               # it is ours: the boot alone, which is so already
        equal((read(boot_file(d)), "result         adopted" in said.out), (text, True))
        disturb.kill_worker(d)                  # what was adopted is in the journal
        household.works()
        said = drover(d, "unadopt", "--dry-run")
        assert is_ours(d) and read(boot_file(d)) == text
        drover(d, "unadopt")
        equal((program(d), read(boot_file(d))), (former, SETTINGS))
        household.works()
        said = drover(d, "unadopt")             # it is not ours
        equal(program(d), former)
    household.end()


def oxenstored_is_adopted_and_gets_nothing_back(d):
    household = Household(d)
    household.works()
    drover(d, "adopt", *OURS)
    assert is_ours(d), program(d)
    household.works()
    equal([f for f in ("db", "state_dump") if os.path.exists(d.run + "/" + f)], [])
    equal(read(d.run + "/pid"), "%d\n" % d.pid)
    disturb.kill_worker(d)
    household.works()
    text = read(boot_file(d))
    said = drover(d, "unadopt", status=1)
    assert "oxenstored" in said.err and "half a request" in said.err, said.err
    equal((is_ours(d), read(boot_file(d))), (True, text))
    drover(d, "unadopt", "--to", disturb.C_XENSTORED)   # it understands what is left of the words
    equal(program(d), os.path.realpath(disturb.C_XENSTORED))
    household.works()
    household.end()


def limits_above_ours_come_along(d):
    """What oxenstored's settings allow, guests may have used up."""
    said = drover(d, "adopt", *OURS)
    assert " -E 2000000" in said.out and " -W 1000000" in said.out, said.out
    with d.connect() as x:
        assert re.search(r"^nodes +.*2000000", x.control("quota"), re.M), x.control("quota")


def half_a_request_goes_over(d):
    with d.connect() as x:
        x.write("/tests/a", "1")
        x.send_raw(b"\x02\0\0\0\x63\0\0\0\0\0\0\0\x09\0\0\0/test")
        drover(d, "adopt", *OURS)
        x.send_raw(b"s/a\0")
        equal(x.recv_reply()[1:], (0x63, 0, b"1"))


def an_open_transaction_is_waited_for(d):
    """And refused in its name's daemon's words when it does not end."""
    before = snapshot(d)
    with d.connect() as x:
        tx = x.begin()
        x.write("/tests/a", "1", tx)
        said = drover(d, "adopt", "-t", "1", *OURS, status=1)
        assert "update" in said.err and "transaction" in said.err, said.err
        equal(snapshot(d), before)
        x.commit(tx)
        equal(x.read("/tests/a"), b"1")
        tx = x.begin()
        with subprocess.Popen(argv(d, "adopt", *OURS), env=lib.environment(d),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as p:
            while "boot" not in lib.next_line(p):
                pass
            equal(x.read("/tests/a", tx), b"1")     # served meanwhile
            x.commit(tx)
            rest = p.stdout.read()
            equal(p.wait(lib.TIMEOUT), 0)
        assert "adopted" in rest and is_ours(d), rest
        tx = x.begin()
        said = drover(d, "unadopt", "-t", "1", status=1 if not was_ocaml(d) else None)
        assert is_ours(d), said.text
        if not was_ocaml(d):
            assert "transactions   note: 1 are open" in said.out, said.out
            equal(refusal(x.commit, tx), "EAGAIN")


def a_transaction_that_is_put_off_begins(d):
    """C answers no TRANSACTION_START that comes while it waits: whoever takes over does."""
    ids = [d.create_guest() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        x = stack.enter_context(d.connect())
        guests = [stack.enter_context(d.guest(one)) for one in ids]
        for g in guests:
            g.write("a", "1")
        tx = x.begin()
        with subprocess.Popen(argv(d, "adopt", *OURS), env=lib.environment(d),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as p:
            while "boot" not in lib.next_line(p):
                pass
            with d.connect() as other:          # until C has begun to put off
                while True:
                    other.send(peers.XS_TRANSACTION_START, b"\0")
                    try:
                        other.recv_reply(timeout=0.5)
                    except peers.Timeout:
                        break
                    other.close()
                    other = d.connect()
                other.close()
            for g in guests:
                g.send(peers.XS_TRANSACTION_START, b"\0")
            guests[1].send(peers.XS_READ, b"a\0")
            guests[2].send_raw(b"\x02\0\0\0\x63\0\0\0\0\0\0\0\x02\0\0\0a")
            for g in guests:                    # C has taken it
                until(lambda g=g: g.field(0) == g.field(1), "the ring is read")
            equal(x.read("/tool", tx), b"")
            x.commit(tx)
            p.stdout.read()
            equal(p.wait(lib.TIMEOUT), 0)
        begun = []
        for g in guests:
            replies = {}
            for _ in range(2 if g is guests[1] else 1):
                m = g.recv_reply()
                replies[m[0]] = m[3]
            begun.append(int(replies[peers.XS_TRANSACTION_START].rstrip(b"\0")))
        guests[2].send_raw(b"\0")
        equal(guests[2].recv_reply()[1:], (0x63, 0, b"1"))
        for g, one in zip(guests, begun):
            g.write("a", "2", one)
            g.commit(one)
            equal(g.read("a"), b"2")
    for one in ids:
        d.sim.destroy(one)


def was_ocaml(d):
    return d.kind == "ocaml"


def oxenstored_is_not_forced(d):
    before = snapshot(d)
    said = drover(d, "adopt", "-t", "1", "--force", *OURS, status=1)
    assert "force: oxenstored" in said.err, said.err
    equal(snapshot(d), before)


def by_force_it_is_lost(d):
    with d.connect() as x:
        tx = x.begin()
        drover(d, "adopt", "-t", "1", "--force", *OURS)
        assert is_ours(d)
        equal(refusal(x.commit, tx), "ENOENT")


@contextlib.contextmanager
def script(d, text, name="stand-in"):
    """A program in the place of ours."""
    path = "%s/%s" % (d.dir, name)
    with open(path, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\n%s\nexec '%s' \"$@\"\n" % (text, lib.XENSTORED))
    os.chmod(path, 0o755)
    yield path
    os.unlink(path)


def what_is_refused_names_itself(d):
    """Each leaves the host as it was."""
    before = snapshot(d)
    with open(d.dir + "/odd", "w", encoding="ascii") as f:
        f.write("XENSTORED_ARGS='--access-log /x'\n")
    plain = ["--options", "--no-sandbox"]
    table = [
        (["--program", "/nonexistent", *plain], "program: /nonexistent: No such file"),
        (["--program", "/etc/passwd", *plain], "program: /etc/passwd: Permission denied"),
        (["--program", "/tmp", *plain], "is no drover-xenstored that starts here"),
        (["--program", "/bin/false", *plain], "/bin/false is no drover-xenstored"),
        (["--program", disturb.C_XENSTORED, *plain], "is no drover-xenstored"),
        (["--program", lib.XENSTORED, "--options", "--wrong"], "options: .*--wrong"),
        ([*OURS, "--boot-file", "/nonexistent/xen"], "boot: /nonexistent/xen: No such file"),
        ([*OURS, "--boot-file", d.dir + "/odd"], "XENSTORED_ARGS=--access-log /x is not under"),
        ([*OURS, "--boot-file", "/dev/zero"], "boot: /dev/zero: File too large"),
    ]
    for words, want in table:
        for more in ((), ("--dry-run",)):
            said = drover(d, "adopt", *words, *more, status=1)
            assert re.search(want, said.err) and "result         refused" in said.out, (
                words, said.text)
            equal(snapshot(d), before)
    for words in (["-t", "x"], ["-t", "-1"], ["--wrong"], ["more"]):
        drover(d, "adopt", *words, status=2)
        drover(d, "unadopt", *words, status=2)
    equal(snapshot(d), before)
    said = drover(d, "adopt", "-s", "/nonexistent/socket", *OURS, status=1)
    assert "nobody answers at /nonexistent/socket" in said.err, said.err


def what_unadopt_refuses_names_itself(d):
    drover(d, "adopt", "--no-boot", *OURS)
    equal(read(boot_file(d)), SETTINGS)
    before, worker = snapshot(d), disturb.worker(d)
    table = [
        (["--to", "/nonexistent"], "program: /nonexistent: No such file"),
        (["--to", "/bin/false"], "/bin/false is no C xenstored"),
        (["--to", lib.XENSTORED], "is no C xenstored"),
        (["--to", OCAML], "is oxenstored"),
        (["--options", "--wrong"], "options: .*--wrong"),
        (["--options", "-Q"], "options: .*-Q"),
    ]
    for words, want in table:
        said = drover(d, "unadopt", *words, status=1)
        assert re.search(want, said.err), (words, said.text)
        equal((snapshot(d), disturb.worker(d)), (before, worker))
    said = drover(d, "adopt", "--dry-run")      # and the boot is to be set still
    equal(snapshot(d), before)
    drover(d, "adopt")
    drover(d, "unadopt", "--boot-only")
    equal((snapshot(d), disturb.worker(d)), (before, worker))


def no_xenstored_is_adopted_that_is_none():
    """A program that answers whatever it is asked."""
    with lib.scratch() as base, socket.socket(socket.AF_UNIX) as s:
        s.bind(base + "/socket")
        s.listen(5)

        def serve():
            while True:
                with contextlib.suppress(OSError):
                    c, _ = s.accept()
                    with c:
                        while True:
                            head = c.recv(16, socket.MSG_WAITALL)
                            if len(head) < 16:
                                break
                            c.recv(int.from_bytes(head[12:16], "little"), socket.MSG_WAITALL)
                            c.sendall(head[:12] + b"\x03\0\0\0OK\0")
        threading.Thread(target=serve, daemon=True).start()
        for command in ("adopt", "unadopt"):
            p = subprocess.run([lib.DROVER, command, "-s", base + "/socket", "--no-boot"],
                               capture_output=True, text=True, timeout=lib.TIMEOUT, check=False)
            assert p.returncode == 1 and "not known" in p.stdout + p.stderr, p


def who_was_there_goes_on_where_ours_cannot(d):
    """Ours refuses what was left, or finds no place: sockets, rings and watches are as before."""
    household, former, pid = Household(d), program(d), d.pid
    household.works()
    dump = d.run + ("/db" if was_ocaml(d) else "/state_dump")
    ways = [("[ $# = 1 ] || : > %s/journal" % d.run, None)]
    if was_ocaml(d):        # which itself passes over such a line
        ways.append(("case \"$*\" in *--help*|*--check*|--version) ;;\n*) echo future,1 >> %s ;;\n"
                     "esac" % dump, "of no kind that is known"))
    for text, said_in_log in ways:
        with script(d, text) as path:
            shutil.rmtree(d.run + "/journal", ignore_errors=True)
            said = drover(d, "adopt", "-t", "2", "--program", path, "--options", "--no-sandbox",
                          status=1)
        assert "result         failed" in said.out, said.text
        equal((program(d), d.pid, d.process.poll()), (former, pid, None))
        assert "goes on with what it left" in d.output(), d.output()[-2000:]
        assert not said_in_log or said_in_log in d.output(), d.output()[-2000:]
        household.works()
        equal(read(boot_file(d)), SETTINGS)
        if os.path.isfile(d.run + "/journal"):
            os.unlink(d.run + "/journal")
    drover(d, "adopt", *OURS)
    household.works()
    household.end()


def cut_short(d, command, words, call, n):
    """drover is killed at its n-th such call. False: it came to its end before."""
    p = subprocess.run([lib.need(STRACE), "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call,
                        "-e", "inject=%s:signal=KILL:when=%d" % (call, n),
                        *argv(d, command, *words)],
                       env=lib.environment(d), capture_output=True, text=True,
                       timeout=lib.TIMEOUT, check=False)
    return p.returncode != 0


def it_is_killed_at_any_step(d):
    """One of the two serves, with all there was, and the next try does what is left."""
    household = Household(d)
    household.works()
    steps = 0
    for call, whens in (("connect", range(1, 9)), ("write", (1, 4, 7, 8, 9, 10, 12, 30, 60)),
                        ("sendto", (1, 2, 3, 4, 5, 6, 7)), ("sendmsg", (1, 2, 3)),
                        ("rename", (1,)), ("fsync", (1,)), ("nanosleep,clock_nanosleep", (1,))):
        for n in whens:
            for command, words in (("adopt", OURS), ("unadopt", ("--to", disturb.C_XENSTORED))):
                steps += cut_short(d, command, words, call, n)
                assert d.process.poll() is None, (call, n, d.output()[-2000:])
                household.works()
                drover(d, command, *words)
                household.works()
                assert not os.path.exists(boot_file(d) + ".drover-new"), (call, n)
    print("# killed %d times" % steps)
    assert steps > 20, steps
    household.end()


def clients_at_work_notice_nothing():
    """Over and back under full load, and what others change meanwhile is not taken for a loss."""
    with lib.daemon("c") as d:
        with disturb.history(d, "--lenient") as h:
            for command, words in (("adopt", OURS), ("unadopt", ()), ("adopt", OURS)):
                h.progress(2)
                if command == "adopt":
                    with h.calm():      # C answers a START that comes while it waits later
                        drover(d, command, *words)
                else:
                    drover(d, command, *words)
            disturb.kill_worker(d)
            h.progress(2)
            counts = h.finish()
        print("# %s" % counts)
        lib.clean(d)


def a_daemon_that_forked_is_found():
    """As scripts start it: C in the background, with a pid file and without -N."""
    with lib.daemon("c", start=False) as d:
        pid_file = d.dir + "/pid"
        env = dict(d.environment(), XENSTORED_PATH=d.socket)
        subprocess.run([disturb.C_XENSTORED, "--pid-file", pid_file, *peers.LIFTED], env=env,
                       check=True, timeout=lib.TIMEOUT)
        until(d.accepts, "the socket")
        pid = int(read(pid_file))
        try:
            for command, words in (("adopt", OURS), ("unadopt", ()), ("adopt", OURS)):
                drover(d, command, *words)
                equal(read(pid_file).strip(), "%d" % pid)
                with d.connect() as x:
                    x.write("/tests/a", "1")
            equal(os.readlink("/proc/%d/exe" % pid), os.path.realpath(lib.XENSTORED))
            equal(os.readlink("/proc/%d/fd/1" % pid), "/dev/null")
        finally:
            os.kill(pid, signal.SIGTERM)
            until(lambda: not d.accepts(), "the end")
        d.start()                               # for lib.daemon, which looks for it


if __name__ == "__main__":
    lib.need(disturb.C_XENSTORED)
    C, OX = of("c"), of("ocaml")
    CASES = [(a_dry_run_changes_nothing, C), (it_goes_over_and_back, C),
             (half_a_request_goes_over, C), (an_open_transaction_is_waited_for, C),
             (by_force_it_is_lost, C), (a_transaction_that_is_put_off_begins, C),
             (what_is_refused_names_itself, C),
             (what_unadopt_refuses_names_itself, C), no_xenstored_is_adopted_that_is_none,
             (who_was_there_goes_on_where_ours_cannot, C), (it_is_killed_at_any_step, C),
             clients_at_work_notice_nothing, a_daemon_that_forked_is_found]
    if os.access(OCAML, os.X_OK):
        CASES += [(f, OX) for f in (
            a_dry_run_changes_nothing, oxenstored_is_adopted_and_gets_nothing_back,
            limits_above_ours_come_along, an_open_transaction_is_waited_for,
            oxenstored_is_not_forced, what_is_refused_names_itself,
            who_was_there_goes_on_where_ours_cannot)]
    sys.exit(lib.main(__doc__, CASES))
