#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Changes of devices whose backends do not answer, answer late, refuse or die; domids that are
another domain's by the time; guests and backend domains that write what they like.

Usage: config_backend_test.py [--kind drover|c] [--only CASE]...
"""
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import config_lib  # noqa: E402
import lib  # noqa: E402
import peers  # noqa: E402  pylint: disable=wrong-import-order
import xl  # noqa: E402
from config_lib import B, RECORD, UUID, ended, vdevs, without  # noqa: E402
from lib import equal  # noqa: E402

LIBXL = "/libxl/7/device/vbd/51728"
BACK = "/local/domain/9/backend/vbd/7/51728"
CASES = []


def case(function):
    def run():
        with lib.daemon() as d, config_lib.Host(d) as w:
            function(w.furnish(ring=True))
    run.__name__ = function.__name__
    CASES.append(run)
    return function


def only_the_first(w):
    equal(w.items(), {"vbd xvda": "attached", "vif 0": "attached"})
    equal(w.settled(), RECORD)
    w.no_files_left()


def seconds(function, *args):
    start = time.monotonic()
    function(*args)
    return time.monotonic() - start


# ---- backends ----

@case
def a_backend_that_never_answers(w):
    before = w.everything()
    r = w.drover("config", "attach", "--backend-timeout", "400", "7", "vbd", B, status=3)
    assert BACK in r.err and len(r.err.splitlines()) == 1, r
    w.unchanged(before)
    only_the_first(w)
    with xl.Backend(w, 9):
        w.drover("config", "attach", "7", "vbd", B)
    equal(vdevs(w.settled()), ["xvda", "xvdb"])


@case
def a_backend_that_answers_just_in_time(w):
    with xl.Backend(w, 9, xl.Policy(after_s=1.2)):
        took = seconds(w.drover, "config", "attach", "--backend-timeout", "20000", "7", "vbd", B)
        assert took >= 1.2
        equal(vdevs(w.settled()), ["xvda", "xvdb"])
        w.drover("config", "detach", "--backend-timeout", "20000", "7", "vbd", "xvdb")
    only_the_first(w)


@case
def a_backend_that_answers_too_late(w):
    with xl.Backend(w, 9, xl.Policy(after_s=0.6)) as b:
        w.drover("config", "attach", "--backend-timeout", "200", "7", "vbd", B, status=3)
        only_the_first(w)
        lib.until(lambda: not b.due, "the backend's answer")
        only_the_first(w)
        equal(w.dump("/local/domain/9/backend/vbd/7/51728"), {})


@case
def a_backend_that_refuses(w):
    with xl.Backend(w, 9, xl.Policy(error="2 opening /dev/vg0/b: no such device")):
        before = w.files()
        took = seconds(lambda: w.drover("config", "attach", "--backend-timeout", "20000", "7",
                                        "vbd", B, status=3))
        assert took < 15
        r = w.drover("config", "attach", "7", "vbd", B, status=3)
        assert "opening /dev/vg0/b: no such device" in r.err, r
        equal(len(r.err.splitlines()), 1)
        equal(w.files(), before)
        equal(w.dump(BACK), {})
    only_the_first(w)


@case
def a_backend_domain_that_dies_while_a_device_is_attached(w):
    with w.running("attach", "--backend-timeout", "30000", "7", "vbd", B) as p:
        w.await_node(BACK + "/state", "1")
        w.remove_domain(9)
        _, _, err = ended(p, 3, timeout=20)
    assert "9" in err and len(err.splitlines()) == 1, err
    only_the_first(w)


@case
def a_backend_domain_that_dies_while_a_device_is_detached(w):
    with xl.Backend(w, 9, xl.STUCK):
        w.drover("config", "attach", "7", "vbd", B)
        with w.running("detach", "--backend-timeout", "30000", "7", "vbd", "xvdb") as p:
            w.await_node(BACK + "/state", "5")
            w.remove_domain(9)
            ended(p, 0, timeout=20)
    only_the_first(w)


@case
def a_backend_that_does_not_let_go(w):
    with xl.Backend(w, 9, xl.STUCK):
        w.drover("config", "attach", "7", "vbd", B)
        r = w.drover("config", "detach", "--backend-timeout", "300", "7", "vbd", "xvdb", status=3)
        equal(len(r.err.splitlines()), 1)
        equal(w.items()["vbd xvdb"], "detaching")
        equal(w.ours(), RECORD)
        equal(w.ours("--persistent"), RECORD)
        w.drover("config", "detach", "--force", "7", "vbd", "xvdb")
        only_the_first(w)
        w.drover("config", "attach", "7", "vbd", B)
        w.drover("config", "detach", "--backend-timeout", "300", "7", "vbd", "xvdb", status=3)
        w.repair()
    only_the_first(w)


@case
def two_at_the_same_device(w):
    with w.running("attach", "--backend-timeout", "30000", "7", "vbd", B) as p:
        w.await_node(BACK + "/state", "1")
        equal(w.items()["vbd xvdb"], "adding")
        equal(w.ours(), RECORD)
        r = w.refused("attach", "7", "vbd", B, says="xvdb")
        assert str(p.pid) in r.err, r.err
        before = w.everything()
        w.drover("config", "repair", "7")   # leaves alone what somebody alive is at
        equal(w.everything(), before)
        with xl.Backend(w, 9):
            ended(p, 0)
    equal(vdevs(w.settled()), ["xvda", "xvdb"])
    w.refused("attach", "7", "vbd", B, says="xvdb")
    w.no_files_left()


@case
def a_store_that_goes_away(w):
    with w.running("attach", "--backend-timeout", "30000", "7", "vbd", B) as p:
        w.await_node(BACK + "/state", "1")
        w.d.kill()
        _, _, err = ended(p, 3, timeout=20)
    equal(len(err.splitlines()), 1)
    r = w.drover("config", "show", "7", status=3)
    assert w.socket in r.err and len(r.err.splitlines()) == 1, r
    assert any("drover-intent" in name for name in w.files())
    w.d.start()
    w.x = w.d.connect()
    if lib.kind_is_ours(w.d):       # it has kept its nodes
        equal(w.items()["vbd xvdb"], "half-added")
        w.repair()
        only_the_first(w)
    else:                           # it knows nobody
        w.refused("show", "7", says="7")
        w.refused("repair", "7", says="7")


# ---- states and values that no driver writes ----

@case
def a_backend_that_writes_nonsense(w):
    home = "/local/domain/0/backend/vbd/7/51712"
    good = w.items()
    for key, value in (("state", "x"), ("state", ""), ("state", "44"), ("state", "-1"),
                       ("state", "4" * 4000), ("state", "\0\0"), ("state", "99999999999999999999"),
                       ("online", "2"), ("params", "a\0b"), ("type", "\x7f\xff")):
        keep = w.x.read(home + "/" + key)
        w.x.write(home + "/" + key, value)
        report = w.report()
        equal((report["vif 0"]["verdict"], len(report)), ("attached", 2))
        assert len(report["vbd xvda"]["reason"]) < 256, report
        if key == "state":
            assert report["vbd xvda"]["verdict"] in ("damaged", "half-added"), (value, report)
        w.ours("--live", 0)
        w.x.write(home + "/" + key, keep)
        equal(w.items(), good)


@case
def a_backend_domain_that_fills_its_directory(w):
    with xl.Backend(w, 9):
        w.drover("config", "attach", "7", "vbd", B)
    good = w.ours()
    # C writes a node anew for each child that it gets.
    many = 100000 if lib.kind_is_ours(w.d) else 10000
    fill(w, [BACK + "/n%d" % i for i in range(many)], "v")
    told(w, good)
    w.rm(BACK)
    w.put(xl.disk_nodes(7, "xvdb", "/dev/vg0/b", 9))
    equal(w.settled(), good)
    fill(w, [BACK + "/n%d" % i for i in range(4000)], "v" * 4000)
    fill(w, [BACK + "/d" + "/d" * i for i in range(200)], "v")
    told(w, good)


def fill(w, paths, value):
    for at in range(0, len(paths), 500):
        for path in paths[at:at + 500]:
            w.x.send(peers.XS_WRITE, path.encode() + b"\0" + value.encode())
        for path in paths[at:at + 500]:
            equal(w.x.recv_reply().type, peers.XS_WRITE)


def told(w, good):
    """Bounded, the device told about, the others as before."""
    pid = os.fork()
    if not pid:
        out = os.open(os.devnull, os.O_WRONLY)
        os.dup2(out, 1)
        os.execve(w.drover_argv("config")[0], w.drover_argv("config", "check", "7"),
                  w.environment())
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 1), status
    sanitized = "-fsanitize" in open(peers.build_dir() + "/build.ninja").read()
    assert usage.ru_maxrss < 100 << 10 or sanitized, "%d KB" % usage.ru_maxrss
    assert usage.ru_utime + usage.ru_stime < 10, usage
    items = w.items()
    equal((items["vbd xvda"], items["vif 0"]), ("attached", "attached"))
    assert items["vbd xvdb"] in ("attached", "damaged"), items
    r = w.drover("config", "show", "--json", "7")
    equal(vdevs(r.json()), vdevs(good))


# ---- guests ----

def scribble(guest, number):
    """What a guest may do to its own nodes, as far as the store lets it."""
    front = "device/vbd/51712"
    for path, value in ((front + "/state", str(number % 9)), (front + "/state", "\0"),
                        (front + "/backend", "/local/domain/0/backend/vbd/8/51712"),
                        (front + "/backend-id", "8"), (front + "/virtual-device", "51728"),
                        (front + "/device-type", "cdrom"), (front + "/params", "/etc/shadow"),
                        (front + "/a/b/c/d", "x" * 2000), ("device/vif/0/mac", "no"),
                        ("device/vif/0/handle", "99"), ("data/x", "y")):
        lib.refusal(guest.write, path, value)
    for path in (front + "/state", front, "device/vif/0", "device/vbd/51728"):
        lib.refusal(guest.rm, path)


@case
def a_guest_that_writes_into_its_frontends(w):
    w.add_domain(8, "pv2", record=xl.config("pv2", xl.uuid_of(8),
                                            disks=[xl.disk("xvda", "/dev/vg0/pv2-root")]))
    w.add_disk(8, "xvda", "/dev/vg0/pv2-root")
    others = w.dump("/local/domain/0/backend/vbd/8"), w.dump("/libxl/8")
    live, report = w.ours(), w.report()
    with w.d.guest(7) as guest, xl.Backend(w, 9), xl.Backend(w, 0):
        front = w.dump("/local/domain/7/device/vbd/51712")
        for i in range(9):
            scribble(guest, i)
            assert w.dump("/local/domain/7/device/vbd/51712") != front
            equal(w.ours(), live)
            equal(w.report(), report)
        w.drover("config", "attach", "7", "vbd", B)
        scribble(guest, 4)
        equal(vdevs(w.settled()), ["xvda", "xvdb"])
        w.drover("config", "detach", "7", "vbd", "xvdb")
        w.drover("config", "detach", "7", "vbd", "xvda")
    equal(w.items(), {"vif 0": "attached"})
    equal((w.dump("/local/domain/0/backend/vbd/8"), w.dump("/libxl/8")), others)
    equal(w.dump("/local/domain/0/backend/vbd/7/51712"), {})


# ---- domids ----

def another(w, files):
    """Domain 7 is destroyed, and its domid is another domain's."""
    w.remove_domain(7, files)
    of = xl.uuid_of(7, 2)
    record = xl.config("pv2", of, disks=[xl.disk("xvda", "/dev/vg0/pv2-root")])
    w.add_domain(7, "pv2", of, record)
    w.add_disk(7, "xvda", "/dev/vg0/pv2-root")
    return record


