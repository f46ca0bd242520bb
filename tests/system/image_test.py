#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`drover image`: what it shows, checks, converts and compares, and xenstore data into and out of
libxl streams. No daemon runs here. What goes in was put together by images.py, what comes out is
compared octet by octet, or read by Xen's own checker.

Usage: image_test.py [--only CASE]...
"""
import base64
import json
import os
import resource
import stat
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import lib  # noqa: E402
from images import Image, Stream  # noqa: E402
from lib import equal  # noqa: E402

VERIFY_STREAM = "/usr/lib/xen-4.17/bin/verify-stream-v2"
GOLDEN = os.path.join(os.path.dirname(HERE), "golden")
HOME = "/local/domain/3"


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


def nodes(i):
    """Parents of a domain's own."""
    return i.node("/").node("/local").node("/local/domain")


def store(**how):
    """A store of which every layout and version can hold everything."""
    i = Image(**how).store().ring(1, 3, out=b"\x01\0out").watch(1, "data", "tok")
    i.watch(1, "/a/b", "t 2").socket(2, 9).watch(2, "@releaseDomain", "")
    nodes(i).node(HOME, b"", "n3,r0").node(HOME + "/data", b"a\0\xff", "b3")
    return i.node("@releaseDomain").node("@introduceDomain")


def full(**how):
    """All that Drover keeps; the version is 2, the layout upstream."""
    i = Image(**how).store().quota(nodes=1000, watches=128).ring(1, 3, 5, b"in", b"outout", 3)
    i.watch(1, "data", "tok", 2).txn(1, 7).socket(2, 9).watch(2, "@releaseDomain", "x")
    nodes(i).node(HOME, b"", "n3,r0").node(HOME + "/data", b"old", "b3")
    i.node(HOME + "/data", b"new", "b3", 1, 7, 3).node(HOME + "/gone", b"", "", 1, 7, 0)
    i.node("@releaseDomain").domain(3, 1, nodes=5)
    return i.record(0x44520011, i.pack("HHIQ", 3, 0, 0, 5))


def domain(**how):
    """A domain's image that fits into a stream without loss, in the binary form."""
    i = Image(**how).ring(1, 3, port=0).watch(1, "data", "tok").watch(1, HOME + "/x", "t").txn(1, 7)
    i.node(HOME, b"", "n3,r0").node(HOME + "/data", b"a\0\xff", "b3").node(HOME + "/z")
    return i.node("/vm/1", b"v", "n0,r3")


def stream(big=False, config=None):
    return Stream(big, config).libxc(b"\xaa" * 4096, os.urandom(4096))


def every_stream():
    for big in (False, True):
        for config in (None, b"{}", b'{"c_info": {"name": "g"}}'):
            yield stream(big, config).emulator()


# Looking and checking.

@case
def dump_shows_each_record(w):
    w.put("i", full().octets())
    lines = w.run("dump", "i").lines
    equal(lines[0], "image of a store: upstream layout, version 2, little-endian")
    equal(lines[1].split(), ["RECORD", "OFFSET", "TYPE", "WHAT"])
    rows = [line.split(None, 3) for line in lines[2:]]
    equal([int(r[0]) for r in rows], list(range(len(rows))))
    equal(rows[0], ["0", "16", "GLOBAL_DATA", "socket=5 evtchn=7"])
    said = {r[2] + " " + r[3] for r in rows}
    for want in ("GLOBAL_QUOTA_DATA domain: nodes=1000 watches=128",
                 "CONNECTION_DATA conn=1 kind=ring domid=3 target=5 port=9 input=\"in\" "
                 "output=\"outout\" partly_sent=3",
                 "WATCH_DATA_EXTENDED conn=1 data token=\"tok\" depth=2",
                 "TRANSACTION_DATA conn=1 tx=7",
                 "CONNECTION_DATA conn=2 kind=socket fd=9",
                 "WATCH_DATA conn=2 @releaseDomain token=\"x\"",
                 "NODE_DATA /local/domain/3 perms=n3,r0 value=\"\"",
                 "NODE_DATA conn=1 tx=7 /local/domain/3/data read written perms=b3 value=\"new\"",
                 "NODE_DATA conn=1 tx=7 /local/domain/3/gone deleted",
                 "DOMAIN_DATA domid=3 features=1 quota: nodes=5",
                 "DROVER_DEATH domid=3 count=5"):
        assert want in said, (want, said)


