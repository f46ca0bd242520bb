# SPDX-License-Identifier: MIT
"""drover-pulse in a host of the lab: see guest/README.md for what it does and says.

    one = pulse.create(h, "one", "aware=1")     # runs, and its heart beats
    one.ask("read name")                        # "one"
    one.fields("rtt 100")["median_ns"]
    one.read("gap"); one.write("x", "1")        # its data/, from dom0
"""
import os

import image
import lib
from lab import equal

PROGRAM = "/tests/system/xen/guest/drover-pulse"
TIMEOUT = 60


def program():
    path = lib.peers.build_dir() + PROGRAM
    if not os.access(path, os.R_OK):
        raise lib.Skip("%s is not built" % path)
    return image.read(path)


def config(h, name, words="", more=""):
    """The path, in dom0, of what xl creates it from."""
    if not getattr(h, "has_pulse", False):
        h.put("/root/drover-pulse", program())
        h.has_pulse = True
    path = "/root/%s.cfg" % name
    h.put(path, 'name = "%s"\ntype = "pvh"\nkernel = "/root/drover-pulse"\ncmdline = "%s"\n'
          'memory = 4\nvcpus = 1\non_crash = "preserve"\non_reboot = "destroy"\n%s' %
          (name, words, more))
    return path


def create(h, name, words="", more=""):
    h.run("xl create -q " + config(h, name, words, more))
    one = Pulse(h, name)
    one.console().line(r"^life ", TIMEOUT)
    return one


class Pulse:
    def __init__(self, h, name):
        self.host, self.name, self.serial = h, name, 0
        self.domid = h.domid(name)

    def console(self):
        return self.host.console(self.name)

    def path(self, node):
        return "/local/domain/%d/data/%s" % (self.domid, node)

    def read(self, node):
        return self.host.run(["xenstore-read", self.path(node)]).out.rstrip("\n")

    def write(self, node, value):
        self.host.run(["xenstore-write", self.path(node), value])

    def start(self, command):
        """Tells it to do that; what it answers is awaited with finish(serial)."""
        self.serial += 1
        self.write("cmd", "%d %s" % (self.serial, command))
        return self.serial

    def finish(self, serial, timeout=TIMEOUT):
        return self.console().line(r"^%d (.*)" % serial, timeout).group(1)

    def ask(self, command, timeout=TIMEOUT):
        """What it answers behind ok; an error is one here, too."""
        said = self.finish(self.start(command), timeout).split(" ", 1)
        equal((command, said[0]), (command, "ok"))
        return said[1] if len(said) > 1 else ""

    def fields(self, command, timeout=TIMEOUT):
        said = self.ask(command, timeout)
        return {name: int(value) for name, value in
                (word.split("=") for word in said.split() if "=" in word)}

    def gap_ms(self, reset=False):
        """The longest time between two heartbeats, since it was told to begin anew."""
        return self.fields("gap reset" if reset else "gap")["ns"] / 1e6
