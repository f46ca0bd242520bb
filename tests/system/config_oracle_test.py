#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Domains' configurations as real libxl 4.17 tells them, and as ours does: equal where libxl is
right, the better answer of docs/decisions/0102-differences-from-libxl.md where it is not. Each
scenario runs on every store that is installed, and all stores must make ours say the same.

Usage: config_oracle_test.py [--only CASE]...
"""
import json
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import config_lib  # noqa: E402
import lib  # noqa: E402
import peers  # noqa: E402  pylint: disable=wrong-import-order
import xl  # noqa: E402
from config_lib import RECORD, UUID, vdevs, without  # noqa: E402
from lib import equal  # noqa: E402

VBD = {"xvda": 51712, "xvdb": 51728, "xvdc": 51744, "xvdf": 51792}
CASES = []
said = {}       # of ours: {scenario: {store: [...]}}


class World(config_lib.Host):
    def __init__(self, d, crude=False):
        super().__init__(d)
        self.crude = crude
        if not crude:
            self.furnish()
            return
        self.add_domain(9, "drv")
        self.add_domain(7, "pv1", UUID, RECORD)
        self.vbd("xvda", "/dev/vg0/pv1-root")
        self.crude_keys("vif", 0, backend="/local/domain/0/backend/vif/7/0",
                        frontend="/local/domain/7/device/vif/0", handle="0",
                        mac="00:16:3e:11:22:33", bridge="xenbr0", type="vif")

    def crude_keys(self, kind, devid, **keys):
        for key, value in keys.items():
            self.x.write("/libxl/7/device/%s/%d/%s" % (kind, devid, key.replace("_", "-")), value)

    def vbd(self, vdev, path):
        """All keys, or libxl's directory alone: it looks at no more."""
        if not self.crude:
            self.add_disk(7, vdev, path)
            return
        n = VBD[vdev]
        self.crude_keys("vbd", n, frontend="/local/domain/7/device/vbd/%d" % n,
                        backend="/local/domain/0/backend/vbd/7/%d" % n, params=path,
                        frontend_id="7", online="1", removable="0", bootable="1", state="1",
                        dev=vdev, type="phy", mode="w", device_type="disk", discard_enable="1",
                        specification="xen")

    def libxl(self):
        """(tree or None, Result); what a hypervisor alone knows is left out."""
        tree, r = self.retrieved(7)
        if tree:
            tree["b_info"]["sched_params"] = {}
        return tree, r

    def repaired(self):
        """Both views are what libxl answers, too."""
        self.repair()
        tree, _ = self.libxl()
        equal(self.settled(), tree)
        return tree


def scenario(crude=False):
    def add(function):
        name = function.__name__ + ("_with_keys_of_libxl_alone" if crude else "")

        def case(kind):
            def run():
                lib.need(xl.XL)
                if not peers.have(kind):
                    raise lib.Skip("no %s xenstored" % kind)
                with lib.daemon(kind) as d, World(d, crude) as w:
                    function(w)
                    said.setdefault(name, {})[kind] = w.said
            run.__name__ = name + "_on_" + kind
            return run
        CASES.extend(case(kind) for kind in ("drover", "c", "ocaml"))
        return function
    return add


# ---- libxl is right ----

@scenario()
def s0_both_views_agree(w):
    tree, r = w.libxl()
    equal(r.err, "")
    equal(tree, RECORD)
    equal(w.ours(), tree)
    equal(w.ours("--persistent"), tree)
    equal(w.items(), {"vbd xvda": "attached", "vif 0": "attached"})
    # To the octet.
    w.set_record(7, tree)
    canon = w.xlconf("canon", w.file(7)).out.rstrip("\n")
    equal(w.drover("config", "show", "--json", "7").out.rstrip("\n"), canon)


@scenario(crude=True)
def s0_both_views(w):
    tree, _ = w.libxl()
    equal(tree, RECORD)
    equal(w.ours(), tree)
    equal(w.ours("--persistent"), tree)
    # No backend has them: what libxl does not look at.
    equal(w.items(), {"vbd xvda": "damaged", "vif 0": "damaged"})