@case
def dump_as_json_holds_every_octet(w):
    w.put("i", store(big=True, version=1).octets())
    j = json.loads(w.run("dump", "--json", "i").out)
    equal((j["kind"], j["scope"], j["layout"], j["endian"], j["version"]),
          ("image", "store", "upstream", "big", 1))
    by_path = {r["path"]: r for r in j["records"] if r["type"] == "NODE_DATA"}
    equal(base64.b64decode(by_path[HOME + "/data"]["value_base64"]), b"a\0\xff")
    equal(by_path[HOME]["perms"], "n3,r0")
    equal([r["record"] for r in j["records"]], list(range(len(j["records"]))))


@case
def what_is_no_known_record_is_shown_and_passes(w):
    w.put("i", store().record(0x1234, b"what").octets())
    equal(w.run("dump", "i").lines[-1].split()[2:], ["0x1234", "octets=4"])
    w.run("verify", "i")


@case
def every_layout_version_and_order_is_good(w):
    for seed in (False, True):
        for version in (1, 2):
            for big in (False, True):
                w.put("i", store(seed=seed, version=version, big=big).octets())
                layout = "seed" if seed else "upstream"
                equal(w.run("verify", "--layout", layout, "i").out,
                      "i: good: image of a store, %s layout, version %d, %s-endian: 13 records, "
                      "7 nodes, 2 connections, 3 watches, 0 transactions\n" % (
                          layout, version, "big" if big else "little"))


@case
def a_domains_image_is_known_by_its_first_record(w):
    w.put("d", domain().octets())
    assert "image of a domain" in w.run("verify", "d").out
    w.put("s", store().octets())
    assert "image of a store" in w.run("verify", "s").out
    w.refuses("d: record 4 (NODE_DATA) at offset 0x88: path: its parent did", "verify",
              "--scope", "store", "d")


@case
def a_file_that_is_broken_is_named_with_the_place_and_the_rule(w):
    good = full().octets()
    for n in range(len(good)):
        w.put("i", good[:n])
        w.refuses("drover: image verify: i: ", "verify", "i")
    w.put("i", good + b"x")
    w.refuses("i: record 17 (END) at offset 0x", "verify", "i")
    w.put("i", Image().store().node("/").node("/a/b").octets())
    w.refuses("i: record 2 (NODE_DATA) at offset 0x40: ", "verify", "i")
    w.put("i", Image().store().watch(9, "/a", "t").octets())
    w.refuses("i: record 1 (WATCH_DATA) at offset 0x20: ", "verify", "i")
    w.put("i", b"")
    w.refuses("i: ", "verify", "i")
    w.put("i", b"xenstore" + b"\0\0\0\3" + b"\0\0\0\0")
    w.refuses("i: header", "verify", "i")
    w.refuses("nothing: No such file or directory", "verify", "nothing")
    w.refuses(".: Is a directory", "verify", ".")


@case
def each_of_several_files_is_judged(w):
    w.put("good", store().octets())
    w.put("bad", store().octets()[:-1])
    r = w.run("verify", "bad", "good", status=1)
    assert r.out.startswith("good: good: ") and "bad: " in r.err, (r.out, r.err)


