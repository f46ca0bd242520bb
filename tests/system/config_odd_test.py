#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Values that nobody should have written, devices in each other's way, and a backend that does
not hold still.

Usage: config_odd_test.py [--kind drover|c] [--only CASE]...
"""
import contextlib
import copy
import ctypes
import errno
import json
import os
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import config_lib  # noqa: E402
import lib  # noqa: E402
import peers  # noqa: E402  pylint: disable=wrong-import-order
import xl  # noqa: E402
from config_lib import B, RECORD, UUID, ended, vdevs  # noqa: E402
from lib import equal  # noqa: E402
from xsclient import XS_WRITE  # noqa: E402

BACK9 = "/local/domain/9/backend/vbd/7/51728"
NO_TEXT = b"\xff\xfe"
CASES = []


def case(function):
    def run():
        with lib.daemon() as d, config_lib.Host(d) as w:
            function(w.furnish())
    run.__name__ = function.__name__
    CASES.append(run)
    return function


def with_xvdb():
    tree = copy.deepcopy(RECORD)
    tree["disks"].append(xl.disk("xvdb", "/dev/vg0/b"))
    return tree


def given_up(w, op, class_name, which, **entries):
    """An intent of somebody who lives no more."""
    with open(w.file(7, "drover-intent"), "w") as f:
        json.dump([dict({"op": op, "class": class_name, "id": which, "pid": 0, "start": 0,
                         "pid_ns": 0, "boot": "", "time": 0}, **entries)], f)


# ---- in each other's way ----

@case
def what_an_update_left_half_done_is_not_lost_to_an_attach(w):
    old, = RECORD["disks"]
    new = dict(old, pdev_path="/dev/vg0/new")
    w.set_record(7, dict(RECORD, disks=[new]))
    given_up(w, "update", "vbd", "xvda", old=old, new=new)
    equal(w.items()["vbd xvda"], "changed")
    r = w.drover("config", "attach", "--no-scripts", "7", "vbd", "phy:/dev/vg0/c,xvda,w",
                 status=3)
    assert "is there" in r.err, r.err
    equal(w.settled(), RECORD)
    w.no_files_left()


@case
def a_failed_attach_leaves_the_entry_that_it_was_to_replace(w):
    w.set_record(7, with_xvdb())
    before = w.everything()
    w.drover("config", "attach", "--backend-timeout", "100", "7", "vbd", B, status=3)
    w.unchanged(before)
    equal(w.items()["vbd xvdb"], "missing")
    w.drover("config", "attach", "7", "vbd", "phy:/dev/vg0/none,xvdb,w,script=/none", status=3)
    w.unchanged(before)
    with xl.Backend(w, 9):
        w.drover("config", "attach", "7", "vbd", B)
    equal([d["pdev_path"] for d in w.settled()["disks"]], ["/dev/vg0/pv1-root", "/dev/vg0/b"])


@case
def a_controller_that_goes_takes_its_devices_along_in_one_repair(w):
    w.put(xl.device_nodes(7, "vusb", 0, 0, {
        "type": "none", "usb-ver": "2", "num-ports": "2", "port": "", "port/1": "1-1",
        "port/2": ""}))
    equal(w.items()["usbctrl 0"], "damaged")
    w.repair()
    equal(w.settled(), RECORD)
    w.drover("config", "repair", "-n", "7")


PCI = "/local/domain/0/backend/pci/7/0"


def two_pci(w):
    addresses = "0000:03:00.0", "0000:04:01.2"
    keys = {"num_devs": "2", "domain": "pv1"}
    for i, address in enumerate(addresses):
        keys.update({"key-%d" % i: address, "dev-%d" % i: address, "state-%d" % i: "3",
                     "opts-%d" % i: "msitranslate=0,power_mgmt=0,permissive=0"})
    w.put([n for n in xl.device_nodes(7, "pci", 0, 0, keys) if not n[0].startswith("/libxl")])
    w.set_record(7, dict(RECORD, pcidevs=[{"func": 0, "dev": 0, "bus": 3},
                                          {"func": 2, "dev": 1, "bus": 4}]))
    equal(len(w.settled()["pcidevs"]), 2)


@case
def a_pci_device_behind_the_number_of_devices_is_not_there(w):
    two_pci(w)
    w.x.write(PCI + "/num_devs", "1")
    equal(w.items()["pci 0000:04:01.2"], "missing")
    w.repair()
    equal([p["bus"] for p in w.settled()["pcidevs"]], [3])


@case
def a_damaged_pci_device_is_not_said_to_be_detached(w):
    two_pci(w)
    w.x.write(PCI + "/dev-1", "junk")
    equal(w.items()["pci 0000:04:01.2"], "damaged")
    w.refused("detach", "7", "pci", "0000:04:01.2", says="repair settles that")
    w.repair()
    equal(len(w.settled()["pcidevs"]), 2)
    w.drover("config", "detach", "--backend-timeout", "200", "--force", "7", "pci",
             "0000:04:01.2")
    equal([p["bus"] for p in w.settled()["pcidevs"]], [3])


@case
def a_channel_without_its_name_is_damaged(w):
    channel = {"devid": 1, "name": "c", "connection.pty": {}}
    keys = {"name": "c", "connection": "pty", "protocol": "vt100"}
    w.put(xl.device_nodes(7, "console", 1, 0, keys,
                          {"limit": "1048576", "type": "ioemu", "output": "pty"}))
    w.set_record(7, dict(RECORD, channels=[channel]))
    equal(w.settled()["channels"], [channel])
    for top in "/libxl/7/device/console/1/", "/local/domain/0/backend/console/7/1/":
        for key in "name", "connection":
            w.rm(top + key)
    equal(w.items()["channel 1"], "damaged")
    w.repair()
    equal(w.settled()["channels"], [channel])
    equal(w.x.read("/libxl/7/device/console/1/connection"), b"pty")


@case
def an_update_does_not_reach_another_device(w):
    w.add_disk(7, "xvdb", "/dev/vg0/b")
    w.set_record(7, with_xvdb())
    for words in (("vbd", "xvda", "vdev=xvdb"), ("vbd", "xvda", "vdev="), ("vif", "0", "devid=1")):
        w.refused("update", "7", *words, status=2, says="it would not be %s %s" % words[:2])


@case
def a_file_that_is_not_there_is_told_as_that(w):
    w.refused("canon", "/none/such", says="No such file")


# ---- the library itself ----

class Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("store", ctypes.c_char_p),
                ("userdata", ctypes.c_char_p), ("timeouts_ms", ctypes.c_uint32 * 4),
                ("no_scripts", ctypes.c_bool), ("host", ctypes.c_void_p)]


@contextlib.contextmanager
def session(w, lock_timeout_ms=500):
    """(the library, a session)"""
    library = ctypes.CDLL(lib.need(peers.build_dir() + "/src/config/libdrover-config.so"))
    library.drover_config_error.restype = ctypes.c_char_p
    options = Options(ctypes.sizeof(Options), w.socket.encode(), w.userdata.encode())
    options.timeouts_ms[0] = lock_timeout_ms
    c = ctypes.c_void_p()
    equal(library.drover_config_open(ctypes.byref(options), ctypes.byref(c)), 0)
    yield library, c
    library.drover_config_close(c)


@case
def a_domain_that_is_named_twice_is_answered_twice(w):
    answers = []
    each = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int,
                            ctypes.c_void_p)
    with session(w) as (library, c):
        def take(_, domid, err, config):
            answers.append((domid, err))
            library.drover_domain_config_free(ctypes.c_void_p(config))
            return 0
        domids = (ctypes.c_uint32 * 4)(7, 9, 7, 7)
        equal(library.drover_config_retrieve_many(c, domids, ctypes.c_size_t(4), 0, 0,
                                                  each(take), None), 0)
    equal(answers, [(7, 0), (9, -errno.ENODATA), (7, 0), (7, 0)])


@case
def a_wait_that_could_not_begin_leaves_nothing_open(w):
    domid = ctypes.c_uint32()
    with session(w) as (library, c):
        os.rename(w.socket, w.socket + ".away")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            equal(library.drover_config_wait(c, 0, ctypes.byref(domid)), -errno.ECONNREFUSED)
        equal(len(os.listdir("/proc/self/fd")), before)
        os.rename(w.socket + ".away", w.socket)
        equal(library.drover_config_wait(c, 0, ctypes.byref(domid)), -errno.EAGAIN)


@case
def no_session_has_an_error_too(w):
    with session(w) as (library, _):
        equal(library.drover_config_error(None), b"out of memory")


# ---- no text ----

@case
def a_name_that_is_no_text_is_told(w):
    w.x.write("/local/domain/7/name", NO_TEXT)
    live = w.ours()
    equal(live["c_info"]["name"], "pv1")
    item = w.report()["domain c_info.name"]
    equal(item["verdict"], "damaged")
    assert "UTF-8" in item["reason"], item
    equal(json.loads(w.drover("config", "list", "-l", "--json", "7").out)[0]["config"], live)
    w.drover("config", "repair", "7")
    equal(w.record(7), RECORD)


@case
def a_device_s_value_that_is_no_text_is_told_and_put_right(w):
    for path, key in (("/libxl/7/device/vif/0/bridge", "bridge"),
                      ("/libxl/7/device/vbd/51712/params", "params")):
        w.x.write(path, NO_TEXT)
        equal(w.ours(), RECORD)
        item, = [i for i in w.report().values() if i["verdict"] == "damaged"]
        assert item["reason"].startswith(key + ":"), item
        w.repair()
        equal(w.settled(), RECORD)


# ---- a backend that does not hold still ----

class Restless(threading.Thread):
    """Writes below a directory without end, as soon as that is there."""

    def __init__(self, w, path, value=b"1"):
        super().__init__()
        self.x, self.path, self.value, self.through = w.d.connect(), path, value, False

    def __enter__(self):
        self.start()

    def __exit__(self, *exc):
        self.through = True
        self.join()
        self.x.close()

    def run(self):
        write = self.path.encode() + b"\0" + self.value
        while not self.through:
            if lib.refusal(self.x.read, self.path):
                continue
            for _ in range(256):    # many on their way at once
                self.x.send(XS_WRITE, write)
            for _ in range(256):
                self.x.recv_reply()


@case
def who_keeps_writing_does_not_keep_us_waiting(w):
    before = w.everything()
    w.set_record(7, dict(RECORD, nics=RECORD["nics"] + [xl.nic(1, "00:16:3e:00:00:01", "br1")]))
    w.add_disk(7, "xvdb", "/dev/vg0/b", 9, state="1")
    with Restless(w, BACK9 + "/state"):
        with w.running("repair", "--backend-timeout", "300", "7") as p:
            status, out, err = ended(p, timeout=30)
    # A store may refuse every transaction that has touched its directory, to read it even.
    equal(len(err.splitlines()), int(status == 3))
    if not status or "vbd xvdb" in err:
        assert "vif 1: missing" in out, out
    else:
        assert "kept changing while it was read" in err, err
    w.drover("config", "repair", "--backend-timeout", "100", "7")
    w.rm("/local/domain/9/backend")
    equal(w.settled(), RECORD)
    w.unchanged(before)


@case
def a_state_that_is_no_text_does_not_keep_a_device(w):
    with xl.Backend(w, 9):
        w.drover("config", "attach", "7", "vbd", B)
    w.x.write(BACK9 + "/state", b"4\0")
    entry, = [d for d in w.record(7)["disks"] if d["vdev"] == "xvdb"]
    given_up(w, "detach", "vbd", "xvdb", old=entry)
    equal(w.items()["vbd xvdb"], "detaching")
    w.drover("config", "repair", "--backend-timeout", "100", "7")
    equal(vdevs(w.settled()), ["xvda"])
    assert UUID in w.file(7), w.file(7)


if __name__ == "__main__":
    lib.main(__doc__, CASES)
