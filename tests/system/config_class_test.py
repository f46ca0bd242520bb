#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Devices of every class that libxl attaches to a domain that runs: attached by libxl 4.17, and
by ours from the same entry. Then the same keys, values and permissions are in the store, the same
entry in the record; each takes the other's for its own, and ours leaves nothing behind.

Usage: config_class_test.py [--kind KIND] [--only CASE]...
"""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import config_lib  # noqa: E402
import lib  # noqa: E402
import peers  # noqa: E402  pylint: disable=wrong-import-order
import xl  # noqa: E402
from lib import equal  # noqa: E402

DRIVER = {"backend_domid": 9}
TREES = ("/libxl/7/device", "/local/domain/7/device", "/local/domain/0/backend",
         "/local/domain/9/backend")

# (name, class, list of the record or None where libxl forgets to write it, identity, entry)
DEVICES = [
    ("a_raw_disk", "vbd", "disks", "xvdb",
     dict(DRIVER, pdev_path="/dev/vg/b", vdev="xvdb", format="raw", readwrite=1)),
    ("an_image", "vbd", "disks", "xvdc",
     dict(DRIVER, pdev_path="/tmp/c.qcow2", vdev="xvdc", backend="qdisk", format="qcow2")),
    ("a_safe_disk", "vbd", "disks", "xvdd",
     dict(DRIVER, pdev_path="/tmp/d.img", vdev="xvdd", backend="qdisk", format="raw",
          direct_io_safe=True, discard_enable="True", trusted="False")),
    ("a_disk_with_a_script", "vbd", "disks", "xvde",
     dict(DRIVER, pdev_path="nbd:1", vdev="xvde", format="raw", script="block-nbd", removable=1,
          readwrite=1, discard_enable="False")),
    ("an_empty_drive", "vbd", "disks", "hdc",
     dict(DRIVER, vdev="hdc", format="empty", removable=1, is_cdrom=1)),
    ("a_drive_with_a_medium", "vbd", "disks", "hdd",
     dict(DRIVER, pdev_path="/x.iso", vdev="hdd", format="raw", removable=1, is_cdrom=1)),
    ("a_disk_beyond_the_26th", "vbd", "disks", "xvdaa",
     dict(DRIVER, pdev_path="/dev/g", vdev="xvdaa", format="raw", script="/opt/s")),
    ("a_partition_by_numbers", "vbd", "disks", "xvdu3",
     dict(DRIVER, pdev_path="/dev/h", vdev="d20p3", format="raw")),
    ("a_replicated_disk", "vbd", "disks", "sda1",
     dict(DRIVER, pdev_path="/tmp/v.vhd", vdev="sda1", format="vhd", colo_enable="True",
          colo_host="h", colo_port=80, colo_export="e", active_disk="a", hidden_disk="b")),
    ("a_nic", "vif", "nics", "1",
     dict(DRIVER, devid=1, mac="00:16:3e:11:22:44", bridge="xenbr7")),
    ("a_nic_with_all_fields", "vif", "nics", "3",
     dict(DRIVER, devid=3, mac="00:16:3e:11:22:aa", mtu=9000, model="e1000", ip="10.0.0.1",
          ifname="foo", script="vif-route", nictype="vif", rate_bytes_per_interval=1250000,
          rate_interval_usecs=50000, gatewaydev="eth0", trusted="False", coloft_forwarddev="fd",
          colo_sock_mirror_id="id", colo_checkpoint_port="7")),
    ("a_tpm", "vtpm", "vtpms", "0",
     dict(DRIVER, devid=0, uuid="12345678-1234-4234-8234-123456789abc")),
    ("a_keyboard", "vkb", None, "0",
     dict(devid=0, backend_type="linux", unique_id="kb1", feature_abs_pointer=True, width=1024,
          height=768)),
    ("a_touch_screen", "vkb", None, "1",
     dict(DRIVER, devid=1, feature_multi_touch=True, multi_touch_width=800,
          multi_touch_height=600, multi_touch_num_contacts=5, feature_disable_keyboard=True,
          feature_disable_pointer=True, feature_raw_pointer=True)),
    ("a_display", "vdispl", "vdispls", "0",
     dict(DRIVER, devid=0, be_alloc=True,
          connectors=[dict(unique_id="id0", width=1920, height=1080),
                      dict(unique_id="id1", width=800, height=600)])),
    ("a_sound_card", "vsnd", "vsnds", "0",
     dict(DRIVER, devid=0, short_name="c1", long_name="Long card",
          params=dict(sample_rates=[44100, 48000], sample_formats=["s16_le", "u8"],
                      channels_min=1, channels_max=2, buffer_size=4096),
          pcms=[dict(name="dev1", params=dict(channels_max=8),
                     streams=[dict(unique_id="s0", type="p", params={}),
                              dict(unique_id="s1", type="c",
                                   params=dict(sample_rates=[8000]))]),
                dict(name="dev2", params={})])),
    ("a_usb_controller", "usbctrl", "usbctrls", "0",
     dict(type="pv", devid=0, version=1, ports=2)),
    ("a_frame_buffer", "vfb", None, "0", dict(devid=0, vnc={}, sdl={})),
    ("a_frame_buffer_on_a_screen", "vfb", None, "1",
     dict(devid=1, vnc=dict(enable="False"),
          sdl=dict(enable="True", display=":0", xauthority="/x", opengl="True"))),
    ("a_frame_buffer_with_a_password", "vfb", None, "2",
     dict(DRIVER, devid=2, sdl={},
          vnc=dict(listen="0.0.0.0", passwd="secret", display=3, findunused="False"))),
]


def words(value, path=""):
    """A tree as KEY=VALUE words."""
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        inner = enumerate(value)
    else:
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        return [path + "=" + (text.lower() if isinstance(value, bool) else text)]
    return [w for k, v in inner for w in words(v, "%s.%s" % (path, k) if path else str(k))]


def keys(h):
    """All nodes of domain 7's devices. How far a backend came is its own."""
    found = {p: v for top in TREES for p, v in h.dump(top).items() if p != top}
    return {p: (b"" if re.search(r"/backend/.*/state$", p) else v[0], v[1])
            for p, v in found.items()}


