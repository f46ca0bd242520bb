#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""drover-hostd before libvirt's own bindings and unmodified virsh: what a management program does
with it, many at once, and what none of them would send.

Usage: hostd_compat_test.py [--only CASE]...
"""
import collections
import contextlib
import glob
import os
import random
import re
import signal
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from hostd_lib import CALL, STREAM, Hostd, Raw, string, text  # noqa: E402
from lib import equal, until  # noqa: E402

try:
    import libvirt
except ImportError:
    libvirt = None

CLIENTS = int(os.environ.get("CLIENTS", "50"))
SEED = int(os.environ.get("SEED", "1"))
CORPUS = os.path.join(lib.HERE, "..", "hostd", "xml")
NO_SUPPORT, XML_ERROR, XML_DETAIL, NO_DOMAIN, READ_ONLY, UNSUPPORTED = 3, 27, 35, 42, 29, 67


class Events:
    """What the bindings' event loop tells, in order."""

    def __init__(self, conn):
        self.conn, self.told, self.wake = conn, collections.deque(), threading.Condition()
        self.ids = [
            conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                        self._lifecycle, None),
            conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                                        self._job, None),
            conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION,
                                        self._iteration, None),
        ]

    def _put(self, *what):
        with self.wake:
            self.told.append(what)
            self.wake.notify_all()

    def _lifecycle(self, _conn, dom, event, _detail, _opaque):
        self._put(dom.name(), event)

    def _job(self, _conn, dom, params, _opaque):
        self._put(dom.name(), params)

    def _iteration(self, _conn, dom, iteration, _opaque):
        self._put(dom.name(), "iteration", iteration)

    def next(self):
        with self.wake:
            assert self.wake.wait_for(lambda: self.told, lib.TIMEOUT), "no event"
            return self.told.popleft()

    def until(self, what):
        while self.next() != what:
            pass

    def close(self):
        with contextlib.suppress(libvirt.libvirtError):     # who died is told by its own test
            for n in self.ids:
                self.conn.domainEventDeregisterAny(n)


@contextlib.contextmanager
def opened(h, read_only=False):
    if not libvirt:
        raise lib.Skip("python3-libvirt is not installed")
    conn = (libvirt.openReadOnly if read_only else libvirt.open)(h.uri(read_only))
    try:
        yield conn
    finally:
        conn.close()


def code(function, *args):
    """The error's number and text; 0: none."""
    try:
        function(*args)
    except libvirt.libvirtError as e:
        return e.get_error_code(), str(e)
    return 0, ""


def definition(h, name, **more):
    with open(h.xml(name, **more), encoding="utf-8") as f:
        return f.read()


# ---- the bindings ----

def a_program_defines_finds_and_drives_guests():
    with Hostd() as h, opened(h) as conn:
        equal(conn.isAlive(), 1)
        equal(conn.getHostname(), "hosta")
        equal(conn.listAllDomains(), [])
        dom = conn.defineXML(definition(h, "g1"))
        for found in (conn.lookupByName("g1"), conn.lookupByUUID(dom.UUID()),
                      conn.lookupByUUIDString(dom.UUIDString()), conn.listAllDomains()[0]):
            equal((found.name(), found.UUID(), found.ID()), ("g1", dom.UUID(), -1))
        equal(dom.state(), [libvirt.VIR_DOMAIN_SHUTOFF, 0])
        dom.create()
        equal(conn.lookupByID(dom.ID()).name(), "g1")
        equal(dom.info()[:4], [libvirt.VIR_DOMAIN_RUNNING, 4096, 4096, 1])
        equal((dom.isActive(), dom.isPersistent(), dom.OSType()), (1, 1, "hvm"))
        dom.suspend()
        equal(dom.state()[0], libvirt.VIR_DOMAIN_PAUSED)
        dom.resume()
        equal(dom.state()[0], libvirt.VIR_DOMAIN_RUNNING)
        transient = conn.createXML(definition(h, "g2"), libvirt.VIR_DOMAIN_START_PAUSED)
        equal((transient.state()[0], transient.isPersistent()), (libvirt.VIR_DOMAIN_PAUSED, 0))
        active = conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        equal(sorted(d.name() for d in active), ["g1", "g2"])
        paused = conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED)
        equal([d.name() for d in paused], ["g2"])
        transient.destroy()
        dom.destroy()
        dom.undefine()
        equal(conn.listAllDomains(), [])
        equal(code(conn.lookupByName, "g1")[0], NO_DOMAIN)
        equal(code(dom.create)[0], NO_DOMAIN)