@case
def a_broken_image_is_shown_up_to_where_it_breaks(w):
    w.put("i", Image().store().node("/").node("/a/b").octets())
    r = w.run("dump", "i", status=1)
    equal([line.split()[2] for line in r.lines[2:]], ["GLOBAL_DATA", "NODE_DATA"])
    r = w.run("dump", "--loose", "i")
    equal(len(r.lines), 2 + 3)
    w.run("verify", "--loose", "i")


@case
def golden_images_are_good(w):
    found = 0
    for folder, _, names in os.walk(GOLDEN):
        for name in sorted(names):
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                if f.read(8) != b"xenstore":
                    continue
            found += 1
            layout = "seed" if "seed" in path[len(GOLDEN):] else "upstream"
            w.run("verify", "--layout", layout, path)
            w.run("dump", "--json", "--layout", layout, path)
            w.run("convert", "--read-layout", layout, "--for", "drover", path, "o")
            equal(w.run("diff", "--layout", layout, "--layout", "upstream", path, "o").out, "")
            w.run("convert", "--read-layout", layout, "--for", "upstream-4.17", path, "o")
            w.run("verify", "o")
    if not found:
        raise lib.Skip("no golden images here")


@case
def wrong_usage_ends_with_2(w):
    w.put("i", store().octets())
    for args in ((), ("frob",), ("dump",), ("dump", "i", "i"), ("verify",), ("diff", "i"),
                 ("convert", "i"), ("convert", "--for", "oxenstored", "i", "o"),
                 ("convert", "--version", "3", "i", "o"), ("verify", "--json", "i"),
                 ("convert", "--for", "upstream-4.17", "--version", "2", "i", "o"),
                 ("convert", "--for", "drover", "--layout", "seed", "i", "o"),
                 ("dump", "--layout", "oxenstored", "i"), ("embed", "i", "i"),
                 ("embed", "-", "-", "o"), ("extract", "i"), ("extract", "i", "-", "-"),
                 ("embed", "--form", "auto", "i", "i", "o"), ("extract", "--domid", "x", "i", "o"),
                 ("verify", "--frob", "i")):
        r = w.refuses("see 'drover help image'", *args, status=2)
        equal(r.out, "")
    equal(w.run("--help").out, w.run("dump", "--help").out)


# Converting and comparing.

@case
def conversion_there_and_back_is_the_same_file(w):
    for seed in (False, True):
        w.put("a", store(seed=seed).octets())
        here, there = ("seed", "upstream") if seed else ("upstream", "seed")
        # What one layout has and the other has not: the descriptor of the event channel.
        lost = ["record 0: event channel descriptor 7 left out"] if not seed else []
        for big in ("little", "big"):
            r = w.run("convert", "--read-layout", here, "--layout", there, "--version", "1",
                      "--endian", big, "a", "b")
            equal(r.told, lost)
            want = store(seed=not seed, version=1, big=big == "big").octets()
            got = w.get("b")
            at = 16 + 8 + 4     # the other descriptor
            equal(got[:at] + want[at:at + 4] + got[at + 4:], want)
            r = w.run("convert", "--read-layout", there, "--layout", here, "--version", "2",
                      "--endian", "little", "b", "c")
            equal(r.told, [])
            equal(w.run("diff", "--layout", here, "a", "c").out, "")


@case
def conversion_keeps_what_it_is_not_told_to_change(w):
    w.put("a", full(big=True).octets())
    equal(w.run("convert", "a", "b").err, "")
    equal(w.get("b"), w.get("a"))
    equal(w.run("convert", "--for", "drover", "a", "b").err, "")
    equal(w.get("b"), w.get("a"))
    equal(w.run("convert", "--endian", "little", "a", "b").err, "")
    equal(w.get("b"), full().octets())


