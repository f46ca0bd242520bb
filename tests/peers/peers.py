#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Starts any xenstored on a simulated hypervisor and speaks to it, by socket and by ring.

    sys.path.insert(0, ROOT + "/tests/peers"); import peers

    with peers.Daemon("c") as d:                # or "ocaml", "drover", "drover-xen"
        x = d.connect()                         # a client on the socket, privileged
        x.write("/a", "1")
        assert x.read("/a") == b"1"
        domid = d.create_guest()                # created, introduced, owns /local/domain/N
        with d.guest(domid) as g:               # speaks as that domain, over its ring
            g.write("data/x", "hello")
            g.watch("data", "tok")
            print(g.next_event(5))              # (path, token)
        d.sim.destroy(domid)

Daemon(kind, dir=None, quotas="lifted", cpu=None, args=[], env={}, build=None, prefix=[]):
    quotas "default" leaves the daemon's own; "lifted" puts them out of the way. dir is made
    fresh in /dev/shm where none is given, and removed by stop(). d.pid, d.socket, d.log, d.dir.
    stop() ends it by pid; kill() without warning; restart() starts it again in its directory.
Client (both transports): read write mkdir rm ls perms setperms watch unwatch begin commit
    abort introduce release control get_domain_path is_introduced resume set_target, or call(
    type, payload, tx=0) -> payload, all raising XsError (.name is the errno's name, as the
    daemon said it); send()/recv() for single messages; send_raw() for any octets. Events that
    come between are kept in .events; next_event(timeout) takes one.
Sim(dir): create shutdown resume kill destroy info list; guests and toolstacks without a daemon.

