#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Keeper and worker: what the one holds while the other is replaced, live update and what refuses
it, the files a worker asks for, and systemd's store of descriptors."""
import array
import contextlib
import fcntl
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disturb  # noqa: E402
import lib  # noqa: E402
from lib import equal, peers, scratch, until  # noqa: E402

VERSIONS = "image versions: 2 1; journal version: 1; keeper version: 1"


def worker_is_a_child_with_a_name(d):
    pid = disturb.worker(d)
    with open("/proc/%d/cmdline" % pid, "rb") as f:
        equal(f.read().split(b"\0")[0], b"drover-worker")
    assert pid != d.pid
    equal(lib.family(d.pid), [d.pid, pid])


def the_worker_has_given_up_what_it_does_not_need(d):
    for again in "", "after a death", "after an update":
        if again.endswith("death"):
            disturb.kill_worker(d)
        elif again:
            disturb.live_update(d)
        lib.serves(d)
        pid = disturb.worker(d)
        if "--no-sandbox" in open("/proc/%d/cmdline" % pid).read():
            raise lib.Skip("this kind has none")
        with open("/proc/%d/status" % pid) as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        equal(status["NoNewPrivs"], "1")
        for name in "CapInh", "CapPrm", "CapEff", "CapAmb":
            equal((name, int(status[name], 16)), (name, 0))
        if os.geteuid() == 0:
            equal(int(status["CapBnd"], 16), 0)
        if sanitized(pid):
            raise lib.Skip("a sanitizer needs more system calls")
        equal(status["Seccomp"], "2")
        here, there = (os.stat("/proc/%s/ns/net" % p).st_ino for p in ("self", pid))
        if os.geteuid() == 0 and can_unshare():
            assert here != there, "it is in our network namespace " + again


def sanitized(pid):
    with open("/proc/%d/maps" % pid) as f:
        return "libasan" in f.read()


def can_unshare():
    return subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def who_connects_while_there_is_no_worker_is_served(d):
    d.process.send_signal(signal.SIGSTOP)       # the keeper: nobody starts another
    os.kill(disturb.worker(d), signal.SIGKILL)
    waiting = [d.connect() for _ in range(5)]
    for x in waiting:
        x.send(peers.XS_WRITE, b"/early\0x")
    d.process.send_signal(signal.SIGCONT)
    for x in waiting:
        equal(x.recv_reply().type, peers.XS_WRITE)
        x.close()


def sockets_that_clients_close_are_let_go(d):
    before = lib.open_fds(d.pid)
    for _ in range(3):
        some = [d.connect() for _ in range(100)]
        for x in some:
            x.read("/")
        disturb.kill_worker(d)
        for x in some:
            x.read("/")
            x.close()
    until(lambda: lib.open_fds(d.pid) <= before, "closed descriptors")


def trace_file_and_its_switch_outlive_the_worker(d):
    trace = d.dir + "/trace"
    with d.connect() as x:
        x.control("logfile", trace)
        x.write("/trace/before", "1")
        disturb.kill_worker(d)
        x.write("/trace/after", "1")
        text = open(trace).read()
        assert "/trace/before" in text and "/trace/after" in text, text
        x.control("log", "off")
        disturb.kill_worker(d)
        x.write("/trace/quiet", "1")
        assert "/trace/quiet" not in open(trace).read()
        x.control("log", "on")


def a_worker_that_cannot_start_is_tried_again_with_pauses(d):
    table, away = d.dir + "/table", d.dir + "/away"
    with d.connect() as x:
        x.write("/a", "1")
        os.rename(table, away)
        os.mkdir(table)
        disturb.kill_worker(d)
        began = time.monotonic()
        until(lambda: d.output().count("exit status 1") >= 6, "six of them")
        assert 0.1 < time.monotonic() - began, "without pauses"
        os.rmdir(table)
        os.rename(away, table)
        equal(x.read("/a"), b"1")
        assert "cannot open the simulated hypervisor" in d.output()


