#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Changes of devices beside a backend of our own domain: hotplug scripts, media, devices that
share a directory, what others left half done or damaged, and records.

Usage: config_change_test.py [--kind drover|c] [--only CASE]...
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import config_lib  # noqa: E402
import lib  # noqa: E402
import xl  # noqa: E402
from config_lib import B, RECORD, UUID, ended, vdevs, without  # noqa: E402
from lib import equal  # noqa: E402

LIBXL = "/libxl/7/device/vbd/51728"
BACK0 = "/local/domain/0/backend/vbd/7/51728"
BACK9 = "/local/domain/9/backend/vbd/7/51728"
CASES = []


def case(function):
    def run():
        with lib.daemon() as d, config_lib.Host(d) as w:
            function(w.furnish())
    run.__name__ = function.__name__
    CASES.append(run)
    return function


def script(w, name, body):
    path = w.dir + "/" + name
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + body + "\n")
    os.chmod(path, 0o755)
    return path


def said_to(path):
    """{"add": {variables}}, in the order of the runs."""
    runs = {}
    for part in open(path).read().split("=== ")[1:]:
        words, *lines = part.splitlines()
        runs[words] = dict(line.split("=", 1) for line in lines if "=" in line)
    return runs


def own_disk(path, *more):
    return ("7", "vbd", "vdev=xvdb", "pdev_path=/dev/vg0/b", "format=raw", "readwrite=1",
            "backend=phy", "script=" + path, *more)


def actions(w, *more):
    """What repair did: {"vbd xvdb": (verdict, action, entry)}. A dry run says the same before."""
    return {a["class"] + " " + a["id"]: (a["found"], a["action"], a["entry"])
            for a in w.repair("--json", *more).json()}


# ---- scripts ----

@case
def a_script_is_run_as_libxl_runs_it(w):
    out = w.dir + "/said"
    path = script(w, "block", '{ echo "=== $*"; env; } >> %s; cat' % out)
    with xl.Backend(w, 0):
        w.drover("config", "attach", *own_disk(path))
        equal(w.x.read(BACK0 + "/script"), path.encode())
        w.drover("config", "detach", "7", "vbd", "xvdb")
    runs = said_to(out)
    equal(list(runs), ["add", "remove"])
    for env in runs.values():
        equal({k: env.get(k) for k in ("script", "XENBUS_TYPE", "XENBUS_PATH",
                                       "XENBUS_BASE_PATH", "vif")},
              {"script": path, "XENBUS_TYPE": "vbd", "XENBUS_PATH": "backend/vbd/7/51728",
               "XENBUS_BASE_PATH": "backend", "vif": None})
    equal(w.settled(), RECORD)


@case
def a_nic_s_script_is_told_its_interface(w):
    out = w.dir + "/said"
    path = script(w, "vif", '{ echo "=== $*"; env; } >> %s' % out)
    with xl.Backend(w, 0):
        w.drover("config", "attach", "7", "vif", "mac=00:16:3e:00:00:01", "bridge=br1",
                 "gatewaydev=eth7", "script=" + path)
        w.drover("config", "detach", "7", "vif", "1")
    runs = said_to(out)
    equal(list(runs), ["online type_if=vif", "offline type_if=vif"])
    for env in runs.values():
        equal({k: env.get(k) for k in ("vif", "netdev", "XENBUS_PATH", "INTERFACE")},
              {"vif": "vif7.1", "netdev": "eth7", "XENBUS_PATH": "backend/vif/7/1",
               "INTERFACE": None})


@case
def a_script_that_fails_undoes_the_attach(w):
    path = script(w, "block", "echo trying; echo no such volume >&2; exit 1")
    before = w.everything()
    with xl.Backend(w, 0):
        r = w.drover("config", "attach", *own_disk(path), status=3)
        assert "no such volume" in r.err and path in r.err and "exit status 1" in r.err, r
        assert len(r.err.splitlines()) == 1, r
        w.unchanged(before)
        w.no_files_left()
        equal(w.settled(), RECORD)
        w.drover("config", "attach", "--no-scripts", *own_disk(path))
    equal(vdevs(w.settled()), ["xvda", "xvdb"])


