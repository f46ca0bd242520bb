#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`drover config`: what each command prints, for people and for programs, and that the words of a
command line become the devices that they mean. config_refusal_test.py has what is refused.

Usage: config_cli_test.py [--kind drover|c] [--only CASE]...
"""
import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import config_lib  # noqa: E402
import lib  # noqa: E402
import peers  # noqa: E402  pylint: disable=wrong-import-order
import xl  # noqa: E402
from config_lib import RECORD, UUID  # noqa: E402
from drover_cli import read_until  # noqa: E402
from lib import equal  # noqa: E402

COMPLETION = peers.ROOT + "/packaging/bash-completion/drover"
CLASSES = ("vbd vif vtpm usbctrl usbdev pci vfb vkb channel 9pfs pvcalls vdispl vsnd virtio dtdev "
           "rdm").split()
OWN = {}    # a daemon of its own
CASES = []


def case(function):
    CASES.append((function, OWN))
    return function


def furnished(d, name="pv1"):
    """Domain 7, as record and store have it, and a driver domain, 9, with a record, too."""
    h = config_lib.Host(d).furnish()
    h.set_record(9, xl.config("drv", h.uuid(9)))
    if name != "pv1":
        h.x.write("/local/domain/7/name", name)
    return h


def disturbed(d):
    """The same with a disk that only the record has, and one that only the store has."""
    h = furnished(d)
    h.set_record(7, config_lib.without(RECORD, disks=RECORD["disks"] + [
        xl.disk("xvdc", "/dev/vg0/gone")]))
    h.add_disk(7, "xvdd", "/dev/vg0/more", state="1")
    return h


def rows(text):
    """A table as {first two cells: cells}."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


class OnTerminal:
    """One of ours on a terminal so wide."""

    def __init__(self, h, columns, *words, **env):
        self.fd, slave = pty.openpty()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        more = dict({"TERM": "xterm", "NO_COLOR": ""}, **env)
        with subprocess.Popen(h.drover_argv("config", *words), env=h.environment(**more),
                              stdin=slave, stdout=slave, stderr=slave) as p:
            os.close(slave)
            out = b""
            with contextlib.suppress(OSError):
                while True:
                    more = os.read(self.fd, 65536)
                    if not more:
                        break
                    out += more
            self.status = p.wait(lib.TIMEOUT)
        os.close(self.fd)
        self.text = out.decode().replace("\r\n", "\n")
        self.plain = re.sub("\033\\[[0-9]*m", "", self.text)


# ---- list ----

@case
def list_has_a_row_for_each_domain(d):
    h = disturbed(d)
    table = h.drover("config", "list", status=0).lines
    equal(rows(table[0])[0], ["NAME", "ID", "TYPE", "MEM", "VCPUS", "DEVICES", "VERDICT"])
    by_id = {row[1]: row for row in rows("\n".join(table[1:]))}
    equal(by_id["7"], ["pv1", "7", "pv", "1024", "2/2", "1 vbd, 1 vif",
                       "vbd xvdc missing, vbd xvdd half-added"])
    equal(by_id["9"], ["drv", "9", "pv", "1024", "2/2", "ok"])
    equal((by_id["0"][0], by_id["0"][-1]), ("Domain-0", "no record"))
    equal([row[1] for row in rows("\n".join(table[1:]))], ["0", "7", "9"])
    os.unlink(h.file(9))
    table = rows(h.drover("config", "list").out)
    equal(table[3], ["drv", "9", "pv", "1024", "2/2", "no record"])
    domids = [one["domid"] for one in json.loads(h.drover("config", "list", "--json").out)]
    equal(domids, [0, 7, 9])
    h.set_record(9, xl.config("drv", h.uuid(9)))
    equal(len(h.drover("config", "list", "pv1", "9", UUID).lines), 3)     # each once


@case
def domain_0_is_not_damaged_by_what_nobody_keeps_of_it(d):
    """Its record as xen-init-dom0 leaves it on a real host, and a store without memory or vcpus."""
    h = furnished(d)
    empty = {"c_info": {"type": "pv"}, "b_info": {"sched_params": {}, "type.pv": {}}}
    nobody = "00000000-0000-0000-0000-000000000000"
    with open("%s/userdata-d.0.%s.libxl-json" % (h.userdata, nobody), "w") as f:
        f.write(json.dumps(empty))
    equal(rows(h.drover("config", "list", "0", status=0).out)[1][-1], "ok")
    equal(h.report("0"), {})
    equal(h.ours(who="0")["c_info"], {"type": "pv", "name": "Domain-0"})