def counters_go_on_where_they_were(d):
    with d.connect() as x:
        def counters():
            words = x.control("stats").splitlines()[0].split()[1:]
            return {k: int(v) for k, v in (w.split("=") for w in words)}
        for again in disturb.kill_worker, disturb.live_update:
            before = counters()
            again(d)
            after = counters()
            for name in "requests", "rounds", "uptime_ms":
                assert after[name] >= before[name] > 0, (name, before, after)


def reports_are_written_by_way_of_the_keeper(d):
    report = d.dir + "/report"
    with d.connect() as x:
        x.control("memreport", report)
        assert os.path.getsize(report) > 0
        equal(stat.S_IMODE(os.stat(report).st_mode) & 0o111, 0)
        for bad in d.dir, d.dir + "/none/such":
            equal(lib.refusal(x.control, "memreport", bad), "EIO")
        program = d.dir + "/program"
        with open(program, "w") as f:
            f.write("#!/bin/sh\n")
        os.chmod(program, 0o755)
        assert lib.refusal(x.control, "memreport", program)
        equal(open(program).read(), "#!/bin/sh\n")
        assert lib.refusal(x.control, "logfile", program)


def script(d, name, text):
    """A program that an operator might name by mistake."""
    path = d.dir + "/" + name
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


def refused(d, program, word, *options):
    """A live update that must be refused for that reason, and leave no trace."""
    pid = disturb.worker(d)
    said = disturb.live_update(d, program, *options, status=3).err
    assert word in said, (program, word, said)
    equal(disturb.worker(d), pid)
    lib.serves(d)


def an_update_that_is_refused_leaves_the_daemon_serving(d):
    with d.connect() as x:
        x.write("/kept", "1")
        x.watch("/kept", "token")
        x.next_event(lib.TIMEOUT)
        refused(d, "/none/such", "No such file")
        refused(d, d.dir, "")
        refused(d, "/etc/passwd", "Permission denied")
        refused(d, "/bin/false", "/bin/false")
        refused(d, "/bin/true", "/bin/true")
        claims = "[ \"$1\" = --help ] && { echo '%s'; exit 0; }\n" % VERSIONS
        refused(d, script(d, "dies", claims + "kill -SEGV $$\n"), "signal 11")
        refused(d, script(d, "ends", claims + "exit 3\n"), "status 3")
        refused(d, script(d, "hangs", claims + "exec cat /dev/zero >/dev/null\n"), "in time",
                "-t", "1")
        refused(d, script(d, "probe-hangs", "exec cat /dev/zero >/dev/null\n"), "in time",
                "-t", "1")
        refused(d, script(d, "newer", "echo 'image versions: 9'\n"), "newer")
        refused(d, lib.XENSTORED, "exit status 2", "-c", "--hv=nonsense")
        for name in "/none/such", "newer", "hangs":
            assert name in d.output(), name
        x.write("/kept", "2")
        equal(x.next_event(lib.TIMEOUT), ("/kept", "token"))


def steps_of_an_update_are_checked(d):
    with d.connect() as x:
        assert "no file" in x.control("live-update", "-s")
        for words in ("-f",), ("-s", "-t"), ("-s", "-t", "x"), ("-x",), (), ("-f", "a", "b"):
            equal(lib.refusal(x.control, "live-update", *words), "EINVAL")
        equal(x.control("live-update", "-f", "/none/such"), "OK")
        equal(x.control("live-update", "-a"), "OK")
        assert "no file" in x.control("live-update", "-s")


def start_update(x, program, *options):
    equal(x.control("live-update", "-f", program), "OK")
    words = ["live-update", "-s", *options]
    x.send(peers.XS_CONTROL, b"".join(w.encode() + b"\0" for w in words))


def one_update_at_a_time_and_it_can_be_given_up(d):
    hangs = script(d, "waits", "exec cat /dev/zero >/dev/null\n")
    with d.connect() as first, d.connect() as second:
        start_update(first, hangs, "-F")
        second.control("live-update", "-f", hangs)
        equal(second.control("live-update", "-s"), "BUSY")
        second.write("/meanwhile", "1")
        second.control("live-update", "-a")
        assert b"abort" in first.recv_reply().payload
        # Whoever waits for it gives it up by closing.
        start_update(first, hangs)
        until(lambda: d.output().count("waits begins") == 2, "another begins")
        first.close()
        until(lambda: d.output().count("aborted") == 2, "its end")
        lib.serves(d)
        disturb.live_update(d)