@case
def a_script_that_fails_on_removal_is_told_and_the_device_goes(w):
    path = script(w, "block", '[ "$1" = add ] || { echo still mounted >&2; exit 1; }')
    with xl.Backend(w, 0):
        w.drover("config", "attach", *own_disk(path))
        r = w.drover("config", "detach", "7", "vbd", "xvdb", status=3)
    assert "still mounted" in r.err and "detached, but" in r.err, r
    w.no_files_left()
    equal(w.settled(), RECORD)


@case
def a_script_that_is_not_there_is_told_before_anything_is_written(w):
    with xl.Backend(w, 0):
        w.refused("attach", *own_disk(w.dir + "/nowhere"), says=(w.dir + "/nowhere",))


@case
def a_driver_domain_runs_its_own_scripts(w):
    path = w.dir + "/nowhere"
    with xl.Backend(w, 9):
        w.drover("config", "attach", *own_disk(path, "backend_domname=drv"))
        equal(w.x.read(BACK9 + "/script"), path.encode())
        w.drover("config", "detach", "7", "vbd", "xvdb")
    equal(w.settled(), RECORD)


# ---- beside xl ----

# What xl calls it, its words; our class, our words; the device's id.
BESIDE_XL = (
    ("block", [B], "vbd", [B], "xvdb"),
    ("network", ["mac=00:16:3e:00:00:07", "bridge=br1", "backend=drv"],
     "vif", ["mac=00:16:3e:00:00:07", "bridge=br1", "backend=drv"], "1"),
    ("vtpm", ["backend=drv", "uuid=12345678-1234-4234-8234-123456789abc"],
     "vtpm", ["backend_domname=drv", "uuid=12345678-1234-4234-8234-123456789abc"], "0"),
    ("vkb", ["backend=drv", "backend-type=linux", "unique-id=kb1", "width=1024", "height=768"],
     "vkb", ["backend_domname=drv", "backend_type=linux", "unique_id=kb1", "width=1024",
             "height=768"], "0"),
    ("vdispl", ["backend=drv", "be-alloc=1", "connectors=id0:1920x1080"],
     "vdispl", ["backend_domname=drv", "be_alloc=1", "connectors.0.unique_id=id0",
                "connectors.0.width=1920", "connectors.0.height=1080"], "0"),
    ("usbctrl", ["type=pv", "version=2", "ports=2"],
     "usbctrl", ["type=pv", "version=2", "ports=2"], "0"),
)


def settled_dump(w):
    """Without the backends' states: xl does not wait for all of them."""
    return {p: v for p, v in w.dump().items() if not p.endswith("/state") or "/backend/" not in p}


@case
def keys_and_record_are_those_that_xl_writes(w):
    with xl.Backend(w, 9), xl.Backend(w, 0):
        for verb, words, name, ours, of in BESIDE_XL:
            w.xl(verb + "-attach", "7", *words)
            theirs = settled_dump(w), w.record(7)
            w.xl(verb + "-detach", "7", of)
            gone = settled_dump(w)
            w.drover("config", "repair", "7")
            w.drover("config", "attach", "--no-scripts", "7", name, *ours)
            equal((verb, settled_dump(w)), (verb, theirs[0]))
            if verb != "vkb":   # which xl forgets to write down
                equal(w.record(7), theirs[1])
            w.drover("config", "detach", "7", name, of)
            equal((verb, settled_dump(w)), (verb, gone))
            equal(w.settled(), RECORD)


# ---- media ----

CD = xl.disk("xvdc", "/dev/vg0/cd1", removable=1, is_cdrom=1)
CD.pop("readwrite")


def with_cd(w):
    with xl.Backend(w, 9):
        w.drover("config", "attach", "7", "vbd", "vdev=xvdc", "pdev_path=/dev/vg0/cd1",
                 "format=raw", "backend=phy", "removable=1", "is_cdrom=1", "backend_domname=drv")
    return "/local/domain/9/backend/vbd/7/51744"


