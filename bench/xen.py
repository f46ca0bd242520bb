#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""make results: on a host of real Xen, ours beside the C and the OCaml xenstored. Writes
docs/results.md, or what --write names.

Each round boots a host for each store, in an order that rotates, and measures the same on all. A
ratio is taken between values of the same round, and the table has the median over rounds: a
machine that others use, too, slows all of them down, and its load is told.

Usage: xen.py [--rounds N] [--guests N] [--write FILE]
"""
import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import textwrap
from statistics import median

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "system", "xen"))
import image  # noqa: E402
import lab  # noqa: E402
import pulse  # noqa: E402

THERE = "/root/xen_dom0.py"
STORES = {"drover": ("ours", "/usr/sbin/drover-xenstored"),
          "c": ("C 4.17", image.XEN_BIN + "/xenstored"),
          "oxen": ("OCaml 4.17", image.XEN_BIN + "/oxenstored")}
OTHERS = ("c", "oxen")
LIVES, UPDATES, READS = 10, 3, 2000
QUIET_MS = 2000
BEAT_MS = 10

# key, what the table says of it, unit, decimals
ROWS = [
    ("create_first", "`xl create` of the 1st guest", "ms", 0),
    ("create_last", "`xl create` of the {n}th guest", "ms", 0),
    ("cpu_first", "the store's CPU time, a guest created and destroyed, no other there", "ms", 1),
    ("cpu_last", "the same beside {others} others", "ms", 1),
    ("cpu_fill", "the store's CPU time, each of {others} guests created", "ms", 1),
    ("read_median", "a guest's READ, ring and upcall, alone: median", "µs", 0),
    ("read_p99", "— 99th percentile", "µs", 0),
    ("read_crowd", "a guest's READ, {n} guests there: median", "µs", 0),
    ("gap_quiet", "longest gap between beats every 10 ms, nothing happens", "ms", 1),
    ("gap_update", "— a live update, one guest", "ms", 1),
    ("gap_crowd", "— a live update, {n} guests", "ms", 1),
    ("update_crowd", "`xenstore-control live-update`, {n} guests", "ms", 0),
    ("pss_first", "memory of the store's processes, no guest (PSS)", "KiB", 0),
    ("pss_last", "memory, {n} guests (PSS)", "KiB", 0),
]


def said(line):
    print(line, flush=True)


class Measured:
    """One store on one host."""

    def __init__(self, h, kind, guests):
        self.h, self.kind, self.guests = h, kind, guests
        self.pid = h.store_pid()
        self.values = {}
        with open(os.path.join(ROOT, "bench", "xen_dom0.py"), "rb") as f:
            h.put(THERE, f.read())

    def there(self, what, *words, timeout=1800):
        argv = ["python3", THERE, str(self.pid), what] + [str(w) for w in words]
        return json.loads(self.h.run(argv, timeout=timeout).out)

    def life(self, suffix, times):
        config = pulse.config(self.h, "short", "hb=0 aware=1")
        got = self.there("life", times, config, "short")
        self.values["create_" + suffix] = median(got["create_ms"])
        self.values["cpu_" + suffix] = got["cpu_s"] * 1000 / times

    def reads(self, probe):
        return probe.fields("rtt %d" % READS, timeout=300)

    def gaps(self, probe, suffix):
        """The median over several updates of the longest gap that each left."""
        gaps, updates = [], []
        probe.ask("hb %d" % BEAT_MS)
        for _ in range(UPDATES):
            probe.gap_ms(reset=True)
            updates += self.there("update", 1, STORES[self.kind][1])["update_ms"]
            gaps.append(probe.gap_ms())
        probe.ask("hb 0")
        self.values["gap_" + suffix] = median(gaps)
        self.values["update_" + suffix] = median(updates)

    def quiet(self, probe):
        probe.ask("hb %d" % BEAT_MS)
        probe.gap_ms(reset=True)
        beats = probe.fields("gap")["beats"]
        lab.until(lambda: probe.fields("gap")["beats"] > beats + QUIET_MS // BEAT_MS, "beats", 300)
        self.values["gap_quiet"] = probe.gap_ms()
        probe.ask("hb 0")

    def all(self):
        self.values["pss_first"] = self.there("memory")["pss_kb"]
        self.life("warm", 1)    # what is read from disk once
        self.life("first", LIVES)
        probe = pulse.create(self.h, "probe", "hb=0 aware=1")
        reads = self.reads(probe)
        self.values["read_median"] = reads["median_ns"] / 1000
        self.values["read_p99"] = reads["p99_ns"] / 1000
        self.quiet(probe)
        self.gaps(probe, "update")
        configs = [pulse.config(self.h, "g%d" % n, "hb=0 aware=1")
                   for n in range(2, self.guests)]
        filled = self.there("fill", *configs)
        self.values["cpu_fill"] = filled["cpu_s"] * 1000 / len(configs)
        self.life("last", LIVES // 2)
        self.there("fill", pulse.config(self.h, "g%d" % self.guests, "hb=0 aware=1"))
        self.values["pss_last"] = self.there("memory")["pss_kb"]
        self.values["read_crowd"] = self.reads(probe)["median_ns"] / 1000
        self.gaps(probe, "crowd")
        return self.values


def load():
    return os.getloadavg()[0]


def versions(h):
    """What dom0 says of itself, and what of ours is measured."""
    info = dict(re.findall(r"^(\w+)\s*: (.*)$", h.run("xl info").out, re.M))
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"],
                            capture_output=True, text=True, check=False).stdout.strip()
    qemu = subprocess.run([lab.QEMU, "--version"], capture_output=True, text=True,
                          check=True).stdout.split("\n")[0]
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        cpu = re.search(r"model name\s*: (.*)", f.read()).group(1)
    return [f"Xen {info['xen_version']} ({info['xen_changeset'] or 'Debian'}), dom0 Linux "
            f"{info['release']}, one processor, 768 MiB",
            f"{qemu}, TCG, on {cpu}, {os.cpu_count()} processors, Linux {platform.release()}",
            h.run("drover-xenstored --version").out.strip() + f", commit {commit}"]


def measure(rounds, guests):
    found, about, loads = [], [], []
    for number in range(rounds):
        kinds = list(STORES)[number % len(STORES):] + list(STORES)[:number % len(STORES)]
        values = {}
        for kind in kinds:
            loads.append(load())
            with lab.host(store=kind) as h:
                about = about if about or kind != "drover" else versions(h)
                values[kind] = Measured(h, kind, guests).all()
            loads.append(load())
            said(f"round {number + 1}, {kind}: " + ", ".join(
                f"{key} {value:.1f}" for key, value in values[kind].items()))
        found.append(values)
    return found, about, loads


def shown(values, decimals):
    return f"{median(values):.{decimals}f}"


def spread(values, decimals):
    return f"{min(values):.{decimals}f}…{max(values):.{decimals}f}"


def table(found, guests):
    names = [STORES[kind][0] for kind in STORES]
    yield "| | unit | " + " | ".join(names) + " | " + " | ".join(
        f"ours ÷ {STORES[kind][0]}" for kind in OTHERS) + " |"
    yield "|---|---|" + "---:|" * (len(names) + len(OTHERS))
    for key, text, unit, decimals in ROWS:
        cells = [shown([values[kind][key] for values in found], decimals) for kind in STORES]
        cells += [shown([values["drover"][key] / max(values[kind][key], 1e-9)
                         for values in found], 2) for kind in OTHERS]
        yield f"| {text.format(n=guests, others=guests - 1)} | {unit} | " + " | ".join(cells) + " |"


def spreads(found, guests):
    names = [STORES[kind][0] for kind in STORES]
    yield "| | unit | " + " | ".join(names) + " |"
    yield "|---|---|" + "---:|" * len(names)
    for key, text, unit, decimals in ROWS:
        cells = [spread([values[kind][key] for values in found], decimals) for kind in STORES]
        yield f"| {text.format(n=guests, others=guests - 1)} | {unit} | " + " | ".join(cells) + " |"


def page(found, about, loads, guests):
    rounds = len(found)
    return "\n".join([
        "# Figures from real Xen",
        "",
        f"Made by `make results`, --rounds {rounds} --guests {guests}, "
        f"{datetime.date.today().isoformat()}.",
        "",
        "On each host boots Debian's Xen with a Linux dom0 in an emulated machine; it has one of",
        "the three stores from the start, and the same is done to all. The emulation makes every",
        "time long, and all alike: the ratios are what to look at. Guests are",
        "[`drover-pulse`](../tests/system/xen/guest/README.md), 4 MiB each, idle but for the one",
        "that measures.",
        "",
        *[line for item in about + [
            f"{rounds} round{'s' if rounds > 1 else ''}, each a boot for each store; load of the "
            f"machine (1 minute) {min(loads):.1f}…{max(loads):.1f}"]
          for line in textwrap.wrap("- " + item, 98, subsequent_indent="  ")],
        "",
        "The median over rounds; a ratio is between values of the same round.",
        "",
        *table(found, guests),
        "",
        "CPU time is `utime + stime` of `/proc/PID/stat`, all of the store's processes, in steps",
        "of 10 ms over a loop. A READ is timed by the guest's own clock from the first octet",
        "written to the answer read, an event-channel upcall between. Memory is what the processes",
        "have for themselves and their part of what is shared (`smaps_rollup`).",
        "",
        "From the smallest to the largest of the rounds:",
        "",
        *spreads(found, guests),
        ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--guests", type=int, default=50)
    parser.add_argument("--write", default=os.path.join(ROOT, "docs", "results.md"))
    args = parser.parse_args()
    text = page(*measure(args.rounds, args.guests), args.guests)
    with open(args.write, "w", encoding="utf-8") as f:
        f.write(text)
    said(text)
    return 0


sys.exit(main())
