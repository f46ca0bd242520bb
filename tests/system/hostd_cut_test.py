#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Two drover-hostd that are cut off from each other at the worst instants of a migration, with and
without an etcd that both can reach: never two guests, one as soon as anybody can say whose it is.
And two that reach each other over TLS.

Usage: hostd_cut_test.py [--only CASE]...
"""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "peers")]
import lib  # noqa: E402
import rpcproxy  # noqa: E402
from hostd_lib import Hostd  # noqa: E402
from hosts import free_port  # noqa: E402
from lib import equal, until  # noqa: E402

ETCD, CERTTOOL = shutil.which("etcd"), shutil.which("certtool")
COMMIT = 4      # of the program between daemons
TIMES = ["--commit-timeout-ms", "700", "--arbiter-timeout-ms", "300", "--peer-timeout-ms", "2000"]


class Etcd:
    """A cluster of one."""

    def __init__(self, directory):
        self.dir = directory + "/etcd"
        self.url = "http://127.0.0.1:%d" % free_port()
        self.peer_url = "http://127.0.0.1:%d" % free_port()
        self.process = None

    def start(self):
        with open(self.dir + ".log", "ab") as log:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [ETCD, "--name", "one", "--data-dir", self.dir,
                 "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                 "--listen-peer-urls", self.peer_url,
                 "--initial-advertise-peer-urls", self.peer_url,
                 "--initial-cluster", "one=" + self.peer_url],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self.healthy, "etcd is healthy")
        return self

    def healthy(self):
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=5) as answer:
                return json.load(answer)["health"] == "true"
        except (OSError, urllib.error.URLError, KeyError, ValueError):
            return False

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(lib.TIMEOUT)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.kill()


class Pair:
    """Two hosts whose way to each other goes through a proxy each."""

    def __init__(self, stack, etcd=None):
        self.hosts, self.proxies = [], []
        for name in ("hosta", "hostb"):
            d = stack.enter_context(lib.scratch())
            front = "unix://%s/front" % d
            args = ["--peer-address", front, "--migration-address", "127.0.0.1", "--verbose",
                    "yes", *TIMES, *(["--etcd", etcd.url] if etcd else [])]
            self.hosts.append(stack.enter_context(Hostd(directory=d, name=name, args=args)))
            self.proxies.append(rpcproxy.Proxy(front, "unix://%s/sock" % d))
            stack.callback(self.proxies[-1].close)
        self.a, self.b = self.hosts

    def cut_at(self, kind, procedure):
        """At the first such frame to host a: it is lost, and nobody reaches anybody any more."""
        done = threading.Event()

        def cut(_link):
            for p in self.proxies:
                p.is_cut = True
            threading.Thread(target=self.cut, args=(done,), daemon=True).start()
            return rpcproxy.DROP

        self.proxies[0].rules.append(
            rpcproxy.Rule(kind, procedure, cut, program=rpcproxy.PEER))
        return done

    def cut(self, done):
        for p in self.proxies:
            p.cut()
        done.set()

    def mend(self):
        for p in self.proxies:
            p.mend()

    def migrate(self):
        """virsh, left to itself: what it says does not matter here."""
        return subprocess.Popen(  # pylint: disable=consider-using-with
            self.a.argv("migrate", "--live", "g", self.b.uri()), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    def count(self, h):
        try:
            return sum(1 for words in h.ticks("g") if words[0] == "TICK")
        except FileNotFoundError:
            return 0

    def runs_at(self):
        """Where it counts: hosts whose next tick comes."""
        before = [self.count(h) for h in self.hosts]
        until(lambda: [self.count(h) for h in self.hosts] != before, "the guest counts")
        return [h for h, n in zip(self.hosts, before) if self.count(h) != n]

    def stands(self):
        """Both have it, paused."""
        return [h.virsh("domstate", "g", status=None).out.strip() for h in self.hosts] == [
            "paused", "paused"]

    def ends_at(self, want):
        until(lambda: [h.names() for h in self.hosts] == [["g"] if h is want else []
                                                        for h in self.hosts],
              "one host alone has it")
        equal(self.runs_at(), [want])
        for h in self.hosts:
            until(lambda h=h: len(h.processes()) == (h is want), "no process is left over")
        self.never_two()

    def never_two(self):
        """By the guests' own logs: in the order of time each count comes once, and rising."""
        ticks = []
        for h in self.hosts:
            with contextlib.suppress(FileNotFoundError):
                ticks += [(int(dict(w.split("=") for w in words[2:])["t"]), int(words[1]))
                          for words in h.ticks("g") if words[0] == "TICK"]
        counts = [n for _, n in sorted(ticks)]
        equal(counts, sorted(set(counts)))