def untouched(w, record):
    equal(w.record(7), record)
    equal(w.items(), {"vbd xvda": "attached"})
    equal(w.settled(), record)
    equal(w.dump(LIBXL), {})
    equal(w.dump("/local/domain/7/device/vbd/51728"), {})


@case
def a_domain_replaced_while_a_device_is_attached(w):
    for files in (True, False):
        with w.running("attach", "--backend-timeout", "30000", "7", "vbd", B) as p:
            w.await_node(BACK + "/state", "1")
            record = another(w, files)
            before = w.everything()
            with xl.Backend(w, 9):  # so that it need not wait to the end
                _, _, err = ended(p, None, timeout=40)
        equal((p.returncode, len(err.splitlines())), (3, 1))
        untouched(w, record)
        mine = {n: v for n, v in w.files().items() if w.uuid(7) in n}
        equal(mine, {n: v for n, v in before[0].items() if w.uuid(7) in n})
        w.remove_domain(7)
        w.rm(BACK)
        for name in w.files():
            os.unlink(w.userdata + "/" + name)
        w.add_domain(7, "pv1", UUID, RECORD)
        w.add_disk(7, "xvda", "/dev/vg0/pv1-root")
        w.add_nic(7, 0, "00:16:3e:11:22:33", "xenbr0")