def every_document_of_the_corpus_is_defined_shown_and_defined_again():
    with Hostd() as h, opened(h) as conn:
        n = 0
        for path in sorted(glob.glob(CORPUS + "/*.want")):
            with open(path, encoding="utf-8") as f:
                want = f.read()
            if not re.match("<domain type='(test|xen)'", want):
                continue
            with open(path[:-5] + ".xml", encoding="utf-8") as f:
                text = f.read()
            for action in (">preserve<", ">rename-restart<"):   # nobody here would follow it
                if action in text:
                    got = code(conn.defineXML, text)
                    equal(got[0], UNSUPPORTED)
                    assert action[1:-1] + " is not supported" in got[1], got
                    text, want = (t.replace(action, ">restart<") for t in (text, want))
            dom = conn.defineXML(text)
            shown = dom.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
            equal(shown, want)
            equal(conn.defineXML(shown).XMLDesc(), want)
            dom.undefine()
            n += 1
        assert n >= 4, n


def wrong_xml_gets_libvirts_codes_and_a_sentence():
    head = "<domain type='test'><name>n</name><memory>4096</memory><os><type>hvm</type></os>"
    rows = [
        ("", None, None),
        ("<domain", XML_DETAIL, "line 1: "),
        ("<domain/>", XML_ERROR, "attribute 'type' of element <domain> is missing"),
        ("<domain type='test'/>", XML_ERROR, "element <name> of <domain> is missing"),
        (head + "<devices><hostdev/></devices></domain>", UNSUPPORTED,
         "unsupported element <hostdev> in <devices> at line 1"),
        (head + "<vcpu>0</vcpu></domain>", XML_ERROR,
         "element <vcpu> at line 1: a guest has at least one"),
        ("<!DOCTYPE d [<!ENTITY a 'b'>]><domain type='test'><name>&a;</name></domain>",
         XML_DETAIL, "a document type declaration is not supported"),
        (head + "<metadata>" + "<a>" * 70 + "</a>" * 70 + "</metadata></domain>", XML_ERROR,
         "elements lie too deep at line 1"),
        ("<domain type='test'>" + " " * 4194304 + "</domain>", None, None),
    ]
    with Hostd() as h, opened(h) as conn:
        for document, number, sentence in rows:
            got, said = code(conn.defineXML, document)
            assert got, document[:80]
            assert number in (None, got), (got, said)
            assert not sentence or sentence in said, said
        equal(conn.listAllDomains(), [])
        equal([n for n in os.listdir(h.dir + "/run") if len(n) == 36], [])


def events_come_through_the_bindings_event_loop():
    with Hostd() as h, opened(h) as conn:
        events = Events(conn)
        dom = conn.defineXML(definition(h, "g1"))
        equal(events.next(), ("g1", libvirt.VIR_DOMAIN_EVENT_DEFINED))
        dom.create()
        events.until(("g1", libvirt.VIR_DOMAIN_EVENT_STARTED))
        dom.suspend()
        events.until(("g1", libvirt.VIR_DOMAIN_EVENT_SUSPENDED))
        dom.resume()
        events.until(("g1", libvirt.VIR_DOMAIN_EVENT_RESUMED))
        dom.destroy()
        events.until(("g1", libvirt.VIR_DOMAIN_EVENT_STOPPED))
        dom.undefine()
        events.until(("g1", libvirt.VIR_DOMAIN_EVENT_UNDEFINED))
        events.close()


def events_of_one_guest_are_told_of_that_guest_alone():
    with Hostd() as h, opened(h) as conn:
        doms = [conn.createXML(definition(h, name)) for name in ("g1", "g2")]
        told, wake = [], threading.Condition()

        def tell(_conn, dom, event, _detail, _opaque):
            with wake:
                told.append((dom.name(), event))
                wake.notify_all()

        n = conn.domainEventRegisterAny(doms[1], libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, tell, None)
        for dom in doms:
            dom.suspend()
            dom.destroy()
        with wake:
            assert wake.wait_for(lambda: ("g2", libvirt.VIR_DOMAIN_EVENT_STOPPED) in told, 60)
        equal({name for name, _ in told}, {"g2"})
        conn.domainEventDeregisterAny(n)


