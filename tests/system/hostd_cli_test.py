#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""drover-hostd before unmodified virsh: what each command does and says, and what is refused.

Usage: hostd_cli_test.py [--only CASE]...
"""
import contextlib
import os
import re
import select
import signal
import struct
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from hostd_lib import HOSTD, PROGRAM, REPLY, STREAM, Hostd, string  # noqa: E402
from lib import equal  # noqa: E402

CONNECT_GET_HOSTNAME, DOMAIN_DESTROY = 59, 12


def has(text, *words):
    for word in words:
        assert word in text, "%r is not in %r" % (word, text)


def fields(text):
    """Lines of "Name: value"."""
    return dict(re.split(r":\s+", line, maxsplit=1) for line in text.splitlines()
                if re.search(r":\s+\S", line))


def in_store(d, name):
    """The domain of that name in the store."""
    with d.connect() as x:
        for domid in x.ls("/local/domain"):
            path = "/local/domain/%s/name" % domid
            if not lib.refusal(x.read, path) and x.read(path) == name.encode():
                return int(domid)
    return None


# ---- what a guest goes through ----

def a_definition_is_listed_shown_and_forgotten(d):
    with Hostd(d) as h:
        equal(h.names("--all"), [])
        h.virsh("define", h.xml("g1"))
        equal(h.names(), [])
        equal(h.names("--all"), ["g1"])
        said = fields(h.virsh("dominfo", "g1").out)
        equal((said["Name"], said["Id"], said["State"], said["Persistent"], said["Max memory"]),
              ("g1", "-", "shut off", "yes", "4096 KiB"))
        shown = h.virsh("dumpxml", "g1").out
        has(shown, "<name>g1</name>", "<cmdline>tick=20 </cmdline>")
        again = h.dir + "/again.xml"
        with open(again, "w", encoding="utf-8") as f:
            f.write(shown)
        h.virsh("define", again)
        equal(h.virsh("dumpxml", "g1").out, shown)
        equal(h.virsh("domid", "g1").out.strip(), "-")
        equal(h.virsh("domname", said["UUID"]).out.strip(), "g1")
        h.virsh("undefine", "g1")
        equal(h.names("--all"), [])
        equal(os.listdir(h.dir + "/state/domains"), [])


def a_guest_runs_pauses_and_ends(d):
    with Hostd(d) as h:
        h.virsh("define", h.xml("g1"))
        h.virsh("start", "g1")
        equal(h.state("g1"), "running")
        assert in_store(d, "g1"), "not in the store"
        has(h.refused("start", "g1"), "Domain is already active")
        lib.until(lambda: len(h.ticks("g1")) > 3, "ticks")
        h.virsh("suspend", "g1")
        equal(h.virsh("domstate", "g1", "--reason").out.strip(), "paused (user)")
        before = len(h.ticks("g1"))
        h.virsh("suspend", "g1")
        h.virsh("dominfo", "g1")
        equal(len(h.ticks("g1")), before)
        h.virsh("resume", "g1")
        equal(h.virsh("domstate", "g1", "--reason").out.strip(), "running (unpaused)")
        has(h.refused("resume", "g1"), "already running")
        equal(h.virsh("domid", "g1").out.strip(), "1")
        has(h.virsh("dumpxml", "g1").out, "<domain type='test' id='1'>")
        assert "id=" not in h.virsh("dumpxml", "g1", "--inactive").out.splitlines()[0]
        equal(h.virsh("domname", "1").out.strip(), "g1")
        h.virsh("reboot", "g1")
        h.virsh("destroy", "g1")
        equal(h.virsh("domstate", "g1", "--reason").out.strip(), "shut off (destroyed)")
        equal((in_store(d, "g1"), h.processes(), os.listdir(h.dir + "/run")),
              (None, [], ["autostarted"]))
        h.virsh("start", "g1", "--paused")
        equal(h.state("g1"), "paused")
        h.virsh("resume", "g1")
        h.virsh("shutdown", "g1")
        lib.until(lambda: h.state("g1") == "shut off", "shut off")
        equal(h.virsh("domstate", "g1", "--reason").out.strip(), "shut off (shutdown)")
        equal(in_store(d, "g1"), None)


def a_transient_guest_is_gone_when_it_ends(d):
    with Hostd(d) as h:
        h.virsh("create", h.xml("g1"))
        equal(fields(h.virsh("dominfo", "g1").out)["Persistent"], "no")
        has(h.refused("create", h.xml("g1")), "already active")
        has(h.refused("undefine", "g1"), "transient")
        equal((h.names("--transient"), h.names("--persistent", "--all")), (["g1"], []))
        h.virsh("define", h.xml("g1"))
        equal(h.names("--persistent"), ["g1"])
        h.virsh("undefine", "g1")
        equal(h.names(), ["g1"])
        h.virsh("destroy", "g1", "--graceful")
        equal(h.names("--all"), [])


def a_guest_that_dies_is_told_of(d):
    with Hostd(d) as h:
        h.virsh("define", h.xml("g1", "crash=5"))
        h.virsh("start", "g1")
        lib.until(lambda: h.state("g1") == "shut off", "shut off")
        equal(h.virsh("domstate", "g1", "--reason").out.strip(), "shut off (crashed)")
        h.virsh("define", h.xml("g2"))
        h.virsh("start", "g2")
        os.kill(h.processes()[0], signal.SIGKILL)
        lib.until(lambda: h.state("g2") == "shut off", "shut off")
        equal((in_store(d, "g1"), in_store(d, "g2")), (None, None))


def a_guest_that_is_deaf_is_destroyed(d):
    with Hostd(d) as h:
        h.virsh("create", h.xml("g1", "deaf"))
        h.virsh("shutdown", "g1")
        equal(h.state("g1"), "running")
        h.virsh("destroy", "g1")
        equal((h.names("--all"), h.processes()), ([], []))


def a_restart_asked_for_by_the_definition_is_made(d):
    with Hostd(d) as h:
        h.virsh("create", h.xml("g1", "poweroff=5", "<on_poweroff>restart</on_poweroff>"))
        lib.until(lambda: [t[0] for t in h.ticks("g1")].count("START") > 1, "a second start")
        lib.until(lambda: h.state("g1") in ("running", "shut off"), "it runs")


def a_guest_that_waits_for_the_store_to_be_restarted_is_destroyed(d):
    with Hostd(d) as h, h.connect() as c:
        path = h.xml("g1", "poweroff=5", "<on_poweroff>restart</on_poweroff>")
        h.virsh("create", path, "--paused")
        c.open()
        pids = lib.family(d.pid)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            h.virsh("resume", "g1")
            # its end is not waited for longer than some seconds, its next start neither
            lib.until(lambda: "is started again" in h.log(), "a restart")
            c.sock.sendall(c.frame(DOMAIN_DESTROY, string("g1") + uuid.uuid5(
                uuid.NAMESPACE_DNS, "g1").bytes + struct.pack(">i", -1)))
            c.call(CONNECT_GET_HOSTNAME)    # answered first: the other waits
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        equal(c.read()[3:], (0, b""))
        lib.until(lambda: not h.processes(), "no process is left")
        equal((h.names("--all"), os.listdir(h.dir + "/run")), ([], ["autostarted"]))
        equal(in_store(d, "g1"), None)


class Told:
    """What virsh tells of events; its lines come in bunches."""

    def __init__(self, p):
        self.fd, self.lines, self.rest = p.stdout.fileno(), [], b""

    def ready(self, timeout):
        return self.lines or select.select([self.fd], [], [], timeout)[0]

    def next(self):
        while not self.lines:
            assert self.ready(lib.TIMEOUT), "no event"
            octets = os.read(self.fd, 65536)
            assert octets, "the end"
            *lines, self.rest = (self.rest + octets).split(b"\n")
            self.lines += lines
        return self.lines.pop(0).decode()

    def until(self, what):
        line = self.next()
        while what not in line:
            line = self.next()


def events_are_told(d):
    with Hostd(d) as h:
        with lib.started(h.argv("event", "--all", "--loop"), stdin=subprocess.DEVNULL) as p:
            told = Told(p)
            # What happens before virsh has subscribed is not told: until it has.
            lib.until(lambda: h.virsh("define", h.xml("g0")) and told.ready(0.1), "an event")
            for words, what in ((("define", h.xml("g1")), "Defined Added"),
                                (("define", h.xml("g1")), "Defined Updated"),
                                (("start", "g1"), "Started Booted"),
                                (("suspend", "g1"), "Suspended Paused"),
                                (("resume", "g1"), "Resumed Unpaused"),
                                (("reboot", "g1"), ""),
                                (("destroy", "g1"), "Stopped Destroyed"),
                                (("undefine", "g1"), "Undefined Removed")):
                h.virsh(*words)
                told.until("'reboot' for domain 'g1'" if not what else "'g1': " + what)


# ---- the daemon ends, and another one goes on ----

def a_restarted_daemon_finds_its_guests(d):
    with Hostd(d) as h:
        h.virsh("define", h.xml("g1"))
        h.virsh("create", h.xml("g2"))
        h.virsh("start", "g1")
        h.virsh("suspend", "g2")
        before = h.virsh("list").out
        pids = sorted(h.processes())
        domids = in_store(d, "g1"), in_store(d, "g2")
        for way in (signal.SIGKILL, signal.SIGTERM):
            h.kill(way)
            h.start()
            equal(h.virsh("list").out, before)
            equal(sorted(h.processes()), pids)
            equal((in_store(d, "g1"), in_store(d, "g2")), domids)
        n = len(h.ticks("g1"))
        lib.until(lambda: len(h.ticks("g1")) > n, "it goes on")
        h.virsh("destroy", "g1")
        h.virsh("destroy", "g2")
        equal((h.names("--all"), h.processes()), (["g1"], []))


def a_guest_that_ends_while_no_daemon_is_there_is_cleaned_up(d):
    with Hostd(d) as h:
        h.virsh("define", h.xml("g1"))
        h.virsh("start", "g1")
        pid, = h.processes()
        h.kill()
        os.kill(pid, signal.SIGKILL)
        h.start()
        lib.until(lambda: h.state("g1") == "shut off", "shut off")
        lib.until(lambda: in_store(d, "g1") is None, "gone from the store")
        h.virsh("start", "g1")


def a_daemon_killed_at_any_time_leaves_nothing_half_done(d):
    with Hostd(d) as h:
        h.virsh("define", h.xml("g1"))
        for i in range(20):
            with lib.started(h.argv("start" if i % 2 else "create", "g1" if i % 2 else
                                    h.xml("g2"))) as p:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    p.wait(0.004 * i)
                h.kill()
                p.wait(lib.TIMEOUT)
            h.start()
            lib.until(lambda: all(h.state(n) in ("running", "shut off")
                                  for n in h.names("--all")), "a state that stays")
            for name in h.names():
                h.virsh("destroy", name)
            equal((h.names(), h.processes()), ([], []))
            lib.until(lambda: (in_store(d, "g1"), in_store(d, "g2")) == (None, None), "the store")
            equal(os.listdir(h.dir + "/run"), ["autostarted"])


def one_state_directory_has_one_daemon():
    with Hostd() as h:
        p = subprocess.run([HOSTD, *h.args], capture_output=True, text=True, timeout=lib.TIMEOUT,
                           check=False)
        equal(p.returncode, 1)
        has(p.stderr, h.dir + "/state", "another daemon")
        equal(h.names("--all"), [])


def a_socket_left_over_is_taken_a_living_one_is_not():
    with Hostd() as h:
        other = Hostd(args=["--listen", "unix://" + h.socket])
        p = subprocess.run([HOSTD, *other.args], capture_output=True, text=True,
                           timeout=lib.TIMEOUT, check=False)
        equal(p.returncode, 1)
        has(p.stderr, h.socket, "Address already in use")
        subprocess.run(["rm", "-r", other.dir], check=True)
        h.kill()
        h.start()
        equal(h.names(), [])


def a_broken_definition_is_named_and_left_alone():
    with Hostd() as h:
        h.virsh("define", h.xml("g1"))
        h.virsh("define", h.xml("g2"))
        h.stop()
        uid = "00000000-0000-4000-8000-000000000001"
        path = h.dir + "/state/domains/%s.xml" % uid
        with open(path, "w", encoding="ascii") as f:
            f.write("<domain type='test'><name>g3</name>")
        h.start()
        equal(h.names("--all"), ["g1", "g2"])
        has(h.log(), path, "left alone")
        assert os.path.exists(path)


def autostart_is_once_for_each_start_of_the_machine():
    with Hostd() as h:
        h.virsh("define", h.xml("g1"))
        h.virsh("autostart", "g1")
        equal(fields(h.virsh("dominfo", "g1").out)["Autostart"], "enable")
        equal(h.names("--all", "--autostart"), ["g1"])
        h.stop()
        h.start()
        equal(h.state("g1"), "shut off")
        h.stop()
        os.unlink(h.dir + "/run/autostarted")
        h.start()
        lib.until(lambda: h.state("g1") == "running", "it runs")
        h.virsh("autostart", "g1", "--disable")
        equal(h.names("--all", "--no-autostart"), ["g1"])


# ---- what is asked of the host ----

def a_host_tells_of_itself():
    with Hostd() as h:
        equal(h.virsh("hostname").out.strip(), "hosta")
        equal(h.virsh("uri").out.strip(), h.uri())
        has(h.virsh("capabilities").out, "<capabilities>", "<uuid>", "<domain type='xen'/>")
        has(h.virsh("domcapabilities").out, "<domainCapabilities>", "<domain>test</domain>")
        has(h.virsh("domcapabilities", "--virttype", "xen", "--machine", "xenpvh").out,
            "<machine>xenpvh</machine>", "<value>xen</value>")
        has(h.refused("domcapabilities", "--virttype", "kvm"), "kvm")
        pv = os.path.join(os.path.dirname(lib.HERE), "hostd", "xml", "xen-pv.xml")
        has(h.virsh("domxml-to-native", "xen-xl", pv).out, 'name = "pv"', "vif = [", "xvdb1",
            "# not in here: ")
        has(h.refused("domxml-to-native", "xen-xm", pv), "xen-xm")
        has(h.refused("domxml-to-native", "xen-xl", h.xml("g1")), "xen")
        has(h.refused("domcapabilities", "--arch", "riscv64"), "riscv64")
        equal(fields(h.virsh("nodeinfo").out)["NUMA cell(s)"], "1")
        has(h.virsh("version").out, "Using API")
        has(h.virsh("domstats").out, "")
        h.virsh("define", h.xml("g1"))
        has(h.virsh("domstats", "--state").out, "Domain: 'g1'", "state.state=5")
        has(h.refused("domstats", "--block", "--enforce"), "stats", "0x20")
        h.virsh("domstats", "--state", "--enforce")
        h.virsh("domstats", "--block")
        equal(h.virsh("vcpucount", "g1", "--maximum", "--config").out.strip(), "1")
        has(h.virsh("domjobinfo", "g1", status=None).out, "None")


# ---- what is refused ----

def wrong_input_is_named():
    with Hostd() as h:
        has(h.refused("start", "nobody"), "failed to get domain 'nobody'")
        has(h.refused("domstate", "nobody"), "failed to get domain 'nobody'")
        for text, words in (
                ("<domain", ("",)),
                ("<domain type='test'><name>x</name></domain>", ("memory",)),
                ("<domain type='what'><name>x</name><memory>1</memory></domain>", ("what",)),
                ("<domain type='test'><name>x</name><memory unit='MiB'>4</memory><os>"
                 "<type>hvm</type></os><devices><hostdev/></devices></domain>", ("hostdev",))):
            path = h.dir + "/bad.xml"
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
            has(h.refused("define", path), *words)
        h.virsh("define", h.xml("g1"))
        for command in ("suspend", "resume", "shutdown", "destroy", "reboot"):
            has(h.refused(command, "g1"), "domain is not running")
        # Another uuid under the same name, another name under the same uuid.
        other = "00000000-0000-4000-8000-000000000002"
        has(h.refused("define", h.xml("g1", uid=other)), "already exists with uuid")
        mine = fields(h.virsh("dominfo", "g1").out)["UUID"]
        has(h.refused("define", h.xml("g9", uid=mine)), "is already defined with uuid")
        has(h.refused("snapshot-create", "g1"), "not supported")
        has(h.refused("shutdown", "g1", "--mode", "agent"), "flags")
        h.virsh("start", "g1")
        has(h.refused("migrate", "g1", "xen+unix:///system?socket=/nowhere"), "/nowhere")
        equal(h.state("g1"), "running")


def a_program_that_is_not_there_is_named():
    with Hostd(args=["--program", "/no/such/program"]) as h:
        has(h.refused("create", h.xml("g1")), "/no/such/program could not be started")
        equal((h.names("--all"), os.listdir(h.dir + "/run")), ([], ["autostarted"]))


def other_uris_are_refused():
    with Hostd() as h:
        for uri, word in (("lxc+unix:///system?socket=" + h.socket, "lxc"),
                          ("xen+unix:///session?socket=" + h.socket, "session")):
            p = subprocess.run(["virsh", "-c", uri, "list"], capture_output=True, text=True,
                               timeout=lib.TIMEOUT, check=False)
            assert p.returncode and word in p.stderr, p
        p = subprocess.run(["virsh", "-c", "qemu+unix:///system?socket=" + h.socket, "list"],
                           capture_output=True, text=True, timeout=lib.TIMEOUT, check=False)
        equal(p.returncode, 0)


def a_read_only_connection_reads():
    with Hostd() as h:
        h.virsh("define", h.xml("g1"))
        for words in (["list", "--all"], ["dominfo", "g1"], ["dumpxml", "g1"], ["domstate", "g1"],
                      ["capabilities"], ["nodeinfo"], ["domjobinfo", "g1"]):
            h.virsh(*words, read_only=True)
        # virsh itself keeps some of these back; the daemon is asked without it, too.
        for words in (["start", "g1"], ["define", h.xml("g2")], ["undefine", "g1"]):
            has(h.refused(*words, read_only=True), "read only")
        with h.connect(read_only=True) as c:
            c.open()
            body = string("g1") + b"\0" * 16 + struct.pack(">i", -1)
            for procedure in (9, 10, 11, 12, 27, 28, 29, 33, 34, 35, 196, 231, 234, 258, 302, 303,
                              305, 306, 307, 164, 350):
                code, text = c.call(procedure, body)
                assert code in (29, 3), (procedure, code, text)
        equal(h.state("g1"), "shut off")


# ---- whoever does not keep to the protocol ----

def a_frame_that_makes_no_sense_is_answered_or_ends_its_connection():
    with Hostd() as h:
        with h.connect() as c:
            code, text = c.call(4711)
            equal(code, 3)
            has(text, "4711")
            code, text = c.call(16, b"xyz!")
            has(text, "before the connection was opened")
            c.open()
            code, text = c.call(16, b"\xff" * 8)
            equal(code, 39)
            has(text, "DOMAIN_GET_INFO")
            equal(c.call(23, string("nobody"))[0], 42)
            equal(c.call(23, string("nobody") + b"abcd")[0], 39)
            equal(c.call(110, version=7)[0], 39)
            equal(c.call(110, program=PROGRAM + 1)[0], 39)
            equal(c.call(110, status=1)[0], 39)
            code, text = c.call(1, struct.pack(">II", 0, 0))
            has(text, "open already")
            assert isinstance(c.call(110), bytes)
        for octets in (b"\0" * 4, b"\0\0\0\x1b" + b"x" * 23, b"\xff" * 28,
                       b"GET / HTTP/1.1\r\n\r\n", struct.pack(">I", 0x7fffffff)):
            with h.connect() as c:
                c.sock.sendall(octets)
                c.closed()
        with h.connect() as c:
            c.open()
            equal(c.call(110, kind=STREAM)[0], 3)
            equal(c.call(110, kind=REPLY), None)
        with h.connect() as c:      # half a frame, and then nothing
            c.sock.sendall(c.frame(66)[:17])
        equal(h.names(), [])


def a_client_that_does_not_read_stops_nobody_else():
    with Hostd() as h:
        for i in range(30):
            h.virsh("define", h.xml("g%d" % i))
        with h.connect() as c:
            c.open()
            c.sock.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while sent < 200 << 20:
                    sent += c.sock.send(c.frame(273, struct.pack(">iI", 1, 0)) * 100)
            assert sent < 200 << 20, "everything was taken"
            for _ in range(10):
                equal(len(h.names("--all")), 30)
            with open("/proc/%d/status" % h.process.pid, encoding="ascii") as f:
                rss = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
            assert rss < 100 << 10, "%d KiB" % rss


def two_calls_on_one_guest_wait_for_each_other():
    with Hostd() as h:
        h.virsh("define", h.xml("g1"))
        with contextlib.ExitStack() as stack:
            both = [stack.enter_context(lib.started(h.argv("start", "g1"))) for _ in range(6)]
            ends = sorted(p.wait(lib.TIMEOUT) for p in both)
        equal(ends, [0, 1, 1, 1, 1, 1])
        equal((h.state("g1"), len(h.processes())), ("running", 1))


# ---- what it is told ----

def settings_are_read_strictly():
    with Hostd() as h:
        def said(text, *args):
            path = h.dir + "/bad.conf"
            with open(path, "w", encoding="ascii") as f:
                f.write(text)
            p = subprocess.run([HOSTD, "-c", path, *args], capture_output=True, text=True,
                               timeout=lib.TIMEOUT, check=False)
            equal(p.returncode, 2)
            return p.stderr.replace(path, "F")
        for text, words in (("# ok\nwhat = 1\n", "F:2: what: no such key"),
                            ("backend\n", "F:1: backend: no \"=\""),
                            ("backend = zx\n", "F:1: backend: \"zx\" is none of: qemu, sim, xl"),
                            ("state_dir = var\n", "F:1: state_dir: \"var\" is no absolute path"),
                            ("max_clients = 0\n", "F:1: max_clients:"),
                            ("max_clients = 1x\n", "F:1: max_clients:"),
                            ("unix_mode = 0888\n", "F:1: unix_mode:"),
                            ("verbose = maybe\n", "F:1: verbose:"),
                            ("verbose = yes\nverbose = no\n", "F:2: verbose: said twice"),
                            ("listen = tcp://0.0.0.0:1\n", "allow_plain_tcp"),
                            ("listen = ftp://x\n", "ftp://x"),
                            ("a\0b = 1\n", "F:1:")):
            has(said(text), words)
        has(said("", "--what"), "--what")
        has(said("", "--max-clients"), "--max_clients: no value")
        has(said("", "-c"), "no file")
        p = subprocess.run([HOSTD, "-c", "/nowhere/hostd.conf"], capture_output=True, text=True,
                           timeout=lib.TIMEOUT, check=False)
        equal(p.returncode, 2)
        has(p.stderr, "/nowhere/hostd.conf", "No such file")
        p = subprocess.run([HOSTD, "--help"], capture_output=True, text=True, check=True)
        has(p.stdout, "--backend", "--peer_address")


CASES = [
    a_definition_is_listed_shown_and_forgotten,
    a_guest_runs_pauses_and_ends,
    a_transient_guest_is_gone_when_it_ends,
    a_guest_that_dies_is_told_of,
    a_guest_that_is_deaf_is_destroyed,
    a_restart_asked_for_by_the_definition_is_made,
    a_guest_that_waits_for_the_store_to_be_restarted_is_destroyed,
    events_are_told,
    a_restarted_daemon_finds_its_guests,
    a_guest_that_ends_while_no_daemon_is_there_is_cleaned_up,
    a_daemon_killed_at_any_time_leaves_nothing_half_done,
    one_state_directory_has_one_daemon,
    a_socket_left_over_is_taken_a_living_one_is_not,
    a_broken_definition_is_named_and_left_alone,
    autostart_is_once_for_each_start_of_the_machine,
    a_host_tells_of_itself,
    wrong_input_is_named,
    a_program_that_is_not_there_is_named,
    other_uris_are_refused,
    a_read_only_connection_reads,
    a_frame_that_makes_no_sense_is_answered_or_ends_its_connection,
    a_client_that_does_not_read_stops_nobody_else,
    two_calls_on_one_guest_wait_for_each_other,
    settings_are_read_strictly,
]

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
