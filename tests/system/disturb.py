# SPDX-License-Identifier: MIT
"""What tests that kill and replace a daemon share: its worker, live updates, and clients that
check their own history meanwhile (tests/stress)."""
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from lib import peers  # noqa: E402

STRESS = peers.build_dir() + "/tests/stress/stress-history"
# With the library that the Xen backend needs; the simulated one does not mind it.
POISON = ":".join(peers.build_dir() + "/tests/" + f
                  for f in ("stress/poison.so", "peers/xenshim.so"))
# A sanitizer's library need not come first then.
POISONED = {"LD_PRELOAD": POISON, "ASAN_OPTIONS": "verify_asan_link_order=0"}
CONTROL = peers.XEN_BIN + "/xenstore-control"
C_XENSTORED = peers.XEN_BIN + "/xenstored"


def _stat(pid):
    """(name, parent) of a process; None when it is gone."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            text = f.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
    return (name, int(rest[1])) if rest[0] not in "ZX" else None


def workers(d):
    """Processes of that daemon's keeper that are called so."""
    return [int(p) for p in os.listdir("/proc") if p.isdigit()
            and _stat(int(p)) == ("drover-worker", d.pid)]


def worker(d):
    """The one worker, once there is one."""
    found = []

    def one():
        found[:] = workers(d)
        return len(found) == 1
    lib.until(one, "one worker of %d" % d.pid)
    return found[0]


def kill_worker(d, sig=signal.SIGKILL):
    """Kills it and waits until it is gone."""
    pid = worker(d)
    fd = os.pidfd_open(pid)
    try:
        os.kill(pid, sig)
        assert select.select([fd], [], [], lib.TIMEOUT)[0], "worker %d survives" % pid
    finally:
        os.close(fd)
    return pid


def live_update(d, program=lib.XENSTORED, *options, status=0):
    """As an operator does it."""
    return lib.run(d, CONTROL, "live-update", *options, program, status=status)


class History:
    """Clients at work, until told to end."""

    def __init__(self, d, *options):
        self.argv = [lib.need(STRESS), "--sim", d.dir, *options, d.socket]
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.rest, self.lines, self.progressed = b"", [], 0
        self.d = d

    def _fail(self, what):
        self.process.kill()
        out, err = self.process.stdout.read(), self.process.stderr.read()
        raise AssertionError("%s\n%s\n%s\n%s" % (what, out.decode()[-800:], err.decode()[-3000:],
                                                 self.d.output()[-3000:]))

    def line(self):
        end = time.monotonic() + lib.TIMEOUT
        while not self.lines:
            left = end - time.monotonic()
            if left < 0 or not select.select([self.process.stdout], [], [], left)[0]:
                self._fail("the clients do not get on")
            more = os.read(self.process.stdout.fileno(), 65536)
            if not more:
                self._fail("the clients ended")
            *lines, self.rest = (self.rest + more).split(b"\n")
            self.lines += lines
        return self.lines.pop(0).decode()

    def ready(self):
        while True:
            line = self.line()
            if line == "ready":
                return
            if not line.startswith("progress"):
                self._fail("not ready: " + line)

    def progress(self, n=1):
        """Every client was served, n times from now."""
        while select.select([self.process.stdout], [], [], 0)[0] and not self.lines:
            self.lines.append(self.line())
        self.lines.clear()
        while n:
            line = self.line()
            if line.startswith("{"):
                self._fail(line)
            n -= line.startswith("progress")
            self.progressed += 1

    def _say(self, word):
        self.process.stdin.write(word + b"\n")
        self.process.stdin.flush()

    @contextlib.contextmanager
    def calm(self):
        """No transaction is open meanwhile. Whatever else they do goes on."""
        self._say(b"c")
        while self.line() != "calm":
            pass
        yield
        self._say(b"g")

    def finish(self):
        """The counts; all checks were passed."""
        self.process.stdin.close()
        while True:
            line = self.line()
            if line.startswith("{"):
                break
        status = self.process.wait(lib.TIMEOUT)
        counts = json.loads(line)
        if status or counts["failures"]:
            self._fail(line)
        return counts

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for f in (self.process.stdin, self.process.stdout, self.process.stderr):
            f.close()


@contextlib.contextmanager
def history(d, *options):
    h = History(d, *options)
    try:
        h.ready()
        yield h
    finally:
        h.end()
