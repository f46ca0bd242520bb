# SPDX-License-Identifier: MIT
"""Images, libxl streams and files of xl save, put together octet by octet from docs/image.md, so
that what `drover image` reads was not written by itself; and drover run on them."""
import os
import struct
import subprocess

import lib
from lib import equal

HOME = "/local/domain/3"


def pad(octets, to=8):
    return octets + b"\0" * (-len(octets) % to)


class Image:
    """The upstream layout unless seed. Records are added in order; octets() ends it. bare: their
    lengths leave the padding out."""

    def __init__(self, version=2, big=False, seed=False, bare=False):
        self.order, self.seed, self.bare = ">" if big else "<", seed, bare
        self.head = b"xenstore" + struct.pack(">II", version, big)
        self.body = b""

    def pack(self, fmt, *values):
        return struct.pack(self.order + fmt, *values)

    def record(self, kind, body=b""):
        """The upstream layout counts the padding, as C xenstored needs it."""
        length = len(body) if self.seed or self.bare or kind > 8 else len(pad(body))
        self.body += self.pack("II", kind, length) + pad(body)
        return self

    def octets(self):
        return self.head + self.body + self.pack("II", 0, 0)

    def store(self):
        return self.record(1, self.pack("ii", 5, -1 if self.seed else 7))

    def ring(self, conn, domid, target=0x7ff4, given=b"", out=b"", resp=0, port=9):
        head = self.pack("IHHHHI", conn, 0, 0, domid, target, port)
        if self.seed:
            return self.record(2, head + self.pack("QI", 2**64 - 1, len(out)) + out)
        return self.record(2, head + self.pack("HHI", len(given), resp, len(out)) + given + out)

    def socket(self, conn, fd, given=b"", out=b"", resp=0):
        head = self.pack("IHHi", conn, 1, 0, fd)
        if self.seed:
            return self.record(2, head + b"\0" * 12 + self.pack("I", len(out)) + out)
        return self.record(2, head + b"\0" * 4 + self.pack("HHI", len(given), resp, len(out)) +
                           given + out)

    def watch(self, conn, path, token, depth=None):
        path, token = path.encode() + b"\0", token.encode() + b"\0"
        head = self.pack("IHH", conn, len(path), len(token))
        if depth is None:
            return self.record(3, head + path + token)
        return self.record(8, head + self.pack("HH", depth, 0) + path + token)

    def txn(self, conn, tx):
        return self.record(4, self.pack("II", conn, tx))

    def node(self, path, value=b"", perms="n0", conn=0, tx=0, access=0):
        path = path.encode() + b"\0"
        words = perms.split(",") if perms else []
        access_list = b"".join(word[:1].encode() + b"\0" + self.pack("H", int(word[1:]))
                               for word in words)
        ids = self.pack("II", conn, tx)
        if self.seed:
            head = ids + self.pack("HH", access, len(words)) + access_list + \
                self.pack("HH", len(path), len(value))
            return self.record(5, head + path + value)
        head = self.pack("HHHH", len(path), len(value), access, len(words))
        return self.record(5, ids + head + access_list + path + value)

    def quota(self, **values):
        names = b"".join(name.encode() + b"\0" for name in values)
        return self.record(6, self.pack("HH", len(values), 0) +
                           b"".join(self.pack("I", v) for v in values.values()) + names)

    def domain(self, domid, features, **values):
        names = b"".join(name.encode() + b"\0" for name in values)
        return self.record(7, self.pack("HHI", domid, len(values), features) +
                           b"".join(self.pack("I", v) for v in values.values()) + names)