@case
def for_c_xenstored_4_17_nothing_is_left_that_it_does_not_know(w):
    w.put("a", full().octets())
    r = w.run("convert", "--for", "upstream-4.17", "a", "b")
    equal(sorted(r.told), sorted([
        "record 3: connection 1: watch data: depth 2 becomes any",
        "record 4: connection 1: open transaction 7 left out",
        "1 GLOBAL_QUOTA_DATA left out", "1 DOMAIN_DATA left out", "1 DROVER_DEATH left out",
        "2 nodes of open transactions left out"]))
    i = Image(version=1).store().ring(1, 3, 5, b"in", b"outout", 3).watch(1, "data", "tok")
    i.socket(2, 9).watch(2, "@releaseDomain", "x")
    nodes(i).node(HOME, b"", "n3,r0").node(HOME + "/data", b"old", "b3").node("@releaseDomain")
    equal(w.get("b"), i.octets())
    r = w.run("convert", "--for", "upstream-4.22", "a", "b")
    assert not any("QUOTA" in line or "DOMAIN_DATA" in line for line in r.told), r.told
    equal(w.get("b")[8:12], b"\0\0\0\2")
    types = [x["type"] for x in json.loads(w.run("dump", "--json", "b").out)["records"]]
    assert {"GLOBAL_QUOTA_DATA", "DOMAIN_DATA"} <= set(types), types
    assert not {"WATCH_DATA_EXTENDED", "TRANSACTION_DATA", "DROVER_DEATH"} & set(types), types


@case
def the_seed_layout_tells_what_it_has_no_room_for(w):
    w.put("a", full().record(0x1234, b"what").octets())
    r = w.run("convert", "--layout", "seed", "a", "b")
    equal(sorted(r.told), sorted([
        "record 0: event channel descriptor 7 left out",
        "record 2: connection 1: 2 octets of unread input left out",
        "record 2: connection 1: that 3 octets end a message sent in part left out",
        "record 3: connection 1: watch data: depth 2 becomes any",
        "1 GLOBAL_QUOTA_DATA left out", "1 DOMAIN_DATA left out", "1 0x1234 left out"]))
    w.run("verify", "--layout", "seed", "b")


@case
def images_that_say_the_same_do_not_differ(w):
    w.put("a", full().octets())
    i = Image(big=True).record(1, struct_pair(11, 12)).socket(4, 20)
    i.watch(4, "@releaseDomain", "x").ring(8, 3, 5, b"in", b"outout").txn(8, 7)
    i.watch(8, "data", "tok", 2).domain(3, 1, nodes=5)
    nodes(i).node("@releaseDomain").node(HOME, b"", "n3,r0").node(HOME + "/data", b"old", "b3")
    i.node(HOME + "/gone", b"", "", 8, 7, 0).node(HOME + "/data", b"new", "b3", 8, 7, 3)
    i.quota(watches=128, nodes=1000)
    w.put("b", i.octets())
    equal(w.run("diff", "a", "b").out, "")


def struct_pair(a, b):
    return Image(big=True).pack("ii", a, b)


@case
def what_differs_is_told_from_both_sides(w):
    w.put("a", full().octets())
    for change, lines in (
            (lambda i: i.node("/x", b"1", "n0"), ["+ node /x perms=n0 value=\"1\""]),
            (lambda i: i.watch(2, "/y", "t"), ["+ watch of socket 1 /y token=\"t\""]),
            (lambda i: i.txn(1, 8), ["+ transaction of domain 3 8"]),
            (lambda i: i.ring(6, 4, 3), ["+ connection domain 4 target=3"])):
        w.put("b", change(full()).octets())
        equal(w.run("diff", "a", "b", status=1).lines, lines)
        equal(w.run("diff", "b", "a", status=1).lines, ["-" + line[1:] for line in lines])
    value = store().octets().replace(b"a\0\xff", b"a\0\xfe")
    w.put("a", store().octets())
    w.put("b", value)
    equal(w.run("diff", "a", "b", status=1).lines, [
        "+ node /local/domain/3/data perms=b3 value=\"a\\x00\\xfe\"",
        "- node /local/domain/3/data perms=b3 value=\"a\\x00\\xff\""])
    w.put("b", value[:-1])
    w.refuses("b: record ", "diff", "a", "b")