@scenario()
def s0_values_of_the_domain_are_the_stores(w):
    for key, value in (("memory/target", "524288"), ("memory/static-max", "1048576"),
                       ("cpu/1/availability", "offline"), ("name", "renamed")):
        w.x.write("/local/domain/7/" + key, value)
    tree, _ = w.libxl()
    equal((tree["c_info"]["name"], tree["b_info"]["target_memkb"], tree["b_info"]["max_memkb"],
           tree["b_info"]["avail_vcpus"]), ("renamed", 524288, 1048576, [0]))
    equal(w.ours(), tree)
    equal(w.ours("--persistent"), RECORD)
    w.items()


@scenario()
def s1_xl_attaches(w):
    with xl.Backend(w, 9):
        w.xl("block-attach", "7", "phy:/dev/vg0/b,xvdb,w,backend=drv")
        w.xl("network-attach", "7", "mac=00:16:3e:00:00:09", "bridge=br7", "backend=drv")
    tree, r = w.libxl()
    equal(r.err, "")
    equal((vdevs(tree), len(tree["nics"])), (["xvda", "xvdb"], 2))
    equal(w.ours(), tree)
    equal(w.ours("--persistent"), tree)
    equal(set(w.items().values()), {"attached"})


@scenario()
def keys_that_tests_write_are_those_that_xl_writes(w):
    with xl.Backend(w, 9):
        w.xl("block-attach", "7", "phy:/dev/vg0/b,xvdb,w,backend=drv")
        w.xl("network-attach", "7", "mac=00:16:3e:00:00:09", "bridge=br7", "backend=drv")
    nodes = xl.disk_nodes(7, "xvdb", "/dev/vg0/b", 9, state="2", front_state="1")
    nodes += xl.nic_nodes(7, 1, "00:16:3e:00:00:09", "br7", 9, state="2", front_state="1",
                          keys={"hotplug-status": ""})
    found = w.dump()
    ours = {path: (value.encode(), perms) for path, value, perms in nodes}
    tops = [p + s for p in ("/libxl/7/device", "/local/domain/7/device",
                            "/local/domain/9/backend") for s in ("/vbd", "/vif")]
    theirs = {p: v for p, v in found.items()
              if any(p.startswith(t + "/") for t in tops) and
              ("/51728" in p or p.count("/vif/7/1") or "/vif/1" in p)}
    equal(ours, theirs)


# ---- libxl is not ----

@scenario()
def s2_xl_detaches(w):
    with xl.Backend(w, 9):
        w.xl("block-attach", "7", "phy:/dev/vg0/b,xvdb,w,backend=drv")
        w.xl("block-detach", "7", "xvdb")
    equal(vdevs(w.record(7)), ["xvda", "xvdb"])     # libxl's removal leaves the record alone
    tree, r = w.libxl()
    equal(vdevs(tree), ["xvda"])
    assert "Device present in JSON but not in xenstore" in r.err
    equal(w.ours(), tree)
    equal(vdevs(w.ours("--persistent")), ["xvda", "xvdb"])
    equal(w.items(), {"vbd xvda": "attached", "vbd xvdb": "missing", "vif 0": "attached"})
    equal(w.repaired(), RECORD)


@scenario()
def s3_xl_attaches_and_no_backend_answers(w):
    r = w.xl("block-attach", "7", "phy:/dev/vg0/c,xvdc,w,backend=drv", status=None)
    assert r.status
    tree, _ = w.libxl()
    equal(vdevs(tree), ["xvda", "xvdc"])            # told as if it were there
    r = w.xl("block-attach", "7", "phy:/dev/vg0/c,xvdc,w,backend=drv", status=None)
    assert r.status and "already exists" in r.err, r    # and in the way for good
    equal(w.ours(), RECORD)
    equal(w.ours("--persistent"), RECORD)
    equal(w.items(), {"vbd xvda": "attached", "vbd xvdc": "half-added", "vif 0": "attached"})
    equal(w.repaired(), RECORD)
    with xl.Backend(w, 9):
        w.xl("block-attach", "7", "phy:/dev/vg0/c,xvdc,w,backend=drv")
    equal(vdevs(w.ours()), ["xvda", "xvdc"])