class Stream:
    """A libxl stream, in a file of xl save where there is a configuration."""

    def __init__(self, big=False, config=None):
        self.order = ">" if big else "<"
        self.body = b""
        if config is not None:
            data = self.pack("I", len(config) + 1) + config + b"\0"
            self.body += b"Xen saved domain, xl format\n \0 \r" + \
                self.pack("IIII", 0x01020304, 3, 0, len(data)) + data
        self.body += b"LibxlFmt" + struct.pack(">II", 2, big)
        self.big = big

    def pack(self, fmt, *values):
        return struct.pack(self.order + fmt, *values)

    def record(self, kind, body=b""):
        self.body += self.pack("II", kind, len(body)) + pad(body)
        return self

    def libxc(self, *pages):
        self.record(1)
        self.body += struct.pack(">QIIHHI", 2**64 - 1, 0x58454e46, 3, self.big, 0, 0)
        self.body += self.pack("IHHII", 2, 12, 0, 4, 17)
        for number, page in enumerate(pages):       # PAGE_DATA, each of one page
            self.record(1, self.pack("IIQ", 1, 0, number) + page)
        self.record(0x10)                           # STATIC_DATA_END
        return self.record(0)

    def emulator(self, context=b"QEVM"):
        return self.record(3, self.pack("II", 2, 0) + context)

    def octets(self):
        return self.body + self.pack("II", 0, 0)

    # Xenstore data in its three forms.

    def data(self, kind, body):
        return self.record(7, self.pack("I", kind) + body)

    def sized(self, text):
        return self.pack("I", len(text)) + pad(text, 4)

    def node(self, path, value, *perms):
        entries = b"".join(p[:1].encode() + b"\0" + self.pack("H", int(p[1:])) for p in perms)
        return self.data(1, self.sized(path.encode()) + self.pack("I", len(perms)) + entries +
                         self.sized(value))

    def watch(self, path, token):
        return self.data(2, self.sized(path.encode()) + self.sized(token.encode()))

    def txn(self, tx):
        return self.data(3, self.pack("I", tx))

    def node_absolute(self, path, value, *perms):
        words = [path, str(len(perms)), *perms]
        return self.data(1, b"".join(w.encode() + b"\0" for w in words) + value + b"\0")

    def node_relative(self, path, value, *perms):
        return self.data(1, path.encode() + b"\0" + value + b"\0" +
                         b"".join(p.encode() + b"\0" for p in perms))

    def watch_words(self, path, token):
        return self.data(2, path.encode() + b"\0" + token.encode() + b"\0")

    def txn_words(self, *ids):
        return self.data(3, b"".join(b"%d\0" % n for n in (len(ids), *ids)))


def nodes(i):
    """Parents of a domain's own."""
    return i.node("/").node("/local").node("/local/domain")


def store(**how):
    """A store of which every layout and version can hold everything."""
    i = Image(**how).store().ring(1, 3, out=b"\x01\0out").watch(1, "data", "tok")
    i.watch(1, "/a/b", "t 2").socket(2, 9).watch(2, "@releaseDomain", "")
    nodes(i).node(HOME, b"", "n3,r0").node(HOME + "/data", b"a\0\xff", "b3")
    return i.node("@releaseDomain").node("@introduceDomain")


def domain(**how):
    """A domain's image that fits into a stream without loss, in the binary form."""
    i = Image(**how).ring(1, 3, port=0).watch(1, "data", "tok").watch(1, HOME + "/x", "t").txn(1, 7)
    i.node(HOME, b"", "n3,r0").node(HOME + "/data", b"a\0\xff", "b3").node(HOME + "/z")
    return i.node("/vm/1", b"v", "n0,r3")


def stream(big=False, config=None):
    return Stream(big, config).libxc(b"\xaa" * 4096, os.urandom(4096))


class Work:
    """A folder, and drover run in it."""

    def __init__(self, path):
        self.path = path

    def put(self, name, octets):
        with open(os.path.join(self.path, name), "wb") as f:
            f.write(octets)
        return name

    def get(self, name):
        with open(os.path.join(self.path, name), "rb") as f:
            return f.read()

    def names(self):
        return sorted(os.listdir(self.path))

    def run(self, *args, status=0, stdin=b"", **more):
        p = subprocess.run([lib.DROVER, "image", *args], cwd=self.path, input=stdin,
                           capture_output=True, timeout=lib.TIMEOUT, check=False, **more)
        assert p.returncode == status, (args, p.returncode, p.stdout[-500:], p.stderr)
        return Done(p)

    def refuses(self, said, *args, status=1, **more):
        """It ends with that status and says so, in these words."""
        before = self.names()
        r = self.run(*args, status=status, **more)
        assert said in r.err, "%r, not %r" % (r.err, said)
        equal(self.names(), before)
        return r


class Done:
    def __init__(self, p):
        self.octets, self.out, self.err = p.stdout, p.stdout.decode(errors="replace"), \
            p.stderr.decode()
        self.lines = self.out.splitlines()
        self.told = [line.split(": ", 2)[-1] for line in self.err.splitlines()]


def case(function):
    """A case that gets a folder of its own."""
    def inside():
        with lib.scratch() as path:
            function(Work(path))
    inside.__name__ = function.__name__
    return inside
