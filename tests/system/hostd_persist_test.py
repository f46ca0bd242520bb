#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a client said of a migration is done at its end, whichever daemon was killed when: the
definition that the guest is to have at its destination, its name and whether it runs there,
whether its source forgets it.

Usage: hostd_persist_test.py [--only CASE]...
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "peers")]
import hostd_lib  # noqa: E402
import lib  # noqa: E402
import rpcproxy  # noqa: E402
from hostd_worst_test import (COMMIT, START, TAKEN, client, end, lose_power, pair,  # noqa: E402
                              stopped)
from lib import equal, until  # noqa: E402

PREPARE = 303       # of libvirt's, with parameters
TITLE = "<title>as it was to be</title>"
KEEPS = ("--live", "--persistent", "--undefinesource")


def persistent_xml(p, name="g"):
    """What is to be defined at b: told from what runs by its title."""
    path = p.a.dir + "/persistent.xml"
    with open(p.a.xml(name), encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("<memory", TITLE + "<memory", 1))
    return path


def migrate(p, *flags, name="g", through=None):
    return client(p.a, "migrate", *KEEPS, *flags, "--persistent-xml", persistent_xml(p, name),
                  name, through or p.b.uri())


def killed(daemon, verdict=rpcproxy.CLOSE):
    """What a proxy's rule does."""
    def action(_link):
        daemon.kill()
        return verdict
    return action


def over(p, virsh):
    hostd_lib.migrated(virsh, p.a.log)
    virsh.stderr.close()


def another(p, h, virsh, n_kept=None):
    """h's next daemon, once a rule has killed the one before."""
    until(lambda: h.process.poll() is not None, "it is killed")
    if n_kept is not None:
        equal(len(kept(h)), n_kept)     # durable before it was answered
    h.start()
    over(p, virsh)


def kept(h):
    return sorted(os.listdir(h.dir + "/state/incoming"))


def is_defined_there(p, state="running", name="g"):
    until(lambda: name in p.b.names("--all") and p.b.state(name) == state, "it is there")
    until(lambda: TITLE in p.b.virsh("dumpxml", "--inactive", name).out, "as it was to be")
    until(lambda: not p.a.names("--all"), "its source has forgotten it")
    until(lambda: not kept(p.b), "nothing is kept of it")
    equal(p.b.virsh("list", "--name", "--all", "--persistent").out.split(), [name])
    p.b.stop()          # and it is durable
    p.b.start()
    assert TITLE in p.b.virsh("dumpxml", "--inactive", name).out


def stays(p):
    until(lambda: "None" in p.a.virsh("domjobinfo", "g").out, "it stays")
    equal((p.a.state("g"), p.a.names("--all", "--persistent")), ("running", ["g"]))
    until(lambda: not p.b.names("--all") and not kept(p.b), "nothing is left there")


# ---- the destination's daemon is killed ----

def killed_when_it_has_prepared_it_keeps_nothing():
    with pair() as p:
        p.create(how="define")
        p.proxies[1].rules.append(rpcproxy.Rule("reply", PREPARE, killed(p.b)))
        virsh = migrate(p, through="xen+unix:///system?socket=%s/front" % p.b.dir)
        another(p, p.b, virsh, 1)
        stays(p)


def killed_when_it_begins_to_receive_it_keeps_nothing():
    with pair() as p:
        p.create(how="define")
        p.rule(1, "reply", START, killed(p.b))
        another(p, p.b, migrate(p), 1)
        stays(p)
        p.a.virsh("migrate", *KEEPS, "--persistent-xml", persistent_xml(p), "g", p.b.uri())
        is_defined_there(p)


def killed_when_the_guest_was_given_to_it_it_defines_what_was_said():
    with pair() as p:
        p.create(how="define")
        p.rule(0, "reply", COMMIT, killed(p.b))
        another(p, p.b, migrate(p), 1)
        is_defined_there(p)


