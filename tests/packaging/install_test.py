#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The packages of `make deb` in a clean Debian 12, as an operator has them: installed, upgraded
while the store serves, refused to be removed then, removed, purged, with systemd and without.

    tests/packaging/install_test.py --debs build/deb

Needs root, and the sources of packages that this machine itself has. Each machine of the test is
namespaces around a folder below DEBS/../deb-tree; nothing is installed here. The last line is
'N passed, N failed'.
"""
import argparse
import glob
import os
import re
import signal
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
import lib  # noqa: E402
import tree  # noqa: E402
from lib import equal, peers, until  # noqa: E402

DAEMON, HOSTD = "/usr/sbin/drover-xenstored", "/usr/sbin/drover-hostd"
SOCKET = "/run/xenstored/socket"
SIMULATED = ["--hv=sim:/run/drover/sim", "--pid-file", "/run/xenstored/xenstored.pid"]
# What dpkg, ldconfig and adduser keep of their own doings.
THEIRS = re.compile(r"/var/lib/dpkg/|/var/log/(dpkg|alternatives)|/var/cache/(ldconfig|debconf|man)"
                    r"|/etc/(ld\.so\.cache|g?shadow-?|group-?|passwd-?|subgid-?)$|/var/lib/systemd/"
                    r"|/run/(systemd|lock|log|utmp|udev)|/var/(log|lib)/(journal|dbus)|/tmp/"
                    r"|/etc/machine-id|/var/log/(wtmp|btmp|lastlog)|/etc/\.pwd\.lock|/run/initctl"
                    r"|/run/(user|mount|credentials|agetty|blkid|cryptsetup|sshd|host)|/run/dbus")


def deb_fields(deb):
    out = subprocess.run(["dpkg-deb", "-f", deb, "Package", "Version", "Depends"], check=True,
                         capture_output=True, text=True).stdout
    return dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)


class Debs:
    """The packages, and further versions made of them."""

    def __init__(self, folder, scratch):
        self.files = sorted(f for f in glob.glob(folder + "/*.deb") if "-dbgsym_" not in f)
        assert self.files, "no packages in %s: make deb" % folder
        self.scratch = scratch
        self.names = [deb_fields(f)["Package"] for f in self.files]
        self.version = deb_fields(self.files[0])["Version"]
        self.upstream = self.version.rsplit("-", 1)[0]

    def dependencies(self):
        """Of all of them, none of their own: each the first of its alternatives."""
        found = set()
        for deb in self.files:
            for clause in deb_fields(deb).get("Depends", "").split(","):
                name = re.split(r"[ |(:]", clause.strip())[0]
                if name and name not in self.names:
                    found.add(name)
        return sorted(found | {"systemd", "dbus"})

    def later(self, version, program=None):
        """All of them as that version; program: what drover-xenstored is then, None: one that says
        the new version of itself."""
        out = "%s/%s" % (self.scratch, version)
        os.mkdir(out)
        for deb in self.files:
            at = out + "/x"
            subprocess.run(["dpkg-deb", "-R", deb, at], check=True)
            self._edit(at + "/DEBIAN/control", version + "-1")
            for name in ("/usr/sbin/drover-xenstored", "/usr/sbin/drover-hostd"):
                self._renumber(at + name, version)
            if program and os.path.exists(at + DAEMON):
                shutil.copy(program, at + DAEMON)
            subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", at, out],
                           check=True, stdout=subprocess.DEVNULL)
            shutil.rmtree(at)
        return sorted(glob.glob(out + "/*.deb"))

    def _edit(self, control, version):
        with open(control, encoding="utf-8") as f:
            text = f.read()
        with open(control, "w", encoding="utf-8") as f:
            f.write(text.replace(self.version, version))

    def _renumber(self, program, version):
        if not os.path.exists(program):
            return
        assert len(version) == len(self.upstream)
        with open(program, "rb") as f:
            octets = f.read()
        assert self.upstream.encode() + b"\0" in octets or b" " + self.upstream.encode() in octets
        with open(program, "wb") as f:
            f.write(octets.replace(self.upstream.encode(), version.encode()))


class Store:
    """A client of the machine's store with one of everything open."""

    def __init__(self, m):
        self.m = m
        self.x = peers.SocketClient(m.path(SOCKET))
        self.y = peers.SocketClient(m.path(SOCKET))
        self.x.write("/tests/a", "1")
        self.x.watch("/tests", "tok")
        equal(self.x.next_event(lib.TIMEOUT), ("/tests", "tok"))
        self.n, self.tx = 0, self.x.begin()
        self.x.write("/tests/t", "0", tx=self.tx)

    def goes_on(self):
        """The same connection, watch and transaction; then another transaction is begun."""
        self.n += 1
        self.y.write("/tests/b", str(self.n))
        equal(self.x.next_event(lib.TIMEOUT), ("/tests/b", "tok"))
        equal(self.x.read("/tests/t", tx=self.tx), str(self.n - 1).encode())
        self.x.commit(self.tx)
        equal(self.x.next_event(lib.TIMEOUT), ("/tests/t", "tok"))
        self.tx = self.x.begin()
        self.x.write("/tests/t", str(self.n), tx=self.tx)

    def close(self):
        self.x.close()
        self.y.close()


