# SPDX-License-Identifier: MIT
"""Plays a scenario on one daemon and writes down what every connection saw.

A scenario is lines, each one step:

    a READ /x               socket a sends READ; connections a, b, c open at their first use
    g5 WRITE data/x 1       the guest of domain 5, over its ring
    a t=1 START             opens a transaction that later lines call t=1; t=#77 is the id 77
    a t=1 WRITE /x 1
    a t=1 END T
    a RAW 2 /x              type 2 (any number), the payload to the octet: no NUL is added
    a OCTETS 0200...        octets as they are, in hexadecimal; awaits whatever comes
    a CLOSE
    H create 5 | guest 5 | shutdown 5 | destroy 5      the host: guest creates, introduces, and
                            makes /local/domain/5, the domain's own

Words are split at blanks; \\0, \\xNN, \\n are octets, A{300} is A 300 times, "" is empty, $gfn is
the ring's frame. Every word ends in a NUL but the value of a WRITE.

After each step all connections are asked something, so that every event the step caused has
come. Events that the acting connection got before its reply are marked '<'.
"""
import os
import re
import select
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
import peers  # noqa: E402

TYPES = {
    "CONTROL": 0, "DIRECTORY": 1, "READ": 2, "GET_PERMS": 3, "WATCH": 4, "UNWATCH": 5,
    "START": 6, "END": 7, "INTRODUCE": 8, "RELEASE": 9, "GET_DOMAIN_PATH": 10, "WRITE": 11,
    "MKDIR": 12, "RM": 13, "SET_PERMS": 14, "IS_INTRODUCED": 17, "RESUME": 18,
    "SET_TARGET": 19, "RESET_WATCHES": 21, "DIRECTORY_PART": 22, "GET_FEATURE": 23,
    "SET_FEATURE": 24, "GET_QUOTA": 25, "SET_QUOTA": 26,
}
WAIT_S = 8.0       # for what must come
HEARD_S = 3.0      # for what some daemons do not tell
SHOWN = 60


class Died(Exception):
    """The daemon is gone."""


class Scenario:
    def __init__(self, name, text, quotas="lifted", args=(), kinds=("c", "ocaml"), shown=True):
        self.name, self.quotas, self.args, self.kinds = name, quotas, list(args), kinds
        self.steps = [s.strip() for s in text.strip().split("\n")]
        self.steps = [s for s in self.steps if s and not s.startswith("#")]


def octets(word):
    """A word of a step as it goes over the wire."""
    if word == '""':
        return b""
    word = word.replace("$gfn", str(peers.XS_GFN))
    word = re.sub(r"(\\x..|.)\{(\d+)\}", lambda m: m.group(1) * int(m.group(2)), word)
    return word.encode("latin-1").decode("unicode_escape").encode("latin-1")


def payload_of(op, words):
    if op == "START" and not words:
        return b"\0"
    if op == "WRITE" and words:
        return octets(words[0]) + b"\0" + b"".join(octets(w) for w in words[1:])
    return b"".join(octets(w) + b"\0" for w in words)


def brief(data):
    """Octets for a person, long ones by their length and ends."""
    text = data.decode("latin-1")
    text = "".join(ch if 32 <= ord(ch) < 127 and ch not in "|*" else "\\x%02x" % ord(ch)
                   for ch in text)
    if len(text) > SHOWN:
        text = "%s..%s (%d)" % (text[:20], text[-10:], len(data))
    return "'" + text + "'"


def names_of(data):
    return [n.decode("latin-1") for n in data.split(b"\0")[:-1]]


def reply_text(op, message):
    """A reply with all that may differ between equal answers taken out."""
    data = message.payload
    if message.type == peers.XS_ERROR:
        return data.rstrip(b"\0").decode("latin-1")
    if data == b"OK\0":
        return "OK"
    if op in ("DIRECTORY", "GET_PERMS"):
        names = names_of(data)
        if op == "DIRECTORY":
            names.sort()
        if len(names) > 12:
            names = names[:3] + ["..(%d)" % len(names)]
        return "[" + " ".join(names) + "]"
    if op == "DIRECTORY_PART":
        names = names_of(data)[1:]      # the first is the generation
        ended = bool(names) and names[-1] == ""
        names = sorted(n for n in names if n)
        if len(names) > 12:
            names = ["(many)"]
        return "[" + " ".join(names) + "]" + ("." if ended else "+")
    if op == "CONTROL":
        return "TEXT" if data else "''"
    return brief(data)


def closed_text(e):
    return "CLOSED " + str(e) if "error" in str(e) else "CLOSED"


