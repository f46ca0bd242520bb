# SPDX-License-Identifier: MIT
"""A simulated host's domains, and xenstore clients by socket and by ring; see peers.py."""
import collections
import ctypes
import errno
import os
import socket
import struct
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

(XS_CONTROL, XS_DIRECTORY, XS_READ, XS_GET_PERMS, XS_WATCH, XS_UNWATCH, XS_TRANSACTION_START,
 XS_TRANSACTION_END, XS_INTRODUCE, XS_RELEASE, XS_GET_DOMAIN_PATH, XS_WRITE, XS_MKDIR, XS_RM,
 XS_SET_PERMS, XS_WATCH_EVENT, XS_ERROR, XS_IS_DOMAIN_INTRODUCED, XS_RESUME,
 XS_SET_TARGET) = range(20)
XS_RESET_WATCHES = 21
XS_DIRECTORY_PART = 22

HEADER = struct.Struct("=IIII")
RING_SIZE = 1024
XS_PORT = 1
XS_GFN = 0xfeffc

Message = collections.namedtuple("Message", "type req_id tx_id payload")


class XsError(Exception):
    def __init__(self, name):
        super().__init__(name)
        self.name = name


class Closed(Exception):
    """The daemon closed the connection, or the domain is gone."""


class Timeout(Exception):
    """Nothing came in time."""


def build_dir(build=None):
    return os.path.abspath(build or os.environ.get("DROVER_BUILD") or os.path.join(ROOT, "build"))


class _DomInfo(ctypes.Structure):
    _fields_ = [("domid", ctypes.c_uint16), ("shutdown", ctypes.c_bool),
                ("dying", ctypes.c_bool), ("bound", ctypes.c_bool),
                ("unique", ctypes.c_uint64)]


_lib = None


def _sim_lib():
    global _lib
    if _lib is None:
        lib = ctypes.CDLL(build_dir() + "/tests/peers/libdroversim.so")
        ptr, u16, u32 = ctypes.c_void_p, ctypes.c_uint16, ctypes.c_uint32
        out = ctypes.POINTER(ptr)
        for name, args in {
                "sim_open": [ctypes.c_char_p, out], "sim_close": [ptr],
                "sim_domain_create": [ptr, u16, ctypes.POINTER(u16)],
                "sim_domain_shutdown": [ptr, u16], "sim_domain_resume": [ptr, u16],
                "sim_domain_kill": [ptr, u16], "sim_domain_destroy": [ptr, u16],
                "sim_domain_info": [ptr, u16, ctypes.POINTER(_DomInfo)],
                "sim_domain_next": [ptr, u32, ctypes.POINTER(_DomInfo)],
                "sim_guest_open": [ctypes.c_char_p, u16, out], "sim_guest_close": [ptr],
                "sim_guest_port_alloc": [ptr, ctypes.POINTER(u32)],
                "sim_guest_port_free": [ptr, u32], "sim_guest_port_use": [ptr, u32],
                "sim_guest_write": [ptr, ctypes.c_char_p, ctypes.c_size_t],
                "sim_guest_read": [ptr, ptr, ctypes.c_size_t],
                "sim_guest_notify": [ptr], "sim_guest_wait": [ptr, ctypes.c_int],
                "sim_guest_fd": [ptr]}.items():
            getattr(lib, name).argtypes = args
            getattr(lib, name).restype = ctypes.c_int
        lib.sim_guest_page.argtypes = [ptr]
        lib.sim_guest_page.restype = ptr
        lib.sim_close.restype = lib.sim_guest_close.restype = None
        _lib = lib
    return _lib


def _check(r, what):
    if r < 0:
        raise OSError(-r, "%s: %s" % (what, os.strerror(-r)))
    return r


class Sim:
    """A simulated host: its domains."""

    def __init__(self, directory):
        self.dir = directory
        self.lib = _sim_lib()
        self.h = ctypes.c_void_p()
        _check(self.lib.sim_open(os.fsencode(directory), ctypes.byref(self.h)), directory)

    def close(self):
        if self.h:
            self.lib.sim_close(self.h)
            self.h = None

    def create(self, domid=0):
        ret = ctypes.c_uint16()
        _check(self.lib.sim_domain_create(self.h, domid, ctypes.byref(ret)), "create")
        return ret.value

    def shutdown(self, domid):
        _check(self.lib.sim_domain_shutdown(self.h, domid), "shutdown")

    def resume(self, domid):
        _check(self.lib.sim_domain_resume(self.h, domid), "resume")

    def kill(self, domid):
        _check(self.lib.sim_domain_kill(self.h, domid), "kill")

    def destroy(self, domid):
        _check(self.lib.sim_domain_destroy(self.h, domid), "destroy")

    def info(self, domid):
        d = _DomInfo()
        _check(self.lib.sim_domain_info(self.h, domid, ctypes.byref(d)), "info")
        return d

    def list(self):
        d, found, start = _DomInfo(), [], 0
        while self.lib.sim_domain_next(self.h, start, ctypes.byref(d)):
            found.append((d.domid, d.shutdown, d.dying, d.bound))
            start = d.domid + 1
        return found