def virsh_event_loop_sees_what_happens():
    with Hostd() as h:
        h.virsh("define", h.xml("g1"))
        with lib.started(["stdbuf", "-oL", *h.argv("event", "--loop", "--all")]) as p:
            # It says nothing when it has subscribed: pause and go on until it is heard.
            h.virsh("start", "g1")
            heard = []

            def listen():
                for line in p.stdout:
                    heard.append(line)

            threading.Thread(target=listen, daemon=True).start()

            def is_heard():
                h.virsh("suspend", "g1")
                h.virsh("resume", "g1")
                return any("Resumed" in line for line in heard)

            until(is_heard, "an event")
            h.virsh("destroy", "g1")
            until(lambda: any("Stopped" in line for line in heard), "the end")
            assert all("'g1'" in line for line in heard), heard


def an_idle_connection_is_kept_by_pings():
    with Hostd() as h, opened(h) as conn:
        conn.setKeepAlive(1, 3)
        conn.defineXML(definition(h, "g1"))
        threading.Event().wait(2.5)     # longer than it may be silent
        equal(conn.isAlive(), 1)
        equal([d.name() for d in conn.listAllDomains()], ["g1"])
        conn.lookupByName("g1").undefine()


def a_read_only_program_reads_and_changes_nothing():
    with Hostd() as h, opened(h) as conn, opened(h, read_only=True) as ro:
        dom = conn.createXML(definition(h, "g1"))
        mine = ro.lookupByName("g1")
        equal(mine.info()[:4], dom.info()[:4])
        equal(mine.XMLDesc(), dom.XMLDesc())
        equal(code(ro.defineXML, definition(h, "g2"))[0], READ_ONLY)
        for call in (mine.suspend, mine.destroy, mine.shutdown):
            equal(code(call)[0], READ_ONLY)
        # Beyond what the client library refuses by itself.
        with Raw(h.ro) as raw:
            raw.call(1, text(None) + struct.pack(">I", 1))
            for procedure in (9, 10, 11, 12, 28, 33, 34, 234, 231, 302, 303, 305, 306, 307):
                answer = raw.call(procedure, b"\0" * 4)
                assert answer is None or isinstance(answer, tuple), (procedure, answer)
                if answer is None:
                    raw.sock.close()
                    raw.__init__(h.ro)
                    raw.call(1, text(None) + struct.pack(">I", 1))
        equal(dom.state()[0], libvirt.VIR_DOMAIN_RUNNING)
        dom.destroy()


# ---- many at once ----

