#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Two drover-hostd before clients that call everything with anything: arguments that fit their
description (src/rpc/*.x), made of names, cookies and flags that are there and that are not, or cut
and changed. Every call is answered on a connection that stays, and afterwards both daemons serve.

CALLS=N (4000): how many; SEED=N: the same again.

Usage: hostd_odd_test.py [--only CASE]...
"""
import contextlib
import os
import random
import re
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from hostd_lib import CALL, REPLY, Hostd, string  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CALLS = int(os.environ.get("CALLS", "4000"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
PEER = 0x44524f56
SLOW = {305, 306, 307}      # answered when two daemons have settled it
GUESTS = ["odd%d" % i for i in range(4)]
PARAMS = ["migrate_uri", "destination_name", "destination_xml", "persistent_xml", "bandwidth",
          "graphics_uri", "listen_address", "migrate_disks", "disks_port", "compression",
          "auto_converge.initial", "parallel.connections", "nonsense"]


class Description:
    """What rpcgen reads, as far as it is used there."""

    def __init__(self, *names):
        self.const, self.types, self.procs = {}, {}, {}
        for name in names:
            with open(os.path.join(ROOT, "src/rpc", name), encoding="ascii") as f:
                source = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
            self.words = re.findall(r"\w+|[^\w\s]", source)
            while self.words:
                self.declaration()
        with open(os.path.join(ROOT, "src/rpc/proc.c"), encoding="ascii") as f:
            for kind, number, args in re.findall(
                    r"^\t(BOTH|TAKES|GIVES|PLAIN)\((\w+)(?:, (\w+))?", f.read(), re.M):
                self.procs[number] = args if kind in ("BOTH", "TAKES") else None

    def word(self, want=None):
        got = self.words.pop(0)
        assert want in (None, got), (want, got, self.words[:10])
        return got

    def number(self, word):
        return self.const[word] if word in self.const else int(word, 0)

    def declaration(self):
        kind = self.word()
        if kind == "const":
            name, _ = self.word(), self.word("=")
            self.const[name] = int(self.word(), 0)
        elif kind == "typedef":
            name, what = self.field()
            self.types[name] = what
            return
        elif kind == "enum":
            self.word()
            self.word("{")
            while self.words[0] != "}":
                name, _ = self.word(), self.word("=")
                self.const[name] = int(self.word(), 0)
                if self.words[0] == ",":
                    self.word()
            self.word("}")
        elif kind == "struct":
            name, fields = self.word(), []
            self.word("{")
            while self.words[0] != "}":
                fields.append(self.field())
            self.word("}")
            self.types[name] = ("struct", fields)
        else:
            self.union()
        self.word(";")

    def union(self):
        name, cases = self.word(), {}
        while self.word() != "{":
            pass
        while self.words[0] == "case":
            self.word()
            value = self.number(self.word())
            self.word(":")
            cases[value] = self.field()
        self.word("}")
        self.types[name] = ("union", cases)

    def field(self):
        what = self.word()
        if what == "unsigned":
            what = "u" + self.word()
        pointer = self.words[0] == "*" and self.word()
        name, size = self.word(), None
        if self.words[0] in "[<":
            fixed = self.word() == "["
            size = (fixed, self.number(self.word()) if self.words[0] not in "]>" else 1 << 20)
            self.word()
        self.word(";")
        if pointer:
            what = ("maybe", what)
        elif size:
            what = ("array", what, *size)
        return name, what


def xdr(octets):
    return struct.pack(">I", len(octets)) + octets + b"\0" * (-len(octets) % 4)


def opaque(body):
    """The octets at its front, and what follows."""
    n = struct.unpack(">I", body[:4])[0]
    return body[4:4 + n], body[4 + n + -n % 4:]


def params(**strings):
    return struct.pack(">I", len(strings)) + b"".join(
        string(name) + struct.pack(">I", 7) + string(value) for name, value in strings.items())


class Maker:
    """Random arguments."""

    def __init__(self, about, rng):
        self.about, self.rng = about, rng
        self.cookies, self.ids, self.uuids, self.xmls = [b""], [os.urandom(16)], [], []

    def octets(self, name, most):
        r = self.rng
        if "cookie" in name and r.random() < .8:
            got = r.choice(self.cookies)
            if r.random() < .2 and got:
                at = r.randrange(len(got))
                got = got[:at] + r.randbytes(r.randrange(3)) + got[at + r.randrange(3):]
            return got[:most]
        return r.randbytes(r.choice((0, 1, 16, 100)))[:most]

    def words(self, name, most):
        r = self.rng
        if "xml" in name or (name == "value" and r.random() < .3):
            got = r.choice(self.xmls)
            if r.random() < .3:
                at = r.randrange(len(got))
                got = got[:at] + got[at + r.randrange(1, 30):]
        elif "uri" in name:
            got = r.choice(("tcp://127.0.0.1", "tcp://127.0.0.1:1", "xen:///system", "unix:///x",
                            "xen+tls://h/system", "x", ""))
        elif r.random() < .8:
            got = r.choice(GUESTS + PARAMS)
        else:
            got = r.choice(("", "\x01", "ä" * 20, "/" * 300, "a" * 5000, "%s%n"))
        return got.encode()[:most]

    def integer(self, name):
        r = self.rng
        if name == "flags":
            return r.choice((0, 0, 1, 1, 9, 0x108, 0x411, 1 << r.randrange(32)))
        return r.choice((0, 1, 2, 3, 10, 0xffffffff, 0x80000000, r.randrange(1 << 32)))

    def make(self, what, name):
        r, pack = self.rng, struct.pack
        if what in ("int", "uint", "uchar", "ushort", "char"):
            return pack(">I", self.integer(name) & (0xff if "char" in what else 0xffffffff))
        if what == "bool":
            return pack(">I", r.randrange(2))
        if what in ("hyper", "uhyper"):
            return pack(">Q", r.choice((0, 1, 2, 3, 1 << 20, 1 << 63, (1 << 64) - 1)))
        if what == "double":
            return pack(">d", r.choice((0., -1., 1e300)))
        if isinstance(what, str):
            return self.make(self.about.types[what], name)
        if what[0] == "maybe":
            there = r.randrange(2)
            return pack(">I", there) + (self.make(what[1], name) if there else b"")
        if what[0] == "struct":
            return b"".join(self.make(t, n) for n, t in what[1])
        if what[0] == "union":
            case = r.choice(list(what[1]))
            return pack(">I", case) + self.make(what[1][case][1], name)
        return self.array(what[1], what[2], what[3], name)

    def array(self, of, fixed, most, name):
        r, pack = self.rng, struct.pack
        if fixed and of == "opaque":
            known = self.uuids if "uuid" in name or not self.ids else self.ids
            return (r.choice(known) if r.random() < .9 else r.randbytes(most)).ljust(most, b"\0")
        if of in ("opaque", "string"):
            got = (self.octets if of == "opaque" else self.words)(name, most)
            return pack(">I", len(got)) + got + b"\0" * (-len(got) % 4)
        n = most if fixed else min(most, r.choice((0, 1, 2, 5)))
        return (b"" if fixed else pack(">I", n)) + b"".join(
            self.make(of, name) for _ in range(n))


class Client:
    """A connection with calls under way."""

    def __init__(self, host, opened=True):
        self.host, self.raw, self.waits = host, host.connect(), {}
        if opened:
            self.raw.open()

    def call(self, number, program, body):
        self.raw.sock.sendall(self.raw.frame(number, body, kind=CALL, program=program))
        self.waits[self.raw.serial] = number

    def take(self):
        """The next frame: (procedure, body of a good answer or None)."""
        got = self.raw.read()
        assert got, "%s closed a connection while it had to answer %s\n%s" % (
            self.host.dir, self.waits, self.host.log()[-3000:])
        procedure, kind, serial, status, body = got
        if kind != REPLY:
            return procedure, None
        lib.equal(self.waits.pop(serial, None), procedure)
        return procedure, None if status else body

    def settle(self, slow):
        """Answers to all calls, or to all but those that may take long."""
        while any(slow or n not in SLOW for n in self.waits.values()):
            yield self.take()


class World:
    def __init__(self, hosts, rng):
        self.about = Description("libvirt.x", "peer.x")
        self.maker, self.rng, self.hosts = Maker(self.about, rng), rng, hosts
        for i, name in enumerate(GUESTS):
            path = hosts[0].xml(name)
            hosts[i % 2].virsh("define" if i < 2 else "create", path)
            with open(path, encoding="utf-8") as f:
                self.maker.xmls.append(f.read())
            shown = hosts[i % 2].virsh("domuuid", name).out.strip()
            self.maker.uuids.append(bytes.fromhex(shown.replace("-", "")))
        self.clients = [Client(hosts[i % 2], i < 6) for i in range(7)]
        self.answered = {}

    def learn(self, procedure, body):
        self.answered[procedure] = self.answered.get(procedure, 0) + (body is not None)
        if procedure in (302, 303, 213, 214) and body:
            cookie = body[4:4 + struct.unpack(">I", body[:4])[0]]
            self.maker.cookies = [b""] + self.maker.cookies[-8:] + [cookie]
            found = re.search(rb"^id=([0-9a-f-]{32,36})", cookie, re.M)
            if found:
                self.maker.ids = self.maker.ids[-8:] + [
                    bytes.fromhex(found.group(1).decode().replace("-", ""))]

    def step(self):
        r = self.rng
        i = r.randrange(len(self.clients))
        c = self.clients[i]
        name, args = r.choice(list(self.about.procs.items()))
        if r.random() < .4:     # what belongs to migrations, more often than the rest
            name, args = r.choice([p for p in self.about.procs.items()
                                   if "MIGRATE" in p[0] or p[0].startswith("PEER")])
        body = self.maker.make(args, "") if args else b""
        if r.random() < .1:
            at = r.randrange(len(body) + 1)
            body = body[:at] + r.randbytes(r.randrange(9)) + body[at + r.randrange(9):]
        number = self.about.const[name]
        if number == 2:         # CONNECT_CLOSE: nothing but refusals would follow
            return
        c.call(number, PEER if name.startswith("PEER") else 0x20008086, body)
        for procedure, got in c.settle(False):
            self.learn(procedure, got)
        if r.random() < .01:
            c.raw.sock.close()
            self.clients[i] = Client(c.host)

    def ask(self, c, number, body):
        """A call in order: its answer's body, or None where it was refused."""
        c.call(number, 0x20008086, body)
        serial, got = c.raw.serial, None
        while serial in c.waits:
            procedure, got = c.take()
            self.learn(procedure, got)
        return got

    def migrate(self):
        """The five calls as a client has them, but that any may be left out, or cancel."""
        r, i = self.rng, self.rng.randrange(2)
        src, dst = Client(self.hosts[i]), Client(self.hosts[1 - i])
        k = r.randrange(len(GUESTS))
        dom = string(GUESTS[k]) + self.maker.uuids[k] + struct.pack(">i", -1)
        flags = struct.pack(">I", r.choice((1, 1, 1, 0, 9, 0x19, 0x101, 0x408, 0x21)))
        cancelled = struct.pack(">I", r.random() < .2)
        begun = self.ask(src, 302, dom + params() + flags)
        if begun:
            cookie, rest = opaque(begun)
            xml = opaque(rest)[0].decode()
            ready = self.ask(dst, 303, params(destination_xml=xml) + xdr(cookie) + flags)
            cookie, rest = opaque(ready) if ready and r.random() < .9 else (cookie, b"")
            uri = opaque(rest[4:])[0].decode() if rest[:4] == b"\0\0\0\1" else "tcp://127.0.0.1"
            if r.random() < .9:
                got = self.ask(src, 305, dom + struct.pack(">I", 0) + params(migrate_uri=uri) +
                               xdr(cookie) + flags)
                cookie = opaque(got)[0] if got else cookie
            for c, number, body in (
                    (dst, 306, params(destination_name=GUESTS[k]) + xdr(cookie) + flags),
                    (src, 307, dom + params() + xdr(cookie) + flags)):
                if r.random() < .8:
                    self.ask(c, number, body + cancelled)
        src.raw.sock.close()
        dst.raw.sock.close()

    def end(self):
        for c in self.clients:
            for procedure, got in c.settle(True):
                self.learn(procedure, got)
            c.raw.sock.close()


def host(stack, name):
    directory = stack.enter_context(lib.scratch())
    return stack.enter_context(Hostd(directory=directory, name=name, args=[
        "--peer-address", "unix://%s/sock" % directory, "--migration-address", "127.0.0.1",
        "--peer-timeout-ms", "2000", "--commit-timeout-ms", "1000", "--prepare-timeout-ms", "3000",
        "--begin-timeout-ms", "3000", "--lock-timeout-ms", "5000"]))


def quiet(hosts):
    """Migrations end, and leave no process that is no guest. (That a guest runs twice cannot be
    judged here: these clients start it where it does not run, too.)"""
    def is_quiet():
        for h in hosts:
            names = h.names()
            if len(names) != len(h.processes()) or not all(
                    "None" in h.virsh("domjobinfo", n, status=None).out for n in names):
                return False
        return True
    lib.until(is_quiet, "jobs to end")


def everything_is_answered():
    print("# SEED=%d CALLS=%d" % (SEED, CALLS), flush=True)
    with contextlib.ExitStack() as stack:
        hosts = [host(stack, name) for name in ("hosta", "hostb")]
        w = World(hosts, random.Random(SEED))
        until = time.monotonic() + 90
        for _ in range(CALLS):
            if time.monotonic() > until:
                break
            w.step()
            if w.rng.random() < .02:
                w.migrate()
        w.end()
        good = sum(1 for n in w.answered.values() if n)
        print("# %d procedures of %d answered with success at least once" %
              (good, len(w.about.procs)))
        if os.environ.get("VERBOSE"):
            print("#", w.answered)
        assert good > 40, w.answered
        assert w.answered[306], "no guest was moved: %s" % w.answered
        quiet(hosts)
        for h in hosts:
            h.kill()
            h.start()
        quiet(hosts)


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [everything_is_answered]))
