#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The clients that hosts have, unmodified: test-xenstore, the xenstore-* commands,
xenstore-control, python3-pyxs, libxenstore with its watch thread, and guests over their rings.
"""
import ctypes
import ctypes.util
import os
import re
import select
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from lib import equal, next_line, peers, run, started  # noqa: E402


def test_xenstore_passes(d):
    n = 5 if lib.options.valgrind else lib.options.iterations
    run(d, peers.XEN_BIN + "/test-xenstore", "-i", str(n), timeout=200)


def xenstore_write_read_exists_rm(d):
    run(d, "xenstore-write", "/c/a", "one", "/c/b", "two words")
    equal(run(d, "xenstore-read", "/c/a", "/c/b").lines, ["one", "two words"])
    equal(run(d, "xenstore-read", "-p", "/c/a").lines, ["/c/a: one"])
    run(d, "xenstore-exists", "/c/a")
    run(d, "xenstore-exists", "/c/none", status=1)
    assert "couldn't read" in run(d, "xenstore-read", "/c/none", status=1).err
    run(d, "xenstore-rm", "/c/a")
    run(d, "xenstore-exists", "/c/a", status=1)
    run(d, "xenstore-write", "/c/t/x/y", "1")
    run(d, "xenstore-rm", "-t", "/c/t/x/y")     # with the parents it leaves empty
    run(d, "xenstore-exists", "/c/t", status=1)
    run(d, "xenstore-rm", "/c")


def xenstore_list_and_ls(d):
    run(d, "xenstore-write", "/l/b", "2", "/l/a", "1", "/l/a/deep", "x\ty")
    equal(sorted(run(d, "xenstore-list", "/l").lines), ["a", "b"])
    equal(sorted(run(d, "xenstore-list", "-p", "/l").lines), ["/l/a", "/l/b"])
    lines = run(d, "xenstore-ls", "-f", "/l").lines
    equal(sorted(lines), ['/l/a = "1"', '/l/a/deep = "x\\ty"', '/l/b = "2"'])
    shown = run(d, "xenstore-ls", "-fp").out
    assert re.search(r'^/l/a = "1" +\(n0\)$', shown, re.M), shown
    assert re.search(r"^/tool/xenstored", shown, re.M), shown
    run(d, "xenstore-rm", "/l")


def xenstore_chmod(d):
    domid = d.create_guest()
    run(d, "xenstore-write", "/p/a/b", "1")
    run(d, "xenstore-chmod", "-r", "/p", "n0", "r%d" % domid)
    shown = run(d, "xenstore-ls", "-fp", "/p").out
    equal(shown.count("(n0,r%d)" % domid), 2)
    with d.guest(domid) as g:
        equal(g.read("/p/a/b"), b"1")
    run(d, "xenstore-chmod", "/p/a/b", "b0")
    assert "(b0)" in run(d, "xenstore-ls", "-fp", "/p").out
    run(d, "xenstore-rm", "/p")
    d.sim.destroy(domid)


def xenstore_list_of_many_children(d):
    with d.connect() as x:
        for i in range(800):
            x.write("/many/child-%04d" % i, "")
        equal(lib.refusal(x.ls, "/many"), "E2BIG")
    equal(len(run(d, "xenstore-list", "/many").lines), 800)
    run(d, "xenstore-rm", "/many")


def xenstore_watch(d):
    with started(["xenstore-watch", "-n", "3", "/w"], env=lib.environment(d)) as p:
        equal(next_line(p), "/w")       # at once, for the watch itself
        run(d, "xenstore-write", "/w/x", "1")
        equal(next_line(p), "/w/x")
        run(d, "xenstore-rm", "/w")
        equal(next_line(p), "/w")
        equal(p.wait(lib.TIMEOUT), 0)


def xenstore_control(d):
    control = peers.XEN_BIN + "/xenstore-control"
    if not os.path.exists(control):
        control = "xenstore-control"
    path = d.dir + "/report"
    for words, pattern in [
            (["help"], r"(?s)check.*log.*memreport.*print.*quota"),
            (["check"], r"OK"),
            (["print", "hello from a test"], r"OK"),
            (["memreport", path], r"OK"),
            (["quota"], r"(?s)nodes *: *\d+.*watches *: *\d+"),
            (["quota", "0"], r"(?s)nodes *: *\d+"),
            (["quota-soft"], r"memory *: *\d+"),
            (["quota", "set", "node-permissions", "7"], r"OK"),
            (["quota-soft", "set", "memory", "3000000"], r"OK"),
            (["log", "off"], r"OK"), (["log", "on"], r"OK"),
            (["logfile", d.dir + "/log/moved"], r"OK")]:
        said = run(d, control, *words).out
        assert re.search(pattern, said), "%s: %r" % (words, said)
    assert "node-permissions" in run(d, control, "quota").out
    assert re.search(r"node-permissions *: *7", run(d, control, "quota").out)
    assert os.path.getsize(path) > 0
    for words in [["nonsense"], ["quota", "set", "nonsense", "1"], ["log", "sideways"],
                  ["quota-soft", "set", "nodes"], ["live-update", "-a"]]:
        p = run(d, control, *words, status=None)
        assert p.status != 0 or "error" in (p.out + p.err).lower(), (words, p.out, p.err)
    run(d, control, "quota", "set", "node-permissions", "5")


def pyxs_transactions_and_errors(d):
    pyxs = import_pyxs()
    with pyxs.Client(unix_socket_path=d.socket) as c, \
            pyxs.Client(unix_socket_path=d.socket) as other:
        c[b"/py/a"] = b"1"
        equal(c[b"/py/a"], b"1")
        tx = c.transaction()
        c[b"/py/b"] = b"2"
        assert not other.exists(b"/py/b")
        equal(c.commit(), True)
        assert tx and other.exists(b"/py/b")
        c.transaction()
        c[b"/py/c"] = b"3"
        c.rollback()
        assert not other.exists(b"/py/c")
        c.transaction()
        equal(c.read(b"/py/a"), b"1")
        c.write(b"/py/d", b"4")
        other[b"/py/a"] = b"lost"
        equal(c.commit(), False)
        equal(sorted(c.list(b"/py")), [b"a", b"b"])
        c.set_perms(b"/py/a", [b"n0", b"r0"])
        equal(c.get_perms(b"/py/a"), [b"n0", b"r0"])
        c.mkdir(b"/py/e")
        equal(c.get_domain_path(5), b"/local/domain/5")
        equal(c.is_domain_introduced(0), True)
        c.delete(b"/py")
        try:
            c.read(b"/py/a")
        except pyxs.PyXSError as e:
            assert "2" in str(e) or "ENOENT" in str(e) or "No such" in str(e), e
        else:
            raise AssertionError("read what was deleted")


def import_pyxs():
    try:
        import pyxs  # pylint: disable=import-outside-toplevel
    except ImportError as e:
        raise lib.Skip("python3-pyxs is not installed") from e
    return pyxs


def pyxs_monitor(d):
    pyxs = import_pyxs()
    with pyxs.Client(unix_socket_path=d.socket) as c, \
            pyxs.Client(unix_socket_path=d.socket) as other, c.monitor() as m:
        m.watch(b"/mon", b"tok")
        events = m.wait()
        equal(tuple(next(events)), (b"/mon", b"tok"))
        other[b"/mon/x"] = b"1"
        equal(tuple(next(events)), (b"/mon/x", b"tok"))
        m.unwatch(b"/mon", b"tok")
        other.delete(b"/mon")


class LibXenStore:
    """libxenstore itself, by ctypes; it makes a thread of its own at the first watch."""

    def __init__(self, d):
        name = ctypes.util.find_library("xenstore")
        if not name:
            raise lib.Skip("libxenstore is not installed")
        self.lib = ctypes.CDLL(name, use_errno=True)
        self.lib.xs_open.restype = ctypes.c_void_p
        self.lib.xs_read_watch.restype = ctypes.POINTER(ctypes.c_char_p)
        for call in ("xs_watch", "xs_unwatch", "xs_read_watch", "xs_write", "xs_close", "xs_rm",
                     "xs_fileno"):
            getattr(self.lib, call).argtypes = {
                "xs_watch": [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p],
                "xs_unwatch": [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p],
                "xs_read_watch": [ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint)],
                "xs_write": [ctypes.c_void_p, ctypes.c_uint, ctypes.c_char_p, ctypes.c_char_p,
                             ctypes.c_uint],
                "xs_rm": [ctypes.c_void_p, ctypes.c_uint, ctypes.c_char_p],
            }.get(call, [ctypes.c_void_p])
        self.libc = ctypes.CDLL(None)
        os.environ["XENSTORED_PATH"] = d.socket
        self.libc.setenv(b"XENSTORED_PATH", d.socket.encode(), 1)
        self.h = self.lib.xs_open(0)
        assert self.h, "xs_open"

    def next(self):
        fd = self.lib.xs_fileno(self.h)
        assert select.select([fd], [], [], lib.TIMEOUT)[0], "no event"
        n = ctypes.c_uint()
        v = self.lib.xs_read_watch(self.h, ctypes.byref(n))
        return v[0], v[1]

    def close(self):
        self.lib.xs_close(self.h)


def libxenstore_watch_thread(d):
    x = LibXenStore(d)
    try:
        assert x.lib.xs_watch(x.h, b"/lib", b"tok")
        equal(x.next(), (b"/lib", b"tok"))
        for i in range(200):    # its requests and events come interleaved
            path = b"/lib/%d" % i
            assert x.lib.xs_write(x.h, 0, path, b"v", 1)
            equal(x.next(), (path, b"tok"))
        assert x.lib.xs_rm(x.h, 0, b"/lib")
        equal(x.next(), (b"/lib", b"tok"))
        assert x.lib.xs_unwatch(x.h, b"/lib", b"tok")
    finally:
        x.close()


def guest_by_the_command_line(d):
    if d.kind != "drover":
        raise lib.Skip("drover sim is for the simulated host's own daemon")
    create = run(d, lib.DROVER, "sim", "--dir", d.dir, "create", status=None)
    if create.status:
        raise AssertionError(create.err)
    domid = int(re.search(r"\d+", create.out).group())
    with d.connect() as x:
        x.introduce(domid)
        x.own_home(domid)
        sim = [lib.DROVER, "sim", "--dir", d.dir, "run", str(domid), "--"]
        run(d, *sim, "write", "data/x", "from the guest")
        equal(x.read("/local/domain/%d/data/x" % domid), b"from the guest")
        assert '"from the guest"' in run(d, *sim, "read", "data/x").out
        assert run(d, *sim, "write", "/tool/x", "1", status=None).status != 0
    run(d, lib.DROVER, "sim", "--dir", d.dir, "destroy", str(domid))


def guests_over_their_rings(d):
    with d.connect() as x:
        ids = [d.create_guest(client=x) for _ in range(5)]
        x.mkdir("/board")
        x.setperms("/board", "b0")
        for domid in ids:
            with d.guest(domid) as g:
                g.watch("/board", "b")
                g.next_event(lib.TIMEOUT)
                g.write("/board/%d" % domid, "here")
                equal(g.next_event(lib.TIMEOUT), ("/board/%d" % domid, "b"))
                tx = g.begin()
                g.write("state", "1", tx)
                g.write("frontend/0", "x" * 1500, tx)
                g.commit(tx)
                equal(g.read("frontend/0"), b"x" * 1500)
                equal(lib.refusal(g.control, "check"), "EACCES")
        equal(sorted(x.ls("/board")), sorted(map(str, ids)))
        equal(x.perms("/board/%d" % ids[0])[0], "b%d" % ids[0])
        for domid in ids:
            d.sim.destroy(domid)
        x.rm("/board")


def a_guest_that_is_suspended_again_is_told_of_again(d):
    domid = d.create_guest()
    with d.connect() as x:
        x.watch("@releaseDomain", "r")
        x.next_event(lib.TIMEOUT)
        for _ in range(3):
            d.sim.shutdown(domid)
            equal(x.next_event(lib.TIMEOUT), ("@releaseDomain", "r"))
            d.sim.resume(domid)
            x.resume(domid)
        d.sim.destroy(domid)
        equal(x.next_event(lib.TIMEOUT), ("@releaseDomain", "r"))


def nothing_is_left(d):
    lib.clean(d)
    with d.connect() as x:
        equal(sorted(x.ls("/")), ["local", "tool"])


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [
        test_xenstore_passes, xenstore_write_read_exists_rm, xenstore_list_and_ls,
        xenstore_chmod, xenstore_list_of_many_children, xenstore_watch, xenstore_control,
        pyxs_transactions_and_errors, pyxs_monitor, libxenstore_watch_thread,
        guest_by_the_command_line, guests_over_their_rings,
        a_guest_that_is_suspended_again_is_told_of_again, nothing_is_left]))