def killed_when_the_guest_was_given_to_it_it_knows_name_and_pause():
    with pair() as p:
        p.create(how="define")
        p.rule(0, "reply", COMMIT, killed(p.b))
        another(p, p.b, migrate(p, "--suspend", "--dname", "h"), 1)
        is_defined_there(p, "paused", "h")


def killed_when_it_owns_the_guest_it_defines_what_was_said():
    with pair(stores=True) as p:
        owned_and_not_served(p, p.b.kill)
        is_defined_there(p)


def a_host_that_loses_its_power_when_it_owns_the_guest_defines_what_was_said():
    with pair(stores=True) as p:
        owned_and_not_served(p, lambda: lose_power(p.b))
        is_defined_there(p, "shut off")
        p.b.virsh("start", "g")


def owned_and_not_served(p, what):
    """what is done when the guest is b's, before b could do anything about it."""
    p.create(how="define")
    stops = []

    def stop(_link):
        stops.append(stopped(p.b.store))
        stops[0].__enter__()
        return rpcproxy.FORWARD
    p.rule(0, "reply", COMMIT, stop)
    virsh = migrate(p)
    until(lambda: "of g: owned" in p.b.log(), "it is b's")
    equal(len(kept(p.b)), 1)
    what()
    stops[0].__exit__(None, None, None)
    another(p, p.b, virsh, 1)


def killed_when_it_has_defined_it_it_does_not_do_so_again():
    with pair() as p:
        p.create(how="define")
        p.rule(0, "call", TAKEN, killed(p.b))
        another(p, p.b, migrate(p), 0)
        is_defined_there(p)


def a_definition_that_is_damaged_is_named_and_the_guest_defined_as_it_runs():
    with pair() as p:
        p.create(how="define")
        p.rule(0, "reply", COMMIT, killed(p.b))
        virsh = migrate(p)
        until(lambda: p.b.process.poll() is not None, "it is killed")
        path = "%s/state/incoming/%s" % (p.b.dir, kept(p.b)[0])
        with open(path, "w", encoding="ascii") as f:
            f.write("<domain type='te")
        another(p, p.b, virsh)
        until(lambda: path in p.b.log(), "it is named")
        until(lambda: not p.a.names("--all"), "its source has forgotten it")
        equal((p.b.state("g"), p.b.names("--all", "--persistent")), ("running", ["g"]))
        until(lambda: not kept(p.b), "nothing is kept of it")


def what_is_kept_of_no_migration_is_removed():
    with pair() as p:
        p.b.stop()
        for name in ("9d7289a8-0a57-4e0e-9d4c-000000000000.xml", "x", "y.xml.new"):
            with open("%s/state/incoming/%s" % (p.b.dir, name), "w", encoding="ascii"):
                pass
        p.b.start()
        equal(kept(p.b), [])


# ---- what is not running ----

def an_offline_migration_over_a_definition_is_done_again_by_the_next_daemon():
    with pair() as p:
        p.a.virsh("define", p.a.xml("g", more="<description>new</description>"))
        p.b.virsh("define", p.b.xml("g", more="<description>old</description>"))
        p.rule(0, "call", TAKEN, killed(p.b))
        virsh = client(p.a, "migrate", "--offline", "--persistent", "--undefinesource", "g",
                       p.b.uri())
        another(p, p.b, virsh)
        until(lambda: not p.a.names("--all"), "its source has forgotten it")
        assert "new" in p.b.virsh("desc", "g").out
        until(lambda: not kept(p.b), "nothing is kept of it")


# ---- the source's daemon is killed ----

def a_source_that_is_killed_forgets_the_guest_as_it_was_told():
    for procedure, kind, proxy in ((COMMIT, "reply", 0), (TAKEN, "call", 0), (TAKEN, "reply", 0)):
        with pair() as p:
            p.create(how="define")
            p.rule(proxy, kind, procedure, killed(p.a))
            another(p, p.a, migrate(p))
            is_defined_there(p)


