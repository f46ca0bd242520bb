# SPDX-License-Identifier: MIT
"""Two hosts of the lab with a drover-hostd each, over libxl, and unmodified virsh before them.

    a.create_linux("g"); a.create_pulse("p", "aware=1")     # a, b: Daemon
    a.virsh(*daemons.move_words("g", b))
    daemons.alone("g", b, a)                                # it beats at b, nothing is left at a
    sys.exit(daemons.main(__doc__, CASES))                  # all of them on one pair of hosts

virsh runs here, and reaches each daemon through a proxy that sees every message
(peers/rpcproxy.py), so that a case can let things go wrong at one of them.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, TESTS + "/peers"]
import lab  # noqa: E402
import pulse  # noqa: E402
import rpcproxy  # noqa: E402
from lab import equal, until  # noqa: E402

PORT = 16509
TIMEOUT = 240
LOG = "/var/log/xen/hostd.log"
RUN = "/run/hostd"

LINUX = """<os><type arch='x86_64' machine='%(machine)s'>%(os)s</type>
<kernel>/guest/vmlinux</kernel><initrd>/guest/beat.cpio</initrd>
<cmdline>console=hvc0 quiet</cmdline></os>"""
PULSE = """<os><type arch='x86_64' machine='xenpvh'>xenpvh</type><kernel>/root/drover-pulse</kernel>
<cmdline>%(words)s</cmdline></os>"""
XML = """<domain type='xen'><name>%(name)s</name><memory unit='MiB'>%(memory)d</memory>
<vcpu>1</vcpu>%(boots)s<on_crash>destroy</on_crash><devices><console type='pty'>
<target type='xen' port='0'/></console></devices></domain>
"""


class Daemon:
    """A host's drover-hostd, and virsh before it."""

    def __init__(self, host, number):
        self.host, self.number = host, number
        self.ready = 0
        self.forwarded = host.forward(PORT)
        ours = lab.free_port()
        self.uri = "xen+tcp://127.0.0.1:%d/system" % ours
        self.proxy = rpcproxy.Proxy("tcp://127.0.0.1:%d" % ours,
                                    "tcp://127.0.0.1:%d" % self.forwarded)
        host.put("/root/drover-pulse", pulse.program())
        self.start()

    def start(self):
        address = "10.9.0.%d" % self.number
        name = self.host.name.lower()
        self.host.run(
            "drover-hostd --backend xl --allow-plain-tcp yes --libvirt-sockets no "
            "--listen tcp://0.0.0.0:%d --host-name %s --peer-address tcp://%s:%d "
            "--migration-address %s --state-dir /var/lib/drover --run-dir %s "
            "--log-dir /var/log/xen/guests --pid-file /run/hostd.pid "
            "</dev/null >>%s 2>&1 &" % (PORT, name, address, PORT, address, RUN, LOG))
        job = self.host.follow(LOG)
        for _ in range(self.ready + 1):
            job.line("^drover-hostd: ready", 60)
        self.ready += 1

    def kill(self):
        self.host.run("kill -9 $(cat /run/hostd.pid)")

    def start_virsh(self, *words):
        argv = ["virsh", "-k", "0", "-c", self.uri, *words]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                stdin=subprocess.DEVNULL, text=True)

    def virsh(self, *words, check=True):
        p = self.start_virsh(*words)
        try:
            out = p.communicate(timeout=TIMEOUT)[0]
        except subprocess.TimeoutExpired:
            p.kill()
            raise
        assert not check or p.returncode == 0, "virsh %s: %s" % (" ".join(words), out)
        return out

    def refused(self, *words):
        p = self.start_virsh(*words)
        out = p.communicate(timeout=TIMEOUT)[0]
        assert p.returncode, "virsh %s succeeded" % " ".join(words)
        return out

    def create(self, name, boots, memory):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as f:
            f.write(XML % {"name": name, "memory": memory, "boots": boots})
            f.flush()
            self.virsh("create", f.name)

    def create_linux(self, name, os_type="xenpvh", memory=96):
        self.create(name, LINUX % {"os": os_type, "machine": os_type.replace("linux", "xenpv")},
                    memory)
        self.host.await_beats(name, 3)

    def create_pulse(self, name, words="aware=1"):
        self.create(name, PULSE % {"words": words}, 4)
        self.await_heart(name)

    def heart(self, name):
        """The number of its last beat; 0: none yet."""
        domid = self.domains()[name][0]
        out = self.host.run("xenstore-read /local/domain/%d/data/hb" % domid, check=False).out
        return int(out or 0)

    def await_heart(self, name, more=2):
        since = self.heart(name)
        until(lambda: self.heart(name) >= since + more, "%s beats" % name, 60)
        return self.heart(name)

    def domains(self):
        """{name: (domid, xl's letters of its state)} of what Xen has besides dom0."""
        lines = self.host.run("xl list").lines[1:]
        fields = [line.split() for line in lines]
        return {f[0]: (int(f[1]), f[4]) for f in fields if f[1] != "0"}

    def guest_pid(self, name):
        """The process that looks after it."""
        said = self.host.run("for d in %s/*/; do grep -q '^name %s$' $d/guest && cut -d' ' -f1 "
                             "$d/process; done; true" % (RUN, name)).out
        return int(said.split()[0])

    def journal_is_quiet(self):
        """No process of a guest's is left, nor a directory of one."""
        return not self.host.run("ls -d %s/*-*-*-*-*" % RUN, check=False).out.strip()


def move_words(name, there, *more):
    return ["migrate", "--live", *more, name, there.uri]


def alone(name, here, other):
    """It beats here, is told of here, and there is nothing of it there; at once or soon."""
    until(lambda: name in here.domains() and not other.domains(), "%s is at %s alone" %
          (name, here.host.name), 60)
    equal(list(here.domains()), [name])
    letters = here.domains()[name][1]
    assert not set("psc") & set(letters), "%s: %s" % (name, letters)
    here.await_heart(name)
    assert re.search(r"\b%s\s+running" % name, here.virsh("list"))
    until(other.journal_is_quiet, "nothing is left at " + other.host.name, 60)
    assert name not in other.virsh("list", "--all")


def clear(*daemons):
    for d in daemons:
        d.proxy.rules.clear()
        for name in list(d.domains()):
            d.virsh("destroy", name, check=False)
        until(lambda d=d: not d.domains() and d.journal_is_quiet(), "a host is empty", 60)


def all_up(*daemons):
    """What a case that failed has left is no other's."""
    for d in daemons:
        try:
            if d.host.run("kill -0 $(cat /run/hostd.pid)", check=False).status:
                d.start()
        except AssertionError:
            traceback.print_exc()
    try:
        clear(*daemons)
    except AssertionError:
        traceback.print_exc()


def main(doc, cases):
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="CASE")
    only = parser.parse_args().only
    tap = lab.lib.Tap()
    try:
        lab.files()
        pulse.program()
    except lab.Skip as e:
        print("1..0 # SKIP %s" % e)
        return 0
    with lab.pair() as hosts:
        a, b = (Daemon(h, n + 1) for n, h in enumerate(hosts))
        for function in cases:
            if only and function.__name__ not in only:
                continue

            def once(function=function):
                with lab.told(*hosts):
                    function(a, b)
                    clear(a, b)

            begin, failed = time.monotonic(), tap.failed
            tap.case(function.__name__.replace("_", " "), once)
            print("# %.1f s" % (time.monotonic() - begin), flush=True)
            if tap.failed > failed:
                all_up(a, b)
    return tap.end()
