# SPDX-License-Identifier: MIT
"""Words for disks and nics, right and wrong ones, for xl_test.py.

SAME: xl 4.17 and we do alike: both refuse them, or both make the same entry of them.
DIFFER: (words, ours, why); ours says whether we accept them, xl does the other, or makes an entry
that is not ours."""

TARGETS = ["phy:/dev/vg/x", "file:/img", "raw:/img", "qcow:/img", "qcow2:/img", "vhd:/img",
           "tap:/img", "tap2:/img", "tapdisk:/img", "aio:/img", "ioemu:/img", "nbd:host",
           "enbd:host", "iscsi:iqn.2001-05.com.example", "drbd:res", "tap:aio:/img",
           "tap:qcow2:/img", "tap2:tapdisk:raw:/img", "raw:qcow2:/img", "raw:raw:/img",
           "nbd:drbd:x", "foo:/img", "foo:", "foo:bar", "http://host/img", "phy:", "phy:/a:b",
           "/dev/vg/x", "", "x y"]

DISKS = [t + ",xvda,w" for t in TARGETS] + [
    "/dev/vg/x,raw,xvda,w", "/dev/vg/x,raw,xvda,rw", "/dev/vg/x,raw,xvda,r",
    "/dev/vg/x,raw,xvda,ro", "/dev/vg/x,raw,xvda,", "/dev/vg/x,raw,xvda", "/dev/vg/x,,xvda",
    "/dev/vg/x,raw,xvda,q", "/dev/vg/x,raw,xvda,w,w", "/dev/vg/x,raw,xvda,w,cdrom",
    "/dev/vg/x,raw", "/dev/vg/x", "", ",", ",,", ",,xvda", ",raw,xvda", ",raw,xvda,w",
    ",empty,xvda", ",empty,hdc,r,cdrom", "/i.iso,raw,hdc:cdrom,r", "/i.iso,raw,hdc:disk,r",
    "/i.iso,raw,hdc:tape,r", ",hdc:cdrom", ",hdc:cdrom,r", ",hdc:disk", ",hdc:",
    "phy:/dev/cd,hdc:cdrom,r", "/i,qcow2,xvda", "/i,vhd,xvda", "/i,qed,xvda", "/i,qcow,xvda",
    "/i,vmdk,xvda", "/i,RAW,xvda", "/i,raw,xvda:1", "/i,raw,:cdrom",
    "format=raw,vdev=xvda,target=/dev/vg/x", "format=raw,vdev=xvda,access=ro,target=/dev/vg/x",
    "vdev=xvda,target=/a,b=c:d", "vdev=xvda,target=/a,", "vdev=xvda,target=/a,,",
    "vdev=xvda,target=", "vdev=xvda,target=,", "target=/a", "target=/a,vdev=xvda", "vdev=xvda",
    "vdev=,target=/a", "vdev=xvda,vdev=xvdb,target=/a", "vdev=,vdev=xvdb,target=/a",
    "/a,vdev=xvda", "/a,raw,vdev=xvda", "/a,raw,xvdb,vdev=xvda", "/a,target=/b", "vdev=xvda,/a",
    "vdev=xvda,/a,raw", "vdev=xvda,/a,raw,r", "vdev=xvda,/a,raw,xvdb", "access=ro,/a,raw,xvda",
    "access=ro,/a,raw,xvda,w", "/a,raw,xvda,access=", "/a,raw,xvda,access=rx",
    "/a,format=qcow2,xvda", "/a,raw,xvda,format=raw", "/a,raw,xvda,format=vhd",
    "/a,raw,xvda,format=", "format=,/a,xvda", "/a,raw,xvda,format=x", "/a,raw,xvda,backend=drv",
    "/a,raw,xvda,backend=", "/a,raw,xvda,backend=a,backend=b", "/a,raw,xvda,backendtype=phy",
    "/a,raw,xvda,backendtype=tap", "/a,raw,xvda,backendtype=qdisk",
    "/a,raw,xvda,backendtype=standalone", "/a,raw,xvda,backendtype=", "/a,raw,xvda,backendtype=x",
    "/a,raw,xvda,backendtype=phy,backendtype=tap", "/a,raw,xvda,specification=xen",
    "/a,raw,xvda,specification=virtio", "/a,raw,xvda,specification=x",
    "/a,raw,xvda,script=/etc/xen/scripts/block-x", "/a,raw,xvda,script=", "nbd:h,xvda,script=x",
    "/a,raw,xvda,script=a,script=b", "/a,raw,xvda,devtype=cdrom", "/a,raw,xvda,devtype=disk",
    "/a,raw,xvda,devtype=tape", "/a,raw,xvda,devtype=", "/a,raw,xvda,cdrom", "cdrom,vdev=hdc",
    "cdrom,vdev=hdc,format=raw", "devtype=cdrom,vdev=hdc,target=/i.iso",
    "cdrom,devtype=disk,vdev=hdc", "/a,raw,xvda,w,direct-io-safe", "/a,raw,xvda,w,discard",
    "/a,raw,xvda,w,no-discard", "/a,raw,xvda,w,discard,no-discard", "direct-io-safe,/a,raw,xvda",
    "/a,raw,xvda,w,direct-io-safely",
    "/a,raw,xvda,w,colo,colo-host=h,colo-port=8080,colo-export=e,active-disk=/a,hidden-disk=/h",
    "/a,raw,xvda,w,no-colo", "/a,raw,xvda,colo-port=0", "/a,raw,xvda,colo-port=x",
    "/a,raw,xvda,colo-host=", "/a,raw,xvda,colo-host=a,colo-host=b", "/a,raw,xvda,foo=bar",
    "/a,raw,xvda,foo=", "/a,raw,xvda,Foo=x", "/a,raw,xvda,removable=1", " /a , raw, xvda , w",
    "/a, raw, xvda, w", "  vdev=xvda, target= /a", "/a,raw,xvda, ", "\t/a,raw,xvda",
    "/a b,raw,xvda", "/a=b,raw,xvda", "=,raw,xvda", "/ä,raw,xvda", "/a,raw,xvda,w,,",
    "/a,raw,xvda,,,", "qcow2:/a,raw,xvda", "raw:/a,xvda,w,format=qcow2",
    "phy:/a,format=qcow2,xvda", "file:/a,hda:disk", "phy:/a,hda:cdrom:disk",
    "vdev=hdc:cdrom,target=/a",
]

