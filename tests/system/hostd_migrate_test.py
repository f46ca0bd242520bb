#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Migrations between two drover-hostd as libvirt's own bindings ask for them: where the guest runs
afterwards, what both ends tell, and what is refused. Faults are hostd_fault_test.py's.

Usage: hostd_migrate_test.py [--only CASE]...
"""
import contextlib
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from hostd_compat_test import Events, code, definition, libvirt, opened, start_loop  # noqa: E402
from hostd_lib import Hostd  # noqa: E402
from lib import equal, until  # noqa: E402

GUESTS = int(os.environ.get("GUESTS", "10"))
INVALID_ARG, NO_DOMAIN, OPERATION_ABORTED = 8, 42, 78
UNSUPPORTED, ARGUMENT_UNSUPPORTED = 67, 74
SLOW = {"bandwidth": 1}     # MiB/s, of guests whose 16 MiB are full


class Pair:
    """Two hosts, a connection and its events to each."""

    def __init__(self, stack):
        self.hosts, self.conns, self.events = [], [], []
        for name in ("hosta", "hostb"):
            directory = stack.enter_context(lib.scratch())
            h = stack.enter_context(Hostd(directory=directory, name=name, args=[
                "--peer-address", "unix://%s/sock" % directory,
                "--migration-address", "127.0.0.1"]))
            conn = stack.enter_context(opened(h))
            self.hosts.append(h)
            self.conns.append(conn)
            self.events.append(Events(conn))
            stack.callback(self.events[-1].close)
        self.a, self.b = self.hosts

    def create(self, name, words="", flags=0, at=0):
        return self.conns[at].createXML(definition(self.hosts[at], name, words=words), flags)

    def names(self):
        return [sorted(d.name() for d in c.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))
                for c in self.conns]

    def quiet(self):
        """Nothing is left of any migration."""
        for h in self.hosts:
            until(lambda h=h: len(h.processes()) == len(h.names()), "leftovers")
        for c in self.conns:
            for d in c.listAllDomains():
                equal(d.jobInfo()[0], libvirt.VIR_DOMAIN_JOB_NONE)


@contextlib.contextmanager
def pair():
    with contextlib.ExitStack() as stack:
        yield Pair(stack)


LIVE = 1
PERSIST, UNDEFINE, PAUSED, OFFLINE, UNSAFE, ABORT_ON_ERROR = 8, 16, 32, 1024, 512, 4096


def a_guest_moves_and_both_ends_tell():
    with pair() as p:
        dom = p.create("g1")
        p.events[0].until(("g1", libvirt.VIR_DOMAIN_EVENT_STARTED))
        there = dom.migrate3(p.conns[1], {}, LIVE)
        equal((there.name(), there.UUID(), there.state()[0]),
              ("g1", dom.UUID(), libvirt.VIR_DOMAIN_RUNNING))
        equal(p.names(), [[], ["g1"]])
        p.events[0].until(("g1", libvirt.VIR_DOMAIN_EVENT_STOPPED))
        p.events[1].until(("g1", libvirt.VIR_DOMAIN_EVENT_RESUMED))
        stats = there.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
        equal(stats["type"], libvirt.VIR_DOMAIN_JOB_COMPLETED)
        assert stats["memory_total"] >= 4 << 20 and stats["time_elapsed"] >= 0, stats
        equal(code(dom.info)[0], NO_DOMAIN)
        p.quiet()


def a_guest_moves_there_and_back():
    with pair() as p:
        dom = p.create("g1")
        for i in range(6):
            dom = dom.migrate3(p.conns[(i + 1) % 2], {}, LIVE)
            equal(dom.state()[0], libvirt.VIR_DOMAIN_RUNNING)
        equal(p.names(), [["g1"], []])
        p.quiet()


def what_becomes_of_the_definitions_is_as_asked():
    rows = [(0, (True, False)), (PERSIST, (True, True)), (PERSIST | UNDEFINE, (False, True)),
            (UNDEFINE, (False, False))]
    for flags, want in rows:
        with pair() as p:
            dom = p.conns[0].defineXML(definition(p.a, "g1"))
            dom.create()
            there = dom.migrate3(p.conns[1], {}, LIVE | flags)
            equal((there.isActive(), bool(there.isPersistent())), (1, want[1]))
            equal("g1" in p.a.names("--all"), want[0])
            p.quiet()
            if want[0]:
                p.a.virsh("undefine", "g1")
            there.destroy()
            if want[1]:
                there.undefine()


def a_definition_moves_offline():
    with pair() as p:
        dom = p.conns[0].defineXML(definition(p.a, "g1"))
        dom.migrate3(p.conns[1], {}, OFFLINE | PERSIST | UNDEFINE)
        equal((p.a.names("--all"), p.b.names("--all"), p.names()), ([], ["g1"], [[], []]))
        p.b.virsh("undefine", "g1")


def a_paused_guest_stays_paused():
    with pair() as p:
        dom = p.create("g1", flags=libvirt.VIR_DOMAIN_START_PAUSED)
        there = dom.migrate3(p.conns[1], {}, LIVE)
        equal(there.state()[0], libvirt.VIR_DOMAIN_PAUSED)
        there.resume()
        back = there.migrate3(p.conns[0], {}, LIVE | PAUSED)
        equal(back.state()[0], libvirt.VIR_DOMAIN_PAUSED)
        p.quiet()


def a_guest_gets_another_name_and_another_title():
    with pair() as p:
        dom = p.create("g1")
        document = dom.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE).replace(
            "<memory", "<title>moved</title><memory", 1)
        there = dom.migrate3(p.conns[1], {"destination_name": "g2", "destination_xml": document},
                             LIVE)
        equal(there.name(), "g2")
        assert "<title>moved</title>" in there.XMLDesc()
        equal(p.names(), [[], ["g2"]])


def xml_of_another_machine_is_refused_and_the_guest_stays():
    with pair() as p:
        dom = p.create("g1")
        document = dom.XMLDesc(libvirt.VIR_DOMAIN_XML_MIGRATABLE)
        rows = [
            ("<vcpu placement='static'>1<", "<vcpu placement='static'>2<", UNSUPPORTED,
             "the destination's <vcpu> is 2, and the guest's is 1"),
            ("<devices>", "<devices><hostdev/>", UNSUPPORTED,
             "unsupported element <hostdev> in <devices>"),
            (dom.UUIDString(), "11111111-2222-3333-4444-555555555555", UNSUPPORTED, "<uuid>"),
        ]
        for old, new, number, sentence in rows:
            got, said = code(dom.migrate3, p.conns[1],
                             {"destination_xml": document.replace(old, new)}, LIVE)
            equal(got, number)
            assert sentence in said, said
            equal((p.names(), dom.state()[0]), ([["g1"], []], libvirt.VIR_DOMAIN_RUNNING))
        p.quiet()


def what_is_not_there_is_refused_by_name():
    with pair() as p:
        dom = p.create("g1")
        flags = [(1 << 6, "copy-storage-all"), (1 << 7, "copy-storage-inc"), (1 << 15, "postcopy"),
                 (1 << 16, "tls"), (1 << 17, "parallel")]
        for flag, name in flags:
            got, said = code(dom.migrate3, p.conns[1], {}, LIVE | flag)
            equal(got, ARGUMENT_UNSUPPORTED)
            assert name in said, said
        for params in ({"migrate_disks": "vda"}, {"compression": "xbzrle"},
                       {"parallel.connections": 2}, {"graphics_uri": "vnc://x"}):
            got, said = code(dom.migrate3, p.conns[1], params, LIVE)
            equal(got, ARGUMENT_UNSUPPORTED)
            assert list(params)[0] in said, said
        equal((p.names(), dom.state()[0]), ([["g1"], []], libvirt.VIR_DOMAIN_RUNNING))
        p.quiet()


def a_guest_that_is_there_already_is_refused():
    with pair() as p:
        dom = p.create("g1")
        p.create("g1", at=1)
        got, said = code(dom.migrate3, p.conns[1], {}, LIVE)
        assert got and "g1" in said, (got, said)
        equal(p.names(), [["g1"], ["g1"]])
        equal(dom.state()[0], libvirt.VIR_DOMAIN_RUNNING)
        p.quiet()


def start_slow(p, dom, params=None, flags=LIVE):
    """A migration on a thread of its own, until the guest's memory is on its way."""
    result = []
    until(lambda: len(p.a.ticks(dom.name())) > 2, "memory that is full")
    t = threading.Thread(
        target=lambda: result.append(code(dom.migrate3, p.conns[1], params or SLOW, flags)))
    t.start()
    until(lambda: dom.jobStats().get("memory_processed", 0) > 0, "memory on its way")
    return t, result


