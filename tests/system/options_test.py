#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The daemon's options, environment, files and signals: those of C xenstored mean the same."""
import contextlib
import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from lib import equal, peers, refusal, scratch, until  # noqa: E402


def environment(directory, **more):
    env = dict(os.environ, XENSTORED_PATH=directory + "/socket", XENSTORED_RUNDIR=directory)
    env.update(more)
    return {k: v for k, v in env.items() if v is not None}


def command(directory, *args):
    return [lib.XENSTORED, "--hv=sim:" + directory + "/hv", *args]


def ends(directory, *args, env=None):
    """A start that ends by itself: (status, what it said)."""
    p = subprocess.run(command(directory, *args), env=env or environment(directory), text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=lib.TIMEOUT,
                       check=False)
    return p.returncode, p.stdout


def answers(path):
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(path)
            return True
        except OSError:
            return False


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def own(*args, directory=None, env=None):
    """A daemon in the foreground with these options; yields (process, its socket's path)."""
    with scratch() if directory is None else contextlib.nullcontext(directory) as directory:
        path = directory + "/socket"
        with lib.started(command(directory, "-N", *args),
                         env=env or environment(directory)) as p:
            until(lambda: answers(path) or p.poll() is not None, "a socket")
            assert p.poll() is None, "ended: " + p.stdout.read()
            with client(path) as x:
                x.read("/")     # it serves: its signals are its own by now
            yield p, path
            p.send_signal(signal.SIGTERM)
            equal(p.wait(lib.TIMEOUT), 0)


def client(path):
    return peers.SocketClient(path)


def limit(d, call, n):
    """How many times a guest may do that, tried n times."""
    domid = d.create_guest()
    with d.guest(domid) as g:
        done = [refusal(call, g, i) for i in range(n)]
    d.sim.destroy(domid)
    assert set(done) <= {None, "ENOSPC"}, done
    return done.index("ENOSPC") if "ENOSPC" in done else n


def help_names_every_option():
    with scratch() as directory:
        for word in "-H", "--help":
            status, text = ends(directory, word)
            equal(status, 0)
            for option in ("--no-fork", "--pid-file", "--trace-file", "--trace-control",
                           "--entry-nb", "--entry-size", "--watch-nb", "--transaction",
                           "--perm-nb", "--path-max", "--quota", "--quota-soft", "--timeout",
                           "--keep-orphans", "--priv-domid", "--event", "--hv"):
                assert option in text, option
        equal(os.listdir(directory), [])


def bad_options_are_named():
    with scratch() as directory:
        for args, word in [(["--nonsense"], "nonsense"), (["-E"], "E"), (["-E", "x"], "-E"),
                           (["-E", "-1"], "-E"), (["-W", ""], "-W"), (["-t", "9z"], "-t"),
                           (["-Q", "nonsense=1"], "nonsense"), (["-Q", "memory"], "memory"),
                           (["-Q", "memory=x"], "x"), (["-q", "watches=1"], "watches"),
                           (["-w", "nonsense=1"], "nonsense"), (["-w", "watch-event=x"], "x"),
                           (["--hv=nonsense"], "nonsense"), (["--priv-domid", "99999"], "99999"),
                           (["-m", "x"], "-m"), (["--event", "x"], "-e"),
                           (["--trace-control", "nonsense"], "nonsense"), (["-U"], "state_dump"),
                           (["stray"], "stray")]:
            status, text = ends(directory, "-N", *args)
            assert status not in (0, None) and word in text, (args, status, text)
            assert len(text.splitlines()) < 4, text
        equal(os.listdir(directory), [])


def socket_is_ours_alone():
    with own() as (_, path):
        equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)


def socket_path_and_rundir_are_followed():
    with scratch() as directory:
        env = environment(directory, XENSTORED_PATH=None, XENSTORED_RUNDIR=directory + "/run")
        with lib.started(command(directory, "-N"), env=env) as p:
            until(lambda: answers(directory + "/run/socket"), "a socket in the run directory")
            client(directory + "/run/socket").read("/")
            p.terminate()
            equal(p.wait(lib.TIMEOUT), 0)
        env = environment(directory, XENSTORED_PATH=directory + "/elsewhere")
        with lib.started(command(directory, "-N"), env=env) as p:
            until(lambda: answers(directory + "/elsewhere"), "the socket elsewhere")
            client(directory + "/elsewhere").read("/")
            p.send_signal(signal.SIGINT)
            equal(p.wait(lib.TIMEOUT), 0)
        status, text = ends(directory, "-N", env=environment(directory,
                                                             XENSTORED_PATH="/x" * 100))
        assert status == 1 and "socket path" in text, (status, text)
        status, text = ends(directory, "-N", env=environment(
            directory, XENSTORED_RUNDIR="/proc/nonexistent/run", XENSTORED_PATH=None))
        assert status == 1 and "/proc/nonexistent/run" in text, (status, text)