def an_update_that_follows_one_given_up_loses_nothing(d):
    """What became of the first is told when the second has begun, and says nothing of it. And a
    worker that dies while the keeper is a script for a while."""
    slow = script(d, "slow", "[ \"$1\" = --help ] || sleep 0.5\nexec %s \"$@\"\n" % lib.XENSTORED)
    with d.connect() as first, d.connect() as second, d.connect() as x:
        x.write("/before", "1")
        worker = disturb.worker(d)
        start_update(first, slow)
        until(lambda: "slow begins" in d.output(), "it begins")
        x.read("/before")
        d.process.send_signal(signal.SIGSTOP)
        first.close()
        start_update(second, slow)
        x.read("/before")
        d.process.send_signal(signal.SIGCONT)
        until(lambda: d.output().count("slow begins") == 2, "the other begins")
        # the worker was one, too, if there was an update before
        until(lambda: any(is_told(pid, "cmdline", "--candidate") for pid in lib.family(d.pid)
                          if pid != worker), "a candidate")
        d.process.send_signal(signal.SIGSTOP)
        until(lambda: any(is_told(pid, "maps", "/journal/log") for pid in lib.family(d.pid)
                          if pid != worker), "it reads")
        for i in range(6000):               # more than a checkpoint waits for
            x.write("/many/%d" % (i % 500), "%d" % i + "x" * 200)
        d.process.send_signal(signal.SIGCONT)
        equal(second.recv_reply().payload, b"OK\0")
        assert disturb.worker(d) != worker
        for again in range(2):
            for i in range(500):
                equal(x.read("/many/%d" % i).rstrip(b"x"), b"%d" % (5500 + i))
            if not again:
                disturb.kill_worker(d)
        x.rm("/many")


def is_told(pid, name, word):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
            open("/proc/%d/%s" % (pid, name)) as f:
        return word in f.read()
    return False


def candidate(d):
    """The process that only seems to load."""
    for pid in lib.family(d.pid)[1:]:
        with contextlib.suppress(FileNotFoundError), open("/proc/%d/comm" % pid) as f:
            if f.read() == "cat\n":
                return pid
    return None


def an_update_ends_with_the_worker_or_the_candidate(d):
    claims = "[ \"$1\" = --help ] && { echo '%s'; exit 0; }\n" % VERSIONS
    waits = script(d, "loads", claims + "exec cat /dev/zero >/dev/null\n")
    with d.connect() as x:
        start_update(x, waits)
        until(lambda: candidate(d), "a candidate")
        disturb.kill_worker(d)
        assert b"worker ended" in x.recv_reply().payload
        until(lambda: len(lib.family(d.pid)) == 2, "its end")
        before = disturb.worker(d)
        start_update(x, waits)
        until(lambda: candidate(d), "a candidate")
        os.kill(candidate(d), signal.SIGKILL)
        assert b"signal 9" in x.recv_reply().payload
        equal(disturb.worker(d), before)
        x.write("/after", "1")


def a_daemon_in_the_background_is_updated_too():
    with scratch() as directory:
        env = dict(os.environ, XENSTORED_RUNDIR=directory, XENSTORED_PATH=directory + "/socket")
        argv = [lib.XENSTORED, "--hv=sim:%s/hv" % directory, "-F", directory + "/pid"]
        subprocess.run(argv, env=env, check=True, timeout=lib.TIMEOUT)
        pid = int(open(directory + "/pid").read())
        gone = os.pidfd_open(pid)
        try:
            with peers.SocketClient(directory + "/socket") as x:
                x.write("/a", "1")
                for _ in range(2):
                    start_update(x, lib.XENSTORED)
                    equal(x.recv_reply().payload, b"OK\0")
                    equal(x.read("/a"), b"1")
            again = subprocess.run(argv, env=env, check=False, capture_output=True, text=True)
            assert again.returncode == 1 and "pid" in again.stderr, again.stderr
        finally:
            os.kill(pid, signal.SIGTERM)
            assert select.select([gone], [], [], lib.TIMEOUT)[0], "it does not end"
            os.close(gone)
        assert not os.path.exists(directory + "/socket")