@case
def a_domain_that_cannot_be_told_is_a_row_and_a_failure(d):
    h = furnished(d)
    with open(h.file(9), "w") as f:
        f.write('{"c_info": {"name": "drv"')
    r = h.drover("config", "list", status=1)
    row, = [row for row in rows(r.out) if "9" in row[:2]]
    assert "cannot be told" in row[-1] and "line 1" in row[-1], row
    r = h.drover("config", "list", "--json", status=1)
    by_id = {one["domid"]: one for one in json.loads(r.out)}
    equal(by_id[9]["error"], "EBADMSG")
    assert h.file(9) in by_id[9]["why"], by_id[9]
    equal((by_id[7]["name"], by_id[7]["vcpus"], by_id[7]["max_vcpus"], by_id[7]["memory_kb"],
           by_id[7]["devices"], by_id[7]["verdicts"], by_id[7]["faults"], by_id[7]["uuid"]),
          ("pv1", 2, 2, 1048576, {"vbd": 1, "vif": 1}, {"attached": 2}, 0, UUID))
    r = h.drover("config", "list", "-l", status=1)
    equal([one["domid"] for one in json.loads(r.out)], [7])
    equal((len(r.err.splitlines()), r.err.count(h.file(9))), (1, 1))
    equal(json.loads(h.drover("config", "list", "-l", "7").out)[0]["domid"], 7)


@case
def list_l_is_that_of_xl_octet_by_octet(d):
    if not xl.have():
        raise lib.Skip("xl is not installed")
    h = furnished(d)
    ours = h._run(h.drover_argv("config", "list", "-l"), dict(h.xl_env(), DROVER_HV="xen"), 0)
    equal(ours.out.strip(), h.xl("list", "-l").out.strip())
    equal([one["domid"] for one in json.loads(ours.out)], [7, 9])
    h.remove_domain(7)
    h.remove_domain(9)
    ours = h._run(h.drover_argv("config", "list", "-l"), dict(h.xl_env(), DROVER_HV="xen"), 0)
    equal(ours.out.strip(), h.xl("list", "-l").out.strip())


@case
def a_name_moves_no_cursor(d):
    h = furnished(d, "a\033[2J\nb\u00e9")
    for words in (("list",), ("check",), ("show", "7"), ("diff", "7"), ("show", "7", "--json"),
                  ("list", "--json"), ("check", "--json")):
        out = h.drover("config", *words, status=None).out
        assert "\033" not in out, out
        assert out.isascii() or "--json" in words, out
    assert "a\\x1b[2J\\nb\\xc3\\xa9  " in h.drover("config", "list").out


# ---- show ----

@case
def show_tells_all_of_a_domain(d):
    h = disturbed(d)
    r = h.drover("config", "show", "7")
    equal(r.lines[0], "pv1 (7), live")
    for line in ("  b_info.max_vcpus     2", "  b_info.cmdline       root=/dev/xvda1 ro",
                 "vbd xvda: attached: its backend is in state 4, Connected",
                 "  pdev_path  /dev/vg0/pv1-root", "  mac      00:16:3e:11:22:33"):
        assert line in r.lines, (line, r.out)
    assert "vbd xvdc: missing, not in this view: the record has it, the store has not" in r.lines
    assert "  pdev_path  /dev/vg0/gone" not in r.lines
    for who in ("pv1", UUID):
        equal(h.drover("config", "show", "--live", who).out, r.out)
    r = h.drover("config", "show", "7", "--persistent")
    equal(r.lines[0], "pv1 (7), persistent")
    assert "  pdev_path  /dev/vg0/gone" in r.lines
    assert any(line.startswith("vbd xvdd: half-added, not in this view") for line in r.lines)