def a_socket_left_behind_is_replaced():
    with scratch() as directory:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(directory + "/socket")
        with own(directory=directory) as (_, path):
            with client(path) as x:
                x.write("/a", "1")


def a_second_daemon_is_refused():
    with scratch() as directory, own(directory=directory) as (p, path):
        status, text = ends(directory, "-N")
        assert status == 1 and "already" in text, (status, text)
        with client(path) as x:
            x.write("/a", "1")
        assert p.poll() is None


def pid_file_names_the_daemon():
    with scratch() as directory:
        pid_file = directory + "/pid"
        with own("-F", pid_file, directory=directory) as (p, _):
            equal(int(open(pid_file).read()), p.pid)
            env = environment(directory, XENSTORED_PATH=directory + "/other")
            status, text = ends(directory, "-N", "--pid-file", pid_file, env=env)
            assert status == 1 and pid_file in text, (status, text)
            equal(int(open(pid_file).read()), p.pid)
        status, text = ends(directory, "-N", "-F", "/proc/nonexistent/pid")
        assert status == 1 and "/proc/nonexistent/pid" in text, (status, text)


def without_no_fork_it_becomes_a_daemon():
    with scratch() as directory:
        pid_file = directory + "/pid"
        # It answers as soon as the command has ended.
        status, text = ends(directory, "-F", pid_file, "-P")
        equal(status, 0)
        pid = int(open(pid_file).read())
        try:
            equal(text.split(), [str(pid)])
            with client(directory + "/socket") as x:
                x.write("/a", "1")
                equal(x.read("/a"), b"1")
            equal(os.getsid(pid), pid)
            equal(os.readlink("/proc/%d/cwd" % pid), "/")
            for fd in 0, 1, 2:
                equal(os.readlink("/proc/%d/fd/%d" % (pid, fd)), "/dev/null")
            status, text = ends(directory)
            assert status == 1 and "already" in text, (status, text)
        finally:
            os.kill(pid, signal.SIGTERM)
        until(lambda: not alive(pid), "its end")


def ready_is_told_to_systemd():
    with scratch() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(directory + "/notify")
        env = environment(directory, NOTIFY_SOCKET=directory + "/notify")
        with own(directory=directory, env=env):
            assert select.select([s], [], [], lib.TIMEOUT)[0], "nothing was told"
            assert b"READY=1" in s.recv(4096)


def trace_file_holds_what_was_said():
    with scratch() as directory:
        trace = directory + "/trace"
        with own("-T", trace, directory=directory) as (_, path), client(path) as x:
            x.write("/traced/a", "some value")
            x.watch("/traced", "tok")
            x.next_event(lib.TIMEOUT)
            refusal(x.read, "/missing")
            text = open(trace).read()
        for pattern in (r"WRITE .*/traced/a some value", r"WATCH .*/traced tok",
                        r"OUT .*WATCH_EVENT .*/traced tok", r"ERROR .*ENOENT"):
            assert re.search(pattern, text), "no %r in\n%s" % (pattern, text)
        status, text = ends(directory, "-N", "-T", "/proc/nonexistent/trace")
        assert status == 1 and "/proc/nonexistent/trace" in text, (status, text)


def trace_control_switches_messages():
    with scratch() as directory:
        trace = directory + "/trace"
        with own("-T", trace, "--trace-control=-io", directory=directory) as (_, path), \
                client(path) as x:
            x.write("/quiet", "1")
            assert "/quiet" not in open(trace).read()
            x.control("log", "on")
            x.write("/loud", "1")
            assert "/loud" in open(trace).read()
            x.control("log", "off")
            x.write("/again", "1")
            assert "/again" not in open(trace).read()


def sighup_opens_the_trace_file_anew():
    with scratch() as directory:
        trace = directory + "/trace"
        with own("-T", trace, directory=directory) as (p, path), client(path) as x:
            x.write("/first", "1")
            os.rename(trace, trace + ".1")
            x.write("/second", "1")
            p.send_signal(signal.SIGHUP)
            until(lambda: os.path.exists(trace), "the new trace file")
            x.write("/third", "1")
            assert "/second" in open(trace + ".1").read()
            text = open(trace).read()
            assert "/third" in text and "/second" not in text, text
            x.control("logfile", directory + "/moved")
            x.write("/fourth", "1")
            assert "/fourth" in open(directory + "/moved").read()