def _octets(v):
    return v if isinstance(v, bytes) else str(v).encode()


def _strings(*parts):
    return b"".join(_octets(p) + b"\0" for p in parts)


class Client:
    """What both transports share. A transport has put(octets) and fill(deadline)."""

    timeout = 30.0

    def __init__(self):
        self.buf = b""
        self.req = 0
        self.events = collections.deque()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def send_raw(self, octets):
        self.put(octets)

    def send(self, kind, payload=b"", tx=0, req_id=None):
        if req_id is None:
            self.req = (self.req + 1) & 0xffffffff
            req_id = self.req
        self.put(HEADER.pack(kind, req_id, tx, len(payload)) + payload)
        return req_id

    def recv(self, timeout=None):
        """The next message, events too."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            if len(self.buf) >= HEADER.size:
                kind, req_id, tx, size = HEADER.unpack_from(self.buf)
                if len(self.buf) >= HEADER.size + size:
                    payload = self.buf[HEADER.size:HEADER.size + size]
                    self.buf = self.buf[HEADER.size + size:]
                    return Message(kind, req_id, tx, payload)
            self.buf += self.fill(deadline)

    def recv_reply(self, timeout=None):
        while True:
            m = self.recv(timeout)
            if m.type != XS_WATCH_EVENT:
                return m
            self._keep(m)

    def _keep(self, m):
        parts = m.payload.split(b"\0")
        self.events.append(tuple(p.decode("latin-1") for p in parts[:2]))

    def next_event(self, timeout=None):
        """(path, token); raises Timeout."""
        while not self.events:
            m = self.recv(timeout)
            if m.type != XS_WATCH_EVENT:
                raise AssertionError("a reply nobody waits for: %r" % (m,))
            self._keep(m)
        return self.events.popleft()

    def call(self, kind, payload=b"", tx=0):
        self.send(kind, payload, tx)
        m = self.recv_reply()
        if m.type == XS_ERROR:
            raise XsError(m.payload.rstrip(b"\0").decode("latin-1"))
        return m.payload

    def read(self, path, tx=0):
        return self.call(XS_READ, _strings(path), tx)

    def write(self, path, value, tx=0):
        self.call(XS_WRITE, _strings(path) + _octets(value), tx)

    def mkdir(self, path, tx=0):
        self.call(XS_MKDIR, _strings(path), tx)

    def rm(self, path, tx=0):
        self.call(XS_RM, _strings(path), tx)

    def ls(self, path, tx=0):
        r = self.call(XS_DIRECTORY, _strings(path), tx)
        return [n.decode("latin-1") for n in r.split(b"\0")[:-1]]

    def perms(self, path, tx=0):
        r = self.call(XS_GET_PERMS, _strings(path), tx)
        return [n.decode("latin-1") for n in r.split(b"\0")[:-1]]

    def setperms(self, path, *perms, tx=0):
        self.call(XS_SET_PERMS, _strings(path, *perms), tx)

    def watch(self, path, token, *depth):
        self.call(XS_WATCH, _strings(path, token, *depth))

    def unwatch(self, path, token):
        self.call(XS_UNWATCH, _strings(path, token))

    def begin(self):
        return int(self.call(XS_TRANSACTION_START, b"\0").rstrip(b"\0"))

    def commit(self, tx):
        self.call(XS_TRANSACTION_END, b"T\0", tx)

    def abort(self, tx):
        self.call(XS_TRANSACTION_END, b"F\0", tx)

    def introduce(self, domid, port=XS_PORT, gfn=XS_GFN):
        self.call(XS_INTRODUCE, _strings(domid, gfn, port))

    def release(self, domid):
        self.call(XS_RELEASE, _strings(domid))

    def control(self, *words):
        return self.call(XS_CONTROL, _strings(*words)).rstrip(b"\0").decode("latin-1")

    def get_domain_path(self, domid):
        return self.call(XS_GET_DOMAIN_PATH, _strings(domid)).rstrip(b"\0").decode()

    def is_introduced(self, domid):
        return self.call(XS_IS_DOMAIN_INTRODUCED, _strings(domid)).rstrip(b"\0") == b"T"

    def resume(self, domid):
        self.call(XS_RESUME, _strings(domid))

    def set_target(self, domid, target):
        self.call(XS_SET_TARGET, _strings(domid, target))

    def own_home(self, domid):
        """What a toolstack makes for a new domain: /local/domain/N, the domain's own."""
        self.write("/local/domain/%d" % domid, "")
        self.setperms("/local/domain/%d" % domid, "n%d" % domid)


