#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`drover image` on libxl streams and files of xl save: xenstore data into them and out of them, in
its three forms. What comes out is compared octet by octet, and read by Xen's own checker.

Usage: libxl_test.py [--only CASE]...
"""
import json
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import lib  # noqa: E402
from images import HOME, Image, Stream, case, domain, store, stream  # noqa: E402
from lib import equal  # noqa: E402

VERIFY_STREAM = "/usr/lib/xen-4.17/bin/verify-stream-v2"


def every_stream():
    for big in (False, True):
        for config in (None, b"{}", b'{"c_info": {"name": "g"}}'):
            yield stream(big, config).emulator()


@case
def what_was_embedded_is_extracted_again(w):
    for layout in ("upstream", "seed"):
        seed = layout == "seed"
        for s in every_stream():
            w.put("s", s.octets())
            w.put("d", domain(seed=seed).octets())
            r = w.run("embed", "--layout", layout, "s", "d", "e")
            equal(r.err, "")
            assert w.get("e") != w.get("s")
            equal(w.run("extract", "--layout", layout, "e", "d2", "s2").err, "")
            equal(w.get("s2"), w.get("s"))
            equal(w.get("d2"), w.get("d"))
            w.run("extract", "e", "s3")
            equal(w.get("s3"), w.get("s"))


@case
def embedded_data_is_laid_out_as_it_was_proposed(w):
    for big in (False, True):
        for form in ("binary", "absolute", "relative"):
            s = Stream(big, b"{}").libxc(b"\xaa" * 4096)
            e = Stream(big, b"{}").libxc(b"\xaa" * 4096)
            i = Image().ring(1, 3).watch(1, "@releaseDomain", "t").node(HOME, b"", "n3,r0")
            i.node(HOME + "/a", b"xyz", "b3")
            if form == "binary":
                i.txn(1, 7)
                e.watch("@releaseDomain", "t").node(HOME, b"", "n3", "r0")
                e.node(HOME + "/a", b"xyz", "b3").txn(7)
            elif form == "absolute":
                i.txn(1, 7)
                e.watch_words("@releaseDomain", "t").node_absolute(HOME, b"", "n3", "r0")
                e.node_absolute(HOME + "/a", b"xyz", "b3").txn_words(7)
            else:
                e.watch_words("@releaseDomain", "t").node_relative("", b"", "n3", "r0")
                e.node_relative("a", b"xyz", "b3")
            w.put("s", s.emulator().octets())
            w.put("d", i.octets())
            equal(w.run("embed", "--form", form, "s", "d", "e").err, "")
            equal(w.get("e"), e.emulator().octets())
            w.run("extract", "--domid", "3", "e", "d2", "s2")
            equal(w.get("s2"), w.get("s"))
            equal(w.run("diff", "d", "d2").out, "")


@case
def every_form_is_shown_and_told_apart(w):
    for big in (False, True):
        for form in ("binary", "absolute", "relative"):
            s = Stream(big).libxc(b"\xaa" * 4096)
            if form == "binary":
                s.node(HOME, b"v", "n3").watch("data", "t").txn(5).txn(6)
            elif form == "absolute":
                s.node_absolute(HOME, b"v", "n3").watch_words("/data", "t").txn_words(5, 6)
            else:
                s.node_relative("data", b"v", "n3").watch_words("data", "t")
            w.put("s", s.octets())
            n = 0 if form == "relative" else 2
            assert "(%s): 1 nodes, 1 watches, %d transactions" % (form, n) in \
                w.run("verify", "s").out
            j = json.loads(w.run("dump", "--json", "s").out)
            equal((j["kind"], j["endian"]), ("libxl", "big" if big else "little"))
            equal([r["type"] for r in j["records"]][-1], "END")
            equal(j["records"][1]["value"], "v")


@case
def what_a_form_has_no_words_for_is_told(w):
    i = Image().ring(1, 3, 5, b"in", b"out").watch(1, "data", "t", 2).watch(1, HOME + "/x", "t")
    i.watch(1, "/tool", "t").txn(1, 7).node(HOME, b"", "n3").node(HOME + "/nul", b"\0", "n3")
    i.node("/vm/1", b"", "n3").node(HOME + "/gone", b"", "", 1, 7, 0)
    w.put("d", i.octets())
    w.put("s", stream().octets())
    common = ["record 0: 2 octets of unread input left out",
              "record 0: 3 octets of unsent output left out",
              "record 0: target domain 5 left out",
              "record 1: watch data: depth 2 becomes any",
              "1 nodes of open transactions left out"]
    for form, more in (
            ("binary", []),
            ("absolute", ["record 1: watch data: its events name the absolute path"]),
            ("relative", [
                "record 2: watch %s/x: its events name the relative path" % HOME,
                "record 3: /tool left out: an absolute path in the relative form",
                "record 4: transaction 7 left out: the relative form has no transactions",
                "record 6: nul left out: a value with a NUL in the relative form",
                "record 7: /vm/1 left out: an absolute path in the relative form"])):
        r = w.run("embed", "--form", form, "s", "d", "e")
        equal(sorted(r.told), sorted(common + more))
        w.run("verify", "e")


@case
def xens_own_checker_accepts_the_stream_afterwards(w):
    lib.need(VERIFY_STREAM)
    env = dict(os.environ, PYTHONPATH="/usr/lib/xen-4.17/lib/python")

    def check(name, kind):
        return subprocess.run([VERIFY_STREAM, "-f", kind, "-i", os.path.join(w.path, name)],
                              env=env, capture_output=True, text=True, timeout=lib.TIMEOUT,
                              check=False)

    w.put("d", domain().octets())
    for config in (None, b"{}"):
        kind = "libxl" if config is None else "xl"
        w.put("s", stream(config=config).emulator().octets())
        p = check("s", kind)
        equal((p.returncode, p.stderr), (0, ""))
        w.run("embed", "s", "d", "e")
        p = check("e", kind)
        assert p.returncode == 1 and "Unrecognised record type 7" in p.stderr, p.stderr
        w.run("extract", "e", "i", "o")
        p = check("o", kind)
        equal((p.returncode, p.stderr), (0, ""))


@case
def extraction_puts_parents_first_and_finds_the_domain(w):
    s = stream().node(HOME + "/a/b", b"2", "n3").node("/local/domain/0/backend/vbd/3", b"", "n0")
    s.txn(4).node(HOME, b"", "n3").watch("w", "t").node(HOME + "/a", b"1", "n3")
    w.put("s", s.octets())
    w.run("extract", "s", "i", "o")
    j = json.loads(w.run("dump", "--json", "i").out)["records"]
    equal([r["type"] for r in j], ["CONNECTION_DATA", "WATCH_DATA", "TRANSACTION_DATA"] +
          4 * ["NODE_DATA"])
    equal(j[0]["domid"], 3)
    equal([r["path"] for r in j[3:]], ["/local/domain/0/backend/vbd/3", HOME, HOME + "/a",
                                       HOME + "/a/b"])


@case
def extraction_needs_to_know_whose_data_it_is(w):
    w.put("s", stream().node_relative("data", b"", "n3").octets())
    w.refuses("s: does not say whose xenstore data it holds: give --domid", "extract", "s", "i",
              "o")
    w.run("extract", "--domid", "9", "s", "i", "o")
    assert "/local/domain/9/data" in w.run("dump", "i").out
    w.put("s", stream().node("/local/domain/4/a", b"", "n3").node("/local/domain/5/a", b"", "n3")
          .octets())
    w.refuses("give --domid", "extract", "s", "i", "o2")


@case
def broken_xenstore_data_is_named_by_its_place_in_the_stream(w):
    at = len(stream().body)
    for s, said in (
            (stream().data(9, b""), "data of kind 9 is not known"),
            (stream().node("/a//b", b"", "n3"), "'/a//b' is not a path"),
            (stream().node("/a", b""), "a node without permissions"),
            (stream().data(2, b"/a\0t"), "no NUL behind the token"),
            (stream().txn(0), "a transaction 0")):
        w.put("s", s.octets())
        place = "s: record 1 (DOMAIN_XENSTORE_DATA) at offset 0x%x: %s" % (at, said)
        w.refuses(place, "verify", "s")
        w.refuses(place, "dump", "s")
        w.refuses(place, "extract", "s", "i", "o")
    w.put("s", stream().node(HOME, b"", "n3").txn(1).node(HOME, b"", "n3").octets())
    w.refuses("s: record 3 (DOMAIN_XENSTORE_DATA) at offset 0x", "extract", "s", "i", "o")
    w.put("s", stream().octets())
    w.refuses("s: no xenstore data in it", "extract", "s", "i", "o")


@case
def streams_that_cannot_take_data_are_refused(w):
    w.put("d", domain().octets())
    w.put("s", stream().node(HOME, b"", "n3").octets())
    w.refuses("s: has xenstore data already", "embed", "s", "d", "o")
    w.put("s", Stream().octets())
    w.refuses("s: no LIBXC_CONTEXT", "embed", "s", "d", "o")
    w.put("s", stream().record(6, b"new").octets())
    w.refuses("s: record 1 (type 0x6) at offset 0x", "embed", "s", "d", "o")
    w.refuses("d: header at offset 0x0: neither a file of xl save nor a libxl stream", "embed",
              "d", "d", "o")
    w.put("s", stream().octets())
    w.refuses("s: a libxl stream; 'drover image extract' gets the image out of it", "embed", "s",
              "s", "o")
    w.put("d", store().octets())
    w.refuses("d: record ", "embed", "s", "d", "o")
    w.put("d", domain().octets())
    w.refuses("d: record 0 at offset 0x10: the image of another domain than --domid says",
              "embed", "--domid", "4", "s", "d", "o")


@case
def a_stream_cut_anywhere_leaves_nothing(w):
    s = Stream(config=b"{}").libxc(b"p" * 64).node(HOME, b"v", "n3").emulator().octets()
    for n in range(0, len(s), 3):
        w.put("s", s[:n])
        w.refuses("s: ", "extract", "s", "i", "o")


@case
def guest_memory_passes_by_without_being_held(w):
    page = os.urandom(1 << 22)
    head = Stream(config=b"{}")
    head.record(1)
    head.body += b"\xff" * 8 + b"XENF" + b"\0\0\0\3" + b"\0" * 8
    head.body += head.pack("IHHII", 2, 12, 0, 4, 17)
    tail = Stream()
    tail.body = b""
    tail.record(0).emulator().node(HOME, b"v", "n3")
    record = head.pack("II", 1, len(page)) + page
    p = subprocess.Popen([lib.DROVER, "image", "extract", "-", "i", "/dev/null"], cwd=w.path,
                         stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(head.body)
    for _ in range(64):     # 256 MiB
        p.stdin.write(record)
    p.stdin.write(tail.octets())
    p.stdin.close()
    said = p.stderr.read()
    p.stderr.close()
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    equal((p.returncode, said), (0, b""))
    assert used.ru_maxrss < 128 << 10, "%d KB held" % used.ru_maxrss
    assert HOME in w.run("dump", "i").out


@case
def what_is_interrupted_leaves_nothing_behind(w):
    w.put("o", b"old")
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        p = subprocess.Popen([lib.DROVER, "image", "extract", "-", "o"], cwd=w.path,
                             stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdin.write(stream(config=b"{}").body)
        p.stdin.flush()
        lib.until(lambda: len(w.names()) == 2, "a file that is not whole yet")
        p.send_signal(sig)
        equal((p.wait(lib.TIMEOUT), p.stderr.read()), (-sig, b""))
        p.stdin.close()
        p.stderr.close()
        equal((w.names(), w.get("o")), (["o"], b"old"))


CASES = [
    what_was_embedded_is_extracted_again,
    embedded_data_is_laid_out_as_it_was_proposed,
    every_form_is_shown_and_told_apart,
    what_a_form_has_no_words_for_is_told,
    xens_own_checker_accepts_the_stream_afterwards,
    extraction_puts_parents_first_and_finds_the_domain,
    extraction_needs_to_know_whose_data_it_is,
    broken_xenstore_data_is_named_by_its_place_in_the_stream,
    streams_that_cannot_take_data_are_refused,
    a_stream_cut_anywhere_leaves_nothing,
    guest_memory_passes_by_without_being_held,
    what_is_interrupted_leaves_nothing_behind,
]

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
