#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`drover image` on images: what it shows, checks, converts and compares. What goes
in was put together by images.py, or written by C xenstored, which also reads what comes out; else
that is compared octet by octet.

Usage: image_test.py [--only CASE]...
"""
import base64
import json
import os
import stat
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "peers")]
import lib  # noqa: E402
import peers  # noqa: E402
from images import HOME, Image, case, domain, nodes, store, stream  # noqa: E402
from lib import equal  # noqa: E402

# What takes a C xenstored's place: it converts the state there and back, and is it again.
SUCCESSOR = """#!/bin/sh
preload=$LD_PRELOAD
unset LD_PRELOAD
{drover} image convert --for drover --endian big {state} {work}/ours || exit 1
{drover} image convert --for upstream-4.17 --endian little {work}/ours {state} || exit 1
export LD_PRELOAD=$preload
exec {daemon} "$@"
"""
GOLDEN = os.path.join(os.path.dirname(HERE), "golden")


def full(**how):
    """All that Drover keeps; the version is 2, the layout upstream."""
    i = Image(**how).store().quota(nodes=1000, watches=128).ring(1, 3, 5, b"in", b"outout", 3)
    i.watch(1, "data", "tok", 2).txn(1, 7).socket(2, 9).watch(2, "@releaseDomain", "x")
    nodes(i).node(HOME, b"", "n3,r0").node(HOME + "/data", b"old", "b3")
    i.node(HOME + "/data", b"new", "b3", 1, 7, 3).node(HOME + "/gone", b"", "", 1, 7, 0)
    i.node("@releaseDomain").domain(3, 1, nodes=5)
    return i.record(0x44520011, i.pack("HHIQ", 3, 0, 0, 5))


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
def lengths_may_count_their_padding_or_not(w):
    w.put("a", store().octets())
    w.put("b", store(bare=True).octets())
    assert w.get("a") != w.get("b")
    equal(w.run("diff", "a", "b").out, "")
    w.run("convert", "b", "c")
    equal(w.get("c"), w.get("a"))


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
            w.run("convert", "--read-layout", layout, path, "o")
            equal(w.get("o"), w.get(path))
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
                 ("extract", "i", "o", "o"),
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


@case
def c_xenstored_goes_on_from_what_was_converted_and_back(w):
    """Its own state, through the layout of Drover in the other byte order, at a live update."""
    if not peers.have("c"):
        raise lib.Skip("no C xenstored on this machine")
    with peers.Daemon("c") as d, d.connect() as x, d.connect() as other:
        d.sim.create(1)
        x.introduce(1)
        x.own_home(1)
        for n in range(40):
            x.write("/many/n%d" % n, b"v" * n)
        x.setperms("/many/n7", "b0", "r1")
        other.watch("/many", "token")
        equal(other.next_event(), ("/many", "token"))
        with d.guest(1) as guest:
            guest.watch("data", "relative")
            equal(guest.next_event(), ("data", "relative"))
            w.put("successor", SUCCESSOR.format(
                drover=lib.DROVER, work=w.path, state=d.run + "/state_dump",
                daemon=peers.XEN_BIN + "/xenstored").encode())
            successor = os.path.join(w.path, "successor")
            os.chmod(successor, 0o700)
            x.control("live-update", "-f", successor)
            equal(x.control("live-update", "-s", "-F", "-t", "10"), "OK")
            assert b"GLOBAL_DATA" in w.run("dump", "ours").octets
            equal(sorted(x.ls("/many")), sorted("n%d" % n for n in range(40)))
            equal(x.read("/many/n39"), b"v" * 39)
            equal(x.perms("/many/n7"), ["b0", "r1"])
            x.write("/many/n3", "new")
            equal(other.next_event(), ("/many/n3", "token"))
            x.write("/local/domain/1/data", "new")
            equal(guest.next_event(), ("data", "relative"))


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


CASES = [
    dump_shows_each_record,
    dump_as_json_holds_every_octet,
    what_is_no_known_record_is_shown_and_passes,
    every_layout_version_and_order_is_good,
    lengths_may_count_their_padding_or_not,
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
    c_xenstored_goes_on_from_what_was_converted_and_back,
    output_is_whole_or_not_there,
    output_replaces_what_a_link_stands_for_and_keeps_its_mode,
    standard_input_and_output_serve_as_files,
]

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
