#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The fault matrix: every procedure of a migration by unmodified virsh, and every message between
two daemons, times everything that can go wrong there. Afterwards exactly one guest counts on, and
nothing is left over anywhere.

    tests/system/hostd_matrix_test.py                          a sample, on simulated guests
    tests/system/hostd_matrix_test.py --all --kind drover-qemu all of it, on real ones
    tests/system/hostd_matrix_test.py --only 'Finish*reply*'   cells by pattern
    tests/system/hostd_matrix_test.py --all --kind drover-sim --kind drover-qemu --kind libvirtd \
        --stop-seconds 30 --write docs/fault-matrix.md         the table (make matrix)

Output is TAP; of libvirtd nothing is claimed, and what happens is told.
"""
import argparse
import fileinput
import fnmatch
import os
import re
import signal
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "peers")]
import hosts  # noqa: E402
import hostd_matrix as matrix  # noqa: E402

SAMPLE = [  # where each kind of fault hurt somebody before
    "Prepare, reply lost", "Perform, client killed at call", "Perform, cut, reply lost",
    "Perform, source killed at call", "Perform, destination killed at call",
    "Finish, reply lost", "Finish, both killed at call", "Finish, destination killed at reply",
    "Confirm, source killed at call", "Perform, peers cut off",
    "COMMIT, reply lost", "COMMIT, both killed at reply", "TAKEN, source killed at call",
    "STATE, destination killed at reply", "STATE, source stands still",
]


def cells(kind, args):
    rows = matrix.ROWS + (matrix.PEER_ROWS if kind != "libvirtd" else [])
    for row in rows:
        for fault in matrix.FAULTS:
            name = "%s, %s" % (row.name, fault.name)
            if fault.cable and kind == "libvirtd":
                continue
            if args.only and not any(fnmatch.fnmatchcase(name, p) for p in args.only):
                continue
            if not args.only and not args.all and name not in SAMPLE:
                continue
            yield row, fault


def play(kind, args, said):
    """All cells of a kind; a pair of hosts that a cell left something on is not used again."""
    done, pair = [], None
    try:
        for row, fault in cells(kind, args):
            if not pair:
                base = tempfile.mkdtemp(prefix="drover-matrix-", dir="/dev/shm")
                pair = matrix.Pair(kind, base, stop_s=args.stop_seconds).__enter__()
            try:
                cell = pair.play(row, fault)
                if not cell.complaints:
                    pair.clear()
            except (AssertionError, OSError, hosts.HostError, matrix.subprocess.SubprocessError):
                cell = matrix.Cell(row, fault)
                cell.reached = True
                cell.complaints = [traceback.format_exc().strip().split("\n")[-1]]
            done.append(cell)
            said(kind, cell)
            if cell.complaints and pair:
                if args.keep:
                    print("# kept: %s" % pair.base)
                    pair = None
                    break
                pair.close()
                pair = None
    finally:
        if pair:
            pair.close()
    return done


def words_of(cell):
    if not cell.reached:
        return "–"
    text = {"source": "stays", "destination": "moves"}.get(cell.where, "**%s**" % cell.where)
    if cell.complaints and not text.startswith("**"):
        text = "**left over**, " + text
    return text + {"ok": "", "error": ", error", "killed": ""}[cell.virsh or "killed"]


def table(kind, done):
    faults = [f for f in matrix.FAULTS if any(c.fault == f for c in done)]
    lines = ["| | " + " | ".join(f.name for f in faults) + " |", "|---" * (len(faults) + 1) + "|"]
    for row in matrix.ROWS + matrix.PEER_ROWS:
        mine = {c.fault.name: c for c in done if c.row == row}
        if mine:
            lines.append("| %s | " % row.name + " | ".join(
                words_of(mine[f.name]) if f.name in mine else "" for f in faults) + " |")
    good = sum(1 for c in done if c.reached and not c.complaints)
    bad = sum(1 for c in done if c.reached and c.complaints)
    return "## %s\n\n%d cells end with one guest and nothing left over, %d do not.\n\n%s\n" % (
        kind, good, bad, "\n".join(lines))


def from_logs(paths):
    """(kind, cells) as former runs told them; of a cell that was played twice the last."""
    rows = {r.name: r for r in matrix.ROWS + matrix.PEER_ROWS}
    faults = {f.name: f for f in matrix.FAULTS}
    kinds = {}
    for line in fileinput.input(paths, encoding="utf-8"):
        m = re.match(r"(?:not )?ok \d+ - ([\w-]+): (.*): (\w+|\?), virsh (\w*)((?:; .*)?) "
                     r"\([\d.]+ s\)( # SKIP.*)?$", line)
        for name in rows if m else ():
            fault = m.group(2)[len(name) + 2:]
            if m.group(2).startswith(name + ", ") and fault in faults:
                cell = matrix.Cell(rows[name], faults[fault])
                cell.where, cell.virsh = m.group(3), m.group(4)
                cell.complaints, cell.reached = [m.group(5)] * bool(m.group(5)), not m.group(6)
                kinds.setdefault(m.group(1), {})[m.group(2)] = cell
    return [(kind, list(cells.values())) for kind, cells in kinds.items()]


HEAD = """# Fault matrix

Made by `make matrix`: unmodified virsh migrates a guest that counts, `virsh migrate --live`, and
one thing goes wrong at one message. Then daemons that died are started again, and when all is
quiet it is looked at who counts, and what there is on both hosts. Who stands still or is cut off is
so for %g s. A fault at a *call* comes when that is on its way (the daemon may have read it or not),
one at a *reply* when all is done and nobody has been told. The last four rows, and *peers cut off*,
are of messages between two daemons of ours.

*moves*, *stays*: one guest, at the destination or the source, its count without gap or overlap; no
definition, job, port, process, store node or lock is left on either host, and
`domjobinfo --completed` says so. *error*: virsh said that it failed. **nowhere**, **both**,
**left over** (a paused guest or its process): what must not be. –: this message is not sent.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=matrix.KINDS)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", action="append", metavar="PATTERN")
    parser.add_argument("--stop-seconds", type=float, default=2.0,
                        help="how long a daemon stands still or a cable is out")
    parser.add_argument("--write", metavar="FILE", help="the table")
    parser.add_argument("--log", action="append", metavar="FILE",
                        help="nothing is played: the table is of what those runs printed")
    parser.add_argument("--keep", action="store_true",
                        help="leave the hosts as the first bad cell left them")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kinds = args.kind or ["drover-sim"]
    count, failed = 0, 0

    def said(kind, cell):
        nonlocal count, failed
        count += 1
        bad = cell.complaints and kind != "libvirtd"
        failed += bool(bad)
        print("%s %d - %s: %s%s" % ("not ok" if bad else "ok", count, kind, cell,
                                    "" if cell.reached else " # SKIP not sent"), flush=True)

    tables = [table(kind, done) for kind, done in from_logs(args.log)] if args.log else []
    for kind in kinds if not args.log else ():
        why = hosts.libvirtd_usable() if kind == "libvirtd" else hosts.usable()
        if why:
            count += 1
            print("ok %d - %s # SKIP %s" % (count, kind, why))
            continue
        tables.append(table(kind, play(kind, args, said)))
    if not args.log:
        print("1..%d" % count)
    if args.write:
        with open(args.write, "w", encoding="utf-8") as f:
            f.write("\n".join([HEAD % args.stop_seconds] + tables))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