@scenario()
def s4_a_device_that_only_the_store_has(w):
    w.vbd("xvdf", "/dev/vg0/f")
    tree, _ = w.libxl()
    equal(vdevs(tree), ["xvda"])
    entry = {"backend_domid": 0, "pdev_path": "/dev/vg0/f", "vdev": "xvdf", "backend": "phy",
             "script": "/etc/xen/scripts/block", "removable": 0, "readwrite": 1}
    got = w.ours()
    equal(vdevs(got), ["xvda", "xvdf"])
    equal(without(got, disks=got["disks"][:1]), tree)
    for key in ("pdev_path", "vdev", "readwrite"):
        equal(got["disks"][1][key], entry[key])
    equal(w.ours("--persistent"), RECORD)
    equal(w.items(), {"vbd xvda": "attached", "vbd xvdf": "store-only", "vif 0": "attached"})
    equal(vdevs(w.repaired()), ["xvda", "xvdf"])


@scenario(crude=True)
def s4_a_device_that_only_the_store_has_(w):
    w.vbd("xvdf", "/dev/vg0/f")
    equal(w.ours(), w.libxl()[0])       # it is no device without a backend
    equal(w.items(), {"vbd xvda": "damaged", "vbd xvdf": "damaged", "vif 0": "damaged"})


@scenario()
def s5_one_half_written_disk(w):
    w.vbd("xvdf", "/dev/vg0/f")
    w.rm("/libxl/7/device/vbd/51792/type")
    tree, r = w.libxl()
    equal(vdevs(tree), [])              # the whole class went, and that was a success
    assert "error" in r.err and not r.status
    equal(w.ours(), RECORD)
    equal(w.items(), {"vbd xvda": "attached", "vbd xvdf": "damaged", "vif 0": "attached"})
    w.repaired()


@scenario()
def s5_one_half_written_disk_of_the_record(w):
    w.set_record(7, without(RECORD, disks=[*RECORD["disks"], xl.disk("xvdf", "/dev/vg0/f")]))
    w.vbd("xvdf", "/dev/vg0/f")
    w.rm("/libxl/7/device/vbd/51792/type")
    equal(vdevs(w.libxl()[0]), [])
    equal(w.ours(), w.record(7))
    equal(w.ours("--persistent"), w.record(7))
    equal(w.items(), {"vbd xvda": "attached", "vbd xvdf": "damaged", "vif 0": "attached"})
    equal(vdevs(w.repaired()), ["xvda", "xvdf"])


@scenario()
def s6_the_name_is_missing(w):
    with xl.Backend(w, 9):
        w.xl("block-attach", "7", "phy:/dev/vg0/b,xvdb,w,backend=drv")
        w.xl("block-detach", "7", "xvdb")
    w.rm("/local/domain/7/name")
    tree, r = w.libxl()
    equal((r.status, vdevs(tree)), (0, ["xvda", "xvdb"]))   # the record, not merged: a success
    equal(w.ours(), RECORD)
    equal(w.items(), {"domain c_info.name": "damaged", "vbd xvda": "attached",
                      "vbd xvdb": "missing", "vif 0": "attached"})