class World:
    """One daemon with its connections."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.conns = {}
        self.txns = {}
        self.dead = set()
        self.host = daemon.connect()
        self.host.watch("@releaseDomain", "host")
        self.host.next_event(WAIT_S)

    def close(self):
        for c in self.conns.values():
            c.close()
        self.host.close()

    def conn(self, name):
        if name not in self.conns:
            self.conns[name] = (self.daemon.guest(int(name[1:])) if name[0] == "g"
                                else self.daemon.connect())
        return self.conns[name]

    def gone(self, name, why):
        self.dead.add(name)
        ended = os.pidfd_open(self.daemon.pid)
        try:
            # A daemon that died closed everything; the kernel tells of both at once, nearly.
            if why == "CLOSED" and select.select([ended], [], [], 0.2)[0]:
                raise Died(self.daemon.output()[-1000:])
        finally:
            os.close(ended)
        return why

    def message(self, name):
        """The next message of a connection; a ring that was given up raises Closed."""
        c = self.conns[name]
        if name[0] != "g":
            return c.recv(WAIT_S)
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                return c.recv(0.02)
            except peers.Timeout:
                # An error is written beside the ring, without a message.
                if c.field(6):
                    raise peers.Closed("error %d" % c.field(6)) from None
                if time.monotonic() > deadline:
                    raise

    def until_reply(self, name, req_id, events, mark=""):
        """Reads up to the reply of a request; the events before it are kept."""
        while True:
            m = self.message(name)
            if m.type == peers.XS_WATCH_EVENT:
                path, token = (m.payload.split(b"\0") + [b"", b""])[:2]
                events.append(mark + brief(path)[1:-1] + " " + brief(token)[1:-1])
            elif req_id is None or m.req_id == req_id:
                return m
            else:
                raise AssertionError("reply to %d where %d was asked" % (m.req_id, req_id))

    def settle(self, events):
        """Asks every connection something, and so collects the events under way."""
        asked = []
        for name, c in self.conns.items():
            if name not in self.dead:
                try:
                    asked.append((name, c.send(peers.XS_GET_DOMAIN_PATH, b"0\0")))
                except (peers.Closed, peers.Timeout):
                    events.setdefault(name, []).append(self.gone(name, "CLOSED"))
        for name, req_id in asked:
            if name in self.dead:
                continue
            got = events.setdefault(name, [])
            try:
                self.until_reply(name, req_id, got)
            except peers.Closed as e:
                got.append(self.gone(name, closed_text(e)))
            except peers.Timeout:
                got.append(self.gone(name, "SILENT"))

    def heard_of_death(self):
        try:
            return bool(self.host.next_event(HEARD_S))
        except peers.Timeout:
            return False

    def on_host(self, words):
        what, domid = words[0], int(words[1])
        sim, host = self.daemon.sim, self.host
        if what == "create":
            sim.create(domid)
        elif what == "guest":
            try:
                self.daemon.create_guest(domid, host)
            except peers.XsError as e:
                return e.name
        elif what in ("shutdown", "destroy", "kill"):
            heard = host.is_introduced(domid)
            getattr(sim, what)(domid)
            if heard and not self.heard_of_death():
                return "UNHEARD"
            if what == "destroy":
                for name in [n for n in self.conns if n == "g%d" % domid]:
                    self.conns.pop(name).close()
                    self.dead.discard(name)
        elif what == "resume":
            sim.resume(domid)
        else:
            raise ValueError("no step H %s" % what)
        host.events.clear()
        return "-"

    def transact(self, tx, op, message):
        """Remembers a new transaction's id by its name."""
        if op == "START" and tx is not None and message.type != peers.XS_ERROR:
            self.txns[tx] = int(message.payload.rstrip(b"\0"))
            return "TX"
        return reply_text(op, message)

    def on_conn(self, name, tx, op, words, events):
        c = self.conn(name)
        got = events.setdefault(name, [])
        if op == "CLOSE":
            self.conns.pop(name).close()
            return "-"
        if name in self.dead:
            return "DEAD"
        tx_id = 0
        if tx is not None and tx[0] == "#":
            tx_id = int(tx[1:])
        elif tx is not None and op != "START":
            tx_id = self.txns.get(tx, 0xdead)
        try:
            if op == "OCTETS":
                c.send_raw(bytes.fromhex("".join(words)))
                return reply_text(op, self.until_reply(name, None, got, "<"))
            if op == "RAW":
                kind = int(words[0])
                data = b"".join(octets(w) for w in words[1:])
                op = next((n for n, t in TYPES.items() if t == kind), op)
            else:
                kind, data = TYPES[op], payload_of(op, words)
            req_id = c.send(kind, data, tx_id)
            m = self.until_reply(name, req_id, got, "<")
            if m.tx_id != tx_id:
                return "tx_id %d in the reply" % m.tx_id
            return self.transact(tx, op, m)
        except peers.Closed as e:
            return self.gone(name, closed_text(e))
        except peers.Timeout:
            return self.gone(name, "SILENT")

    def step(self, line):
        """One step: (reply, {connection: sorted events})."""
        words = line.split()
        name, tx, events = words.pop(0), None, {}
        if words[0].startswith("t="):
            tx = words.pop(0)[2:]
        op = words.pop(0)
        if name == "H":
            try:
                reply = self.on_host([op] + words)
            except peers.Closed as e:
                raise Died(self.daemon.output()[-1000:]) from e
        else:
            reply = self.on_conn(name, tx, op, words, events)
        self.settle(events)
        if op in ("CLOSE",) or name == "H":
            self.settle(events)
        if name == "H":     # several requests: equal events between them may have become one
            events = {n: set(e) for n, e in events.items()}
        return reply, {n: sorted(e) for n, e in events.items() if e}


def play(scenario, kind, build=None):
    """What the daemon of that kind makes of it: a list of (reply, events), one a step; the last
    is ("DIED", {}) where the daemon did not live on."""
    outcome = []
    with peers.Daemon(kind, quotas=scenario.quotas, args=scenario.args, build=build) as daemon:
        world = World(daemon)
        try:
            for line in scenario.steps:
                outcome.append(world.step(line))
        except Died:
            outcome.append(("DIED", {}))
        finally:
            world.close()
    return outcome