def a_slow_migration_is_watched_and_aborted():
    with pair() as p:
        dom = p.conns[0].createXML(
            definition(p.a, "g1", words="fill").replace("'MiB'>4", "'MiB'>16"))
        t, result = start_slow(p, dom)
        stats = dom.jobStats()
        equal(stats["type"], libvirt.VIR_DOMAIN_JOB_UNBOUNDED)
        assert stats["memory_total"] >= 16 << 20, stats
        info = dom.jobInfo()
        equal(info[0], libvirt.VIR_DOMAIN_JOB_UNBOUNDED)
        equal(dom.state()[0], libvirt.VIR_DOMAIN_RUNNING)
        got, said = code(dom.migrate3, p.conns[1], {}, LIVE)
        assert got, "a second migration beside the first"
        dom.abortJob()
        t.join(lib.TIMEOUT)
        assert result and result[0][0], result
        equal((p.names(), dom.state()[0]), ([["g1"], []], libvirt.VIR_DOMAIN_RUNNING))
        p.quiet()
        assert said


def an_io_error_calls_it_off_where_that_was_asked_for():
    for flags, there in ((LIVE | ABORT_ON_ERROR, False), (LIVE, True)):
        with pair() as p:
            dom = p.conns[0].createXML(definition(
                p.a, "g1", words="fill tick=20 ioerror=150").replace("'MiB'>4", "'MiB'>16"))
            t, result = start_slow(p, dom, {"bandwidth": 4}, flags)
            t.join(lib.TIMEOUT)
            equal((len(result), bool(result and result[0][0])), (1, not there))
            equal(p.names(), [[], ["g1"]] if there else [["g1"], []])
            if not there:
                assert "I/O error" in result[0][1], result
                equal(dom.state(), [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR])
            p.quiet()