DISKS_DIFFER = [
    ("/a,raw,xvda,w,trusted", True, "a word since 4.18; 4.17 takes it for one too many"),
    ("/a,raw,xvda,w,untrusted", True, "a word since 4.18"),
    ("/a,raw,xvda,colo-port=80x", False, "xl takes the digits and leaves what is behind them"),
    ("/a,raw,xvda,colo-port=99999", False, "no port has this number"),
    ("/a,raw,xvda,=", False, "at the very end xl's scanner leaves an equal sign unread"),
]

MAC = "mac=00:16:3e:00:00:01"

NICS = [
    "", ",", " ", MAC, MAC + ",bridge=br0", " " + MAC + ", bridge=br0", "bridge=",
    "bridge=br0,bridge=br1", "bridge=br0 ", "bridge=a=b", "type=vif", "type=ioemu", "type=",
    "type=x", "type=netfront", "model=e1000", "model=rtl8139,type=ioemu", "vifname=v7.0",
    "script=/etc/xen/scripts/vif-route", "script=vif-nat", "ip=10.0.0.1", "ip=10.0.0.1 10.0.0.2",
    "ip=2001:db8::1", "backend=drv", "backend=0", "gatewaydev=eth0", "netdev=eth0",
    "gatewaydev=eth0,netdev=eth1", "accel=x", "accel=", "devid=3", "devid=0", "devid=x", "devid=",
    "mtu=1400", "mtu=0", "mtu=x", "trusted", "untrusted", "trusted,untrusted", "trusted=1",
    "vlan=3", "foo", "foo=bar", "=", "MAC=00:16:3e:00:00:01", MAC.upper().replace("MAC",
    "mac"), "mac=00-16-3e-00-00-01", "mac=0:16:3e:0:0:1", "mac=00:16:3e:00:00:zz",
    "mac=0:1ff:3e:0:0:1", "mac=x", "rate=10Mb/s", "rate=10MB/s", "rate=250KB/s@20ms",
    "rate=1GB/s@100us", "rate=1MB/s@1s", "rate=1MB/s@1", "rate=1MB/s@5u", "rate=1MB/s@5m",
    "rate=10b/s", "rate=10B/s", "rate=7b/s", "rate=010Mb/s", "rate=08Mb/s", "rate=0Mb/s",
    "rate=10", "rate=10M", "rate=10Mb", "rate=", "rate=@20ms", "rate=10Mb/s@", "rate=10Mb/s@x",
    "rate=10Mb/s@0ms", "rate=10Mb/s@20 ms", "rate=-1Mb/s", "rate=10Tb/s", "rate=99999999999Mb/s",
    "rate=4294967295GB/s@4000s", "rate=1MB/s@4294967296us", "rate=1MB/s@5000s",
    "rate=1MB/s,rate=7b/s", "rate=10Mb/S", "rate=10mb/s", "rate=4294967295GB/s", "forwarddev=eth1",
    "colo_sock_mirror_id=a,colo_compare_out=b,colo_checkpoint_port=9",
    "colo_filter_sec_rewriter0_queue=all", "colo_bogus=1", "ip=a,,bridge=b", "bridge=b,",
    ",bridge=b",
]

NICS_DIFFER = [
    ("mac=00:16:3e:00:00:01zz", False, "xl leaves unread what is behind the sixth octet"),
    ("mac=00:16:3e:00:00:01:02", False, "the same"),
    ("mac=00:16:3e:00:00:1x0", False, "the same"),
    ("mac= 0:16:3e:0:0:1", False, "xl takes blanks and signs before a number"),
    ("mac=00.16.3e.00.00.01", False, "xl takes any character between two octets"),
    ("devid=3x", False, "xl takes the digits and leaves what is behind them"),
    ("devid=-2", False, "no number of a device"),
    ("devid=4294967297", False, "xl cuts it to 1"),
    ("mtu=1400x", False, "xl takes the digits and leaves what is behind them"),
]