@case
def a_medium_is_taken_out_and_another_put_in(w):
    back = with_cd(w)
    first = w.settled()
    words = ("7", "vbd", "vdev=xvdc", "backend=phy", "removable=1", "is_cdrom=1",
             "backend_domname=drv")
    w.drover("config", "update", *words, "format=empty", "pdev_path=")
    equal(w.x.read(back + "/params"), b"")
    equal(w.x.read("/libxl/7/device/vbd/51744/params"), b"")
    equal(w.items()["vbd xvdc"], "ejected")
    equal(w.ours(), w.ours("--persistent"))
    w.drover("config", "update", *words, "format=raw", "pdev_path=/dev/vg0/cd2")
    equal(w.x.read(back + "/params"), b"/dev/vg0/cd2")
    equal(w.x.read("/libxl/7/device/vbd/51744/params"), b"/dev/vg0/cd2")
    equal(w.settled()["disks"][1]["pdev_path"], "/dev/vg0/cd2")
    w.drover("config", "update", *words, "format=raw", "pdev_path=/dev/vg0/cd1")
    equal(w.settled(), first)
    w.no_files_left()


@case
def what_only_a_new_device_can_have_is_refused_by_name(w):
    w.refused("update", "7", "vif", "devid=0", "mac=00:16:3e:99:99:99", "bridge=xenbr0",
              "nictype=vif", status=2, says="mac")
    w.refused("update", "7", "vbd", "vdev=xvdq", "pdev_path=/dev/vg0/q", "format=raw",
              says="xvdq")


# ---- directories that are shared ----

PCI = "/local/domain/0/backend/pci/7/0"


@case
def pci_devices_share_a_directory_that_goes_with_the_last(w):
    with PciBack(w):
        for dev, n in (("3", b"1"), ("4", b"2"), ("5", b"3")):
            w.drover("config", "attach", "7", "pci", "domain=0", "bus=3", "dev=" + dev, "func=0")
            equal(w.x.read(PCI + "/num_devs"), n)
        equal([d["dev"] for d in w.settled()["pcidevs"]], [3, 4, 5])
        w.drover("config", "detach", "7", "pci", "0000:03:04.0")
        equal(w.x.read(PCI + "/num_devs"), b"2")
        equal([w.x.read(PCI + "/dev-%d" % i) for i in range(2)],
              [b"0000:03:03.0", b"0000:03:05.0"])
        equal([d["dev"] for d in w.settled()["pcidevs"]], [3, 5])
        w.drover("config", "detach", "7", "pci", "0000:03:05.0")
        w.drover("config", "detach", "7", "pci", "0000:03:03.0")
    equal(w.settled(), RECORD)
    w.no_files_left()
    equal(w.dump(PCI), {})
    equal({p for p in w.dump() if "/pci/7" in p}, set())
    # Where libxl notes who has a device; like libxl, empty directories stay.
    equal({p for p in w.dump("/libxl/pci") if p.endswith("/domid")}, set())


class PciBack(xl.Backend):
    """pciback, as far as states go: reconfigured (7) is 8, and 4 when the guest has seen it."""

    def __init__(self, w):
        super().__init__(w, 0, xl.Policy(on=("1", "5", "7")))

    def answer_in(self, tx, path, state):
        if state == "7":
            self.x.write(path, "8", tx)
            return True
        if state == "1":
            self.x.write(path, "2", tx)
            return True
        return False


def with_usb(w, *devices):
    """The host has these on its bus 1, as sysfs tells of them."""
    for address in devices:
        path = w.dir + "/sys/bus/usb/devices/1-%d" % address
        os.makedirs(path)
        for name, value in (("busnum", 1), ("devnum", address), ("bDeviceClass", 0)):
            with open(path + "/" + name, "w") as f:
                print(value, file=f)
    os.environ["DROVER_SYSFS"] = w.dir + "/sys"