def a_slow_migration_is_hastened():
    with pair() as p:
        dom = p.conns[0].createXML(
            definition(p.a, "g1", words="fill").replace("'MiB'>4", "'MiB'>64"))
        t, result = start_slow(p, dom)
        dom.migrateSetMaxSpeed(1000)
        t.join(40)      # in which there would not be sent 64 MiB, one a second
        equal(result, [(0, "")])
        equal(p.names(), [[], ["g1"]])
        p.quiet()


def many_move_both_ways_at_once():
    with pair() as p:
        doms = [(p.create("%s%02d" % (side, i), at=at), at)
                for i in range(GUESTS) for at, side in enumerate("ab")]
        results = []

        def move(dom, at):
            with opened(p.hosts[at]) as here, opened(p.hosts[1 - at]) as there:
                results.append(code(here.lookupByName(dom.name()).migrate3, there, {}, LIVE))

        threads = [threading.Thread(target=move, args=one) for one in doms]
        for t in threads:
            t.start()
        for t in threads:
            t.join(lib.TIMEOUT)
        equal(results, [(0, "")] * len(doms))
        equal(p.names(), [["b%02d" % i for i in range(GUESTS)],
                          ["a%02d" % i for i in range(GUESTS)]])
        p.quiet()


CASES = [
    a_guest_moves_and_both_ends_tell,
    a_guest_moves_there_and_back,
    what_becomes_of_the_definitions_is_as_asked,
    a_definition_moves_offline,
    a_paused_guest_stays_paused,
    a_guest_gets_another_name_and_another_title,
    xml_of_another_machine_is_refused_and_the_guest_stays,
    what_is_not_there_is_refused_by_name,
    a_guest_that_is_there_already_is_refused,
    a_slow_migration_is_watched_and_aborted,
    an_io_error_calls_it_off_where_that_was_asked_for,
    a_slow_migration_is_hastened,
    many_move_both_ways_at_once,
]

if __name__ == "__main__":
    start_loop()
    sys.exit(lib.main(__doc__, CASES))