def many_clients_list_at_the_same_time():
    with Hostd() as h:
        names = ["g%02d" % i for i in range(20)]
        for name in names:
            h.virsh("define", h.xml(name))
        for _ in range(2):
            running = [subprocess.Popen(h.argv("list", "--all", "--name"), text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                       for _ in range(CLIENTS)]
            for p in running:
                said, _ = p.communicate(timeout=lib.TIMEOUT)
                equal((p.returncode, sorted(said.split())), (0, names))
        for name in names:
            h.virsh("undefine", name)


def many_clients_drive_guests_at_the_same_time():
    """Each its own guest through its life, on threads of one program with a connection each."""
    failures = []

    def live(h, i):
        try:
            with opened(h) as conn:
                for _ in range(3):
                    dom = conn.createXML(definition(h, "g%d" % i))
                    dom.suspend()
                    dom.resume()
                    equal(dom.state()[0], libvirt.VIR_DOMAIN_RUNNING)
                    dom.destroy()
        except Exception as e:   # pylint: disable=broad-except
            failures.append(repr(e))

    with Hostd() as h:
        threads = [threading.Thread(target=live, args=(h, i)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(lib.TIMEOUT)
        equal(failures, [])
        equal(h.names("--all"), [])
        until(lambda: not h.processes(), "no process is left")


def calls_on_one_connection_do_not_wait_for_a_slow_one():
    """A guest that stands still is asked to end, and killed after a while; meanwhile the same
    connection is served. Both calls at once: which of two threads is first, libvirt decides."""
    with Hostd() as h, opened(h) as conn:
        still = conn.createXML(definition(h, "still"))
        os.kill(h.processes()[0], signal.SIGSTOP)
        other = conn.createXML(definition(h, "other"))

        def named(dom):
            return string(dom.name()) + dom.UUID() + struct.pack(">i", dom.ID())

        with h.connect() as c:
            c.open()
            c.sock.sendall(
                c.frame(234, named(still) + struct.pack(">I",
                                                        libvirt.VIR_DOMAIN_DESTROY_GRACEFUL)) +
                c.frame(16, named(other)))
            equal([c.read()[::3] for _ in range(2)], [(16, 0), (234, 0)])
        other.destroy()


# ---- what nobody would send ----

def procedures_that_are_not_there_are_named():
    with Hostd() as h, h.connect() as raw:
        raw.open()
        for procedure in (0, 64, 100, 308, 499, 500, 9999, 0x7fffffff):
            number, said = raw.call(procedure)
            equal(number, NO_SUPPORT)
            assert str(procedure) in said, said
        for program, version in ((0x20008086, 2), (0x20008087, 1), (0x20008088, 1), (0, 0)):
            answer = raw.call(1, program=program, version=version)
            assert answer is None or isinstance(answer, tuple), answer
            if answer is None:
                break
        equal(h.names("--all"), [])


def arguments_cut_short_are_refused_by_every_procedure():
    """Every number that there is, with nothing, too little, too much and anything."""
    rng = random.Random(SEED)
    with Hostd() as h:
        h.virsh("define", h.xml("g1"))
        raw = h.connect().open()
        for procedure in range(1, 450):
            if procedure == 2:   # closes
                continue
            for body in (b"", b"\0\0\0\1", b"\xff" * 4, b"\0" * 64, b"\xff" * 64,
                         rng.randbytes(4 * rng.randrange(20)), b"\0\0\0\1\0\0\0\x04abcd" * 8):
                answer = raw.call(procedure, body)
                if answer is None:
                    raw.sock.close()
                    raw = h.connect().open()
        raw.sock.close()
        equal(h.names("--all"), ["g1"])
        h.virsh("undefine", "g1")


def frames_of_any_length_and_octets_leave_others_alone():
    rng = random.Random(SEED)
    with Hostd() as h, opened(h) as conn:
        conn.defineXML(definition(h, "g1"))
        before = lib.open_fds(h.process.pid)
        for length in (0, 1, 3, 27, 28, 29, 31, 1 << 20, (32 << 20) + 64, 1 << 31, (1 << 32) - 1):
            with h.connect() as raw:
                raw.sock.sendall(struct.pack(">I", length))
                with contextlib.suppress(ConnectionError):
                    raw.sock.sendall(rng.randbytes(64))
        for _ in range(200):
            with h.connect() as raw:
                if rng.random() < 0.5:
                    raw.open()
                kind = rng.choice((CALL, 1, 2, STREAM, 4, 5, 77))
                with contextlib.suppress(ConnectionError):
                    for _ in range(rng.randrange(1, 5)):
                        whole = raw.frame(rng.randrange(450), rng.randbytes(rng.randrange(128)),
                                          kind=kind, status=rng.randrange(4))
                        raw.sock.sendall(whole[:rng.randrange(1, len(whole) + 1)])
        equal([d.name() for d in conn.listAllDomains()], ["g1"])
        until(lambda: lib.open_fds(h.process.pid) <= before, "descriptors of those that left")
        conn.lookupByName("g1").undefine()


CASES = [
    a_program_defines_finds_and_drives_guests,
    every_document_of_the_corpus_is_defined_shown_and_defined_again,
    wrong_xml_gets_libvirts_codes_and_a_sentence,
    events_come_through_the_bindings_event_loop,
    events_of_one_guest_are_told_of_that_guest_alone,
    virsh_event_loop_sees_what_happens,
    an_idle_connection_is_kept_by_pings,
    a_read_only_program_reads_and_changes_nothing,
    many_clients_list_at_the_same_time,
    many_clients_drive_guests_at_the_same_time,
    calls_on_one_connection_do_not_wait_for_a_slow_one,
    procedures_that_are_not_there_are_named,
    arguments_cut_short_are_refused_by_every_procedure,
    frames_of_any_length_and_octets_leave_others_alone,
]


def start_loop():
    """The bindings' events come on a thread of their own; errors are not printed."""
    if not libvirt:
        return
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()

    def loop():
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, daemon=True).start()


if __name__ == "__main__":
    start_loop()
    sys.exit(lib.main(__doc__, CASES))
