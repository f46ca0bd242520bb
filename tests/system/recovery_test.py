#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Nothing is lost: the worker is killed and the program replaced under load, the keeper is killed
and started again, one request kills whoever handles it, and the journal is found damaged.

KILLS and UPDATES say how often (20 and 5 by default), TEST_XENSTORE_S how long test-xenstore is
disturbed (4 s).
"""
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import disturb  # noqa: E402
import lib  # noqa: E402
from lib import equal, peers, refusal, until  # noqa: E402

KILLS = int(os.environ.get("KILLS", "20"))
UPDATES = int(os.environ.get("UPDATES", "5"))
TEST_XENSTORE_S = float(os.environ.get("TEST_XENSTORE_S", "4"))
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 1 << 30)


def kept(d):
    """What the daemon's processes hold, once all is settled."""
    return lib.open_fds(d.pid), lib.open_fds(disturb.worker(d))


def disturbed(d, kills, updates):
    """Clients' counts, after that many disturbances in an order of the seed's."""
    r = random.Random(SEED)
    what = ["kill"] * kills + ["update"] * updates
    r.shuffle(what)
    with disturb.history(d, "--seed", str(SEED)) as h:
        h.progress(2)
        for turn in what:
            if turn == "update":
                disturb.live_update(d)
            else:
                disturb.kill_worker(d)
                if not r.randrange(4):      # and the next, in the midst of its recovery
                    disturb.kill_worker(d)
            h.progress(1 + r.randrange(3))
        counts = h.finish()
    print("# seed %d: %s" % (SEED, counts))
    return counts


def clients_and_guests_lose_nothing_to_kills_and_updates(d):
    try:
        counts = disturbed(d, KILLS, UPDATES)
    except AssertionError as e:
        raise AssertionError("%s\nagain: SEED=%d KILLS=%d UPDATES=%d %s" % (
            e, SEED, KILLS, UPDATES, __file__)) from e
    assert counts["held"] > 0 and counts["commits"] > 0 and counts["settles"] > 0, counts
    equal(counts["lost"], 0)
    lib.clean(d)


def nothing_is_kept_of_workers_that_are_gone(d):
    with d.connect() as x:
        x.write("/tests/kept", "1")
        for _ in range(3):
            disturb.kill_worker(d)
            equal(x.read("/tests/kept"), b"1")
        before = kept(d)
        for _ in range(10):
            disturb.kill_worker(d)
            equal(x.read("/tests/kept"), b"1")
        disturb.live_update(d)
        until(lambda: all(now <= was for now, was in zip(kept(d), before)),
              "descriptors: %s were %s" % (kept(d), before))
        x.rm("/tests")


def test_xenstore_never_notices(d):
    tester = lib.need(peers.XEN_BIN + "/test-xenstore")
    end = time.monotonic() + TEST_XENSTORE_S
    with lib.started([tester, "-r", "%d" % TEST_XENSTORE_S], env=lib.environment(d)) as p, \
            d.connect() as x:
        killed = 0
        while p.poll() is None and time.monotonic() < end + lib.TIMEOUT:
            disturb.kill_worker(d)
            killed += 1
            for _ in range(200):
                x.ls("/")
        out = p.stdout.read()
        assert p.wait(lib.TIMEOUT) == 0, "exit %d after %d kills\n%s" % (p.returncode, killed, out)
    assert killed >= 3, killed


def all_that_a_client_has_outlives_the_worker(d):
    """One of everything, looked at from outside."""
    domid = d.create_guest()
    with d.connect() as x, d.connect() as y, d.guest(domid) as g:
        x.write("/tests/a", "1")
        x.setperms("/tests/a", "n0", "r%d" % domid)
        x.watch("/tests", "tok")
        equal(x.next_event(lib.TIMEOUT), ("/tests", "tok"))
        x.setperms("@releaseDomain", "n0", "r%d" % domid)
        g.watch("@releaseDomain", "died")
        equal(g.next_event(lib.TIMEOUT), ("@releaseDomain", "died"))
        tx = x.begin()
        x.write("/tests/b", "in tx", tx)
        lost = y.begin()
        y.read("/tests/a", lost)
        y.write("/tests/c", "too late", lost)
        quotas = x.control("quota")
        x.send_raw(b"\x0b\0\0\0\x63\0\0\0\0\0\0\0\x0a\0\0\0/tests")     # a WRITE, begun
        disturb.kill_worker(d)
        g.write("data", "mine")
        equal(g.read("data"), b"mine")
        y.write("/tests/a", "2")
        equal(y.perms("/tests/a"), ["n0", "r%d" % domid])
        disturb.kill_worker(d)
        x.send_raw(b"/d\x001")
        equal(x.next_event(lib.TIMEOUT), ("/tests/a", "tok"))
        equal(x.next_event(lib.TIMEOUT), ("/tests/d", "tok"))
        equal(x.recv_reply()[:2], (peers.XS_WRITE, 0x63))
        equal(x.read("/tests/b", tx), b"in tx")
        x.commit(tx)
        equal(x.read("/tests/b"), b"in tx")
        equal(refusal(y.commit, lost), "EAGAIN")
        equal(y.control("quota"), quotas)
        assert y.begin() > lost, "transactions are counted anew"
        d.sim.destroy(d.create_guest(client=y))
        equal(g.next_event(lib.TIMEOUT), ("@releaseDomain", "died"))
        x.rm("/tests")
    d.sim.destroy(domid)


def guests_go_on_when_the_keeper_is_killed(d):
    _again(d, lambda: d.kill(signal.SIGKILL))


def a_store_goes_on_where_it_was_ended(d):
    _again(d, lambda: equal(d.kill(signal.SIGTERM), 0))