def an_update_carries_everything_over(d):
    before = disturb.worker(d)
    domid = d.create_guest()
    with d.connect() as x, d.connect() as half, d.guest(domid) as g:
        x.write("/carried", "1")
        x.watch("/carried", "token")
        x.next_event(lib.TIMEOUT)
        tx = x.begin()
        x.write("/carried/in-tx", "1", tx)
        g.watch("mine", "token")
        g.next_event(lib.TIMEOUT)
        message = peers.HEADER.pack(peers.XS_READ, 77, 0, 9) + b"/carried\0"
        half.send_raw(message[:19])
        link = d.dir + "/other-name"
        os.symlink(lib.XENSTORED, link)
        for program in link, lib.XENSTORED:
            disturb.live_update(d, program)
        assert disturb.worker(d) != before
        equal(d.process.poll(), None)
        half.send_raw(message[19:])
        equal(half.recv_reply().payload, b"1")
        x.commit(tx)
        equal(x.next_event(lib.TIMEOUT), ("/carried/in-tx", "token"))
        g.write("mine", "1")
        equal(g.next_event(lib.TIMEOUT), ("mine", "token"))
        disturb.kill_worker(d)
        equal(x.read("/carried/in-tx"), b"1")
    lib.clean(d)
    d.sim.destroy(domid)


def several_updates_over_one_connection(d):
    with d.connect() as x:
        for _ in range(3):
            pid = disturb.worker(d)
            start_update(x, lib.XENSTORED)
            equal(x.recv_reply().payload, b"OK\0")
            assert disturb.worker(d) != pid


def a_guest_may_not_update(d):
    domid = d.create_guest()
    with d.guest(domid) as g:
        equal(lib.refusal(g.control, "live-update", "-f", lib.XENSTORED), "EACCES")
    d.sim.destroy(domid)


def new_options_come_with_an_update(d):
    hv = "xen --no-sandbox" if d.kind == "drover-xen" else "sim:" + d.dir
    disturb.live_update(d, lib.XENSTORED, "-c", "-N -V --hv=" + hv)
    lib.serves(d)
    with open("/proc/%d/cmdline" % d.pid) as f:
        assert "-V" in f.read().split("\0")
    disturb.kill_worker(d)
    lib.serves(d)


def who_dies_with_the_keeper(d):
    pid = disturb.worker(d)
    gone = os.pidfd_open(pid)
    d.kill()
    assert select.select([gone], [], [], lib.TIMEOUT)[0], "the worker outlives its keeper"
    os.close(gone)
    d.start()
    lib.serves(d)


def without_a_journal_a_worker_s_death_is_the_end():
    with contextlib.closing(Alone("--no-journal")) as a:
        a.client().write("/a", "1")
        assert not os.path.exists(a.dir + "/run/journal")
        os.kill(lib.family(a.pid)[1], signal.SIGKILL)
        equal(a.process.wait(lib.TIMEOUT), 1)


def a_journal_is_of_one_daemon():
    with contextlib.closing(Alone()) as a:
        env = dict(a.env, XENSTORED_PATH=a.dir + "/other")
        p = subprocess.run([*a.argv], env=env, capture_output=True, text=True,
                           timeout=lib.TIMEOUT, check=False)
        equal(p.returncode, 1)
        assert "run/journal" in p.stderr and "living" in p.stderr, p.stderr
        a.client().write("/a", "1")


class Alone:
    """A daemon that is started by hand."""

    def __init__(self, *args, **env):
        self.stack = contextlib.ExitStack()
        self.dir = self.stack.enter_context(scratch())
        self.path = self.dir + "/run/socket"
        os.mkdir(self.dir + "/run")
        self.env = dict(os.environ, XENSTORED_RUNDIR=self.dir + "/run", XENSTORED_PATH=self.path,
                        **env)
        self.argv = [lib.XENSTORED, "-N", "--hv=sim:" + self.dir + "/hv", *args]
        self.process = None
        self.start()

    def start(self, **more):
        self.process = subprocess.Popen(self.argv, env=self.env, **more)
        until(self.answers, "its socket")

    def answers(self):
        assert self.process.poll() is None, "it ended"
        try:
            self.client().close()
        except OSError:
            return False
        return True

    @property
    def pid(self):
        return self.process.pid

    def client(self):
        return peers.SocketClient(self.path)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self.stack.close()