@case
def a_usb_controller_goes_with_the_devices_on_it(w):
    with_usb(w, 1, 2)
    with xl.Backend(w, 0):
        w.drover("config", "attach", "7", "usbctrl", "type=pv", "version=2", "ports=4")
        one = w.settled()
        for port in ("1", "2"):
            w.drover("config", "attach", "7", "usbdev", "ctrl=0", "port=" + port,
                     "type.hostdev.hostbus=1", "type.hostdev.hostaddr=" + port)
        equal([d["port"] for d in w.settled()["usbdevs"]], [1, 2])
        w.drover("config", "detach", "7", "usbdev", next(
            i["id"] for i in w.report().values() if i["class"] == "usbdev"))
        equal([d["port"] for d in w.settled()["usbdevs"]], [2])
        equal(without(w.settled(), usbdevs=None), one)
        w.drover("config", "detach", "7", "usbctrl", "0")
    equal(w.settled(), RECORD)


# ---- what others left ----

@case
def what_a_driver_left_behind_does_not_block(w):
    w.x.write(BACK9 + "/state", "6")
    w.x.write("/local/domain/7/device/vbd/51728/state", "6")
    with xl.Backend(w, 9):
        w.drover("config", "attach", "7", "vbd", B)
    equal(vdevs(w.settled()), ["xvda", "xvdb"])


@case
def another_s_device_in_the_backend_is_left_alone(w):
    w.x.write(BACK9 + "/frontend", "/local/domain/7/device/vbd/51728")
    w.x.write(BACK9 + "/state", "4")
    w.refused("attach", "7", "vbd", B, says=BACK9)


@case
def one_of_two_attaches_of_a_device_wins(w):
    with xl.Backend(w, 9, xl.SILENT) as b:
        with w.running("attach", "--backend-timeout", "20000", "7", "vbd", B) as p:
            w.await_node(BACK9 + "/state", "1")
            r = w.drover("config", "attach", "7", "vbd", B, status=3)
            assert "process %d" % p.pid in r.err, r
            r = w.drover("config", "detach", "7", "vbd", "xvdb", status=3)
            assert "process %d" % p.pid in r.err, r
            equal(w.items()["vbd xvdb"], "adding")
            assert "nothing" in w.drover("config", "repair", "7").out
            b.policy = xl.GOOD
            w.x.write(BACK9 + "/state", "1")
            ended(p, 0)
    equal(vdevs(w.settled()), ["xvda", "xvdb"])


@case
def a_device_that_xl_detached_can_be_attached_again(w):
    with xl.Backend(w, 9):
        w.drover("config", "attach", "7", "vbd", B)
        w.xl("block-detach", "7", "xvdb")
        equal(w.items()["vbd xvdb"], "missing")
        w.drover("config", "attach", "7", "vbd", B)
    equal(vdevs(w.settled()), ["xvda", "xvdb"])


# ---- repair ----

@case
def what_the_store_has_not_leaves_the_record_and_is_told(w):
    tree = without(RECORD, disks=RECORD["disks"] + [xl.disk("xvdb", "/dev/vg0/b")])
    w.set_record(7, tree)
    found, action, entry = actions(w)["vbd xvdb"]
    equal((found, entry), ("missing", xl.disk("xvdb", "/dev/vg0/b")))
    assert "record" in action, action
    equal(w.settled(), RECORD)


@case
def what_only_the_store_has_enters_the_record(w):
    w.add_disk(7, "xvdb", "/dev/vg0/b", 9)
    equal(actions(w)["vbd xvdb"][0], "store-only")
    equal(vdevs(w.settled()), ["xvda", "xvdb"])


@case
def other_values_of_the_store_enter_the_record(w):
    w.x.write("/local/domain/7/name", "renamed")
    w.x.write("/local/domain/7/memory/target", "524288")
    w.x.write("/local/domain/0/backend/vif/7/0/bridge", "br9")
    w.x.write("/libxl/7/device/vif/0/bridge", "br9")
    found = actions(w)
    assert "domain values" in found, found
    tree = w.settled()
    equal((tree["c_info"]["name"], tree["b_info"]["target_memkb"]), ("renamed", 524288))
    equal(w.record(7), tree)


@case
def one_that_its_backend_never_took_is_removed(w):
    w.set_record(7, without(RECORD, disks=RECORD["disks"] + [xl.disk("xvdb", "/dev/vg0/b")]))
    w.add_disk(7, "xvdb", "/dev/vg0/b", 9, state="1")
    equal(w.items()["vbd xvdb"], "half-added")
    equal(actions(w)["vbd xvdb"][0], "half-added")
    equal(w.settled(), RECORD)
    equal((w.dump(LIBXL), w.dump(BACK9)), ({}, {}))