The build folder is DROVER_BUILD or build/ beside this source tree: it holds
tests/peers/xenshim.so, tests/peers/libdroversim.so and drover-xenstored.
"""
import contextlib
import ctypes
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from xsclient import *  # noqa: E402,F401,F403  pylint: disable=wildcard-import
from xsclient import XS_PORT, RingClient, Sim, SocketClient, build_dir  # noqa: E402


XEN_BIN = os.environ.get("XEN_BIN", "/usr/lib/xen-4.17/bin")


def have(kind):
    """Whether this machine has what that kind of daemon needs."""
    program = {"c": XEN_BIN + "/xenstored", "ocaml": XEN_BIN + "/oxenstored"}.get(
        kind, build_dir() + "/drover-xenstored")
    return os.access(program, os.X_OK)


LIFTED = ["-E", "2000000", "-S", "1000000", "-W", "1000000", "-t", "1000", "-A", "1000",
          "-Q", "transaction-nodes=1000000", "-Q", "memory=2000000000", "-Q", "outstanding=100000"]

OCAML_CONF = """pid-file = {dir}/run/pid
test-eagain = false
merge-activate = true
conflict-burst-limit = 5.0
conflict-max-history-seconds = 0.05
conflict-rate-limit-is-aggregate = true
perms-activate = true
perms-watch-activate = true
quota-activate = true
quota-maxentity = {entity}
quota-maxsize = {size}
quota-maxwatch = {watch}
quota-transaction = {transaction}
quota-maxrequests = {requests}
quota-path-max = 1024
quota-maxoutstanding = {outstanding}
quota-maxwatchevents = {events}
persistent = false
xenstored-kva = {dir}/dom/0.ring
xenstored-port = {dir}/xsd_port
"""
OCAML_QUOTAS = {
    "default": dict(entity=1000, size=2048, watch=100, transaction=10, requests=1024,
                    outstanding=1024, events=1024),
    "lifted": dict(entity=2000000, size=1000000, watch=1000000, transaction=1000,
                   requests=10000000, outstanding=1000000, events=1000000)}


def _prepare_daemon():
    """It ends with whoever started it, and may have as many connections as this user may."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Daemon:
    KINDS = ("c", "ocaml", "drover", "drover-xen")

    def __init__(self, kind, dir=None, quotas="lifted", cpu=None, args=(), env=None, build=None,
                 prefix=(), start=True):
        if kind not in self.KINDS:
            raise ValueError(kind)
        self.kind, self.quotas, self.cpu = kind, quotas, cpu
        self.args, self.env, self.prefix = list(args), dict(env or {}), list(prefix)
        self.build = build_dir(build)
        self.own_dir = dir is None
        self.dir = dir or tempfile.mkdtemp(
            prefix="drover-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self.run = self.dir + "/run"
        self.socket = self.run + "/socket"
        self.log = self.dir + "/out"
        self.process = None
        self.sim = Sim(self.dir)
        for name in ("run", "runxen", "log", "lib"):
            os.makedirs(self.dir + "/" + name, exist_ok=True)
        if start:
            try:
                self.start()
            except BaseException:
                self.stop()
                raise

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def command(self):
        quotas = LIFTED if self.quotas == "lifted" else []
        if self.kind == "ocaml":
            conf = self.dir + "/oxenstored.conf"
            with open(conf, "w") as f:
                f.write(OCAML_CONF.format(dir=self.dir, **OCAML_QUOTAS[self.quotas]))
            with open(self.dir + "/xsd_port", "w") as f:
                f.write(str(XS_PORT))
            return [XEN_BIN + "/oxenstored", "--no-fork", "--config-file", conf,
                    "--no-access-log"]
        if self.kind == "c":
            return [XEN_BIN + "/xenstored", "-N"] + quotas
        hv = "xen" if self.kind == "drover-xen" else "sim:" + self.dir
        # The shim opens the simulated host's files where Xen's libraries would not.
        open_files = ["--no-sandbox"] if self.kind == "drover-xen" else []
        return [self.build + "/drover-xenstored", "-N", "--hv=" + hv] + open_files + quotas

    def environment(self):
        env = dict(os.environ, XENSTORED_PATH=self.socket, XENSTORED_RUNDIR=self.run,
                   DROVER_SIM_DIR=self.dir)
        if self.kind != "drover":
            shim = self.build + "/tests/peers/xenshim.so"
            env["LD_PRELOAD"] = ":".join(filter(None, [env.get("LD_PRELOAD"), shim]))
            # A sanitizer's library wants to be loaded first; the shim does not mind.
            env["ASAN_OPTIONS"] = ":".join(
                filter(None, [env.get("ASAN_OPTIONS"), "verify_asan_link_order=0"]))
        if self.kind == "ocaml":
            # It takes its paths from neither variable: the shim leads them here.
            env.pop("XENSTORED_PATH")
        env.update(self.env)
        return env

    def start(self, timeout=20):
        for name in (self.socket, self.run + "/pid"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                self.prefix + self.command() + self.args, env=self.environment(), stdout=out,
                stderr=out, stdin=subprocess.DEVNULL, preexec_fn=_prepare_daemon)
        if self.cpu is not None:
            os.sched_setaffinity(self.pid, {self.cpu})
        ended = os.pidfd_open(self.pid)
        try:
            deadline = time.monotonic() + timeout
            while not self.is_ready():
                if select.select([ended], [], [], 0.005)[0]:
                    raise RuntimeError("%s ended:\n%s" % (self.kind, self.output()))
                if time.monotonic() > deadline:
                    self.kill()
                    raise RuntimeError("%s: no socket\n%s" % (self.kind, self.output()))
        finally:
            os.close(ended)

    def is_ready(self):
        """oxenstored writes its pid once it accepts already."""
        if not self.accepts():
            return False
        with contextlib.suppress(FileNotFoundError):
            return self.kind != "ocaml" or os.path.getsize(self.run + "/pid") > 0
        return False

    def accepts(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            try:
                s.connect(self.socket)
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False

    def output(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def kill(self, sig=signal.SIGKILL, timeout=20):
        """Ends the process alone; its directory stays. Returns its exit status."""
        if not self.process:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.process = None
        return status

    def restart(self):
        self.kill()
        self.start()

    def stop(self):
        """SIGTERM to our own (its exit status is returned), SIGKILL to the others."""
        own = self.kind.startswith("drover")
        status = self.kill(signal.SIGTERM if own else signal.SIGKILL)
        self.sim.close()
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def connect(self):
        return SocketClient(self.socket)

    def guest(self, domid):
        return RingClient(self.dir, domid)

    def create_guest(self, domid=0, client=None):
        """A new domain, introduced and with a home of its own."""
        domid = self.sim.create(domid)
        x = client or self.connect()
        x.introduce(domid)
        x.own_home(domid)
        if not client:
            x.close()
        return domid
