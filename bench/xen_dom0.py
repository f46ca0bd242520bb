#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The part of xen.py that runs in dom0, beside what it measures: no way of the tests' own to dom0
is in the times. Prints one line of JSON.

xen_dom0.py PID life N CFG NAME     creates and destroys a guest N times
xen_dom0.py PID fill CFG...         creates them all
xen_dom0.py PID update N PROGRAM    live updates of the store, one after the other
xen_dom0.py PID memory              what the store's processes hold, in kB
PID is the store's; its children are counted with it.
"""
import json
import os
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read()


def processes(pid):
    return [pid] + [int(c) for c in read(f"/proc/{pid}/task/{pid}/children").split()]


def cpu_s(pid):
    """Of everybody who is there, and of those of its children who are not any more."""
    total = 0
    for one in processes(pid):
        words = read(f"/proc/{one}/stat").rsplit(")", 1)[1].split()
        total += int(words[11]) + int(words[12])
        if one == pid:
            total += int(words[13]) + int(words[14])
    return total / TICKS


def timed(*argv):
    begin = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return (time.monotonic() - begin) * 1000


def life(pid, times, config, name):
    before = cpu_s(pid)
    creates, destroys = [], []
    for _ in range(int(times)):
        creates.append(timed("xl", "create", "-q", "-e", config))
        destroys.append(timed("xl", "destroy", name))
    return {"create_ms": creates, "destroy_ms": destroys, "cpu_s": cpu_s(pid) - before}


def fill(pid, *configs):
    before = cpu_s(pid)
    return {"create_ms": [timed("xl", "create", "-q", "-e", one) for one in configs],
            "cpu_s": cpu_s(pid) - before}


def update(_, times, program):
    return {"update_ms": [timed("xenstore-control", "live-update", "-t", "60", program)
                          for _ in range(int(times))]}


def memory(pid):
    found = {}
    for one in processes(pid):
        for line in read(f"/proc/{one}/smaps_rollup").splitlines()[1:]:
            word, kb = line.split()[:2]
            found[word.rstrip(":")] = found.get(word.rstrip(":"), 0) + int(kb)
    return {"pss_kb": found["Pss"], "private_kb": found["Private_Dirty"] + found["Private_Clean"]}


what = {"life": life, "fill": fill, "update": update, "memory": memory}[sys.argv[2]]
print(json.dumps(what(int(sys.argv[1]), *sys.argv[3:])))
