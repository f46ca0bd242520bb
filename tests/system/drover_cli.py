# SPDX-License-Identifier: MIT
"""Runs `drover` for tests: commands that end, commands that go on, and one on a terminal."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "peers"))
import peers  # noqa: E402

DROVER = peers.build_dir() + "/drover"
TIMEOUT = 60


def environment(d, locale="C.UTF-8"):
    env = dict(os.environ, XENSTORED_PATH=d.socket if d else "/nonexistent/socket", TZ="UTC",
               LC_ALL=locale)
    env.pop("XENSTORED_RUNDIR", None)
    return env


class Done:
    def __init__(self, p):
        self.status, self.out, self.err = p.returncode, p.stdout, p.stderr.decode()
        self.text = p.stdout.decode("utf-8", "surrogateescape")
        self.lines = self.text.splitlines()


def drover(d, *args, stdin=b"", locale="C.UTF-8", env=None):
    """One command that is to succeed."""
    r = refused(d, *args, stdin=stdin, locale=locale, env=env, status=0)
    assert r.err == "", r.err
    return r


def refused(d, *args, status=1, stdin=b"", locale="C.UTF-8", env=None):
    """One command that ends with that status."""
    p = subprocess.run([DROVER, *args], input=stdin, env=env or environment(d, locale),
                       capture_output=True, timeout=TIMEOUT, check=False)
    assert p.returncode == status, (args, p.returncode, p.stdout[-500:], p.stderr)
    return Done(p)


def equal(got, want):
    assert got == want, "%r, not %r" % (got, want)


def read_until(fd, pattern, got=b""):
    """What fd says until pattern matches all of it so far; `got` came before."""
    deadline = time.monotonic() + TIMEOUT
    while not re.search(pattern, got, re.S):
        left = deadline - time.monotonic()
        assert left > 0 and select.select([fd], [], [], left)[0], "no %r in %r" % (pattern, got)
        try:
            more = os.read(fd, 65536)
        except OSError:     # a terminal whose program ended
            more = b""
        assert more, "ended without %r: %r" % (pattern, got)
        got += more
    return got


class Churn(threading.Thread):
    """Does turn(client, i) again and again, until left."""

    def __init__(self, d, turn):
        super().__init__(daemon=True)
        self.d, self.turn = d, turn
        self.over = threading.Event()
        self.error = None

    def run(self):
        try:
            with self.d.connect() as x:
                i = 0
                while not self.over.is_set():
                    self.turn(x, i)
                    i += 1
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def __enter__(self):
        self.start()

    def __exit__(self, *exc):
        self.over.set()
        self.join(TIMEOUT)
        assert not self.error, self.error


class Table:
    """What drover top shows: rows by domid, of columns by title, and the lines below."""

    def __init__(self, text):
        lines = text.splitlines()
        top = next(i for i, line in enumerate(lines) if "DOMAIN" in line.split())
        titles = lines[top].split()
        end = lines.index("", top)
        rows = [line.split() for line in lines[top + 1:end]]
        assert all(len(r) == len(titles) for r in rows), rows
        self.order = [int(r[0]) for r in rows]
        self.rows = {int(r[0]): dict(zip(titles, r)) for r in rows}
        self.below = lines[end + 1:]


class Terminal:
    """drover top on a terminal of its own."""

    def __init__(self, d, *args):
        self.fd, slave = pty.openpty()
        self.resize(24, 100)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen([DROVER, "top", *args], env=environment(d), stdin=slave,
                                        stdout=slave, stderr=slave, start_new_session=True)
        self.slave = slave

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, pattern):
        return read_until(self.fd, pattern)

    def end(self):
        """Its exit status; the terminal is to be as it was."""
        status = self.process.wait(TIMEOUT)
        equal(termios.tcgetattr(self.slave), self.before)
        os.close(self.fd)
        os.close(self.slave)
        return status