def installed(m, name):
    return m.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}", name, status=None).out.strip()


def give(m, debs):
    """Into the machine; their paths there."""
    paths = []
    for deb in debs:
        paths.append("/tmp/" + os.path.basename(deb))
        shutil.copy(deb, m.path(paths[-1]))
    return paths


def install(m, debs):
    return m.run("dpkg", "-i", *give(m, debs))


class Story:
    """One machine from the first installation to the purge, case by case."""

    def __init__(self, m, debs, later):
        self.m, self.debs, self.later = m, debs, later
        self.before = m.files()
        self.store = self.guest = None

    def pid(self):
        pids = self.m.pids(DAEMON) + self.m.pids(DAEMON + " (deleted)")
        equal(len(pids), 1)
        return pids[0]

    def installing_starts_and_switches_nothing(self):
        m = self.m
        install(m, self.debs.files)
        for name in self.debs.names:
            equal(installed(m, name), "ii")
        for program in (DAEMON, HOSTD):
            equal(m.pids(program), [])
        assert not m.exists("/run/xenstored/socket")
        for unit in ("drover-xenstored", "drover-hostd"):
            assert not m.exists("/etc/systemd/system/multi-user.target.wants/%s.service" % unit)
        assert not m.exists("/etc/default/xen")

    def programs_run(self):
        for words in (["drover", "--version"], [DAEMON, "--version"], [HOSTD, "-V"],
                      ["drover", "help"]):
            said = self.m.run(*words).out
            assert words[-1] == "help" or self.debs.upstream in said, said
        for name in ("config", "image"):
            self.m.run("perl", "-e", "use DynaLoader; DynaLoader::dl_load_file($ARGV[0], 0) or "
                       "die DynaLoader::dl_error()", "libdrover-%s.so.1" % name)
        equal(self.m.run("sh", "-c", "ldd /usr/libexec/drover/drover-* /usr/bin/drover %s %s | "
                         "grep 'not found'" % (DAEMON, HOSTD), status=None).out, "")

    def files_are_where_they_belong(self):
        m = self.m
        for path in ("/usr/share/man/man8/drover-xenstored.8.gz",
                     "/usr/share/bash-completion/completions/drover", "/etc/drover/hostd.conf",
                     "/lib/systemd/system/drover-xenstored.service",
                     "/lib/systemd/system/drover-hostd.service"):
            assert m.exists(path), path
        m.run("bash", "-n", "/usr/share/bash-completion/completions/drover")
        equal(m.run("getent", "group", "drover", status=None).status, 0)

    def the_store_is_started(self):
        m = self.m
        self.start_store()
        until(lambda: m.run("drover", "read", "/", status=None).status == 0, "the store")
        self.store = Store(m)

    def start_store(self):
        self.m.run(DAEMON, *SIMULATED)

    def an_upgrade_is_a_live_update(self):
        self.upgrade("0.1.1")

    def upgrade(self, version):
        m, pid = self.m, self.pid()
        said = install(m, self.later[version]).out
        equal(self.pid(), pid)
        equal(m.run("readlink", "/proc/%d/exe" % pid).out.strip(), DAEMON)
        assert "%s serves" % DAEMON in said, said
        self.store.goes_on()

    def a_program_that_cannot_serve_is_said_and_the_former_goes_on(self):
        m, pid = self.m, self.pid()
        said = install(m, self.later["0.1.2"]).out
        equal(self.pid(), pid)
        equal(m.run("readlink", "/proc/%d/exe" % pid).out.strip(), DAEMON + " (deleted)")
        assert "goes on serving" in said, said
        equal(installed(m, "drover-xenstored"), "ii")
        self.store.goes_on()

    def the_next_upgrade_makes_up_for_it(self):
        self.upgrade("0.1.3")

    def a_downgrade_is_one_too(self):
        self.upgrade("0.1.1")

    def a_store_that_serves_is_not_removed(self):
        m = self.m
        removed = m.run("dpkg", "-r", "drover-xenstored", status=None)
        assert removed.status and "drover unadopt" in removed.out, removed.out
        equal(installed(m, "drover-xenstored"), "ri")   # its removal is wanted, still
        assert m.run("dpkg", "-r", "drover", status=None).status
        self.store.goes_on()

    def another_start_at_boot_leaves_who_serves_alone(self):
        m, pid = self.m, self.pid()
        m.run("/usr/libexec/drover/xenstored-boot", "--pid-file", "/run/xenstore.pid")
        equal(self.pid(), pid)
        assert not m.exists("/run/xenstore.pid")
        self.store.goes_on()

    def guests_outlive_upgrades_of_drover_hostd(self):
        m = self.m
        m.write("/etc/drover/hostd.conf", "backend = sim\nstore = none\n"
                "listen = unix:///run/drover/sock\nlibvirt_sockets = no\n")
        self.start_hostd()
        until(lambda: m.exists("/run/drover/sock"), "drover-hostd's socket")
        self.virsh("create", "/tmp/guest.xml")
        self.guest = self.guest_pid()
        install(m, self.later["0.1.3"])
        self.hostd_is_upgraded()
        equal(self.guest_pid(), self.guest)
        until(lambda: self.virsh("domstate", "g1", status=None).out.strip() == "running",
              "the guest, found again")

    def start_hostd(self):
        self.hostd = self.m.start(HOSTD)

    def hostd_is_upgraded(self):
        """Nobody but an operator restarts it here."""
        m = self.m
        (pid,) = m.pids(HOSTD + " (deleted)")
        m.kill(pid, signal.SIGTERM)
        self.hostd.wait(lib.TIMEOUT)
        self.hostd = m.start(HOSTD)
        until(lambda: m.pids(HOSTD), "drover-hostd")

    def guest_pid(self):
        m = self.m
        program = "/usr/libexec/drover/drover-simguest"
        pids = m.pids(program) + m.pids(program + " (deleted)")
        equal(len(pids), 1)
        return pids[0]

    def virsh(self, *words, status=0):
        m = self.m
        with open(m.path("/tmp/guest.xml"), "w", encoding="ascii") as f:
            f.write("<domain type='test'><name>g1</name><memory unit='MiB'>4</memory><vcpu>1</vcpu>"
                    "<os><type>hvm</type><kernel>/none</kernel><cmdline>tick=20</cmdline></os>"
                    "</domain>")
        words = [m.path(w) if w.startswith("/") else w for w in words]
        p = subprocess.run([lib.need("/usr/bin/virsh"), "-q", "-c", "xen+unix:///system?socket="
                            + m.path("/run/drover/sock"), *words], capture_output=True, text=True,
                           timeout=lib.TIMEOUT, check=False)
        assert status in (None, p.returncode), p.stdout + p.stderr
        return lib.Result(p)

    def guests_outlive_its_removal_and_what_tells_of_them_the_purge(self):
        m = self.m
        m.run("dpkg", "-r", "drover-hostd-xl", "drover-hostd")
        self.hostd_is_stopped()
        equal(self.guest_pid(), self.guest)
        said = m.run("dpkg", "-P", "drover-hostd").out
        assert "still running" in said and str(self.guest) in said, said
        assert m.exists("/var/lib/drover/hostd/journal.db")
        # Installed again, it is removed without a trace once the guest has ended.
        m.kill(self.guest)
        install(m, [deb for deb in self.later["0.1.3"] if "/drover-hostd" in deb])

    def hostd_is_stopped(self):
        (pid,) = self.m.pids(HOSTD + " (deleted)")
        self.m.kill(pid, signal.SIGTERM)
        self.hostd.wait(lib.TIMEOUT)

    def a_boot_that_would_start_it_is_switched_back(self):
        m = self.m
        self.stop_store()
        m.write("/etc/default/xen", "# before drover adopt: XENSTORED=/usr/sbin/oxenstored\n"
                "# set by drover adopt; drover unadopt removes it\n"
                "XENSTORED=/usr/libexec/drover/xenstored-boot\nXENSTORED_ARGS=\n")
        m.run("dpkg", "-r", "drover-xenstored")
        equal(m.read("/etc/default/xen"), "XENSTORED=/usr/sbin/oxenstored\nXENSTORED_ARGS=\n")
        os.unlink(m.path("/etc/default/xen"))

    def stop_store(self):
        self.store.close()
        self.m.kill(self.pid(), signal.SIGTERM)

    def a_purge_leaves_nothing(self):
        m = self.m
        shutil.rmtree(m.path("/run/drover/sim"))    # the simulated host, which no package made
        m.run("dpkg", "-P", *self.debs.names)
        for name in self.debs.names:
            assert installed(m, name) in ("", "un") or "no packages" in installed(m, name)
        after = m.files()
        left = {p: w for p, w in after.items() if self.before.get(p) != w and not THEIRS.match(p)}
        gone = [p for p in self.before if p not in after and not THEIRS.match(p)]
        assert not left and not gone, "left: %s\ngone: %s" % (left, gone)
        equal(m.run("getent", "group", "drover", status=None).status, 2)

    CASES = [installing_starts_and_switches_nothing, programs_run, files_are_where_they_belong,
             the_store_is_started, an_upgrade_is_a_live_update,
             a_program_that_cannot_serve_is_said_and_the_former_goes_on,
             the_next_upgrade_makes_up_for_it, a_downgrade_is_one_too,
             a_store_that_serves_is_not_removed, another_start_at_boot_leaves_who_serves_alone,
             guests_outlive_upgrades_of_drover_hostd,
             guests_outlive_its_removal_and_what_tells_of_them_the_purge,
             a_boot_that_would_start_it_is_switched_back, a_purge_leaves_nothing]