class SocketClient(Client):
    def __init__(self, path):
        super().__init__()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)

    def close(self):
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    def put(self, octets):
        self.sock.settimeout(self.timeout)
        try:
            self.sock.sendall(octets)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Closed(str(e)) from e
        except socket.timeout as e:
            raise Timeout("the daemon takes nothing") from e

    def fill(self, deadline):
        self.sock.settimeout(max(0.000001, deadline - time.monotonic()))
        try:
            got = self.sock.recv(65536)
        except socket.timeout as e:
            raise Timeout("no message in time") from e
        except ConnectionResetError as e:
            raise Closed(str(e)) from e
        if not got:
            raise Closed("closed by the daemon")
        return got


class RingClient(Client):
    """Speaks as a domain, over its ring. One at a time for a domain."""

    def __init__(self, directory, domid):
        super().__init__()
        self.domid = domid
        self.lib = _sim_lib()
        self.g = ctypes.c_void_p()
        self.space = ctypes.create_string_buffer(RING_SIZE)
        _check(self.lib.sim_guest_open(os.fsencode(directory), domid, ctypes.byref(self.g)),
               "domain %d" % domid)
        page = ctypes.c_uint8 * 4096
        self.page = memoryview(page.from_address(self.lib.sim_guest_page(self.g))).cast("B")

    def close(self):
        if self.g:
            self.page.release()
            self.lib.sim_guest_close(self.g)
            self.g = None

    def fileno(self):
        return self.lib.sim_guest_fd(self.g)

    def field(self, index, value=None):
        """32-bit field of the page after the two rings: 0 req_cons, 1 req_prod, 2 rsp_cons,
        3 rsp_prod, 4 server_features, 5 connection, 6 error; set where value is given."""
        at = 2 * RING_SIZE + 4 * index
        if value is not None:
            self.page[at:at + 4] = struct.pack("=I", value & 0xffffffff)
        return struct.unpack("=I", self.page[at:at + 4])[0]

    def port_alloc(self):
        port = ctypes.c_uint32()
        _check(self.lib.sim_guest_port_alloc(self.g, ctypes.byref(port)), "port")
        return port.value

    def port_free(self, port):
        _check(self.lib.sim_guest_port_free(self.g, port), "port")

    def port_use(self, port):
        _check(self.lib.sim_guest_port_use(self.g, port), "port")

    def notify(self):
        return self._alive(self.lib.sim_guest_notify(self.g))

    def wait(self, seconds):
        return self._alive(self.lib.sim_guest_wait(self.g, max(0, int(seconds * 1000 + 0.999))))

    def reconnect(self, timeout=None):
        """Begins anew, where the daemon offers it (xenstore-ring.txt)."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        self.field(5, 1)
        self.notify()
        while self.field(5):
            if time.monotonic() >= deadline:
                raise Timeout("not reconnected in time")
            self.wait(deadline - time.monotonic())
        self.buf = b""
        self.events.clear()

    @staticmethod
    def _alive(r):
        if r in (-errno.ESRCH, -errno.EIO):
            raise Closed(os.strerror(-r))
        return _check(r, "ring")

    def put(self, octets):
        deadline = time.monotonic() + self.timeout
        while octets:
            n = self._alive(self.lib.sim_guest_write(self.g, octets, len(octets)))
            octets = octets[n:]
            if n:
                self.notify()
            elif time.monotonic() > deadline:
                raise Timeout("the daemon takes nothing")
            else:
                self.wait(deadline - time.monotonic())

    def fill(self, deadline):
        while True:
            n = self._alive(self.lib.sim_guest_read(self.g, self.space, RING_SIZE))
            if n:
                return self.space.raw[:n]
            if time.monotonic() >= deadline:
                raise Timeout("no message in time")
            self.wait(deadline - time.monotonic())
