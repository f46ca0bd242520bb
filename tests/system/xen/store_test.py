#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Our store from boot, on real Xen: xl's life of a guest, what a guest's kernel does over its
ring, and all that may happen to the daemon meanwhile. Guests beat: they write ten times a second
and say when the answer came, by their own clock.

Usage: store_test.py [--only CASE]...
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import lab  # noqa: E402
import pulse  # noqa: E402
from checks import awake, configs_agree, gone, kill_worker, update, while_guests_beat  # noqa: E402
from image import XEN_BIN  # noqa: E402
from lab import equal, until  # noqa: E402

KINDS = {"beat-pv": "pv", "beat-pvh": "pvh"}
ROUNDS, CROWD = 3, 20
CASES = []


def case(function):
    CASES.append(function)
    return function


@case
def test_xenstore_passes_in_dom0(h):
    h.run(XEN_BIN + "/test-xenstore", timeout=240)


def life(h, kind):
    name = "life-" + kind
    domid = h.create(name, kind=kind)
    awake(h, name)
    assert name in h.run("xl list").out
    configs_agree(h)
    h.run("xl pause %s && xl unpause %s" % (name, name))
    last = h.await_beats(name, 2)
    h.run("xl save %s /root/image" % name)
    gone(h, domid)
    h.run("xl restore /root/image && rm /root/image")
    assert h.await_beats(name, 2) > last, "it did not go on where it was"
    awake(h, name)
    configs_agree(h)
    domid = h.domid(name)
    h.run("xl rename %s %s-renamed" % (name, name))
    configs_agree(h)
    h.run("xl shutdown -w %s-renamed" % name)
    gone(h, domid)
    domid = h.create(name, kind=kind)
    h.run("xl destroy " + name)
    gone(h, domid)
    equal(h.errors(name), [])


@case
def a_pv_guest_lives_as_on_any_store(h):
    life(h, "pv")


@case
def a_pvh_guest_lives_as_on_any_store(h):
    life(h, "pvh")


def both_kinds(h):
    for name, kind in KINDS.items():
        if name not in h.run("xl list").out:
            h.create(name, kind=kind)
        h.await_beats(name, 2)
    return list(KINDS)


@case
def no_guest_misses_a_worker_that_is_killed(h):
    while_guests_beat(h, both_kinds(h), 5, kill_worker)


@case
def no_guest_misses_ten_live_updates(h):
    while_guests_beat(h, both_kinds(h), 10, update)


@case
def twenty_guests_come_and_go_and_leave_no_memory_behind(h):
    """All of them at once, each writing ten times a second, again and again."""
    names = ["crowd-%d" % n for n in range(CROWD)]
    used = []
    for _ in range(ROUNDS):
        crowd = [pulse.create(h, name, "hb=100") for name in names]
        equal([one.ask("read name") for one in crowd[::7]], names[::7])
        for one in crowd:
            h.run("xl destroy " + one.name)
            gone(h, one.domid)
        used.append(h.rss_kb())
        print("# %d KB of the store" % used[-1], flush=True)
    assert used[-1] < used[0] + 400, used
    assert "contradiction" not in h.run("xenstore-control check").out


@case
def a_guest_transaction_outlives_the_worker(h):
    """In dom0 over the kernel's ring, where one may wait in the middle of a transaction."""
    h.run("xenstore-write /tests/a 1")
    job = h.start("python3 -", stdin=True)
    h.run("mkfifo /tmp/go")
    job.write("import pyxs\n"
              "x = pyxs.Client(xen_bus_path='/dev/xen/xenbus')\n"
              "x.connect()\nx.transaction()\nx.write(b'/tests/a', b'2')\n"
              "print('open', flush=True)\n"
              "open('/tmp/go').read()\n"
              "print('commit', x.commit(), flush=True)\n")
    job.write(None)
    job.line("^open")
    kill_worker(h)
    equal(h.run("xenstore-read /tests/a").out, "1\n")
    h.run("echo > /tmp/go")
    job.line("^commit True")
    job.wait()
    equal(h.run("xenstore-read /tests/a").out, "2\n")


def virsh(h, *words):
    return h.run(["virsh", "-c", "xen:///system", *words])


XML = """<domain type='xen'><name>lv</name><memory unit='MiB'>96</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='xenpv'>linux</type><kernel>/guest/vmlinux</kernel>
<initrd>/guest/beat.cpio</initrd><cmdline>console=hvc0 quiet</cmdline></os>
<devices><console type='pty'><target type='xen' port='0'/></console></devices></domain>
"""


@case
def libvirts_own_daemon_runs_guests_on_our_store(h):
    # Every processor that libvirt knows has vme, which the emulated one has not.
    h.run("sed -i /vme/d /usr/share/libvirt/cpu_map/x86_486.xml; mkdir -p /var/log/libvirt;"
          "cd /usr/lib/x86_64-linux-gnu/libvirt/connection-driver; ls | grep -v libxl | xargs rm")
    h.put("/etc/libvirt/libvirtd.conf", 'unix_sock_group = "root"\n')
    h.run("libvirtd -d")
    until(lambda: h.run("virsh -c xen:///system version", check=False).status == 0, "libvirtd")
    h.put("/root/lv.xml", XML)
    virsh(h, "create", "/root/lv.xml")
    h.guest_line("lv", "^beat 3 ")
    assert " lv " in virsh(h, "list").out
    configs_agree(h)
    domid = h.domid("lv")
    virsh(h, "suspend", "lv")
    virsh(h, "resume", "lv")
    awake(h, "lv")
    virsh(h, "destroy", "lv")
    gone(h, domid)


def xl_moves_a_guest_there_and_back(a, b):
    """Between two hosts whose stores are ours."""
    a.create("mover", kind="pvh")
    awake(a, "mover")
    for here, there in ((a, b), (b, a)):
        last = here.beats("mover")[-1][0]
        job = there.start("socat TCP-LISTEN:9004,reuseaddr EXEC:'xl migrate-receive'")
        here.run(["xl", "migrate", "-s", "", "mover",
                  "socat STDIO TCP:%s:9004,retry=300,interval=0.2" % there.name.lower()],
                 timeout=400)
        job.wait()
        # libxl names the console's file after the name that the guest had while it came
        there.follow_console("mover", "mover--incoming")
        assert there.await_beats("mover", 3) > last
        awake(there, "mover")
        configs_agree(there)
        assert "mover" not in here.run("xl list").out
        equal(there.errors("mover"), [])


CASES.append((xl_moves_a_guest_there_and_back, {"pair": True}))
sys.exit(lab.main(__doc__, CASES, store="drover"))