@case
def one_that_its_backend_takes_meanwhile_is_kept(w):
    w.set_record(7, without(RECORD, disks=RECORD["disks"] + [
        xl.disk("xvdb", "/dev/vg0/b", backend_domname="drv")]))
    w.add_disk(7, "xvdb", "/dev/vg0/b", 9, state="1")
    with w.running("repair", "--backend-timeout", "20000", "7") as p:
        lib.until(lambda: p.poll() is not None or w.x.read(BACK9 + "/state") != b"1" or
                  w.x.write(BACK9 + "/state", "2") or True, "the backend")
        ended(p, 0)
    equal(vdevs(w.settled()), ["xvda", "xvdb"])


@case
def one_that_was_asked_to_go_goes(w):
    w.add_disk(7, "xvdb", "/dev/vg0/b", 9, state="5", keys={"online": "0"})
    w.x.write(BACK9 + "/online", "0")
    equal(actions(w)["vbd xvdb"][0], "detaching")
    equal(w.settled(), RECORD)
    equal((w.dump(LIBXL), w.dump(BACK9)), ({}, {}))


@case
def missing_keys_are_restored(w):
    back = "/local/domain/0/backend/vbd/7/51712"
    lib_dir = "/libxl/7/device/vbd/51712"
    whole = w.dump(lib_dir), w.dump(back)
    restored = 0
    for base in (lib_dir, back):
        for path in sorted(w.dump(base)):
            key = path[len(base) + 1:]
            if not key or key in ("state", "online", "backend"):
                continue
            w.x.rm(path)
            if w.items()["vbd xvda"] == "damaged":
                equal(actions(w)["vbd xvda"][0], "damaged")
                equal((w.dump(lib_dir), w.dump(back)), whole)
                restored += 1
            else:
                w.put([(path, whole[base == back][path][0].decode(),
                        whole[base == back][path][1])])
            equal(w.settled(), RECORD)
    assert restored >= 4, restored


@case
def keys_that_make_no_sense_are_set_to_the_record_s(w):
    w.x.write("/libxl/7/device/vbd/51712/type", "nonsense")
    w.x.write("/local/domain/0/backend/vbd/7/51712/mode", "?")
    if w.items()["vbd xvda"] == "damaged":
        equal(actions(w)["vbd xvda"][0], "damaged")
    equal(w.settled(), RECORD)


def with_pci(w, *devs):
    with PciBack(w):
        for dev in devs:
            w.drover("config", "attach", "7", "pci", "domain=0", "bus=3", "dev=%d" % dev, "func=0")
    return w.settled()


@case
def a_damaged_directory_of_pci_devices_is_put_in_order(w):
    tree = with_pci(w, 3, 4, 5)
    whole = w.dump(PCI)
    # what each damage leaves of the three
    for damage, left in (
            (lambda: w.x.rm(PCI + "/dev-1"), [3, 4, 5]),
            (lambda: w.x.write(PCI + "/dev-1", "nonsense"), [3, 4, 5]),
            (lambda: w.x.write(PCI + "/num_devs", "999999999"), [3, 4, 5]),
            (lambda: w.x.rm(PCI + "/num_devs"), [3, 4, 5]),
            (lambda: w.x.rm(PCI + "/frontend"), [3, 4, 5]),
            (lambda: w.x.rm(PCI + "/online"), [3, 4, 5]),
            (lambda: w.x.rm(PCI + "/state-2"), [3, 4, 5]),
            (lambda: w.x.write(PCI + "/num_devs", "7"), [3, 4, 5]),
            (lambda: [w.x.rm(PCI + "/dev-0"), w.x.rm(PCI + "/key-0")], [4, 5]),
            (lambda: [w.x.rm(PCI + "/%s-%d" % (key, i)) for i in range(3)
                      for key in ("dev", "key")], [])):
        damage()
        assert "damaged" in w.items().values(), w.items()
        w.repair()
        equal([d["dev"] for d in w.settled().get("pcidevs", [])], left)
        if len(left) == 3:
            states = {p: v for p, v in whole.items() if "/state" not in p}
            equal({p: v for p, v in w.dump(PCI).items() if "/state" not in p}, states)
            equal(w.settled(), tree)
        w.put([(p, v.decode(), perms) for p, (v, perms) in whole.items()])
        w.set_record(7, tree)
        equal(w.settled(), tree)