def limits_of_a_guest(d):
    equal(limit(d, lambda g, i: g.write("n%d" % i, ""), 30), 9)       # and its home
    equal(limit(d, lambda g, i: g.watch("w%d" % i, "t"), 10), 4)
    equal(limit(d, lambda g, i: g.begin(), 10), 3)
    domid = d.create_guest()
    with d.guest(domid) as g:
        g.write("size", "v" * 100)
        equal(refusal(g.write, "size", "v" * 101), "ENOSPC")
        own_perm = "n%d" % domid
        g.setperms("size", own_perm, "r0")
        equal(refusal(g.setperms, "size", own_perm, "r0", "r1"), "ENOSPC")
        g.write("p" * 200, "1")
        equal(refusal(g.write, "p" * 201, "1"), "EINVAL")
    with d.connect() as x:
        said = x.control("quota")
        for name, n in (("nodes", 10), ("watches", 4), ("transactions", 3), ("node-size", 100),
                        ("node-permissions", 2), ("path-max", 200), ("outstanding", 7)):
            assert re.search(r"%s *: *%d\b" % (name, n), said), (name, said)
    for quota in "nodes", "watches", "transactions", "node-size", "node-permissions":
        assert re.search(r"domain \d+: refused by %s: .*limit \d+" % quota, d.output()), quota


def nought_is_no_limit(d):
    domid = d.create_guest()
    with d.guest(domid) as g:
        for i in range(1200):
            g.mkdir("n%d" % i)
    d.sim.destroy(domid)


def transaction_nodes_and_memory(d):
    domid = d.create_guest()
    with d.guest(domid) as g:
        tx = g.begin()
        seen = [refusal(g.read, "x%d" % i, tx) for i in range(8)]
        assert "ENOSPC" in seen and seen[0] == "ENOENT", seen
        g.abort(tx)
        seen = [refusal(g.write, "big%d" % i, "v" * 1500) for i in range(20)]
        assert seen[0] is None and "ENOSPC" in seen, seen
    d.sim.destroy(domid)


def soft_limit_warns_and_refuses_nothing(d):
    domid = d.create_guest()
    with d.guest(domid) as g:
        for i in range(10):
            g.write("x%d" % i, "v" * 1000)
    assert re.search(r"domain \d+: soft quota memory", d.output()), d.output()
    d.sim.destroy(domid)


def orphans_are_kept_when_asked(d):
    domid = d.create_guest()
    with d.guest(domid) as g, d.connect() as x:
        g.write("x", "1")
        x.watch("@releaseDomain", "r")
        x.next_event(lib.TIMEOUT)
        d.sim.destroy(domid)
        x.next_event(lib.TIMEOUT)
        equal(x.read("/local/domain/%d/x" % domid), b"1")


def a_privileged_domain(d):
    equal(d.create_guest(7), 7)
    with d.guest(7) as g:
        g.write("/tool/by-7", "1")
        assert g.is_introduced(7)
        d.sim.create(8)
        g.introduce(8)
        g.own_home(8)
        assert "contradiction" not in g.control("check")
        g.release(8)


def a_master_domain(d):
    a_privileged_domain(d)


def unread_events_are_dropped_in_time(d):
    domid = d.create_guest()
    with d.guest(domid) as g, d.connect() as x:
        g.watch("x", "t" * 500)
        for i in range(40):     # more than the ring holds
            x.write("/local/domain/%d/x/%d" % (domid, i), "")
        until(lambda: "event-dropped" in d.output(), "a drop in the log")
        equal(g.read("/local/domain/%d/x/1" % domid), b"")
    d.sim.destroy(domid)


def options_without_effect_are_taken():
    with own("-R", "-I", "--internal-db=on", "-D", "-V") as (_, path), client(path) as x:
        x.write("/a", "1")


QUOTAS = {"quotas": "default", "args": [
    "-E", "10", "-W", "4", "-t", "3", "-S", "100", "-A", "2", "-M", "200",
    "-Q", "outstanding=7", "-q", "memory=2000000"]}

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [
        help_names_every_option, bad_options_are_named, socket_is_ours_alone,
        socket_path_and_rundir_are_followed, a_socket_left_behind_is_replaced,
        a_second_daemon_is_refused, pid_file_names_the_daemon,
        without_no_fork_it_becomes_a_daemon, ready_is_told_to_systemd,
        trace_file_holds_what_was_said, trace_control_switches_messages,
        sighup_opens_the_trace_file_anew, options_without_effect_are_taken,
        (limits_of_a_guest, QUOTAS),
        (nought_is_no_limit, {"quotas": "default", "args": ["-E", "0", "-Q", "memory=0"]}),
        (transaction_nodes_and_memory, {"quotas": "default", "args": [
            "-Q", "transaction-nodes=4", "-Q", "memory=20000"]}),
        (soft_limit_warns_and_refuses_nothing, {"quotas": "default", "args": [
            "-q", "memory=4000"]}),
        (orphans_are_kept_when_asked, {"args": ["-K"]}),
        (a_privileged_domain, {"args": ["--priv-domid", "7"]}),
        (a_master_domain, {"args": ["-m", "7"]}),
        (unread_events_are_dropped_in_time, {"args": ["-w", "watch-event=1"]})]))
