#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the units of systemd take away is nothing that our programs need on real Xen: the store is
started with the capabilities, system calls and network that drover-xenstored.service leaves it.
dom0 has no systemd here; a few lines of Python do what it would.

Usage: unit_test.py [--only CASE]...
"""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import lab  # noqa: E402
import pulse  # noqa: E402
from checks import awake, gone, kill_worker, update  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
UNIT = os.path.join(ROOT, "packaging/systemd/drover-xenstored.service")
CAPABILITIES = "/usr/include/linux/capability.h"

LIMITED = r"""
import ctypes, json, os, sys
limits = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x40000000) == 0    # CLONE_NEWNET
os.umask(int(limits["umask"], 8))
for cap in range(64):
    if cap not in limits["capabilities"]:
        libc.prctl(24, cap, 0, 0, 0)    # PR_CAPBSET_DROP
libc.prctl(38, 1, 0, 0, 0)              # PR_SET_NO_NEW_PRIVS
seccomp = ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p
context = ctypes.c_void_p(seccomp.seccomp_init(0x7fff0000))     # SCMP_ACT_ALLOW
for name in limits["refused"]:
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        assert seccomp.seccomp_rule_add(context, 0x00050001, number, 0) == 0   # EPERM
assert seccomp.seccomp_load(context) == 0
os.execvp(sys.argv[2], sys.argv[2:])
"""


def setting(name):
    with open(UNIT, encoding="utf-8") as f:
        return re.search(r"^%s=(.*)$" % name, f.read(), re.M).group(1).split()


def calls(group):
    """The system calls of one of systemd's groups."""
    try:
        said = subprocess.run(["systemd-analyze", "syscall-filter", group], check=True, text=True,
                              capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as e:
        raise lab.Skip("systemd's groups of system calls are not known here") from e
    found = []
    for word in said.split("\n", 1)[1].split("\n"):
        word = word.strip()
        if word and not word.startswith("#"):
            found += calls(word) if word.startswith("@") else [word]
    return found


def limits():
    with open(CAPABILITIES, encoding="ascii") as f:
        numbers = dict(re.findall(r"^#define (CAP_\w+)\s+(\d+)$", f.read(), re.M))
    groups = setting("SystemCallFilter")
    assert groups[0].startswith("~")
    return {"capabilities": [int(numbers[name]) for name in setting("CapabilityBoundingSet")],
            "refused": [call for group in groups for call in calls(group.lstrip("~"))],
            "umask": setting("UMask")[0]}


def the_store_needs_no_more_than_its_unit_leaves(h):
    h.run(["python3", "-c", LIMITED, json.dumps(limits()), "drover-xenstored", "--hv=xen",
           "--pid-file=" + lab.STORE_PID])
    lab.until(lambda: h.run("xenstore-read -s /", check=False).status == 0, "the store serves")
    h.start_tools()
    said = h.run("grep -h CapBnd /proc/%d/status" % h.store_pid()).out
    assert said.split()[1] != "000001ffffffffff", said
    h.create("linux", kind="pv")
    bare = pulse.create(h, "bare", "hb=100 aware=1")
    awake(h, "linux")
    kill_worker(h)
    awake(h, "linux")
    update(h)
    awake(h, "linux")
    lab.equal(bare.ask("read name"), "bare")
    domids = [h.domid("linux"), h.domid("bare")]
    h.run("xl shutdown -w linux; xl destroy bare")
    for domid in domids:
        gone(h, domid)


CASES = [(the_store_needs_no_more_than_its_unit_leaves, {"store": None, "memory_mib": 1280,
                                                         "dom0_mib": 640})]

if __name__ == "__main__":
    sys.exit(lab.main(__doc__, CASES))