# Files.

@case
def output_is_whole_or_not_there(w):
    w.put("bad", full().octets()[:-1])
    w.put("o", b"old")
    before = w.names()
    w.refuses("bad: record", "convert", "bad", "o")
    equal(w.get("o"), b"old")
    w.put("s", stream().octets()[:-1])
    w.refuses("s: record", "extract", "s", "i", "o")
    equal(w.get("o"), b"old")
    w.put("s", stream().octets())
    w.refuses("bad: record", "embed", "s", "bad", "o")
    equal(w.get("o"), b"old")
    equal(w.names(), sorted(before + ["s"]))
    w.put("i", full().octets())
    w.refuses("No such file or directory", "convert", "i", "nowhere/o")
    w.refuses("No space left on device", "convert", "i", "/dev/full")


@case
def output_replaces_what_a_link_stands_for_and_keeps_its_mode(w):
    w.put("i", full().octets())
    w.put("real", b"old")
    os.chmod(os.path.join(w.path, "real"), 0o640)
    os.symlink("real", os.path.join(w.path, "link"))
    w.run("convert", "i", "link")
    assert os.path.islink(os.path.join(w.path, "link"))
    equal(w.get("real"), w.get("i"))
    equal(stat.S_IMODE(os.stat(os.path.join(w.path, "real")).st_mode), 0o640)
    w.run("convert", "i", "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    w.run("convert", "i", "i")
    equal(w.get("i"), full().octets())
    equal(w.names(), ["i", "link", "real"])


@case
def standard_input_and_output_serve_as_files(w):
    octets = full().octets()
    equal(w.run("convert", "-", "-", stdin=octets).octets, octets)
    assert "standard input: good" in w.run("verify", "-", stdin=octets).out
    w.refuses("standard input: record", "verify", "-", stdin=octets[:-1])
    s = stream(config=b"{}").octets()
    w.put("d", domain().octets())
    both = w.run("embed", "-", "d", "-", stdin=s).octets
    equal(w.run("extract", "-", "i", "-", stdin=both).octets, s)
    equal(w.get("i"), w.get("d"))
    equal(w.run("extract", "-", "-", "o", stdin=both).octets, w.get("d"))


# Libxl streams.

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
    most = 96 << 20

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    p = subprocess.Popen([lib.DROVER, "image", "extract", "-", "i", "/dev/null"], cwd=w.path,
                         stdin=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limited)
    p.stdin.write(head.body)
    for _ in range(64):     # 256 MiB
        p.stdin.write(record)
    p.stdin.write(tail.octets())
    p.stdin.close()
    said = p.stderr.read()
    p.stderr.close()
    equal((p.wait(lib.TIMEOUT), said), (0, b""))
    assert HOME in w.run("dump", "i").out


CASES = [
    dump_shows_each_record,
    dump_as_json_holds_every_octet,
    what_is_no_known_record_is_shown_and_passes,
    every_layout_version_and_order_is_good,
    a_domains_image_is_known_by_its_first_record,
    a_file_that_is_broken_is_named_with_the_place_and_the_rule,
    each_of_several_files_is_judged,
    a_broken_image_is_shown_up_to_where_it_breaks,
    golden_images_are_good,
    wrong_usage_ends_with_2,
    conversion_there_and_back_is_the_same_file,
    conversion_keeps_what_it_is_not_told_to_change,
    for_c_xenstored_4_17_nothing_is_left_that_it_does_not_know,
    the_seed_layout_tells_what_it_has_no_room_for,
    images_that_say_the_same_do_not_differ,
    what_differs_is_told_from_both_sides,
    output_is_whole_or_not_there,
    output_replaces_what_a_link_stands_for_and_keeps_its_mode,
    standard_input_and_output_serve_as_files,
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
]

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