@case
def show_json_is_as_libxl_writes_it(d):
    h = furnished(d)
    r = h.drover("config", "show", "7", "--json")
    equal(json.loads(r.out), RECORD)
    equal(h.drover("config", "show", "--json", "7", "--layout", "4.17").out, r.out)
    newest = h.drover("config", "show", "--json", "7", "--layout", "newest").out
    tree = json.loads(newest)
    equal((tree["disks"], tree["nics"]), (RECORD["disks"], RECORD["nics"]))
    assert newest != r.out
    with lib.scratch() as directory:
        with open(directory + "/record", "w") as f:
            f.write(json.dumps(RECORD))
        equal(h.drover("config", "canon", directory + "/record").out, r.out)
    equal(h.drover("config", "canon", "-", stdin=r.out).out, r.out)
    equal(h.drover("config", "canon", "-", "--layout", "newest", stdin=r.out).out, newest)


@case
def show_xl_is_a_file_for_xl(d):
    h = furnished(d)
    out = h.drover("config", "show", "--xl", "7").out
    for line in ('name = "pv1"', "memory = 1024", "maxmem = 2048", "vcpus = 2",
                 'uuid = "%s"' % UUID):
        assert line in out.splitlines(), out
    assert "vdev=xvda" in out and "/dev/vg0/pv1-root" in out and "bridge=xenbr0" in out, out


@case
def degraded_tells_what_the_store_has(d):
    h = furnished(d)
    os.unlink(h.file(7))
    assert "record" in h.refused("show", "7", says=h.file(7)).err
    r = h.drover("config", "show", "--degraded", "7")
    assert "degraded" in r.lines[0], r.out
    assert "vbd xvda" in r.out and "  mac      00:16:3e:11:22:33" in r.lines, r.out
    r = h.drover("config", "show", "--degraded", "--json", "7")
    equal(json.loads(r.out)["c_info"]["name"], "pv1")
    assert "degraded" in r.err, r.err
    one = json.loads(h.drover("config", "check", "--degraded", "--json", "7", status=1).out)[0]
    equal(one["degraded"], True)


# ---- diff ----

@case
def diff_is_silent_when_both_are_equal(d):
    h = furnished(d)
    equal(h.drover("config", "diff", "7").out, "")
    equal(json.loads(h.drover("config", "diff", "7", "--json").out),
          {"domid": 7, "differences": 0, "domain": [], "devices": []})
    full = h.drover("config", "diff", "--full", "7").lines
    assert ["c_info.name", "pv1", "pv1"] in rows("\n".join(full)), full


@case
def diff_puts_both_side_by_side(d):
    h = disturbed(d)
    h.x.write("/local/domain/7/memory/target", "524288")
    table = rows(h.drover("config", "diff", "7", status=1).out)
    equal(table[0], ["FIELD", "LIVE", "PERSISTENT"])
    assert ["b_info.target_memkb", "524288", "|", "1048576"] in table, table
    assert ["vbd xvdc", "-", ">", "missing"] in table, table
    assert ["pdev_path", ">", "/dev/vg0/gone"] in table, table
    assert not any("xvdd" in row[0] or "xvda" in row[0] for row in table), table
    one = json.loads(h.drover("config", "diff", "7", "--json", status=1).out)
    equal(one["domain"], [{"path": "b_info.target_memkb", "live": "524288",
                           "persistent": "1048576"}])
    equal([(x["class"], x["id"], x["live"], x["persistent"]["vdev"]) for x in one["devices"]],
          [("vbd", "xvdc", None, "xvdc")])


@case
def a_terminal_is_kept_to_and_coloured(d):
    h = disturbed(d)
    plain = h.drover("config", "diff", "7", status=1).out
    wide = OnTerminal(h, 200, "diff", "7")
    equal((wide.status, wide.plain), (1, plain))
    assert "\033[31m  pdev_path" in wide.text and "\033[1mFIELD" in wide.text, wide.text
    narrow = OnTerminal(h, 40, "diff", "7")
    assert max(map(len, narrow.plain.splitlines())) <= 40, narrow.plain
    equal(OnTerminal(h, 200, "diff", "7", NO_COLOR="1").text, plain)
    equal(OnTerminal(h, 200, "diff", "7", TERM="dumb").text, plain)
    narrow = OnTerminal(h, 60, "check", "7")
    assert max(map(len, narrow.plain.splitlines())) <= 60, narrow.plain
    assert "\033[31mpv1" in narrow.text, narrow.text


# ---- check and repair ----

