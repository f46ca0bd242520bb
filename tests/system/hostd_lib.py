# SPDX-License-Identifier: MIT
"""One drover-hostd on a simulated host, and unmodified virsh before it.

    with hostd_lib.Hostd(d) as h:           # d: a store's daemon of lib.py, or None
        h.virsh("define", h.xml("g1"))      # a Result: .out, .err, .status
        h.refused("start", "nobody")        # its error's text
        h.kill(); h.start()
"""
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import uuid

import lib
from xsclient import build_dir

HOSTD = build_dir() + "/drover-hostd"
SIMGUEST = build_dir() + "/drover-simguest"
VIRSH = shutil.which("virsh") or "/usr/bin/virsh"
PROGRAM = 0x20008086
CALL, REPLY, EVENT, STREAM = 0, 1, 2, 3


class Hostd:
    def __init__(self, d=None, directory=None, args=(), name="hosta"):
        self.own = directory is None
        self.dir = directory or subprocess.check_output(
            ["mktemp", "-d", "/dev/shm/drover-hostd-XXXXXX"], text=True).strip()
        self.socket, self.ro = self.dir + "/sock", self.dir + "/sock-ro"
        self.store = d
        self.args = [
            "--backend", "sim", "--program", SIMGUEST, "--state-dir", self.dir + "/state",
            "--run-dir", self.dir + "/run", "--log-dir", self.dir + "/log",
            "--listen", "unix://%s unix-ro://%s" % (self.socket, self.ro),
            "--libvirt-sockets", "no", "--host-name", name,
            "--config", self.dir + "/hostd.conf"]
        if d:
            self.args += ["--store", d.socket, "--sim-dir", d.dir,
                          "--store-userdata", self.dir + "/userdata"]
        else:
            self.args += ["--store", "none"]
        self.args += list(args)
        self.process, self.turn = None, threading.Lock()
        with open(self.dir + "/hostd.conf", "a", encoding="ascii"):
            pass

    def start(self):
        with self.turn:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [lib.need(HOSTD), *self.args], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                stderr=open(self.dir + "/err", "ab"), text=True)
            line = lib.next_line(self.process)
        assert line.startswith("drover-hostd: ready"), line + self.log()
        return line

    def log(self):
        with open(self.dir + "/err", encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill(self, sig=signal.SIGKILL):
        with self.turn:     # a proxy may do this, and its client end before it is done
            self.process.send_signal(sig)
            status = self.process.wait(lib.TIMEOUT)
            self.process.stdout.close()
        return status

    def stop(self):
        """SIGTERM; guests go on."""
        status = self.kill(signal.SIGTERM)
        assert status == 0, "exit %d\n%s" % (status, self.log()[-4000:])

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *rest):
        try:
            if self.process.poll() is None:
                if not kind:
                    for name in self.names():
                        self.virsh("destroy", name)
                status = self.kill(signal.SIGTERM)
                assert kind or status == 0, "exit %d\n%s" % (status, self.log()[-4000:])
            elif not kind:
                raise AssertionError("the daemon died\n" + self.log()[-4000:])
        finally:
            for pid in self.processes():
                os.kill(pid, signal.SIGKILL)
            if self.own and not os.environ.get("KEEP"):
                shutil.rmtree(self.dir, ignore_errors=True)

    def processes(self):
        """Of guests of this host."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    words = f.read()
            except OSError:
                continue
            if words.startswith(b"drover-simguest\0") and self.dir.encode() in words:
                found.append(int(pid))
        return found

    def uri(self, read_only=False):
        return "xen+unix:///system?socket=" + (self.ro if read_only else self.socket)

    def argv(self, *words, read_only=False):
        return [lib.need(VIRSH), "-q", *(["-r"] if read_only else []), "-c",
                self.uri(read_only), *words]

    def virsh(self, *words, status=0, read_only=False):
        p = subprocess.run(self.argv(*words, read_only=read_only), capture_output=True, text=True,
                           timeout=lib.TIMEOUT, check=False, env=dict(os.environ, LC_ALL="C"))
        assert status in (None, p.returncode), "virsh %s: exit %d\n%s%s\n%s" % (
            " ".join(words), p.returncode, p.stdout, p.stderr, self.log()[-2000:])
        return lib.Result(p)

    def refused(self, *words, read_only=False):
        return self.virsh(*words, status=1, read_only=read_only).err

    def names(self, *flags):
        return self.virsh("list", "--name", *flags).out.split()

    def state(self, name):
        return self.virsh("domstate", name).out.strip()

    def xml(self, name, words="", more="", uid=None):
        """A guest's definition in a file: the words are what its kernel is told."""
        path = "%s/%s.xml" % (self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write("<domain type='test'><name>%s</name><uuid>%s</uuid>"
                    "<memory unit='MiB'>4</memory><vcpu>1</vcpu><os><type>hvm</type>"
                    "<kernel>/none</kernel><cmdline>tick=20 %s</cmdline></os>%s</domain>"
                    % (name, uid or uuid.uuid5(uuid.NAMESPACE_DNS, name), words, more))
        return path

    def ticks(self, name):
        """Lines of the guest's own log."""
        with open("%s/log/%s.ticks" % (self.dir, name), encoding="ascii") as f:
            return [line.split() for line in f]

    def connect(self, read_only=False):
        return Raw(self.ro if read_only else self.socket)


class Raw:
    """A connection that says whatever it is told to."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(lib.TIMEOUT)
        self.sock.connect(path)
        self.serial = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def frame(self, procedure, body=b"", kind=CALL, status=0, program=PROGRAM, version=1):
        self.serial += 1
        head = struct.pack(">6I", program, version, procedure, kind, self.serial, status)
        return struct.pack(">I", 4 + len(head) + len(body)) + head + body

    def _octets(self, n):
        got = b""
        while len(got) < n:
            more = self.sock.recv(n - len(got))
            if not more:
                return None
            got += more
        return got

    def read(self):
        """(procedure, type, serial, status, body); None: closed."""
        size = self._octets(4)
        rest = self._octets(struct.unpack(">I", size)[0] - 4) if size else None
        if rest is None:
            return None
        _, _, procedure, kind, serial, status = struct.unpack(">6I", rest[:24])
        return procedure, kind, serial, status, rest[24:]

    def call(self, procedure, body=b"", **more):
        """The reply's body, or an error's (code, message)."""
        self.sock.sendall(self.frame(procedure, body, **more))
        answer = self.read()
        if answer is None:
            return None
        _, _, serial, status, got = answer
        lib.equal(serial, self.serial)
        if not status:
            return got
        code, _, there, size = struct.unpack(">4i", got[:16])
        return code, got[16:16 + size].decode() if there else ""

    def open(self):
        lib.equal(self.call(1, text(None) + struct.pack(">I", 0)), b"")
        return self

    def closed(self):
        """That the other end closes it, whatever it still says."""
        while self.sock.recv(65536):
            pass


def text(value):
    """A string of XDR; None: one that is not there."""
    if value is None:
        return struct.pack(">I", 0)
    return struct.pack(">I", 1) + string(value)


def string(value):
    octets = value.encode()
    return struct.pack(">I", len(octets)) + octets + b"\0" * (-len(octets) % 4)


def waits_for_nothing(p):
    """A virsh whose migration is over has only its main thread and its event loop's."""
    try:
        return len(os.listdir("/proc/%d/task" % p.pid)) == 2
    except FileNotFoundError:
        return False


def migrated(p, said, nothing_s=5):
    """The exit status of a virsh migrate, or "virsh hung" for one that is killed since it would
    never end: a migration that fails before virsh 9.0 has begun to wait for it is waited for, for
    ever. nothing_s: longer than a daemon is stopped that it connects to; said: a function, what to
    tell where no answer comes."""
    since = time.monotonic()
    end = since + lib.TIMEOUT
    while p.poll() is None:
        now = time.monotonic()
        if not waits_for_nothing(p):
            since = now
        if now > since + nothing_s:
            p.kill()
            p.wait()
            return "virsh hung"
        assert now < end, "no answer: %s\n%s" % (" ".join(p.args), said())
        select.select([], [], [], 0.005)
    return p.returncode