@scenario()
def s7_a_keyboard_attached_while_it_runs(w):
    w.xl("vkb-attach", "7", "backend-type=linux")
    equal(w.x.ls("/libxl/7/device/vkbd"), ["0"])
    assert "vkbs" not in w.libxl()[0]
    assert "vkbs" not in w.record(7)
    # xl does not wait for it: with nobody's answer it is half added.
    equal(w.ours(), RECORD)
    equal(w.items()["vkb 0"], "half-added")
    back = w.x.read("/libxl/7/device/vkbd/0/backend").decode()
    w.x.write(back + "/state", "4")
    equal([(k["devid"], k["backend_type"]) for k in w.ours()["vkbs"]], [(0, "linux")])
    equal(w.items()["vkb 0"], "store-only")
    w.drover("config", "repair", "7")
    equal(w.items()["vkb 0"], "attached")
    equal(w.libxl()[0], w.ours())


@scenario()
def s8_a_usb_device_and_a_shared_folder(w):
    w.set_record(7, without(
        RECORD, p9s=[{"tag": "t", "path": "/p", "security_model": "none", "devid": 0}],
        usbctrls=[{"type": "pv", "devid": 0, "version": 2, "ports": 2}],
        usbdevs=[{"ctrl": 0, "port": 1, "type.hostdev": {"hostbus": 1, "hostaddr": 4}}]))
    w.put(xl.device_nodes(7, "vusb", 0, 0, {"type": "pv", "usb-ver": "2", "num-ports": "2",
                                           "port/1": "1-1", "port/2": ""}))
    tree, _ = w.libxl()
    assert "usbdevs" not in tree and "usbctrls" in tree
    equal(len(tree["p9s"]), 1)          # without a key in the store
    got = w.ours()
    equal(got["usbdevs"], w.record(7)["usbdevs"])
    equal(got, without(tree, usbdevs=got["usbdevs"], p9s=None))
    items = w.items()
    equal(items.pop("9pfs 0"), "missing")
    equal(items, {"vbd xvda": "attached", "vif 0": "attached", "usbctrl 0": "attached",
                  "usbdev 0:1": "attached"})


@scenario()
def s9_more_pci_devices_counted_than_there_are(w):
    w.put(xl.device_nodes(7, "pci", 0, 0, {
        "num_devs": "2", "domain": "pv1", "key-0": "0000:03:00.0", "dev-0": "0000:03:00.0",
        "vdevfn-0": "100", "opts-0": "msitranslate=0,power_mgmt=0,permissive=0",
        "state-0": "3"}))
    w.rm("/libxl/7/device/pci")         # of this class there is none
    _, r = w.libxl()
    assert r.status < 0, r              # it crashes
    got = w.ours()
    equal([(p["bus"], p.get("dev", 0)) for p in got["pcidevs"]], [(3, 0)])
    equal(without(got, pcidevs=None), RECORD)
    items = w.items()
    equal(items.pop("pci 0000:03:00.0"), "store-only")
    assert "damaged" in items.values(), items


@scenario()
def s10_no_record(w):
    os.unlink(w.file(7))
    tree, r = w.libxl()
    assert tree is None and r.status
    w.ours("--live", 3)
    assert "libxl-json" in w.refusal(), w.refusal()
    got = w.ours("--live", 0, "--degraded")
    equal((got["c_info"]["name"], got["c_info"]["uuid"], got["c_info"]["type"]),
          ("pv1", UUID, "pv"))
    equal((vdevs(got), [n["mac"] for n in got["nics"]]), (["xvda"], ["00:16:3e:11:22:33"]))
    assert "degraded" in w.refusal()