@case
def a_domain_replaced_between_attaching_and_detaching(w):
    with xl.Backend(w, 9):
        w.drover("config", "attach", "7", "vbd", B)
        record = another(w, True)
        w.refused("detach", "7", "vbd", "xvdb", says=("xvdb", "7"))
    untouched(w, record)


@case
def a_domain_replaced_while_a_device_is_detached(w):
    with xl.Backend(w, 9, xl.STUCK):
        w.drover("config", "attach", "7", "vbd", B)
        with w.running("detach", "--backend-timeout", "30000", "7", "vbd", "xvdb") as p:
            w.await_node(BACK + "/state", "5")
            record = another(w, True)
            w.rm(BACK)
            ended(p, None, timeout=40)
    untouched(w, record)


@case
def a_record_and_an_intent_of_somebody_long_gone(w):
    with w.running("attach", "--backend-timeout", "30000", "7", "vbd", B) as p:
        w.await_node(BACK + "/state", "1")
        p.kill()
        p.wait()
    record = another(w, False)
    assert any("drover-intent" in n and UUID in n for n in w.files())
    untouched(w, record)
    w.rm(BACK)
    w.drover("config", "repair", "7")
    untouched(w, record)
    with xl.Backend(w, 9):
        w.drover("config", "attach", "7", "vbd", B)
        equal(vdevs(w.settled()), ["xvda", "xvdb"])
        w.drover("config", "detach", "7", "vbd", "xvdb")
    untouched(w, record)
    # Of the old one the record is as it was; its files go by its own uuid.
    assert "libxl-json" in " ".join(n for n in w.files() if UUID in n)
    w.drover("config", "record", "destroy", "7", UUID)
    equal([n for n in w.files() if UUID in n], [])
    untouched(w, record)


