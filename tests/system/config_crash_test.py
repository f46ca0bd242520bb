#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Changes of a configuration that are cut short anywhere: by stress-config, which kills whoever
attaches, detaches or updates a device at each system call or request in turn, and looks at what is
left; and the same through the command line.

Usage: config_crash_test.py [--kind drover|c] [--only CASE]...

A run takes a sample of all calls. CRASH_EVERY=1 takes them all (half an hour), CRASH_SEED=N the
same sample again, CRASH_ONLY=vbd,vif some classes alone.
"""
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
import xl  # noqa: E402  pylint: disable=wrong-import-order
from lib import equal  # noqa: E402
from xsclient import build_dir  # noqa: E402

STRESS = build_dir() + "/tests/stress/stress-config"
STEP = build_dir() + "/tests/stress/stress-step"
SEED = int(os.environ.get("CRASH_SEED", random.randrange(1 << 30)))
EVERY = int(os.environ.get("CRASH_EVERY", 0))
ONLY = os.environ.get("CRASH_ONLY", "")
# Each death is a start of the program, which costs a sanitizer ten times as much.
SANITIZED = "-fsanitize" in open(build_dir() + "/build.ninja").read()
SPARSER = 20 if SANITIZED else 2
# Of these every system call is tried in a sample, too: one with directories of its own, and one
# that shares a directory with others.
WHOLE = ("vbd", "usbdev")

domids = itertools.count(7)
# A USB device that every host has here.
USB = {"bus/usb/devices/1-2/busnum": "1", "bus/usb/devices/1-2/devnum": "4"}


def sysfs(directory):
    for name, text in USB.items():
        path = os.path.join(directory, "sys", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            print(text, file=f)
    return os.path.join(directory, "sys")


def furnish(h):
    """A domain with a disk, a nic and a USB controller."""
    domid = next(domids)
    of = xl.uuid_of(domid)
    h.add_domain(domid, "pv%d" % domid, record=xl.config(
        "pv%d" % domid, of, disks=[xl.disk("xvda", "/dev/vg0/root")],
        nics=[xl.nic(0, "00:16:3e:11:22:33", "xenbr0")],
        usbctrls=[{"type": "qusb", "devid": 1, "version": 2, "ports": 4}]))
    h.add_disk(domid, "xvda", "/dev/vg0/root")
    h.add_nic(domid, 0, "00:16:3e:11:22:33", "xenbr0")
    back = {"type": "qusb", "usb-ver": "2", "num-ports": "4", "port": ""}
    back.update({"port/%d" % i: "" for i in range(1, 5)})
    h.put(xl.device_nodes(domid, "vusb", 1, back=back, backend_kind="qusb"))
    return domid, of


@contextlib.contextmanager
def backend(h, domid):
    """Drivers that answer at once."""
    with lib.started([lib.DROVER, "sim", "--dir", h.dir, "--socket", h.socket, "backend", "0",
                      "--of", str(domid)], stdin=subprocess.DEVNULL) as p:
        equal(lib.next_line(p), "ready")
        # What it prints of each answer is not wanted, and must not fill the pipe.
        with subprocess.Popen(["cat"], stdin=p.stdout, stdout=subprocess.DEVNULL):
            try:
                yield
            finally:
                p.send_signal(signal.SIGTERM)
                status = p.wait(lib.TIMEOUT)
            equal(status, 0)


def stress(h, what, op, *argv, every=1, rnd=None, silent=False):
    """Prints what came of it; the point that a failure names is tried again by -f POINT -e 9999."""
    domid, of = furnish(h)
    first = rnd.randint(1, every) if rnd else 1
    words = [STRESS, "-s", h.socket, "-d", h.userdata, "-f", str(first), "-e", str(every), *argv,
             str(domid), of, what, op]
    env = h.environment(DROVER_SYSFS=sysfs(h.dir))
    with contextlib.nullcontext() if silent else backend(h, domid):
        p = subprocess.run(words, env=env, capture_output=True, text=True, timeout=1800,
                           check=False)
    print("# %s %s: %s" % (what, op, p.stdout.strip().replace("\n", "\n# ")), flush=True)
    if p.returncode == 78:
        raise lib.Skip("calls can be made to fail on x86_64 alone")
    assert p.returncode == 0, "%s\nexit %d\n%s%s" % (" ".join(words), p.returncode, p.stdout,
                                                    p.stderr)
    h.remove_domain(domid)


def every(sample, what, whole=1):
    """C xenstored answers one request after the other: there the sample is smaller."""
    sparser = SPARSER * (8 if lib.options.kind == "c" else 1)
    return EVERY or sparser * (whole if what in WHOLE else sample)


def a_case(what, op):
    def case(d):
        rnd = random.Random("%d %s %s" % (SEED, what, op))
        with xl.Host(d) as h:
            stress(h, what, op, every=every(10, what), rnd=rnd)
            stress(h, what, op, "--requests", every=every(15, what, 4), rnd=rnd)

    case.__name__ = "%s_%s_dies_anywhere" % (what, op)
    return case


def cases_of_classes():
    said = subprocess.run([STRESS, "--list"], capture_output=True, text=True, check=True).stdout
    for line in said.splitlines():
        what, *ops = line.split()
        if not ONLY or what in ONLY.split(","):
            for op in ops:
                yield a_case(what, op)


def attaching_to_a_backend_that_is_silent_dies_anywhere(d):
    with xl.Host(d) as h:
        for what, k in (("vbd", 3), ("vif", 10), ("pci", 10), ("vsnd", 10)):
            stress(h, what, "attach", "--silent", "-b", "30", every=every(k, what, k),
                   rnd=random.Random(SEED), silent=True)


def whoever_repairs_dies_anywhere_too(d):
    with xl.Host(d) as h:
        for what in "vbd", "usbdev", "pci":
            for op in "attach", "detach":
                stress(h, what, op, "--repair", every=every(4, what, 4), rnd=random.Random(SEED))
        stress(h, "vbd", "attach", "--silent", "-b", "30", "--repair", every=every(6, "vbd", 6),
               rnd=random.Random(SEED), silent=True)


def calls_that_fail_leave_no_more_than_deaths_do(d):
    """Whoever made them lives, and puts right what he can."""
    if SANITIZED:
        raise lib.Skip("a sanitizer ends where its own calls fail")
    with xl.Host(d) as h:
        for what, op, k in (("vbd", "attach", 3), ("vbd", "detach", 3), ("vbd", "update", 3),
                            ("usbdev", "attach", 12), ("usbdev", "detach", 12),
                            ("pci", "attach", 12), ("pci", "detach", 12)):
            stress(h, what, op, "--fail", every=every(k, what, k), rnd=random.Random(SEED))
        stress(h, "vbd", "attach", "--fail", "--silent", "-b", "30", every=every(6, "vbd", 6),
               rnd=random.Random(SEED), silent=True)


def a_change_with_a_script_dies_anywhere(d):
    with xl.Host(d) as h:
        script = h.dir + "/vif-script"
        with open(script, "w") as f:
            f.write("#!/bin/sh\nexit 0\n")
        os.chmod(script, 0o755)
        for op in "attach", "detach":
            stress(h, "vif", op, "--script", script, every=every(5, "vif"),
                   rnd=random.Random(SEED))


# ---- by the command line ----

def step(h, n, *words):
    """Kills `drover config ...` at its nth call. Whether it got so far."""
    env = h.environment()
    # Leaks are not looked for in a process that is traced.
    env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    p = subprocess.run([STEP, str(n), *h.drover_argv("config", *words)], env=env,
                       capture_output=True, text=True, timeout=lib.TIMEOUT, check=False)
    assert p.returncode in (0, 137), "%s\n%s" % (p.returncode, p.stderr)
    return p.returncode == 137


def verdict(h, domid, device):
    """What check says of a device, None for nothing; it must exit as it says."""
    r = h.drover("config", "check", "--json", str(domid), status=None)
    one, = json.loads(r.out)
    equal(r.status, int(any(i["fault"] for i in one["items"])))
    found = [i["verdict"] for i in one["items"] if i["id"] == device]
    assert len(found) < 2, r.out
    return found[0] if found else None


def the_command_line_dies_anywhere(d):
    may = {"attach": {None, "rolled-back", "half-added", "attached"},
           "detach": {None, "detaching", "attached"}}
    words = {"attach": ["vbd", "phy:/dev/vg0/q,xvdq,w"], "detach": ["vbd", "xvdq"]}
    every_n = EVERY or 25 * SPARSER
    with xl.Host(d) as h:
        domid, _ = furnish(h)
        rnd = random.Random(SEED)
        with backend(h, domid):
            for op in "attach", "detach":
                killed, n = True, rnd.randint(1, every_n)
                while killed:
                    there = verdict(h, domid, "xvdq") is not None
                    if there != (op == "detach"):
                        other = "detach" if there else "attach"
                        h.drover("config", other, "--no-scripts", str(domid), *words[other])
                    killed = step(h, n, op, "--no-scripts", str(domid), *words[op])
                    found = verdict(h, domid, "xvdq")
                    assert found in may[op], "%s, killed at %d: %s" % (op, n, found)
                    h.drover("config", "repair", str(domid))
                    h.drover("config", "diff", str(domid))
                    equal(verdict(h, domid, "xvdq") in (None, "attached"), True)
                    n += every_n


CASES = [attaching_to_a_backend_that_is_silent_dies_anywhere, whoever_repairs_dies_anywhere_too,
         calls_that_fail_leave_no_more_than_deaths_do, a_change_with_a_script_dies_anywhere,
         the_command_line_dies_anywhere, *cases_of_classes()]

if __name__ == "__main__":
    print("# CRASH_SEED=%d" % SEED)
    sys.exit(lib.main(__doc__, CASES))
