#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Guests with disks and network cards on real Xen: dom0's kernel serves them, our store carries
what its drivers and the guest's say to each other, and xl, libdrover-config and drover-hostd give
them and take them away.

Usage: devices_test.py [--only CASE]...
"""
import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import daemons  # noqa: E402
import devices  # noqa: E402
import lab  # noqa: E402
from checks import configs_agree, gone, kill_worker, update  # noqa: E402
from devices import TIMEOUT, Guest  # noqa: E402
from lab import equal  # noqa: E402

CASES = []
MAC = "00:16:3e:00:00:%02x"


def case(function):
    CASES.append(function)
    return function


def begin(h, name, kind):
    devices.prepare(h)
    g = devices.create(h, name, kind, "phy:/dev/loop0,xvda,r", MAC % 1)
    g.reads("xvda", 0)
    g.reaches("eth0", 1)
    configs_agree(h)
    return g


def pvh_guest(h):
    """The same in several cases: it takes long to start."""
    if not hasattr(h, "pvh_guest"):
        h.pvh_guest = begin(h, "dev-pvh", "pvh")
    return h.pvh_guest


def end(h, g):
    h.run("xl destroy " + g.name)
    gone(h, g.domid)
    devices.nothing_left(h, g.domid)


def faults(h, g):
    checked = json.loads(h.run("drover config check --json %s" % g.name, check=False).out)
    return [(i["class"], i["id"], i["verdict"]) for one in checked for i in one["items"]
            if i["fault"]]


def by_xl(h, g):
    """More devices come and go. What xl takes away stays in its record: that is told, and
    repaired."""
    h.run("xl block-attach %s phy:/dev/loop1 xvdb w" % g.name, timeout=TIMEOUT)
    h.run("xl network-attach %s mac=%s bridge=%s" % (g.name, MAC % 2, devices.BRIDGE),
          timeout=TIMEOUT)
    g.reads("xvdb", 1)
    g.reaches("eth1", 2)
    configs_agree(h)
    h.run("xl block-detach %s xvdb" % g.name, timeout=TIMEOUT)
    h.run("xl network-detach %s 1" % g.name, timeout=TIMEOUT)
    g.has("xvda eth0")
    equal(faults(h, g), [("vbd", "xvdb", "missing"), ("vif", "1", "missing")])
    h.run("drover config repair %s" % g.name)
    configs_agree(h)


def by_drover(h, g):
    """The same by libdrover-config, which runs the scripts itself."""
    h.run("drover config attach %s vbd phy:/dev/loop2,xvdc,w" % g.name, timeout=TIMEOUT)
    h.run("drover config attach %s vif mac=%s bridge=%s devid=3" % (
        g.name, MAC % 3, devices.BRIDGE), timeout=TIMEOUT)
    g.reads("xvdc", 2)
    g.reaches("eth1", 3, devid=3)
    configs_agree(h)
    differs = h.run("drover config diff %s" % g.name, check=False).lines[1:]
    equal([line for line in differs if "sched_params" not in line], [])     # Xen knows these
    h.run("drover config detach %s vbd xvdc" % g.name, timeout=TIMEOUT)
    h.run("drover config detach %s vif 3" % g.name, timeout=TIMEOUT)
    g.has("xvda eth0")
    configs_agree(h)


@case
def a_pvh_guest_has_disks_and_cards(h):
    g = pvh_guest(h)
    by_xl(h, g)
    by_drover(h, g)


@case
def the_store_dies_or_is_replaced_in_the_middle_of_a_hotplug(h):
    """The device is there or refused, and the configuration says which."""
    g = pvh_guest(h)
    backend = "/local/domain/0/backend/vbd/%d/51744" % g.domid
    h.run("rm -f /root/done")
    for happens, sign in ((kill_worker, backend), (update, backend + "/physical-device"),
                          (kill_worker, backend + "/physical-device")):
        job = h.start("drover config attach dev-pvh vbd phy:/dev/loop2,xvdc,w;"
                      "r=$?; echo > /root/done; exit $r")
        h.run("until xenstore-exists %s; do [ ! -e /root/done ] || break; done" % sign,
              timeout=TIMEOUT)
        happens(h)
        done = job.wait(TIMEOUT, check=False)
        print("# %s at %s: exit %d %s" % (happens.__name__, sign.split("/")[-1], done.status,
                                         done.err.strip()), flush=True)
        configs_agree(h)
        if done.status == 0:
            g.reads("xvdc", 2)
            h.run("drover config detach dev-pvh vbd xvdc", timeout=TIMEOUT)
        h.run("rm -f /root/done")
        g.has("xvda eth0")
    end(h, g)


@case
def a_pv_guest_has_disks_and_cards(h):
    g = begin(h, "dev-pv", "pv")
    by_drover(h, g)
    end(h, g)


XML = """<domain type='xen'><name>dev-virsh</name><memory unit='MiB'>96</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='xenpvh'>xenpvh</type><kernel>/guest/vmlinux</kernel>
<initrd>/root/dev-virsh.cpio</initrd><cmdline>console=hvc0 quiet</cmdline></os>
<on_crash>destroy</on_crash><devices>%s<console type='pty'><target type='xen' port='0'/></console>
</devices></domain>
"""
DEVICES = """<disk type='block' device='disk'><source dev='/dev/loop0'/>
<target dev='xvda' bus='xen'/><readonly/></disk>
<interface type='bridge'><mac address='%s'/><source bridge='%s'/></interface>
""" % (MAC % 4, devices.BRIDGE)
REFUSED = {
    "hostdev": "<hostdev mode='subsystem' type='pci'/>",
    "iotune": "<disk type='block'><source dev='/dev/loop0'/><target dev='xvda'/><iotune/></disk>",
    "interface": "<interface type='direct'><source dev='eth0'/></interface>",
    "disk": "<disk type='network'><target dev='xvda'/></disk>"}


def define(d, devs, do):
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as f:
        f.write(devs)
        f.flush()
        return do("define", f.name)


@case
def a_guest_of_virsh_has_a_disk_and_a_card(h):
    devices.prepare(h)
    d = daemons.Daemon(h, 1)
    h.guest_cfg("dev-virsh", script=devices.SCRIPT)
    for element, devs in REFUSED.items():
        said = define(d, XML % devs, d.refused)
        assert "<%s>" % element in said, said
    define(d, XML % DEVICES, d.virsh)
    before = d.virsh("dumpxml", "dev-virsh")
    define(d, before, d.virsh)
    equal(d.virsh("dumpxml", "dev-virsh"), before)
    d.virsh("start", "dev-virsh")
    g = Guest(h, "dev-virsh")
    g.reads("xvda", 0)
    g.reaches("eth0", 4)
    configs_agree(h)
    equal(d.virsh("dumpxml", "--inactive", "dev-virsh"), before)
    d.virsh("destroy", "dev-virsh")
    gone(h, g.domid)
    devices.nothing_left(h, g.domid)
    equal(d.virsh("dumpxml", "dev-virsh"), before)
    d.virsh("undefine", "dev-virsh")


if __name__ == "__main__":
    sys.exit(lab.main(__doc__, CASES, store="drover"))