@contextlib.contextmanager
def pair(with_etcd):
    with contextlib.ExitStack() as stack:
        etcd = None
        if with_etcd:
            lib.need(ETCD or "/usr/bin/etcd")
            etcd = stack.enter_context(Etcd(stack.enter_context(lib.scratch())))
        p = Pair(stack, etcd)
        p.a.virsh("create", p.a.xml("g"))
        until(lambda: p.count(p.a) > 3, "it counts")
        p.etcd = etcd
        yield p


def begin(p, kind):
    done = p.cut_at(kind, COMMIT)
    virsh = p.migrate()
    assert done.wait(lib.TIMEOUT), p.a.log()
    return virsh


def a_lost_grant_leaves_it_paused_until_they_talk():
    with pair(False) as p:
        virsh = begin(p, "reply")
        until(p.stands, "neither runs it")
        ticks = [p.count(h) for h in p.hosts]
        until(lambda: "cannot be reached" in p.b.log(), "the destination noticed")
        equal([p.count(h) for h in p.hosts], ticks)
        p.mend()
        virsh.wait(lib.TIMEOUT)
        p.ends_at(p.b)


def a_lost_question_lets_the_source_go_on():
    with pair(False) as p:
        virsh = begin(p, "call")
        until(lambda: p.a.state("g") == "running", "it goes on where it was")
        equal(p.runs_at(), [p.a])
        p.mend()
        virsh.wait(lib.TIMEOUT)
        p.ends_at(p.a)


def with_etcd_a_lost_grant_moves_it_although_they_cannot_talk():
    with pair(True) as p:
        virsh = begin(p, "reply")
        until(lambda: p.b.virsh("domstate", "g", status=None).out.strip() == "running",
              "the arbiter gave it to the destination")
        equal(p.runs_at(), [p.b])
        p.mend()
        virsh.wait(lib.TIMEOUT)
        p.ends_at(p.b)


def with_etcd_a_lost_question_is_decided_although_they_cannot_talk():
    with pair(True) as p:
        virsh = begin(p, "call")
        at = p.runs_at()
        equal(len(at), 1)
        p.mend()
        virsh.wait(lib.TIMEOUT)
        p.ends_at(at[0])


def nobody_runs_it_while_nobody_can_say():
    with pair(True) as p:
        done = p.cut_at("call", COMMIT)

        def gone(_frame):
            p.etcd.kill()

        p.proxies[0].seen = lambda f: gone(f) if (f.program, f.procedure) == (
            rpcproxy.PEER, COMMIT) else None
        virsh = p.migrate()
        assert done.wait(lib.TIMEOUT), p.a.log()
        until(lambda: "etcd gave no answer" in p.a.log() and "etcd gave no answer" in p.b.log(),
              "both asked")
        until(p.stands, "neither runs it")
        ticks = [p.count(h) for h in p.hosts]
        p.proxies[0].seen = None
        equal([p.count(h) for h in p.hosts], ticks)
        p.etcd.start()
        at = p.runs_at()
        equal(len(at), 1)
        p.mend()
        virsh.wait(lib.TIMEOUT)
        p.ends_at(at[0])


def without_the_etcd_that_is_configured_it_moves_all_the_same():
    with pair(True) as p:
        p.etcd.kill()
        equal(p.migrate().wait(lib.TIMEOUT), 0)
        p.ends_at(p.b)


def back_and_forth_the_arbiter_keeps_up():
    with pair(True) as p:
        for _ in range(3):
            p.a.virsh("migrate", "--live", "g", p.b.uri())
            p.b.virsh("migrate", "--live", "g", p.a.uri())
        p.ends_at(p.a)
        with urllib.request.urlopen(urllib.request.Request(
                p.etcd.url + "/v3/kv/range", data=json.dumps(
                    {"key": "AA==", "range_end": "AA=="}).encode()), timeout=5) as answer:
            equal(len(json.load(answer)["kvs"]), 1)


# ---- TLS ----

