#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Stands between a client and a daemon that speak libvirt's RPC, sees every frame and lets things
go wrong at the one that is meant: before virsh, or between two daemons.

    p = rpcproxy.Proxy("unix:///x/front", "unix:///x/sock")      # or tcp://HOST:PORT
    p.rules.append(rpcproxy.Rule("reply", 306, rpcproxy.drop))   # once, at the first such frame
    p.cut(); ...; p.mend()                                       # nobody gets through meanwhile
    p.close()

A rule's action is called with the link before the frame goes on; what it returns decides: FORWARD,
DROP (this frame alone), CLOSE (the connection, without the frame), PASS_AND_CLOSE. As a program:

    rpcproxy.py LISTEN TARGET [RULE...]

a RULE is KIND:PROCEDURE:ACTION[:PROGRAM], KIND call or reply, ACTION drop, close, pass-close,
hold=SECONDS, run=COMMAND (then goes on) or run-close=COMMAND; each frame is a line of output.
"""
import os
import select
import socket
import struct
import subprocess
import sys
import threading

REMOTE = 0x20008086
PEER = 0x44524f56
KEEPALIVE = 0x6b656570
FRAME_MAX = 33 << 20
KINDS = ("call", "reply", "event", "stream")
FORWARD, DROP, CLOSE, PASS_AND_CLOSE = "forward", "drop", "close", "pass-close"


def drop(_link):
    return DROP


def close(_link):
    return CLOSE


def pass_and_close(_link):
    return PASS_AND_CLOSE


class Rule:
    """What happens at the first frame of a kind ("call": from the client, "reply": to it)."""

    def __init__(self, kind, procedure, action, program=REMOTE):
        self.kind, self.procedure, self.program = kind, procedure, program
        self.action = action
        self.fired = threading.Event()
        self.lock = threading.Lock()

    def take(self, frame):
        """Whether it is this frame's, and no other was it before."""
        if (frame.kind, frame.procedure, frame.program) != (self.kind, self.procedure,
                                                            self.program):
            return False
        with self.lock:
            if self.fired.is_set():
                return False
            self.fired.set()
            return True


class Frame:
    def __init__(self, octets):
        self.octets = octets
        self.program, _, self.procedure, kind, self.serial, self.status = struct.unpack(
            ">IIiIII", octets[4:28])
        self.kind = KINDS[kind] if kind < len(KINDS) else str(kind)

    def __str__(self):
        name = {REMOTE: "remote", PEER: "peer", KEEPALIVE: "keepalive"}.get(
            self.program, hex(self.program))
        return "%s %s %d serial %d status %d, %d octets" % (
            name, self.kind, self.procedure, self.serial, self.status, len(self.octets))


def _socket(address):
    """(a socket, what to connect or bind it to)."""
    if address.startswith("unix://"):
        return socket.socket(socket.AF_UNIX), address[7:]
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return s, (host, int(port))


class Link:
    """One connection through a proxy."""

    def __init__(self, proxy, client, server):
        self.proxy, self.client, self.server = proxy, client, server
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self.pump, args=(source, target), daemon=True).start()

    def close(self):
        for s in (self.client, self.server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def frame(self, source):
        head = self.octets(source, 4)
        size = struct.unpack(">I", head)[0] if head else 0
        if not 28 <= size <= FRAME_MAX:
            return None
        rest = self.octets(source, size - 4)
        return Frame(head + rest) if rest else None

    @staticmethod
    def octets(source, n):
        got = bytearray()
        while len(got) < n:
            more = source.recv(n - len(got))
            if not more:
                return None
            got += more
        return bytes(got)

    def pump(self, source, target):
        try:
            while True:
                frame = self.frame(source)
                if not frame:
                    break
                verdict = self.proxy.judge(self, frame)
                if verdict in (FORWARD, PASS_AND_CLOSE):
                    target.sendall(frame.octets)
                if verdict in (CLOSE, PASS_AND_CLOSE):
                    break
        except OSError:
            pass
        self.close()


class Proxy:
    def __init__(self, listen, target, seen=None):
        """seen(frame) is told every frame before any rule is asked."""
        self.listen, self.target, self.seen = listen, target, seen
        self.rules = []
        self.is_cut = False
        self.lock = threading.Lock()
        self.links = []
        if listen.startswith("unix://") and os.path.exists(listen[7:]):
            os.unlink(listen[7:])
        self.listener, name = _socket(listen)
        self.listener.bind(name)
        self.listener.listen(64)
        self.stop_r, self.stop_w = os.pipe()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def judge(self, link, frame):
        if self.seen:
            self.seen(frame)
        if frame.program == KEEPALIVE:
            return FORWARD
        for rule in list(self.rules):
            if rule.take(frame):
                return rule.action(link) or FORWARD
        return FORWARD

    def serve(self):
        while True:
            ready = select.select([self.listener, self.stop_r], [], [])[0]
            if self.stop_r in ready:
                return
            client, _ = self.listener.accept()
            server, name = _socket(self.target)
            try:
                with self.lock:
                    if self.is_cut:
                        raise OSError("cut")
                    server.connect(name)
                    self.links = [x for x in self.links if x.client.fileno() >= 0]
                    self.links.append(Link(self, client, server))
            except OSError:
                server.close()
                client.close()

    def cut(self):
        """All connections are gone, and nobody gets a new one."""
        with self.lock:
            self.is_cut = True
            for link in self.links:
                link.close()
            self.links = []

    def mend(self):
        self.is_cut = False

    def close(self):
        os.write(self.stop_w, b"x")
        self.thread.join()
        self.cut()
        self.listener.close()
        os.close(self.stop_r)
        os.close(self.stop_w)


def rule_of(text):
    kind, procedure, action, *program = text.split(":")
    word, _, value = action.partition("=")

    def act(_link):
        if word == "hold":
            threading.Event().wait(float(value))
        elif word in ("run", "run-close"):
            subprocess.run(value, shell=True, check=False)
        return {"drop": DROP, "close": CLOSE, "pass-close": PASS_AND_CLOSE,
                "run-close": CLOSE}.get(word, FORWARD)
    return Rule(kind, int(procedure), act, int(program[0], 0) if program else REMOTE)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    p = Proxy(sys.argv[1], sys.argv[2], seen=lambda frame: print(frame, flush=True))
    p.rules = [rule_of(text) for text in sys.argv[3:]]
    p.thread.join()


if __name__ == "__main__":
    main()