class Host(config_lib.Host):
    def __init__(self, d):
        super().__init__(d)
        self.furnish()
        # A device model, which libxl asks for before it attaches what one plays.
        for key, value in (("pid", "1"), ("state", "running")):
            self.x.write("/local/domain/0/device-model/7/" + key, value)


def attached(kind, by, also):
    """What is in store and record once it is attached `by` somebody."""
    with peers.Daemon(kind) as d, Host(d) as h, xl.Backend(h, 0), xl.Backend(h, 9):
        before = keys(h)
        by(h)
        store, record = keys(h), h.record(7)
        also(h)
        return {p: v for p, v in store.items() if before.get(p) != v}, record


def same(kind, device):
    _, cls, name, ident, entry = device
    verdict = "ejected" if entry.get("format") == "empty" else "attached"

    def libxls(h):
        h.xlconf("attach", "7", cls, xl.json.dumps(entry))

    def ours(h):
        h.drover("config", "attach", "7", cls, *words(entry))

    def ours_takes_it(h):
        # libxl does not wait for a device model, so it may not have looked yet.
        lib.until(lambda: h.items()["%s %s" % (cls, ident)] != "half-added", "a backend")
        equal(h.items()["%s %s" % (cls, ident)], verdict if name else "store-only")
        h.drover("config", "detach", "7", cls, ident)
        assert "%s %s" % (cls, ident) not in h.items()

    def libxl_takes_it(h):
        tree, _ = h.retrieved(7)
        if name:    # an empty path is how it says that there is no medium
            equal([{k: v for k, v in e.items() if (k, v) != ("pdev_path", "")} for e in tree[name]],
                  h.record(7)[name])
        equal(h.items()["%s %s" % (cls, ident)], verdict)
        equal((h.ours(), h.ours("--persistent")), (h.record(7), h.record(7)))
        h.drover("config", "detach", "7", cls, ident)
        equal(h.items(), {"vbd xvda": "attached", "vif 0": "attached"})
        equal(h.record(7), config_lib.RECORD)
        h.no_files_left()

    theirs, their_record = attached(kind, libxls, ours_takes_it)
    mine, my_record = attached(kind, ours, libxl_takes_it)
    equal({p: v for p, v in mine.items() if theirs.get(p) != v}, {})
    equal({p: v for p, v in theirs.items() if mine.get(p) != v}, {})
    assert len(mine) > 15, mine
    if name:
        equal(my_record, their_record)
    else:
        equal([n for n in my_record if my_record[n] != their_record.get(n)],
              [cls.replace("vkb", "vkbs").replace("vfb", "vfbs")])


def case(device):
    def run():
        if not xl.have():
            raise lib.Skip("no libxl 4.17 here")
        same(lib.options.kind, device)
    run.__name__ = device[0]
    return run


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [case(d) for d in DEVICES]))