class Certificates:
    def __init__(self, directory):
        lib.need(CERTTOOL or "/usr/bin/certtool")
        self.dir = directory

    def path(self, name):
        return "%s/%s.pem" % (self.dir, name)

    def certtool(self, *words):
        subprocess.run([CERTTOOL, *words], check=True, capture_output=True, timeout=lib.TIMEOUT)

    def make(self, name, template, ca=None):
        with open(self.path(name + "-template"), "w", encoding="ascii") as f:
            f.write(template + "\nexpiration_days = 2\n")
        self.certtool("--generate-privkey", "--key-type", "ed25519", "--outfile",
                      self.path(name + "-key"))
        words = ["--load-privkey", self.path(name + "-key"), "--template",
                 self.path(name + "-template"), "--outfile", self.path(name)]
        if ca:
            words += ["--generate-certificate", "--load-ca-certificate", self.path(ca),
                      "--load-ca-privkey", self.path(ca + "-key")]
        else:
            words += ["--generate-self-signed"]
        self.certtool(*words)

    def authority(self, name):
        self.make(name, 'cn = "%s"\nca\ncert_signing_key' % name)

    def host(self, name, ca):
        self.make(name, 'cn = "%s"\ndns_name = "localhost"\nip_address = "127.0.0.1"\n'
                        'tls_www_server\ntls_www_client\nsigning_key' % name, ca)


@contextlib.contextmanager
def tls_pair(ca_of_b="ca"):
    with contextlib.ExitStack() as stack:
        certs = Certificates(stack.enter_context(lib.scratch()))
        certs.authority("ca")
        if ca_of_b != "ca":
            certs.authority(ca_of_b)
        hosts = []
        for name, ca in (("hosta", "ca"), ("hostb", ca_of_b)):
            certs.host(name, ca)
            d, port = stack.enter_context(lib.scratch()), free_port()
            hosts.append(stack.enter_context(Hostd(directory=d, name=name, args=[
                "--listen", "tls://127.0.0.1:%d" % port,
                "--peer-address", "tls://127.0.0.1:%d" % port,
                "--tls-ca", certs.path(ca), "--tls-cert", certs.path(name),
                "--tls-key", certs.path(name + "-key"), "--migration-address", "127.0.0.1",
                *TIMES])))
        yield hosts


def over_tls_it_moves_there_and_back():
    with tls_pair() as (a, b):
        a.virsh("create", a.xml("g"))
        a.virsh("migrate", "--live", "g", b.uri())
        equal((a.names(), b.names()), ([], ["g"]))
        b.virsh("migrate", "--live", "g", a.uri())
        equal((a.names(), b.names()), (["g"], []))


def peer_to_peer_shows_the_hosts_own_certificates():
    """libvirt's places have none, or others; a URI without pkipath says nothing of them."""
    with tls_pair() as (a, b):
        port = b.args[b.args.index("--peer-address") + 1].rpartition(":")[2]
        a.virsh("create", a.xml("g"))
        a.virsh("migrate", "--live", "--p2p", "g", "xen+tls://127.0.0.1:%s/system" % port)
        equal((a.names(), b.names()), ([], ["g"]))
        why = b.refused("migrate", "--live", "--p2p", "g", "xen+tls://127.0.0.1:1/system")
        assert "xen+tls://127.0.0.1:1/system: cannot connect" in why, why


def a_host_of_another_authority_gets_no_guest():
    with tls_pair("other") as (a, b):
        a.virsh("create", a.xml("g"))
        why = a.refused("migrate", "--live", "g", b.uri())
        assert "destination" in why, why
        equal((a.state("g"), a.names(), b.names()), ("running", ["g"], []))
        assert "cannot be reached" in a.log(), a.log()
        equal(b.processes(), [])


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [
        a_lost_grant_leaves_it_paused_until_they_talk,
        a_lost_question_lets_the_source_go_on,
        with_etcd_a_lost_grant_moves_it_although_they_cannot_talk,
        with_etcd_a_lost_question_is_decided_although_they_cannot_talk,
        nobody_runs_it_while_nobody_can_say,
        without_the_etcd_that_is_configured_it_moves_all_the_same,
        back_and_forth_the_arbiter_keeps_up,
        over_tls_it_moves_there_and_back,
        peer_to_peer_shows_the_hosts_own_certificates,
        a_host_of_another_authority_gets_no_guest,
    ]))
