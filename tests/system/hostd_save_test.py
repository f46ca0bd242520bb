#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Guests that are saved to files and restored from them, by unmodified virsh: whatever a saving or
restoring is cut short by, there is either the guest that runs, or its whole file; and a guest that
was restored goes on counting where it was saved.

Usage: hostd_save_test.py [--only CASE]...

The daemon dies at a sample of its system calls; CRASH_EVERY=1 takes the first few of each kind,
CRASH_SEED=N the same sample again.
"""
import contextlib
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hostd_lib  # noqa: E402
import hosts  # noqa: E402
import lib  # noqa: E402
from lib import equal, until  # noqa: E402

SEED = int(os.environ.get("CRASH_SEED", random.randrange(1 << 30)))
EVERY = int(os.environ.get("CRASH_EVERY", 0))
# Each death is a start of the daemon, which costs a sanitizer ten times as much.
SANITIZED = "-fsanitize" in open(hostd_lib.build_dir() + "/build.ninja").read()
SAMPLE = 3 if SANITIZED else 6      # of the deaths while it saves, and while it restores
# All by which a saving or restoring leaves something behind.
CALLS = ["openat", "pwrite64", "ftruncate", "fsync", "rename", "renameat", "unlink", "unlinkat",
         "socketpair", "sendmsg", "pidfd_send_signal", "pread64"]
STRACE = shutil.which("strace") or "/usr/bin/strace"


@contextlib.contextmanager
def guest(words="", store=None, **more):
    """A host with one guest that runs."""
    with hostd_lib.Hostd(store, **more) as h:
        h.virsh("define", h.xml("g1", words))
        h.virsh("start", "g1")
        await_tick(h)
        yield h


def numbers(h, name="g1"):
    return [int(line[1]) for line in h.ticks(name) if line[0] == "TICK"]


def await_tick(h, name="g1"):
    """It counts, now."""
    def count():
        return len(h.ticks(name)) if os.path.exists("%s/log/%s.ticks" % (h.dir, name)) else 0
    before = count()
    until(lambda: count() > before, "a tick of " + name)


def counted_all(h, name="g1", lives=1):
    """Each number once, in order; as often from the first one on as it was booted."""
    got = numbers(h, name)
    starts = [i for i, n in enumerate(got) if n == 1] + [len(got)]
    equal(len(starts) - 1, lives)
    for begin, end in zip(starts, starts[1:]):
        equal(got[begin:end], list(range(1, end - begin + 1)))


def parts(h):
    """What is left of savings."""
    return [name for folder in (h.dir, h.dir + "/state/save") for name in os.listdir(folder)
            if name.endswith(".part")]


def a_saved_guest_counts_on_where_it_was():
    with guest() as h:
        path = h.dir + "/g1.saved"
        h.virsh("save", "g1", path)
        equal((h.state("g1"), h.virsh("domstate", "--reason", "g1").out.strip()),
              ("shut off", "shut off (saved)"))
        equal(h.processes(), [])
        before = numbers(h)[-1]
        h.virsh("restore", path)
        equal(h.virsh("domstate", "--reason", "g1").out.strip(), "running (restored)")
        await_tick(h)
        assert numbers(h)[-1] > before
        # The file is its owner's, and may be used again.
        h.refused("restore", path)
        h.virsh("destroy", "g1")
        h.virsh("restore", path)
        await_tick(h)
        assert os.path.exists(path) and not parts(h)


def a_guest_that_was_paused_stays_so_unless_a_flag_says_otherwise():
    with guest() as h:
        path = h.dir + "/g1.saved"
        for before, save, restore, after in (
                ("running", [], [], "running"), ("running", ["--paused"], [], "paused"),
                ("running", [], ["--paused"], "paused"), ("paused", [], [], "paused"),
                ("paused", ["--running"], [], "running"),
                ("paused", ["--running"], ["--paused"], "paused"),
                ("paused", [], ["--running"], "running")):
            if h.state("g1") != before:
                h.virsh("suspend" if before == "paused" else "resume", "g1")
            h.virsh("save", "g1", path, *save)
            h.virsh("restore", path, *restore)
            equal((before, save, restore, h.state("g1")), (before, save, restore, after))
        h.virsh("resume", "g1") if h.state("g1") == "paused" else None
        await_tick(h)
        counted_all(h)


def a_managed_file_is_what_a_guest_starts_from():
    with guest() as h:
        h.virsh("managedsave", "g1")
        assert re.search(r"Managed save:\s+yes", h.virsh("dominfo", "g1").out)
        equal(h.names("--all", "--with-managed-save"), ["g1"])
        assert "saved" in h.virsh("list", "--all", "--managed-save").out
        assert "<name>g1</name>" in h.virsh("managedsave-dumpxml", "g1").out
        h.stop()
        h.start()
        equal(h.names("--all", "--with-managed-save"), ["g1"])
        assert "managed" in h.refused("undefine", "g1")
        h.virsh("start", "g1")
        equal(h.names("--all", "--with-managed-save"), [])
        await_tick(h)
        counted_all(h)
        equal(os.listdir(h.dir + "/state/save"), [])

        h.virsh("managedsave", "g1", "--paused")
        h.virsh("start", "g1")
        equal(h.state("g1"), "paused")
        h.virsh("resume", "g1")
        h.virsh("managedsave", "g1")
        h.virsh("start", "g1", "--paused")
        equal(h.state("g1"), "paused")
        h.virsh("resume", "g1")
        await_tick(h)
        counted_all(h)

        h.virsh("managedsave", "g1")
        h.virsh("start", "g1", "--force-boot")
        await_tick(h)
        counted_all(h, lives=2)
        h.virsh("managedsave", "g1")
        h.virsh("managedsave-remove", "g1")
        h.virsh("start", "g1")
        await_tick(h)
        counted_all(h, lives=3)
        h.virsh("managedsave", "g1")
        h.virsh("undefine", "g1", "--managed-save")
        equal((h.names("--all"), os.listdir(h.dir + "/state/save")), ([], []))


def a_guest_that_starts_with_its_host_starts_from_its_managed_file():
    with guest() as h:
        h.virsh("autostart", "g1")
        h.virsh("managedsave", "g1")
        h.stop()
        os.unlink(h.dir + "/run/autostarted")
        h.start()
        until(lambda: h.state("g1") == "running", "its start")
        await_tick(h)
        counted_all(h)


def what_is_not_offered_is_refused_by_name():
    with guest() as h:
        path = h.dir + "/f"
        assert "BYPASS_CACHE" in h.refused("save", "g1", path, "--bypass-cache")
        assert "BYPASS_CACHE" in h.refused("managedsave", "g1", "--bypass-cache")
        h.refused("save", "g1", path, "--running", "--paused")
        h.refused("save", "g1", h.dir + "/nowhere/f")
        h.refused("save", "g1", h.dir)
        h.refused("restore", path)
        h.refused("restore", h.dir)
        h.refused("managedsave-dumpxml", "g1")
        assert "read" in h.refused("save", "g1", path, read_only=True)
        await_tick(h)
        h.virsh("save", "g1", path)
        assert "not running" in h.refused("save", "g1", path)
        assert "BYPASS_CACHE" in h.refused("restore", path, "--bypass-cache")
        h.virsh("create", h.xml("g2"))
        assert "transient" in h.refused("managedsave", "g2")
        h.virsh("restore", path)
        await_tick(h)
        counted_all(h)
        equal(parts(h), [])


def a_definition_is_changed_where_it_is_the_same_machine():
    with guest() as h:
        path, xml = h.dir + "/f", h.dir + "/other.xml"

        def other(old, new):
            with open(h.dir + "/g1.xml") as f, open(xml, "w") as out:
                out.write(f.read().replace(old, new))

        other("<memory unit='MiB'>4", "<memory unit='MiB'>8")
        assert "memory" in h.refused("save", "g1", path, "--xml", xml)
        assert not os.path.exists(path)
        other("</domain>", "<title>first</title></domain>")
        h.virsh("save", "g1", path, "--xml", xml)
        assert "first" in h.virsh("save-image-dumpxml", path).out
        other("</domain>", "<title>second</title></domain>")
        h.virsh("save-image-define", path, xml)
        assert "second" in h.virsh("save-image-dumpxml", path).out
        other("<vcpu>1", "<vcpu>2")
        assert "vcpu" in h.refused("save-image-define", path, xml)
        h.refused("restore", path, "--xml", xml)
        assert "second" in h.virsh("save-image-dumpxml", path).out
        other("</domain>", "<title>third</title></domain>")
        h.virsh("restore", path, "--xml", xml)
        assert "third" in h.virsh("dumpxml", "g1").out
        await_tick(h)
        counted_all(h)
        h.virsh("managedsave", "g1")
        h.virsh("managedsave-define", "g1", xml, "--paused")
        h.virsh("start", "g1")
        equal(h.state("g1"), "paused")


HEAD = {"magic": 0, "version": 8, "size": 12, "generation": 16, "flags": 20, "uuid": 24, "id": 40,
        "epoch": 56, "saved": 64, "backend": 72, "xml": 88, "memory": 112, "store": 136,
        "unused": 160, "sum": 248}


def a_damaged_file_is_refused_and_leaves_nothing():
    with lib.daemon() as d, guest(store=d) as h:
        path = h.dir + "/f"
        h.virsh("save", "g1", path)
        with open(path, "rb") as f:
            whole = bytearray(f.read())
        places = dict(HEAD)
        for name in ("xml", "memory", "store"):
            at, size = struct.unpack_from("<QQ", whole, HEAD[name])
            places["first of " + name], places["last of " + name] = at, at + size - 1
            places["where " + name], places["size of " + name] = HEAD[name], HEAD[name] + 8
        for name, at in places.items():
            broken = bytearray(whole)
            broken[at] ^= 0x20
            with open(path, "wb") as f:
                f.write(broken)
            said = h.refused("restore", path)
            assert path in said or "memory" in said, "%s: %s" % (name, said)
            equal((name, h.state("g1"), h.processes()), (name, "shut off", []))
        for size in (0, 100, 4096, 8191, 8192, len(whole) // 2):
            with open(path, "wb") as f:
                f.write(whole[:size])
            h.refused("restore", path)
            h.refused("save-image-dumpxml", path)
        with open(path, "wb") as f:
            f.write(whole)
        h.virsh("restore", path)
        await_tick(h)
        counted_all(h)


def the_guests_part_of_the_store_comes_along():
    with lib.daemon() as d, guest(store=d) as h:
        def domains(x):
            return [int(name) for name in x.ls("/local/domain") if name != "0"]
        with d.connect() as x:
            domid, = domains(x)
            x.write("/local/domain/%d/data/kept" % domid, "by the guest")
            h.virsh("save", "g1", h.dir + "/f")
            equal(domains(x), [])
            h.virsh("restore", h.dir + "/f")
            domid, = domains(x)
            equal(x.read("/local/domain/%d/data/kept" % domid), b"by the guest")
            h.virsh("managedsave", "g1")
            equal(domains(x), [])
            h.virsh("start", "g1")
            domid, = domains(x)
            equal(x.read("/local/domain/%d/data/kept" % domid), b"by the guest")
        await_tick(h)
        counted_all(h)


@contextlib.contextmanager
def being_saved(h):
    """Its process, which is stopped, and virsh, which waits for it."""
    pid, = h.processes()
    os.kill(pid, signal.SIGSTOP)
    with subprocess.Popen(h.argv("save", "g1", h.dir + "/f"), stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as p:
        try:
            until(lambda: "Unbounded" in h.virsh("domjobinfo", "g1").out, "the job")
            yield pid, p
        finally:
            p.kill()


def a_saving_is_aborted_and_the_guest_goes_on():
    with guest("whole fill") as h:
        with being_saved(h) as (pid, p):
            assert "saved" in h.refused("migrate", "g1", "--p2p", "--desturi", h.uri())
            h.virsh("domjobabort", "g1")
            os.kill(pid, signal.SIGCONT)
            assert "aborted" in p.communicate(timeout=lib.TIMEOUT)[1]
        equal(p.returncode, 1)
        equal(h.state("g1"), "running")
        await_tick(h)
        counted_all(h)
        assert not os.path.exists(h.dir + "/f") and not parts(h)


def a_guest_that_is_being_saved_can_be_destroyed():
    with guest() as h:
        with being_saved(h) as (_, p):
            h.virsh("destroy", "g1")
            equal(p.wait(lib.TIMEOUT), 1)
        equal((h.state("g1"), h.processes()), ("shut off", []))
        assert not os.path.exists(h.dir + "/f") and not parts(h)
        h.virsh("start", "g1")
        await_tick(h)


def a_guest_that_dies_while_it_is_saved_has_no_file():
    with guest() as h:
        with being_saved(h) as (pid, p):
            os.kill(pid, signal.SIGKILL)
            equal(p.wait(lib.TIMEOUT), 1)
        until(lambda: h.state("g1") == "shut off", "its end")
        assert not os.path.exists(h.dir + "/f") and not parts(h)


@contextlib.contextmanager
def small_disk(kib):
    with lib.scratch() as directory:
        words = ["mount", "-t", "tmpfs", "-o", "size=%dk" % kib, "tmpfs", directory]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            raise lib.Skip("nothing can be mounted here")
        try:
            yield directory
        finally:
            subprocess.run(["umount", directory], check=True)


def where_the_disk_is_full_the_guest_goes_on():
    for kib in (4, 12, 64, 2048):
        with small_disk(kib) as disk, guest("whole fill") as h:
            said = h.refused("save", "g1", disk + "/f")
            assert "No space" in said, said
            equal((h.state("g1"), os.listdir(disk)), ("running", []))
            await_tick(h)
            counted_all(h)
            h.virsh("save", "g1", h.dir + "/f")
            h.virsh("restore", h.dir + "/f")
            await_tick(h)
            counted_all(h)


def many_are_saved_and_restored_at_once():
    with hostd_lib.Hostd() as h:
        names = ["m%d" % i for i in range(10)]
        for name in names:
            h.virsh("define", h.xml(name))
            h.virsh("start", name)
        for _ in range(2):
            for verb in ("managedsave", "start"):
                started = [subprocess.Popen(h.argv(verb, name), stdin=subprocess.DEVNULL)
                           for name in names]
                equal([p.wait(lib.TIMEOUT) for p in started], [0] * len(names))
        for name in names:
            await_tick(h, name)
            counted_all(h, name)


def a_file_of_a_guest_that_was_given_away_is_refused():
    with lib.scratch() as da, lib.scratch() as db:
        where = [["--peer-address", "unix://%s/sock" % x, "--migration-address", "127.0.0.1"]
                 for x in (da, db)]
        with guest(directory=da, args=where[0]) as a, \
                hostd_lib.Hostd(None, db, where[1], "hostb") as b:
            a.virsh("managedsave", "g1")
            managed, = os.listdir(da + "/state/save")
            shutil.copy(da + "/state/save/" + managed, da + "/f")
            a.virsh("start", "g1")
            a.virsh("migrate", "--live", "g1", b.uri())
            assert "given to another host" in a.refused("restore", da + "/f")
            a.stop()
            shutil.copy(da + "/f", da + "/state/save/" + managed)
            a.start()
            assert "given to another host" in a.refused("start", "g1")
            equal((a.processes(), b.state("g1")), ([], "running"))
            # Back here it has run since: of itself the daemon starts no old file.
            b.virsh("migrate", "--live", "g1", a.uri())
            a.virsh("destroy", "g1")
            assert "has run since" in a.refused("start", "g1")
            a.virsh("restore", da + "/f")
            equal(a.state("g1"), "running")


# ---- the daemon dies at each step ----

@contextlib.contextmanager
def killed_at(h, call, n):
    """The daemon dies when one of its threads is about to make its n-th such call from now on."""
    argv = [lib.need(STRACE), "-f", "-q", "-o", "/dev/null", "-p", str(h.process.pid),
            "-e", "trace=" + call, "-e", "inject=%s:signal=KILL:when=%d" % (call, n)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as p:
        until(lambda: traced(h.process.pid), "strace")
        try:
            yield
        finally:
            if p.poll() is None:
                p.send_signal(signal.SIGINT)
            try:
                p.communicate(timeout=2)
            except subprocess.TimeoutExpired:
                p.kill()    # it waits for threads of the daemon, which wait for it
                p.communicate(timeout=lib.TIMEOUT)


def traced(pid):
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/status" % (pid, task)) as f:
            if "\nTracerPid:\t0\n" in f.read():
                return False
    return True


def attempt(h, call, n, *words):
    """virsh, and a daemon that may die meanwhile and is there again: whether it died."""
    with killed_at(h, call, n):
        h.virsh(*words, status=None)
    # Nobody kills it any more: it answers, or has died.
    until(lambda: h.process.poll() is not None or not h.virsh("uri", status=None).status,
          "the daemon's end, or not")
    died = h.process.poll() is not None
    if died:
        h.process.stdout.close()
        h.start()
    return died


def settled(h, path):
    """Either it runs, or its file is there: which."""
    def known():
        state = h.state("g1")
        return state if state in ("running", "shut off") and not parts(h) else None
    until(known, "an end: %s %s" % (h.state("g1"), h.log()[-2000:]))
    state = known()
    if state == "running":
        await_tick(h)
        return state
    equal(h.processes(), [])
    assert os.path.exists(path), h.log()[-3000:]
    return "saved"


def instants(r):
    """Kinds of calls, and the how-manieth of them."""
    all_of_them = [(call, n) for n in (1, 2, 3) for call in CALLS]
    return all_of_them if EVERY else r.sample(all_of_them[:len(CALLS) * 3 // 2], SAMPLE)


def deaths(h, path, save, restore):
    """Each of both, the daemon dying now and then; how often each came of it."""
    r, ends = random.Random(SEED), {}
    print("# CRASH_SEED=%d" % SEED)
    for words in (save, restore):
        for call, n in instants(r):
            before = settled(h, path)
            if before != ("running" if words is save else "saved"):
                h.virsh(*(restore if words is save else save))
            died = attempt(h, call, n, *words)
            after = settled(h, path)
            key = "%s %s" % (words[0], after if died else "lived")
            ends[key] = ends.get(key, 0) + 1
            # What was restored by hand leaves its file; of a managed one there is nothing left.
            if after == "running" and words[0] == "start":
                assert not os.path.exists(path), (call, n, h.log()[-2000:])
    if settled(h, path) == "saved":
        h.virsh(*restore)
    await_tick(h)
    counted_all(h)
    return ends


def whenever_the_daemon_dies_there_is_the_guest_or_its_file():
    with guest() as h:
        path = h.dir + "/f"
        ends = deaths(h, path, ["save", "g1", path], ["restore", path])
        print("# " + str(ends))


def whenever_the_daemon_dies_there_is_the_guest_or_its_managed_file():
    with lib.daemon() as d, guest(store=d) as h:
        h.virsh("managedsave", "g1")
        name, = os.listdir(h.dir + "/state/save")
        ends = deaths(h, h.dir + "/state/save/" + name, ["managedsave", "g1"], ["start", "g1"])
        print("# " + str(ends))


def a_daemon_that_ends_while_it_saves_lets_the_guest_go_on():
    with guest() as h:
        with being_saved(h) as (pid, p):
            h.stop()
            equal(p.wait(lib.TIMEOUT), 1)
        os.kill(pid, signal.SIGCONT)
        h.start()
        equal(settled(h, h.dir + "/f"), "running")
        counted_all(h)


# ---- guests of QEMU ----

def damaged_memory_is_not_run(a, path):
    """QEMU itself would take it: what it reads has no checksums."""
    with open(path, "r+b") as f:
        at, size = struct.unpack_from("<QQ", f.read(256), HEAD["memory"])
        for place in (at + size // 2, at + size - 1):
            f.seek(place)
            octet = f.read(1)[0]
            for change in (0x10, 0):
                f.seek(place)
                f.write(bytes([octet ^ change]))
                f.flush()
                if change:
                    try:
                        a.virsh("restore", path)
                        raise AssertionError("it runs")
                    except hosts.HostError as e:
                        assert "memory is damaged" in str(e) or "read the guest" in str(e), e
                    equal((a.virsh("domstate", "tick").strip(), a.guests()), ("shut off", []))


def guests_of_qemu_are_saved_and_restored():
    why = hosts.usable()
    if why or not os.access(hosts.EMULATOR, os.X_OK):
        raise lib.Skip(why or "there is no emulator")
    with tempfile.TemporaryDirectory(prefix="drover-save-") as base, hosts.Drover(base, "a") as a:
        path = base + "/tick.saved"
        a.virsh("define", hosts.tick_xml(base, "tick"))
        a.virsh("start", "tick")
        a.await_ticks("tick", 3)
        for save, restore in ((["save", "tick", path], ["restore", path]),
                              (["managedsave", "tick"], ["start", "tick"])):
            a.virsh(*save)
            equal((a.virsh("domstate", "tick").strip(), a.guests()), ("shut off", []))
            if save[0] == "save":
                damaged_memory_is_not_run(a, path)
            a.virsh(*restore)
            a.await_ticks("tick", 3)
        # Killed when it has all, and before it is known.
        with subprocess.Popen(a.argv("managedsave", "tick"), stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as p:
            lib.until(lambda: "paused" in a.virsh("domstate", "tick")
                      or p.poll() is not None, "its stop")
            a.kill()
            p.wait(lib.TIMEOUT)
        a.start()
        lib.until(lambda: a.virsh("domstate", "tick").strip() in ("running", "shut off"), "its end")
        if a.virsh("domstate", "tick").strip() == "shut off":
            a.virsh("start", "tick")
        a.await_ticks("tick", 3)
        got = a.ticks("tick")
        equal(got, list(range(got[0], got[0] + len(got))))


CASES = [
    a_saved_guest_counts_on_where_it_was,
    a_guest_that_was_paused_stays_so_unless_a_flag_says_otherwise,
    a_managed_file_is_what_a_guest_starts_from,
    a_guest_that_starts_with_its_host_starts_from_its_managed_file,
    what_is_not_offered_is_refused_by_name,
    a_definition_is_changed_where_it_is_the_same_machine,
    a_damaged_file_is_refused_and_leaves_nothing,
    the_guests_part_of_the_store_comes_along,
    a_saving_is_aborted_and_the_guest_goes_on,
    a_guest_that_is_being_saved_can_be_destroyed,
    a_guest_that_dies_while_it_is_saved_has_no_file,
    where_the_disk_is_full_the_guest_goes_on,
    many_are_saved_and_restored_at_once,
    a_file_of_a_guest_that_was_given_away_is_refused,
    whenever_the_daemon_dies_there_is_the_guest_or_its_file,
    whenever_the_daemon_dies_there_is_the_guest_or_its_managed_file,
    a_daemon_that_ends_while_it_saves_lets_the_guest_go_on,
    guests_of_qemu_are_saved_and_restored,
]

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