@scenario()
def a_damaged_record(w):
    with open(w.file(7), "rb") as f:
        whole = f.read()
    for damaged in (whole[:len(whole) // 2], whole.rstrip(b"\n\0") + b"x", b"", b"[]"):
        with open(w.file(7), "wb") as f:
            f.write(damaged)
        w.ours("--live", 3)
        assert "libxl-json" in w.refusal(), w.refusal()


# ---- what else is half done ----

@scenario()
def a_disk_without_its_medium(w):
    cd = xl.disk("xvdc", "/srv/a.iso", removable=1, is_cdrom=1, readwrite=0)
    w.set_record(7, without(RECORD, disks=[*RECORD["disks"], cd]))
    w.add_disk(7, "xvdc", "", keys={"removable": "1", "mode": "r", "device-type": "cdrom"})
    tree, _ = w.libxl()
    assert "pdev_path" not in tree["disks"][1] or not tree["disks"][1]["pdev_path"]
    got = w.ours()
    equal((got["disks"][1].get("pdev_path", ""), got["disks"][1]["is_cdrom"]), ("", 1))
    equal(w.ours("--persistent")["disks"][1]["pdev_path"], "/srv/a.iso")
    equal(w.items()["vbd xvdc"], "ejected")


@scenario()
def a_disk_that_was_asked_to_go(w):
    for state in ("5", "6"):
        w.x.write("/local/domain/0/backend/vbd/7/51712/online", "0")
        w.x.write("/local/domain/0/backend/vbd/7/51712/state", state)
        equal(vdevs(w.libxl()[0]), ["xvda"])
        equal(w.ours(), without(RECORD, disks=None))
        equal(w.items()["vbd xvda"], "detaching")
    equal(vdevs(w.repaired()), [])


@scenario()
def a_disk_whose_backend_went(w):
    w.set_record(7, without(RECORD, disks=[*RECORD["disks"],
                                           xl.disk("xvdb", "/dev/b", backend_domname="drv")]))
    w.add_disk(7, "xvdb", "/dev/b", 9)
    w.remove_domain(9)
    equal(w.ours(), w.record(7))
    equal(w.items()["vbd xvdb"], "backend-gone")
    w.drover("config", "repair", "7")
    equal(w.items()["vbd xvdb"], "backend-gone")
    w.drover("config", "repair", "--force", "7")
    equal(w.ours(), RECORD)
    equal(w.items(), {"vbd xvda": "attached", "vif 0": "attached"})


@scenario()
def a_store_that_was_emptied(w):
    w.rm("/local/domain/7")
    w.ours("--live", 3)
    assert "7" in w.refusal(), w.refusal()


def records_that_libxl_reads_otherwise():
    conf = lib.need(peers.build_dir() + "/tests/peers/xlconf")
    whole = json.dumps(RECORD)
    two = whole.replace('"type.pv": {}', '"type.hvm": {}, "type.pv": {}')
    for text, theirs, says in (
            (whole, 0, None),
            (whole + "x", 0, "column"),
            (whole.replace('"max_vcpus": 2', '"max_vcpus": 2, "max_vcpus": 3'), 0, "max_vcpus"),
            (two, -signal.SIGABRT, "hvm"),
            (whole.replace('"type.pv"', '"type.hvm"'), 0, "c_info.type"),
            (whole.replace('"max_vcpus": 2', '"max_vcpus": 2, "unheard": 3'), 0, None)):
        with lib.scratch() as directory:
            path = directory + "/record"
            with open(path, "w") as f:
                f.write(text)
            libxl, ours = (subprocess.run(argv, capture_output=True, text=True, check=False)
                           for argv in ([conf, "canon", path],
                                        [lib.DROVER, "config", "canon", path]))
        equal(libxl.returncode, theirs)
        equal(ours.returncode, 2 if says else 0)
        if says:
            line, = ours.stderr.splitlines()
            assert path in line, line
            assert says in line or "line 1" in line, line
        else:
            equal("unheard" in ours.stdout, "unheard" in text)
            assert "unheard" not in libxl.stdout


def every_store_makes_ours_say_the_same():
    if len({kind for by_kind in said.values() for kind in by_kind}) < 2:
        raise lib.Skip("one store alone was asked")
    for name, by_kind in said.items():
        first = by_kind.get("drover")
        for kind, what in by_kind.items():
            assert first is None or what == first, "%s: %s: %r\nand not %r" % (
                name, kind, what, first)


if __name__ == "__main__":
    CASES.append(records_that_libxl_reads_otherwise)
    CASES.append(every_store_makes_ours_say_the_same)
    sys.exit(lib.main(__doc__, CASES))
