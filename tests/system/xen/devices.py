# SPDX-License-Identifier: MIT
"""A guest with devices, and a dom0 that serves them: block devices made of files, and a bridge.

    devices.prepare(h)                      # once for each host; more are harmless
    g = devices.create(h, "g", "pvh", "phy:/dev/loop0,xvda,r", "00:16:3e:00:00:01")
    g.ask("cat /proc/partitions")           # a line of sh in the guest; what it printed, as a line
    g.has("xvda eth0")                      # what drivers it has in hand, awaited
    g.reads("xvda", 0)                      # it is what prepare wrote to /dev/loop0
    g.reaches("eth0", 1)                    # has the address 10.8.0.1 there, and dom0 answers it
"""
import hashlib
import re

from lab import until

TIMEOUT = 240
BRIDGE, HERE_IP = "xenbr0", "10.8.0.254"
DISKS = 3
SIZE = 256 * 1024

# What data/cmd says is run once. Nothing is looked at now and then: dom0 needs the processor.
SCRIPT = """for m in /mods/*.ko; do insmod $m; done
xenstore-watch data/cmd | while read path; do
	cmd=$(xenstore-read data/cmd 2>/dev/null)
	[ "$cmd" != "$ran" ] || continue
	ran=$cmd
	said=$(eval "${cmd#* }" 2>&1)
	echo "ran:${cmd%% *} $?" $said
done
"""


def content(number):
    """What is on that disk."""
    seed = hashlib.sha256(b"disk %d" % number).digest()
    return b"".join(hashlib.sha256(seed + b"%d" % n).digest() for n in range(SIZE // 32))


def prepare(h):
    if h.run("test -e /sys/class/net/" + BRIDGE, check=False).status == 0:
        return
    h.run("for m in $(cat /lab/mods/more); do insmod /lab/mods/$m || exit; done;"
          "ip link add %s type bridge forward_delay 0 stp_state 0 &&"
          "ip addr add %s/24 dev %s && ip link set %s up" % (BRIDGE, HERE_IP, BRIDGE, BRIDGE))
    for n in range(DISKS):
        h.put("/root/disk%d" % n, content(n))
        h.run("losetup /dev/loop%d /root/disk%d" % (n, n))


def nothing_left(h, domid):
    """No backend of a domain, in the store or in the kernel."""
    for path in ("/local/domain/0/backend/vbd/%d", "/local/domain/0/backend/vif/%d"):
        until(lambda p=path: h.run(["xenstore-exists", p % domid], check=False).status,
              "%s goes" % path % domid)
    until(lambda: not h.run("ls /sys/class/net | grep -F vif%d." % domid, check=False).out,
          "the cards of %d go" % domid)


def create(h, name, kind, disk, nic):
    """By xl, with one device of each."""
    more = 'disk = ["%s"]\nvif = ["mac=%s,bridge=%s"]\n' % (disk, nic, BRIDGE)
    h.run("xl create -q " + h.guest_cfg(name, kind=kind, script=SCRIPT, more=more),
          timeout=TIMEOUT)
    return Guest(h, name)


class Guest:
    """A Linux guest that says what devices it has, and does what it is told."""

    def __init__(self, h, name):
        """Of one that was started by now."""
        self.h, self.name, self.serial = h, name, 0
        self.domid = h.domid(name)
        h.guest_line(name, "^guest: up", TIMEOUT)

    def ask(self, command, check=True):
        self.serial += 1
        self.h.run(["xenstore-write", "/local/domain/%d/data/cmd" % self.h.domid(self.name),
                    "%d %s" % (self.serial, command)])
        status, said = self.h.guest_line(
            self.name, r"ran:%d (\d+) ?(.*)" % self.serial, TIMEOUT).groups()
        assert not check or status == "0", "%s: %s: %s" % (self.name, command, said)
        return said

    def has(self, what):
        """Also where it was told before."""
        want = what.split()

        def same():
            said = self.ask("cd /sys/block; ls -d xvd*; cd /sys/class/net; ls -d eth*", False)
            return [w for w in said.split() if re.fullmatch(r"(xvd|eth)\w+", w)] == want

        until(same, "%s has %s" % (self.name, what), TIMEOUT)

    def state(self, kind, number):
        """Both ends' of a device, as (frontend, backend)."""
        front = "/local/domain/%d/device/%s/%d" % (self.domid, kind, number)
        back = self.h.run("xenstore-read %s/backend" % front).out.strip()
        return tuple(self.h.run("xenstore-read %s/state %s/state" % (front, back)).lines)

    def reads(self, disk, number):
        vdev = (202 << 8) + 16 * (ord(disk[-1]) - ord("a"))
        until(lambda: self.state("vbd", vdev) == ("4", "4"), "%s is connected" % disk, TIMEOUT)
        # the kernel makes the node just after it says so, and nothing in this guest hears of it
        self.ask("for i in $(seq 50); do [ -b /dev/%s ] && break; sleep 0.2; done" % disk)
        said = self.ask("echo 3 > /proc/sys/vm/drop_caches; sha256sum < /dev/%s" % disk)
        want = hashlib.sha256(content(number)).hexdigest()
        assert want in said, "%s reads %s of %s" % (self.name, said, disk)

    def reaches(self, nic, number, devid=None):
        devid = int(nic[3:]) if devid is None else devid
        until(lambda: self.state("vif", devid) == ("4", "4"), "%s is connected" % nic, TIMEOUT)
        self.ask("ip link set %s up; ip addr flush dev %s; ip addr add 10.8.0.%d/24 dev %s" %
                 (nic, nic, number, nic))
        until(lambda: " 0% packet loss" in self.ask("ping -c 1 -W 2 -I %s %s" % (nic, HERE_IP),
                                                    False), "dom0 answers " + nic, TIMEOUT)
