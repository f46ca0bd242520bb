#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`drover sim backend`: what it answers to a toolstack's writes, on any store. `drover sim create
--config`: the keys and the record that it gives a domain.

Usage: sim_backend_test.py [--kind drover|drover-xen|c] [--only CASE]...
"""
import contextlib
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from lib import equal, next_line  # noqa: E402

GUEST = 7


@contextlib.contextmanager
def backend(d, *argv, stdin=subprocess.DEVNULL):
    """Plays meanwhile; must end well when told to."""
    with lib.started([lib.DROVER, "sim", "backend", *argv], env=lib.environment(d),
                     stdin=stdin) as p:
        equal(next_line(p), "ready")
        yield p
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
        equal(p.wait(lib.TIMEOUT), 0)


class Device:
    """A device's two directories, written as a toolstack does: all at once."""

    def __init__(self, x, kind="vbd", devid=51712, back=0, **more):
        self.x, self.back = x, "/local/domain/%d/backend/%s/%d/%d" % (back, kind, GUEST, devid)
        self.front = "/local/domain/%d/device/%s/%d" % (GUEST, kind, devid)
        tx = x.begin()
        for path, value in ((self.front + "/backend", self.back), (self.front + "/state", "1"),
                            (self.back + "/frontend", self.front), (self.back + "/online", "1"),
                            *((self.back + "/" + k, v) for k, v in more.items()),
                            (self.back + "/state", "1")):
            x.write(path, value, tx=tx)
        x.commit(tx)

    def answers(self, p, *states):
        """The lines for this device, each "FROM -> TO"; then that is what the store says."""
        for line in states:
            equal(next_line(p), "%s: %s" % (self.back, line))
        last = states[-1].split()[-1]
        equal(lib.refusal(self.x.read, self.back + "/state"), "ENOENT") if last == "removed" \
            else equal(self.x.read(self.back + "/state").decode(), last)

    def close(self):
        tx = self.x.begin()
        self.x.write(self.back + "/online", "0", tx=tx)
        self.x.write(self.back + "/state", "5", tx=tx)
        self.x.commit(tx)

    def rm(self):
        self.x.rm(self.back)
        self.x.rm(self.front)


def a_device_is_taken_and_let_go(d):
    with d.connect() as x, backend(d, "0") as p:
        v = Device(x)
        v.answers(p, "1 -> 2")
        x.write(v.front + "/state", "4")
        v.answers(p, "2 -> 4")
        v.close()
        v.answers(p, "5 -> 6")
        v.rm()
        v = Device(x)   # the same again: nothing is left of the first
        v.answers(p, "1 -> 2")
        v.rm()


def what_was_there_before_it_began_is_answered(d):
    with d.connect() as x:
        one, two = Device(x), Device(x, "vif", 0)
        two.close()
        with backend(d, "0") as p:
            equal(sorted([next_line(p), next_line(p)]),
                  sorted([one.back + ": 1 -> 2", two.back + ": 5 -> 6"]))
        one.rm()
        two.rm()


def a_driver_domain_removes_its_directory(d):
    with d.connect() as x, backend(d, "9") as p:
        v = Device(x, back=9)
        v.answers(p, "1 -> 2")
        v.close()
        v.answers(p, "5 -> 6", "6 -> removed")
        # Closing while it goes on being online is no end.
        v = Device(x, back=9)
        v.answers(p, "1 -> 2")
        x.write(v.back + "/state", "5")
        v.answers(p, "5 -> 6")
        Device(x, "vif", back=9).answers(p, "1 -> 2")
        equal(x.read(v.back + "/state"), b"6")
        x.rm("/local/domain/9")
        x.rm(v.front)


def pci_is_configured_again_for_each_device(d):
    more = {"num_devs": "1", "dev-0": "0000:03:00.0", "state-0": "1"}
    with d.connect() as x, backend(d, "0") as p:
        v = Device(x, "pci", 0, **more)
        v.answers(p, "1 -> 2", "2 -> 4")
        equal(x.read(v.back + "/state-0"), b"3")
        tx = x.begin()
        for key, value in (("num_devs", "2"), ("dev-1", "0000:03:00.1"), ("state-1", "1"),
                           ("state-0", "5"), ("state", "7")):
            x.write(v.back + "/" + key, value, tx=tx)
        x.commit(tx)
        v.answers(p, "7 -> 8", "8 -> 4")
        equal([x.read(v.back + "/state-%d" % i) for i in (0, 1)], [b"6", b"3"])
        v.rm()


def only_what_it_was_asked_to_play(d):
    with d.connect() as x, backend(d, "0", "--of", str(GUEST), "--kinds", "vif,vkbd") as p:
        silent = Device(x)
        x.write("/local/domain/0/backend/vif/8/0/state", "1")
        v = Device(x, "vif", 0)
        v.answers(p, "1 -> 2")
        equal(x.read(silent.back + "/state"), b"1")
        equal(x.read("/local/domain/0/backend/vif/8/0/state"), b"1")
        x.rm("/local/domain/0/backend/vif/8")
        v.rm()
        silent.rm()


def frontends_follow(d):
    with d.connect() as x, backend(d, "0", "--frontends") as p:
        v = Device(x)
        v.answers(p, "1 -> 2", "2 -> 4")
        equal(x.read(v.front + "/state"), b"4")
        v.close()
        v.answers(p, "5 -> 6")
        equal(x.read(v.front + "/state"), b"6")
        v.rm()


def a_refusal_says_why(d):
    with d.connect() as x, backend(d, "0", "--refuse", "no such disk") as p:
        v = Device(x)
        v.answers(p, "1 -> 5", "5 -> 6")
        equal(x.read("/local/domain/0/error" + v.back[len("/local/domain/0"):] + "/error"),
              b"no such disk")
        v.rm()
        x.rm("/local/domain/0/error")


def a_late_answer_overrules_nobody(d):
    with d.connect() as x, backend(d, "0", "--delay", "200") as p:
        v = Device(x)
        v.close()
        v.answers(p, "5 -> 6")
        v.rm()
        v = Device(x)
        v.rm()
        Device(x, "vif", 0).answers(p, "1 -> 2")    # planned after the one that went
        equal(lib.refusal(x.read, v.back), "ENOENT")


def it_ends_with_its_pipe(d):
    r, w = os.pipe()
    with backend(d, "0", stdin=r) as p:
        os.close(r)
        os.close(w)
        equal(p.wait(lib.TIMEOUT), 0)


def bad_words_are_told(d):
    for argv in (("backend",), ("backend", "x"), ("backend", "0", "--of", "x"),
                 ("backend", "0", "--delay", "-1"), ("backend", "0", "--delay")):
        lib.run(d, lib.DROVER, "sim", *argv, status=2)
    r = lib.run(d, lib.DROVER, "sim", "--socket", d.dir + "/none", "backend", "0", status=1)
    assert "no daemon at" in r.err, r.err


CONFIG = {
    "c_info": {"type": "pv", "name": "made"},
    "b_info": {"max_vcpus": 2, "avail_vcpus": [0], "max_memkb": 2048, "target_memkb": 1024,
               "type.pv": {}},
    "disks": [{"pdev_path": "/dev/vg/x", "vdev": "xvda", "backend": "phy", "format": "raw"}],
    "nics": [{"bridge": "br0"}],
    "usbctrls": [{"type": "pv", "version": 2, "ports": 4}],
    "usbdevs": [{"type.hostdev": {"hostbus": 1, "hostaddr": 2}}],
    "pcidevs": [{"bus": 3}, {"bus": 3, "func": 1}]}


def create(d, userdata, config, domid=GUEST, **more):
    return lib.run(d, lib.DROVER, "sim", "--dir", d.dir, "create", str(domid), "--config", "-",
                   "--userdata", userdata, stdin=config, **more)


def a_domain_is_made_from_a_configuration(d):
    config = dict(CONFIG)
    del config["usbdevs"]   # of the host that this runs on
    with lib.scratch() as userdata, d.connect() as x:
        create(d, userdata, json.dumps(config))
        uuid = x.read("/local/domain/7/vm").decode()[len("/vm/"):]
        for path, value in (("/local/domain/7/name", "made"), ("/local/domain/7/domid", "7"),
                            ("/local/domain/7/memory/target", "1024"),
                            ("/local/domain/7/memory/static-max", "2048"),
                            ("/local/domain/7/cpu/0/availability", "online"),
                            ("/local/domain/7/cpu/1/availability", "offline"),
                            ("/vm/%s/uuid" % uuid, uuid), ("/libxl/7/type", "pv"),
                            ("/libxl/7/device/vbd/51712/params", "/dev/vg/x"),
                            ("/local/domain/0/backend/vif/7/0/bridge", "br0"),
                            ("/local/domain/0/backend/pci/7/0/num_devs", "2"),
                            ("/local/domain/0/backend/pci/7/0/dev-1", "0000:03:00.1"),
                            ("/local/domain/0/backend/pci/7/0/state", "1"),
                            ("/local/domain/0/backend/vusb/7/0/num-ports", "4")):
            equal(x.read(path).decode(), value)
        for path, perms in (("/local/domain/7", ["n0", "r7"]), ("/libxl/7", ["n0"]),
                            ("/local/domain/7/data", ["n7"]),
                            ("/local/domain/7/control/shutdown", ["n7"]),
                            ("/local/domain/7/device/vbd/51712", ["n7", "r0"])):
            equal(x.perms(path), perms)
        record = "%s/userdata-d.7.%s.libxl-json" % (userdata, uuid)
        with open(record, encoding="utf-8") as f:
            text = f.read()
        equal(text[-1], "\0")
        said = json.loads(text[:-1])
        equal((said["c_info"]["uuid"], said["nics"][0]["devid"]), (uuid, 0))
        assert said["nics"][0]["mac"].startswith("00:16:3e:"), said
        equal(os.listdir(userdata), [os.path.basename(record)])


def what_is_no_configuration_makes_no_domain(d):
    with lib.scratch() as userdata, d.connect() as x:
        for bad, why in (("{", "line 1"), ("[]", ""), (json.dumps(dict(CONFIG, c_info={
                "type": "pv"})), "c_info.name"), (json.dumps(dict(CONFIG, disks=[{
                    "vdev": "nonsense", "backend": "phy", "format": "raw"}])), "disks[0]")):
            r = create(d, userdata, bad, domid=8, status=1)
            assert why in r.err and r.err.count("\n") == 1, r.err
            equal(os.listdir(userdata), [])
            equal(lib.refusal(x.read, "/local/domain/8/name"), "ENOENT")
            equal(lib.refusal(x.read, "/libxl/8"), "ENOENT")
        r = lib.run(d, lib.DROVER, "sim", "--dir", d.dir, "create", "8", "--config",
                    userdata + "/none", status=1)
        assert "No such file" in r.err, r.err


CASES = [a_device_is_taken_and_let_go, what_was_there_before_it_began_is_answered,
         a_driver_domain_removes_its_directory, pci_is_configured_again_for_each_device,
         only_what_it_was_asked_to_play, frontends_follow, a_refusal_says_why,
         a_late_answer_overrules_nobody, it_ends_with_its_pipe, bad_words_are_told,
         a_domain_is_made_from_a_configuration, what_is_no_configuration_makes_no_domain]

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