@case
def check_gives_a_verdict_on_each_device(d):
    h = disturbed(d)
    table = rows(h.drover("config", "check", "7", status=1).out)
    equal(table[0], ["NAME", "ID", "CLASS", "DEVICE", "VERDICT", "REASON"])
    equal([row[2:5] for row in table[1:]], [
        ["vbd", "xvda", "attached"], ["vbd", "xvdc", "missing"], ["vbd", "xvdd", "half-added"],
        ["vif", "0", "attached"]])
    table = rows(h.drover("config", "check", "--faults", "--all", status=1).out)
    equal([row[3] for row in table[1:]], ["xvdc", "xvdd"])
    equal(h.drover("config", "check", "drv").out, "")
    r = h.drover("config", "check", "--json", "7", "9", status=1)
    equal(json.loads(h.drover("config", "check", "--json", status=1).out), json.loads(r.out))
    equal(rows(h.drover("config", "check", "0", status=1).out)[1][4], "cannot be told")
    seven, nine = json.loads(r.out)
    equal((nine["domid"], nine["items"]), (9, []))
    equal([(i["id"], i["verdict"], i["fault"], i["live"], i["persistent"])
           for i in seven["items"]],
          [("xvda", "attached", False, True, True), ("xvdc", "missing", True, False, True),
           ("xvdd", "half-added", True, False, False), ("0", "attached", False, True, True)])
    equal(seven["items"][1]["path"], h.file(7))


@case
def repair_makes_both_agree(d):
    h = disturbed(d)
    before = h.everything()
    soon = ("--backend-timeout", "200")
    dry = h.drover("config", "repair", "-n", *soon, "7", status=1)
    equal(h.everything(), before)
    assert dry.lines[0].startswith("7: vbd xvdc: missing: "), dry.out
    assert any(line.startswith("7:   was: {") and "/dev/vg0/gone" in line for line in dry.lines)
    actions = json.loads(h.drover("config", "repair", "-n", "--json", *soon, "7", status=1).out)
    equal([(a["domid"], a["class"], a["id"], a["found"]) for a in actions],
          [(7, "vbd", "xvdc", "missing"), (7, "vbd", "xvdd", "half-added")])
    equal(actions[0]["entry"]["pdev_path"], "/dev/vg0/gone")
    equal(h.drover("config", "repair", "--all", *soon).out, dry.out)
    equal(h.drover("config", "repair", "7").out, "7: nothing to repair\n")
    equal(h.drover("config", "repair", "-n", "--all").out, "")
    equal(h.drover("config", "repair", "--json", "--all").out.strip(), "[\n]")
    equal(h.settled(), RECORD)


# ---- changes ----

WORDS = [
    ("vbd", ["phy:/dev/vg0/b,xvdb,w,backend=drv"]),
    ("vbd", ["vdev=xvdb,access=w,backend=drv,format=raw,target=/dev/vg0/b"]),
    ("vbd", ["/dev/vg0/b", "raw", "xvdb", "w", "backend=drv"]),
    ("disk", ["pdev_path=/dev/vg0/b", "vdev=xvdb", "format=raw", "readwrite=1",
              "backend_domname=drv"]),
    ("vbd", ["phy:/dev/vg0/b,xvdb,w", "backend_domname=drv"]),
    ("vif", ["mac=00:16:3e:00:00:05,bridge=xenbr1,backend=drv"]),
    ("vif", ["mac=00:16:3e:00:00:05", "bridge=xenbr1", "backend=drv"]),
    ("nic", ["mac=00:16:3E:00:00:05", "bridge=xenbr1", "backend_domname=drv"]),
]


@case
def devices_are_attached_in_our_words_and_xls(d):
    h = furnished(d)
    seen = {}
    with xl.Backend(h, 9):
        for name, words in WORDS:
            h.drover("config", "attach", "7", name, *words)
            live = h.settled()
            entry = live["disks" if name in ("vbd", "disk") else "nics"][-1]
            kind, of = ("vbd", "xvdb") if "vdev" in entry else ("vif", "1")
            seen.setdefault(kind, []).append(entry)
            out = h.drover("config", "detach", "pv1", name, of).out
            equal(out, "%s %s detached from domain 7\n" % (kind, of))
            equal(h.settled(), RECORD)
    equal([len(entries) for entries in seen.values()], [5, 3])
    for kind, entries in seen.items():
        for entry in entries[1:]:
            entry.pop("script", None)   # where xl's words do not name one
            equal(entry, entries[0])