class Manager:
    """Stands in for systemd: keeps the descriptors that a service stores with it."""

    def __init__(self, directory):
        self.path = directory + "/notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.stored, self.removed = {}, 0

    def listen(self, done):
        deadline = time.monotonic() + lib.TIMEOUT
        while not done():
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.sock], [], [], left)[0], self.stored
            text, control, _, _ = self.sock.recvmsg(4096, 4096)
            words = dict(line.split("=", 1) for line in text.decode().splitlines())
            fds = array.array("i")
            for level, kind, octets in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(octets[:len(octets) // fds.itemsize * fds.itemsize])
            if words.get("FDSTORE") == "1":
                self.stored[words["FDNAME"]] = fds[0]
            elif words.get("FDSTOREREMOVE") == "1":
                os.close(self.stored.pop(words["FDNAME"]))
                self.removed += 1

    def close(self):
        for fd in self.stored.values():
            os.close(fd)
        self.sock.close()


def clients(manager):
    return sorted(n for n in manager.stored if n.startswith("client-"))


def stored_sockets_come_back_to_a_keeper_that_was_killed():
    with scratch() as directory, contextlib.closing(Manager(directory)) as m:
        with contextlib.closing(Alone(NOTIFY_SOCKET=m.path, FDSTORE="1000")) as a:
            with a.client() as x, a.client() as y:
                x.write("/a", "1")
                x.watch("/a", "token")
                x.next_event(lib.TIMEOUT)
                tx = x.begin()
                x.write("/b", "1", tx)
                y.read("/a")
                # And one that only asked whether it answers.
                m.listen(lambda: "listen" in m.stored and m.removed == 1 and len(clients(m)) == 2)
                a.kill()
                restart_with(a, m)
                y.write("/a", "2")
                equal(x.next_event(lib.TIMEOUT), ("/a", "token"))
                x.commit(tx)
                equal(y.read("/b"), b"1")
            m.listen(lambda: not clients(m))
            with a.client() as x:
                equal(x.read("/a"), b"2")


def restart_with(a, m):
    """As a service manager does it: descriptors from 3 on, LISTEN_PID the service's own."""
    launcher = ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *a.argv]
    env = dict(a.env, LISTEN_FDS=str(len(m.stored)), LISTEN_FDNAMES=":".join(m.stored))
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in m.stored.values()]

    def install():
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i)
        os.closerange(3 + len(high), 1000)

    a.process = subprocess.Popen(launcher, env=env, preexec_fn=install, close_fds=False)
    for fd in high:
        os.close(fd)
    until(a.answers, "its socket")


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [
        worker_is_a_child_with_a_name, the_worker_has_given_up_what_it_does_not_need,
        who_connects_while_there_is_no_worker_is_served,
        sockets_that_clients_close_are_let_go, trace_file_and_its_switch_outlive_the_worker,
        counters_go_on_where_they_were, reports_are_written_by_way_of_the_keeper,
        steps_of_an_update_are_checked,
        an_update_that_is_refused_leaves_the_daemon_serving,
        one_update_at_a_time_and_it_can_be_given_up,
        an_update_that_follows_one_given_up_loses_nothing,
        an_update_ends_with_the_worker_or_the_candidate,
        a_daemon_in_the_background_is_updated_too, an_update_carries_everything_over,
        several_updates_over_one_connection, a_guest_may_not_update,
        (a_worker_that_cannot_start_is_tried_again_with_pauses, {"kind": "drover"}),
        (new_options_come_with_an_update, {}), (who_dies_with_the_keeper, {}),
        without_a_journal_a_worker_s_death_is_the_end, a_journal_is_of_one_daemon,
        stored_sockets_come_back_to_a_keeper_that_was_killed]))