class SystemdStory(Story):
    """The same where systemd is the first process: the units, but for there being no Xen."""

    def start_store(self):
        """As the boot of a host that was adopted does it: systemd has a unit of that name for
        Debian's init script."""
        m = self.m
        os.makedirs(m.path("/run/systemd/system/drover-xenstored.service.d"))
        m.write("/run/systemd/system/drover-xenstored.service.d/sim.conf",
                "[Unit]\nConditionPathExists=\n[Service]\nExecStart=\nExecStart=%s -N %s "
                "$DROVER_XENSTORED_ARGS $XENSTORED_ARGS\nReadWritePaths=/run\n"
                % (DAEMON, " ".join(SIMULATED)))
        m.write("/run/systemd/system/xen.service",
                "[Service]\nType=forking\nRemainAfterExit=yes\nKillMode=process\n"
                "ExecStart=/usr/libexec/drover/xenstored-boot -W 77 --pid-file /run/xenstore.pid\n")
        m.run("systemctl", "daemon-reload")
        m.run("systemctl", "start", "xen")
        equal(m.run("systemctl", "is-active", "drover-xenstored").out.strip(), "active")
        assert b"-W\x0077" in open("/proc/%d/root/proc/%d/cmdline" % (m.init, self.pid()),
                                   "rb").read()

    def a_stop_is_refused(self):
        refused = self.m.run("systemctl", "stop", "drover-xenstored", status=None)
        assert refused.status, refused.out
        self.store.goes_on()

    def a_killed_daemon_is_started_again_and_its_clients_stay(self):
        m, pid = self.m, self.pid()
        m.kill(pid)
        until(lambda: m.pids(DAEMON) not in ([], [pid]), "another daemon")
        self.store.goes_on()

    def stop_store(self):
        """Its own end is no failure that it would be started again for."""
        super().stop_store()
        until(lambda: self.m.run("systemctl", "is-active", "drover-xenstored",
                                 status=None).out.strip() == "inactive", "the unit's end")
        shutil.rmtree(self.m.path("/run/systemd/system/drover-xenstored.service.d"))
        os.unlink(self.m.path("/run/systemd/system/xen.service"))

    def start_hostd(self):
        self.m.run("systemctl", "start", "drover-hostd")

    def hostd_is_upgraded(self):
        equal(self.m.pids(HOSTD + " (deleted)"), [])
        equal(len(self.m.pids(HOSTD)), 1)
        equal(self.m.run("systemctl", "is-active", "drover-hostd").out.strip(), "active")

    def hostd_is_stopped(self):
        equal(self.m.pids(HOSTD + " (deleted)") + self.m.pids(HOSTD), [])

    CASES = Story.CASES[:8] + [a_stop_is_refused,
                               a_killed_daemon_is_started_again_and_its_clients_stay] + \
        Story.CASES[8:]


