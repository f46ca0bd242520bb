#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs in dom0 what the tests ask for, over a virtio serial port: a line of JSON each way.

    {"id": N, "op": "start", "argv": [...]}     then {"id": N, "op": "in", "data": BASE64 or null}
    {"id": N, "op": "signal", "number": 9}      to the session that start made
    {"id": N, "op": "put", "path": P, "data": BASE64, "mode": 420, "append": false}
    {"id": N, "op": "follow", "path": P}        all that a file has and gets; it need not exist yet
    {"id": N, "op": "stop"}                     ends a follow

Answers: {"id": N, "out": BASE64}, {"id": N, "err": BASE64}, {"id": N, "end": STATUS}. The first
line, {"id": 0, "out": ...}, says that the agent is there. Nothing is waited for but the port.
"""
import base64
import ctypes
import glob
import json
import os
import selectors
import signal
import subprocess

PORT_NAME = "drover.agent"
IN_MODIFY, IN_CREATE, IN_MOVED_TO = 0x2, 0x100, 0x80
CHUNK = 65536

poll = selectors.DefaultSelector()
libc = ctypes.CDLL(None)
jobs = {}


def port_open():
    for name in glob.glob("/sys/class/virtio-ports/*/name"):
        with open(name, encoding="ascii") as f:
            if f.read().strip() == PORT_NAME:
                return os.open("/dev/" + name.split("/")[-2], os.O_RDWR)
    raise SystemExit("agent: no port " + PORT_NAME)


port = port_open()


def say(number, **more):
    data = json.dumps({"id": number, **more}).encode() + b"\n"
    while data:
        data = data[os.write(port, data):]


def give(number, word, data):
    for at in range(0, len(data), CHUNK):
        say(number, **{word: base64.b64encode(data[at:at + CHUNK]).decode()})


class Job:
    def __init__(self, number, argv):
        self.number = number
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, start_new_session=True)
        self.pidfd = os.pidfd_open(self.process.pid)
        self.outputs = {self.process.stdout.fileno(): "out", self.process.stderr.fileno(): "err"}
        self.rest = b""
        for fd in self.outputs:
            os.set_blocking(fd, False)
            poll.register(fd, selectors.EVENT_READ, lambda fd=fd: self.output(fd))
        os.set_blocking(self.process.stdin.fileno(), False)
        poll.register(self.pidfd, selectors.EVENT_READ, self.ended)

    def output(self, fd):
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        if data:
            give(self.number, self.outputs[fd], data)
        else:
            poll.unregister(fd)
            del self.outputs[fd]
        return bool(data)

    def input(self, data):
        stdin = self.process.stdin
        if stdin.closed:
            return
        if data is None:
            os.set_blocking(stdin.fileno(), True)
            stdin.close()
            return
        os.set_blocking(stdin.fileno(), True)
        try:
            stdin.write(data)
            stdin.flush()
        except BrokenPipeError:
            pass

    def ended(self):
        """A daemon that it leaves behind may hold its output: what is there by now is all."""
        status = self.process.wait()
        for fd in list(self.outputs):
            while self.output(fd):
                pass
        for fd in self.outputs:
            poll.unregister(fd)
        poll.unregister(self.pidfd)
        os.close(self.pidfd)
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.stdout.close()
        self.process.stderr.close()
        del jobs[self.number]
        say(self.number, end=status)

    def signal(self, number):
        os.killpg(self.process.pid, number)


class Follow:
    def __init__(self, number, path):
        self.number, self.path, self.at = number, path, 0
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        self.inotify = libc.inotify_init1(os.O_NONBLOCK)
        libc.inotify_add_watch(self.inotify, folder.encode(), IN_MODIFY | IN_CREATE | IN_MOVED_TO)
        poll.register(self.inotify, selectors.EVENT_READ, self.changed)
        self.look()

    def changed(self):
        os.read(self.inotify, CHUNK)
        self.look()

    def look(self):
        try:
            with open(self.path, "rb") as f:
                size = os.fstat(f.fileno()).st_size
                if size < self.at:      # written anew
                    self.at = 0
                f.seek(self.at)
                data = f.read()
        except FileNotFoundError:
            return
        self.at += len(data)
        give(self.number, "out", data)

    def stop(self):
        poll.unregister(self.inotify)
        os.close(self.inotify)
        del jobs[self.number]
        say(self.number, end=0)


def put(m):
    os.makedirs(os.path.dirname(m["path"]) or "/", exist_ok=True)
    with open(m["path"], "ab" if m["append"] else "wb") as f:
        f.write(base64.b64decode(m["data"]))
    os.chmod(m["path"], m["mode"])


def serve(m):
    number, op = m["id"], m["op"]
    if op == "start":
        jobs[number] = Job(number, m["argv"])
    elif op == "follow":
        jobs[number] = Follow(number, m["path"])
    elif op == "put":
        put(m)
        say(number, end=0)
    elif number not in jobs:    # has ended meanwhile
        return
    elif op == "in":
        jobs[number].input(None if m["data"] is None else base64.b64decode(m["data"]))
    elif op == "signal":
        jobs[number].signal(m["number"])
    elif op == "stop":
        jobs[number].stop()


def try_serve(line):
    m = json.loads(line)
    try:
        serve(m)
    except Exception as e:  # pylint: disable=broad-except
        give(m["id"], "err", ("agent: %r\n" % e).encode())
        say(m["id"], end=127)


unread = b""


def from_port():
    global unread   # pylint: disable=global-statement
    unread += os.read(port, CHUNK)
    *lines, unread = unread.split(b"\n")
    for line in lines:
        try_serve(line)


signal.signal(signal.SIGPIPE, signal.SIG_DFL)
poll.register(port, selectors.EVENT_READ, from_port)
give(0, "out", open("/proc/uptime", "rb").read())
while True:
    for one, _ in poll.select():
        if poll.get_map().get(one.fd) is one:   # not ended by one before
            one.data()