@case
def a_controller_s_damage_costs_its_devices_nothing(w):
    with_usb(w, 1)
    with xl.Backend(w, 0):
        w.drover("config", "attach", "7", "usbctrl", "type=pv", "version=2", "ports=4")
        w.drover("config", "attach", "7", "usbdev", "ctrl=0", "port=1",
                 "type.hostdev.hostbus=1", "type.hostdev.hostaddr=1")
    tree = w.settled()
    for path in ("/libxl/7/device/vusb/0/usb-ver", "/libxl/7/device/vusb/0/frontend",
                 "/local/domain/0/backend/vusb/7/0/online"):
        w.x.rm(path)
        if "damaged" in w.items().values():
            w.repair()
        equal(w.settled(), tree)


@case
def one_that_cannot_be_restored_leaves_both(w):
    w.x.rm("/local/domain/0/backend/vbd/7/51712")
    found, _, entry = actions(w)["vbd xvda"]
    equal((found, entry), ("damaged", RECORD["disks"][0]))
    equal(w.settled(), without(RECORD, disks=None))
    equal(w.dump("/libxl/7/device/vbd"), {})


@case
def a_backend_s_domain_that_is_gone_keeps_its_devices_until_forced(w):
    with xl.Backend(w, 9):
        w.drover("config", "attach", "7", "vbd", B)
    tree = w.settled()
    w.remove_domain(9)
    equal(w.items()["vbd xvdb"], "backend-gone")
    r = w.drover("config", "repair", "-n", "7", status=None)
    equal(r.out.count("xvdb"), 0)
    equal(w.ours(), tree)
    w.drover("config", "repair", "--force", "7")
    equal(w.settled(), RECORD)


@case
def a_kind_that_nobody_knows_is_left_alone(w):
    w.put(xl.device_nodes(7, "frobnicator", 0, 0))
    before = w.dump("/libxl/7/device/frobnicator")
    w.drover("config", "repair", "7", status=None)
    equal(w.dump("/libxl/7/device/frobnicator"), before)


# ---- records ----

@case
def a_record_is_made_once_and_of_the_right_domain(w):
    os.unlink(w.file(7))
    path = w.dir + "/record"
    with open(path, "w") as f:
        json.dump(RECORD, f)
    w.drover("config", "record", "create", "7", path)
    with open(w.file(7), "rb") as f:
        assert f.read().endswith(b"}\n\0")
    equal(os.stat(w.file(7)).st_mode & 0o777, 0o600)
    equal(w.settled(), RECORD)
    w.refused("record", "create", "7", path)
    with open(path, "w") as f:
        json.dump(xl.config("pv1", xl.uuid_of(8)), f)
    os.unlink(w.file(7))
    w.refused("record", "create", "7", path, status=None, says="uuid")
    with open(path, "w") as f:
        json.dump(without(RECORD, disks=RECORD["disks"] * 2), f)
    w.refused("record", "create", "7", path, status=None, says="twice")


@case
def a_record_goes_with_all_that_belongs_to_it(w):
    w.add_domain(8, "pv8", record=xl.config("pv8", xl.uuid_of(8)))
    with open(w.file(7, "of-somebody"), "w") as f:
        f.write("x")
    w.drover("config", "record", "destroy", "7", UUID)
    equal(list(w.files()), [os.path.basename(w.file(8))])
    w.drover("config", "record", "destroy", "7", UUID)
    for bad in ("", "../../../etc", UUID + "0", UUID.replace("-", "/")):
        w.refused("record", "destroy", "7", bad, status=None)


if __name__ == "__main__":
    lib.main(__doc__, CASES)