@case
def killed_while_its_backend_is_silent(w):
    with w.running("attach", "--backend-timeout", "30000", "7", "vbd", B) as p:
        w.await_node(BACK + "/state", "1")
        p.kill()
        p.wait()
    equal(w.items()["vbd xvdb"], "half-added")
    equal(w.ours(), RECORD)
    equal(w.ours("--persistent"), RECORD)
    w.repair()
    only_the_first(w)
    # And with a backend that had answered it is finished.
    with w.running("attach", "--backend-timeout", "30000", "7", "vbd", B) as p:
        w.await_node(BACK + "/state", "1")
        p.kill()
        p.wait()
    w.x.write(BACK + "/state", "4")
    equal(w.items()["vbd xvdb"], "attached")
    w.drover("config", "repair", "7")
    equal(vdevs(w.settled()), ["xvda", "xvdb"])
    w.no_files_left()
    # Killed while one goes: the repair ends it.
    with w.running("detach", "--backend-timeout", "30000", "7", "vbd", "xvdb") as p:
        w.await_node(BACK + "/state", "5")
        p.kill()
        p.wait()
    equal(w.items()["vbd xvdb"], "detaching")
    equal(w.ours(), RECORD)
    w.repair()
    only_the_first(w)


@case
def one_that_is_missing_or_in_the_store_alone_can_be_detached(w):
    w.set_record(7, without(RECORD, disks=[*RECORD["disks"], xl.disk("xvdb", "/dev/b")]))
    equal(w.items()["vbd xvdb"], "missing")
    w.drover("config", "detach", "7", "vbd", "xvdb")
    only_the_first(w)
    w.add_disk(7, "xvdb", "/dev/vg0/b", 9)
    equal(w.items()["vbd xvdb"], "store-only")
    with xl.Backend(w, 9):
        w.drover("config", "detach", "7", "vbd", "xvdb")
    only_the_first(w)


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