def tell(tap, story):
    """Its cases in their order; what the machine said where one fails."""
    for case in story.CASES:
        failed = tap.failed
        name = case.__name__.replace("_", " ") + (", with systemd" if story.m.systemd else "")
        tap.case(name, lambda c=case: getattr(story, c.__name__)())
        if tap.failed > failed:
            for line in story.m.said():
                print("# " + line)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--debs", required=True, help="what make deb has made")
    args = parser.parse_args()
    if os.geteuid():
        print("1..0 # SKIP only root may make namespaces and folders of other systems")
        return 0
    tap = lib.Tap()
    cache = os.path.join(os.path.dirname(os.path.abspath(args.debs)), "deb-tree")
    with tempfile.TemporaryDirectory(prefix="drover-debs-") as scratch:
        debs = Debs(args.debs, scratch)
        later = {"0.1.1": debs.later("0.1.1"), "0.1.2": debs.later("0.1.2", "/bin/false"),
                 "0.1.3": debs.later("0.1.3")}
        folder = tree.base(cache, debs.dependencies())
        for kind, systemd in ((Story, False), (SystemdStory, True)):
            with tree.Machine(folder, systemd) as m:
                tell(tap, kind(m, debs, later))
    status = tap.end()
    print("%d passed, %d failed" % (tap.n - tap.failed, tap.failed))
    return status


if __name__ == "__main__":
    sys.exit(main())