@case
def what_was_chosen_is_told(d):
    h = furnished(d)
    with xl.Backend(h, 9):
        r = h.drover("config", "attach", "7", "vif", "bridge=b", "backend_domname=drv", "--json")
        one = json.loads(r.out)
        equal((one["domid"], one["class"], one["id"], one["entry"]["devid"]), (7, "vif", "1", 1))
        assert re.fullmatch("00:16:3e(:[0-9a-f]{2}){3}", one["entry"]["mac"]), one
        equal(h.settled()["nics"][1], one["entry"])
        r = h.drover("config", "attach", "7", "vif", "bridge=b", "backend_domname=drv")
        equal(r.out, "vif 2 attached to domain 7\n")
        r = h.drover("config", "detach", "7", "vif", "1", "--json")
        equal(json.loads(r.out), {"domid": 7, "class": "vif", "id": "1"})


@case
def fields_of_a_device_are_changed(d):
    h = furnished(d)
    with xl.Backend(h, 9):
        h.drover("config", "update", "7", "vif", "0", "bridge=xenbr8")
        equal(h.settled()["nics"][0]["bridge"], "xenbr8")
        equal(h.x.read("/local/domain/0/backend/vif/7/0/bridge"), b"xenbr8")
        r = h.drover("config", "update", "pv1", "vif", "devid=0", "bridge=xenbr9", "--json")
        equal(json.loads(r.out)["entry"]["bridge"], "xenbr9")
        equal(h.settled()["nics"][0]["bridge"], "xenbr9")
        h.drover("config", "attach", "7", "vbd", "/dev/vg0/one,raw,xvdb,r,cdrom,backend=drv")
        h.drover("config", "update", "7", "vbd", "xvdb", "pdev_path=/dev/vg0/two")
        equal(h.settled()["disks"][1]["pdev_path"], "/dev/vg0/two")
        h.drover("config", "update", "7", "vbd", "/dev/vg0/three,raw,xvdb,r,cdrom,backend=drv")
        equal(h.settled()["disks"][1]["pdev_path"], "/dev/vg0/three")


@case
def force_ends_what_a_backend_keeps(d):
    h = furnished(d)
    soon = ("--backend-timeout", "200")
    with xl.Backend(h, 9, xl.STUCK):
        h.drover("config", "attach", "7", "vbd", config_lib.B)
        r = h.drover("config", "detach", "7", "vbd", "xvdb", *soon, status=3)
        equal((r.out, len(r.err.splitlines())), ("", 1))
        equal(h.items()["vbd xvdb"], "detaching")
        h.drover("config", "detach", "--force", "7", "vbd", "xvdb")
        equal(h.settled(), RECORD)
        h.drover("config", "attach", "7", "vbd", config_lib.B)
    h.remove_domain(9)
    equal(h.items()["vbd xvdb"], "backend-gone")
    h.drover("config", "repair", "7")
    equal(h.items()["vbd xvdb"], "backend-gone")
    r = h.drover("config", "repair", "--force", "7")
    assert "vbd xvdb: backend-gone: " in r.out, r.out
    equal(h.settled(), RECORD)


# ---- records ----

@case
def a_record_is_made_and_removed(d):
    h = config_lib.Host(d)
    h.add_domain(7, "pv1", UUID)
    for kind in ("vbd", "vif"):
        assert not h.drover("config", "show", "7", status=3).out, kind
    h.drover("config", "record", "create", "pv1", "-", stdin=json.dumps(RECORD))
    with open(h.file(7), "rb") as f:
        octets = f.read()
    equal(octets, h.drover("config", "canon", "-", stdin=json.dumps(RECORD)).out.encode() + b"\0")
    equal(os.stat(h.file(7)).st_mode & 0o777, 0o600)
    h.drover("config", "record", "destroy", "7", UUID)
    equal(h.files(), {})
    h.drover("config", "record", "destroy", "7", UUID)
    other = dict(RECORD, c_info=dict(RECORD["c_info"], uuid=h.uuid(0)))
    h.refused("record", "create", "7", "-", status=2)
    r = h.drover("config", "record", "create", "7", "-", stdin=json.dumps(other), status=2)
    assert "uuid" in r.err, r.err
    equal(h.files(), {})


# ---- watch ----