def a_source_that_is_killed_while_it_sends_keeps_the_guest():
    with pair() as p:
        p.create(how="define")
        p.rule(1, "reply", START, killed(p.a))
        another(p, p.a, migrate(p))
        stays(p)


def a_guest_that_its_user_paused_while_it_was_sent_stays_paused():
    with pair() as p:
        p.create(words="fill dirty=5", how="define")
        virsh = client(p.a, "migrate", *KEEPS, "--bandwidth", "1", "g", p.b.uri())
        until(lambda: "None" not in p.a.virsh("domjobinfo", "g").out and p.b.processes(),
              "it is being sent")
        p.a.virsh("suspend", "g")
        p.a.kill()
        another(p, p.a, virsh)
        until(lambda: "None" in p.a.virsh("domjobinfo", "g").out, "it stays")
        until(lambda: not p.b.processes(), "nothing is left there")
        equal(p.a.state("g"), "paused")
        p.a.virsh("resume", "g")
        subprocess.run(p.a.argv("migrate", *KEEPS, "g", p.b.uri()), check=True, timeout=30)
        equal(p.b.state("g"), "running")


# ---- what runs, and what is defined ----

def what_is_defined_for_its_next_start_comes_along():
    """The guest was defined anew while it ran: so it is at its destination, whoever drives."""
    ways = (["virsh"], ["virsh", "--p2p"], ["drover"])
    with pair() as p:
        p.create(how="define")
        p.a.virsh("define", persistent_xml(p))
        here, there = p.a, p.b
        for way, *flags in ways:
            if way == "virsh":
                here.virsh("migrate", *KEEPS, *flags, "g", there.uri())
            else:
                subprocess.run([lib.DROVER, "migrate", *KEEPS, *flags, "-c", here.uri(), "g",
                                there.uri()], check=True, timeout=lib.TIMEOUT)
            assert TITLE not in there.virsh("dumpxml", "g").out
            assert TITLE in there.virsh("dumpxml", "--inactive", "g").out, way
            until(lambda h=here: not h.names("--all"), "its source has forgotten it")
            here, there = there, here


def what_was_kept_becomes_the_definition_and_needs_no_room_again():
    with pair() as p:
        p.create(how="define")
        seen = []

        def look(_link):
            path, = (p.b.dir + "/state/incoming/" + name for name in kept(p.b))
            seen.append(os.stat(path).st_ino)
            return rpcproxy.FORWARD

        p.proxies[1].rules.append(rpcproxy.Rule("reply", PREPARE, look))
        over(p, migrate(p, through="xen+unix:///system?socket=%s/front" % p.b.dir))
        is_defined_there(p)
        file, = (e for e in os.scandir(p.b.dir + "/state/domains") if e.name.endswith(".xml"))
        equal([file.stat().st_ino], seen)


CASES = [
    what_is_defined_for_its_next_start_comes_along,
    what_was_kept_becomes_the_definition_and_needs_no_room_again,
    killed_when_it_has_prepared_it_keeps_nothing,
    killed_when_it_begins_to_receive_it_keeps_nothing,
    killed_when_the_guest_was_given_to_it_it_defines_what_was_said,
    killed_when_the_guest_was_given_to_it_it_knows_name_and_pause,
    killed_when_it_owns_the_guest_it_defines_what_was_said,
    a_host_that_loses_its_power_when_it_owns_the_guest_defines_what_was_said,
    killed_when_it_has_defined_it_it_does_not_do_so_again,
    a_definition_that_is_damaged_is_named_and_the_guest_defined_as_it_runs,
    what_is_kept_of_no_migration_is_removed,
    an_offline_migration_over_a_definition_is_done_again_by_the_next_daemon,
    a_source_that_is_killed_forgets_the_guest_as_it_was_told,
    a_source_that_is_killed_while_it_sends_keeps_the_guest,
    a_guest_that_its_user_paused_while_it_was_sent_stays_paused,
]

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