def _again(d, end):
    domid = d.create_guest()
    with d.connect() as x, d.guest(domid) as g:
        x.write("/tests/a", "1")
        x.watch("/tests", "tok")
        g.watch("device", "tok")
        equal(g.next_event(lib.TIMEOUT), ("device", "tok"))
        tx = g.begin()
        g.write("data", "in tx", tx)
        end()
        g.send(peers.XS_READ, b"data\0")        # asked of nobody yet
        d.start()
        equal(g.recv_reply()[0], peers.XS_ERROR)
        g.commit(tx)
        equal(g.read("data"), b"in tx")
        with d.connect() as y:
            equal(y.read("/tests/a"), b"1")
            y.write("/local/domain/%d/device/vif" % domid, "1")
            equal(g.next_event(lib.TIMEOUT)[1], "tok")
            y.write("/tests/b", "1")            # nobody is left to be told
            y.rm("/tests")
    d.sim.destroy(domid)
    lib.clean(d)


def a_request_that_kills_twice_is_refused(d):
    with d.connect() as x, d.connect() as y:
        x.write("/tests/a", "1")
        y.watch("/tests", "tok")
        y.next_event(lib.TIMEOUT)
        before = disturb.worker(d)
        x.send(peers.XS_WRITE, b"/tests/b\0poison: whoever copies this dies")
        x.send(peers.XS_WRITE, b"/tests/c\0after it")
        equal(x.recv_reply()[3], b"EIO\0")
        equal(x.recv_reply()[0], peers.XS_WRITE)
        assert disturb.worker(d) != before
        equal((refusal(x.read, "/tests/b"), x.read("/tests/c")), ("ENOENT", b"after it"))
        equal(y.next_event(lib.TIMEOUT), ("/tests/c", "tok"))
        survivor = disturb.worker(d)
        equal(refusal(x.write, "/tests/b", "poison: whoever copies this dies"), "EIO")
        assert disturb.worker(d) != survivor
        x.rm("/tests")
    log = d.output()
    assert "/tests/b" in log or "2f74657374732f62" in log.replace(" ", ""), log


def _journal(d):
    """Its files, that of a store with something in it; the daemon has ended."""
    with d.connect() as x:
        for i in range(200):
            x.write("/tests/%d" % i, "value")
    d.kill(signal.SIGKILL)
    folder = d.run + "/journal"
    files = {name: open("%s/%s" % (folder, name), "rb").read() for name in os.listdir(folder)
             if name.startswith(("area", "base", "log"))}
    assert len(files) >= 5, files.keys()
    return folder, files


def _put(folder, files):
    for name, octets in files.items():
        with open("%s/%s" % (folder, name), "wb") as f:
            f.write(octets)


def _starts(d):
    """None, or what it says when it does not."""
    try:
        d.start()
        with d.connect() as x:      # its socket is there before it has read the journal
            x.ls("/")
    except RuntimeError as e:
        return str(e)
    except (peers.Closed, ConnectionError, FileNotFoundError):     # or has gone already
        d.process.wait(lib.TIMEOUT)
        return d.output()
    return None


def a_damaged_journal_is_named_and_can_be_discarded(d):
    folder, files = _journal(d)
    used = sorted(name for name in files if files[name].strip(b"\0"))
    assert any(name.startswith("log") for name in used), used
    for name in used:
        octets = files[name]
        end = len(octets.rstrip(b"\0"))
        for what, bad in (("cut", octets[:end // 2]), ("gone", b""), ("zero", bytes(len(octets))),
                          ("flipped", octets[:end // 2] +
                           bytes(o ^ 0xff for o in octets[end // 2:end]) + octets[end:])):
            _put(folder, dict(files, **{name: bad}))
            open(d.log, "w").close()
            said = _starts(d)
            if said is None:        # harmless, or refused; never half
                with d.connect() as x:
                    got = x.ls("/")
                    assert (name, what) == ("area", "gone") and "tests" not in got or \
                        len(x.ls("/tests")) == 200, "%s %s: %r" % (name, what, got)
                d.kill(signal.SIGKILL)
            else:
                assert folder in said and ("journal/" + name in said or name in said), \
                    "%s %s: %s" % (name, what, said)
    _put(folder, dict(files, area=b"no area at all" * 1000))
    assert _starts(d), "an area that is none was accepted"
    d.args.append("--discard-state")
    equal(_starts(d), None)
    with d.connect() as x:
        equal(refusal(x.ls, "/tests"), "ENOENT")


def a_journal_of_another_boot_is_empty(d):
    folder, files = _journal(d)
    with open("/proc/sys/kernel/random/boot_id", "rb") as f:
        boot = f.read().strip()
    assert boot in files["area"], "no boot id in the area"
    other = boot.translate(bytes.maketrans(b"0123456789", b"1234567890"))
    _put(folder, dict(files, area=files["area"].replace(boot, other, 1)))
    equal(_starts(d), None)
    with d.connect() as x:
        equal(refusal(x.ls, "/tests"), "ENOENT")


if __name__ == "__main__":
    OWN = {"args": []}
    preload = {"env": disturb.POISONED}
    sys.exit(lib.main(__doc__, [
        clients_and_guests_lose_nothing_to_kills_and_updates,
        all_that_a_client_has_outlives_the_worker, nothing_is_kept_of_workers_that_are_gone,
        test_xenstore_never_notices, guests_go_on_when_the_keeper_is_killed,
        a_store_goes_on_where_it_was_ended,
        (a_request_that_kills_twice_is_refused, preload),
        (a_damaged_journal_is_named_and_can_be_discarded, OWN),
        (a_journal_of_another_boot_is_empty, OWN)]))