@case
def watch_prints_changes_as_they_happen(d):
    h = furnished(d)
    with h.running("watch") as p, h.running("watch", "pv1", "--json", "-n", "5") as q, \
            xl.Backend(h, 9):
        out = p.stdout.fileno()
        got = read_until(out, rb" 7 pv1: - -> there\n.* 9 drv: - -> there\n")
        assert re.match(rb"20..-..-..T..:..:..\.... 0 -: - -> cannot be told", got), got
        first = read_until(q.stdout.fileno(), rb"\n")
        h.drover("config", "attach", "7", "vbd", config_lib.B)
        read_until(out, rb" 7 pv1 vbd xvdb: (- -> adding|- -> attached|adding -> attached)[^\n]*\n")
        h.drover("config", "update", "7", "vif", "0", "bridge=xenbr8")
        read_until(out, rb" 7 pv1 vif 0 bridge: xenbr0 -> xenbr8\n")
        h.drover("config", "detach", "7", "vbd", "xvdb")
        read_until(out, rb" 7 pv1 vbd xvdb: (attached|removing|detaching) -> -\n")
        h.x.write("/local/domain/7/memory/target", "524288")
        read_until(out, rb" 7 pv1 b_info.target_memkb: 1048576 -> 524288\n")
        h.x.write("/local/domain/0/backend/vif/7/0/state", "1")
        read_until(out, rb" 7 pv1 vif 0: attached -> half-added \([^\n]*state 1[^\n]*\n")
        h.add_domain(12, "new", record=xl.config("new", xl.uuid_of(12)))
        read_until(out, rb" 12 new: (-|cannot be told) -> there\n")
        h.remove_domain(12)
        read_until(out, rb" 12 new: there -> -\n")
        h.remove_domain(7)
        read_until(out, rb" 7 pv1: there -> -\n")
        equal(q.wait(lib.TIMEOUT), 0)
        lines = [json.loads(line) for line in (first + q.stdout.read().encode()).splitlines()]
        equal(len(lines), 5)
        equal({one["domid"] for one in lines}, {7})
        equal((lines[0]["was"], lines[0]["is"], lines[0]["class"]), (None, "there", None))
        assert any((x["class"], x["id"], x["is"]) == ("vbd", "xvdb", "attached") or
                   (x["field"], x["is"]) == ("bridge", "xenbr8") for x in lines), lines


@case
def watch_of_one_domain_ends_with_it(d):
    h = furnished(d)
    with h.running("watch", "7") as p:
        read_until(p.stdout.fileno(), rb" 7 pv1: - -> there\n")
        h.remove_domain(7)
        read_until(p.stdout.fileno(), rb" 7 pv1: there -> -\n")
        equal(p.wait(lib.TIMEOUT), 0)


# ---- help ----

@case
def bash_completes_domains_classes_and_devices(d):
    h = furnished(d)

    def complete(*words):
        script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _drover; ' \
                 'printf "%s\\n" "${COMPREPLY[@]}"'
        env = h.environment()
        env["PATH"] = peers.build_dir() + ":" + env["PATH"]
        env["XENSTORED_PATH"] = "/nonexistent"
        way = ["-s", h.socket, "config", "-d", h.userdata]
        p = subprocess.run(["bash", "-c", script, "bash", COMPLETION, "drover", *way, *words],
                           env=env, capture_output=True, timeout=lib.TIMEOUT, check=False)
        equal((p.returncode, p.stderr), (0, b""))
        return p.stdout.decode().split()
    told = h.drover("help", "config").out
    equal(sorted(complete("")), sorted(set(re.findall(r"^  ([a-z]+)\b", told, re.M))))
    equal(complete("che"), ["check"])
    equal(sorted(complete("show", "")), ["0", "7", "9", "Domain-0", "drv", "pv1"])
    equal(complete("show", "--json", "pv"), ["pv1"])
    equal(sorted(complete("attach", "7", "")), sorted(CLASSES))
    equal(complete("detach", "7", "vif", ""), ["0"])
    equal(complete("detach", "pv1", "vbd", ""), ["xvda"])
    equal(sorted(complete("record", "")), ["create", "destroy"])
    equal(complete("show", "7", "--layout", "n"), ["newest"])
    equal(complete("watch", "-n", ""), [])
    equal(complete("locks", ""), [])
    classes = h.drover("config", "attach", "7", "floppy", "a=b", status=2).err
    equal(classes.split("there are ")[1].split(), CLASSES)


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
