# SPDX-License-Identifier: MIT
"""A clean Debian 12 to install packages in: a folder made by debootstrap once, and a copy of it
that runs as a machine of its own, in namespaces for processes, mounts, network and names.

    base = tree.base(CACHE, ["libuv1", ...])       # the folder, with what the packages depend on
    with tree.Machine(base, systemd=True) as m:
        m.run("dpkg", "-i", ...)                   # a lib.Result
        m.path("/run/xenstored/socket")            # the same file, seen from here
"""
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile

import lib

SUITE = "bookworm"
CGROUPS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive",
               "LC_ALL": "C", "HOME": "/root"}
# What a machine's first process does where systemd is not it: outlive others, and reap them.
REAPER = ["perl", "-e", '$SIG{CHLD} = "IGNORE"; sleep while 1']

# Mounts, then the tree for root. $1 is the tree; the rest is run as the first process.
ENTER = r"""
set -e
tree=$1
shift
mount --make-rprivate /
mount --bind "$tree" "$tree"
mount -t proc proc "$tree/proc"
mount -t sysfs -o ro sysfs "$tree/sys"
mount -t tmpfs -o mode=755 tmpfs "$tree/run"
mkdir "$tree/run/lock"
mount -t tmpfs -o mode=755 tmpfs "$tree/dev"
for name in null zero full random urandom tty; do
	touch "$tree/dev/$name"
	mount --bind "/dev/$name" "$tree/dev/$name"
done
mkdir "$tree/dev/pts" "$tree/dev/shm"
ln -s /proc/self/fd "$tree/dev/fd"
if [ "$1" = /lib/systemd/systemd ]; then
	mount -t tmpfs tmpfs "$tree/sys/fs/cgroup"
	mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"
fi
cd "$tree"
mkdir -p mnt/former
pivot_root . mnt/former
umount -l /mnt/former
rmdir /mnt/former
exec env -i container=drover PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
"""


def _call(*argv, **more):
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       stdin=subprocess.DEVNULL, check=False, **more)
    assert p.returncode == 0, "%s: exit %d\n%s" % (" ".join(argv), p.returncode, p.stdout[-4000:])
    return p.stdout


def _mirrors():
    """Where this machine's own packages come from: the suite's, updates, security."""
    found = []
    for line in _call("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)",
                      "Created-By: Packages").splitlines():
        if line.split()[1].startswith(SUITE) and line not in found:
            found.append(line)
    if not found:
        raise lib.Skip("this machine has no sources of packages of " + SUITE)
    return [line.split() for line in found]


def base(cache, dependencies):
    """The folder, made anew where other packages are asked for."""
    mirrors = _mirrors()
    words = repr((mirrors, sorted(dependencies)))
    folder = "%s/%s-%s" % (cache, SUITE, hashlib.sha256(words.encode()).hexdigest()[:12])
    if os.path.exists(folder + "/.complete"):
        return folder
    for old in os.listdir(cache) if os.path.isdir(cache) else ():
        shutil.rmtree(os.path.join(cache, old))
    os.makedirs(cache, exist_ok=True)
    main = [uri for uri, suite in mirrors if suite == SUITE][0]
    _call("debootstrap", "--variant=minbase", SUITE, folder, main)
    with open(folder + "/etc/apt/sources.list", "w", encoding="ascii") as f:
        for uri, suite in mirrors:
            f.write("deb %s %s main\n" % (uri, suite))
    shutil.copy("/etc/resolv.conf", folder + "/etc/resolv.conf")
    # Nothing is started in a folder: systemd's scripts ask this.
    policy = folder + "/usr/sbin/policy-rc.d"
    with open(policy, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\nexit 101\n")
    os.chmod(policy, 0o755)
    env = dict(os.environ, **ENVIRONMENT)
    _call("chroot", folder, "apt-get", "update", "-q", env=env)
    _call("chroot", folder, "apt-get", "install", "-y", "-q", "--no-install-recommends",
          *sorted(dependencies), env=env)
    _call("chroot", folder, "apt-get", "clean", env=env)
    os.unlink(policy)
    with open(folder + "/.complete", "w", encoding="ascii"):
        pass
    return folder


def _cgroup_root():
    """Where version 2 of control groups is, which systemd needs a part of."""
    for path in CGROUPS:
        if os.path.exists(path + "/cgroup.procs") and os.path.exists(path + "/cgroup.controllers"):
            return path
    raise lib.Skip("no control groups of version 2, which systemd needs")


class Machine:
    def __init__(self, folder, systemd=False):
        self.systemd = systemd
        self.dir = tempfile.mkdtemp(prefix="drover-tree-", dir=os.path.dirname(folder))
        self.tree = self.dir + "/tree"
        _call("cp", "-a", "--reflink=auto", folder, self.tree)
        self.cgroup = None
        self.process = self.init = None

    def _join(self):
        if self.cgroup:
            with open(self.cgroup + "/cgroup.procs", "w", encoding="ascii") as f:
                f.write("0")

    def __enter__(self):
        init, flags = REAPER, ["-m", "-p", "-n", "-u", "-i"]
        if self.systemd:
            self.cgroup = "%s/drover-tree-%d" % (_cgroup_root(), os.getpid())
            os.mkdir(self.cgroup)
            init = ["/lib/systemd/systemd", "--system", "--unit=multi-user.target",
                    "--show-status=0"]
            flags.append("-C")
        self.log = open(self.dir + "/log", "wb")
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["unshare", *flags, "--fork", "--kill-child", "sh", "-c", ENTER, "sh", self.tree,
             *init], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            preexec_fn=self._join)
        lib.until(self._is_up, "the machine's first process")
        return self

    def _is_up(self):
        assert self.process.poll() is None, self.output()
        children = lib.family(self.process.pid)[1:]
        if not children:
            return False
        self.init = children[0]
        with open("/proc/%d/cmdline" % self.init, "rb") as f:
            words = f.read()
        if not words.startswith((b"perl\0", b"/lib/systemd/systemd\0")):
            return False
        return not self.systemd or self.run("systemctl", "is-system-running", status=None) \
            .out.strip() in ("running", "degraded")

    def output(self):
        with open(self.dir + "/log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def said(self, lines=60):
        """The end of what it has told of itself."""
        if self.systemd:
            return self.run("journalctl", "--no-pager", "-n", str(lines), status=None).lines
        return self.output().splitlines()[-lines:]

    def __exit__(self, kind, *rest):
        self.process.kill()
        self.process.wait()
        self.log.close()
        if self.cgroup:
            lib.until(self._cgroup_is_empty, "the end of the machine's processes")
            for at, folders, _ in os.walk(self.cgroup, topdown=False):
                for one in folders:
                    os.rmdir(os.path.join(at, one))
            os.rmdir(self.cgroup)
        if kind and os.environ.get("KEEP"):
            print("# kept: " + self.dir)
        else:
            shutil.rmtree(self.dir)

    def _cgroup_is_empty(self):
        with open(self.cgroup + "/cgroup.events", encoding="ascii") as f:
            return "populated 0" in f.read()

    def _argv(self, *words):
        return ["nsenter", "-t", str(self.init), "-m", "-p", "-n", "-u", "-i",
                *(["-C"] if self.systemd else []), "env", "-i",
                *["%s=%s" % pair for pair in ENVIRONMENT.items()], *words]

    def run(self, *words, status=0, timeout=300):
        p = subprocess.run(self._argv(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False)
        assert status in (None, p.returncode), "%s: exit %d\n%s" % (
            " ".join(words), p.returncode, p.stdout[-4000:])
        return lib.Result(p)

    def start(self, *words):
        """A program that goes on; its output is in the machine's log."""
        return subprocess.Popen(self._argv(*words), stdin=subprocess.DEVNULL, stdout=self.log,
                                stderr=self.log)

    def path(self, name):
        return "/proc/%d/root%s" % (self.init, name)

    def exists(self, name):
        return os.path.lexists(self.path(name))

    def read(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as f:
            return f.read()

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def pids(self, program):
        """Processes of the machine that run that file, or the one that was in its place."""
        found = self.run("sh", "-c", 'for p in /proc/[0-9]*; do echo "$(readlink $p/exe)" '
                         '"${p#/proc/}" "$(cut -d" " -f4 $p/stat 2>&1)"; done 2>&1').lines
        pids = {}
        for line in found:
            words = line.rsplit(" ", 2)
            if words[0] == program:
                pids[int(words[1])] = int(words[2])
        return sorted(pid for pid, parent in pids.items() if parent not in pids)

    def kill(self, pid, sig=signal.SIGKILL):
        self.run("sh", "-c", "kill -%d %d" % (sig, pid))
        lib.until(lambda: not self.exists("/proc/%d/exe" % pid) or not self.runs(pid),
                  "the end of process %d" % pid)

    def runs(self, pid):
        return self.run("sh", "-c", "readlink /proc/%d/exe" % pid, status=None).status == 0

    def files(self):
        """path -> what it is, of all that packages could have left behind."""
        found = {}
        for top in ("/etc", "/root", "/run", "/tmp", "/usr", "/var"):
            for at, folders, names in os.walk(self.path(top)):
                for name in folders + names:
                    full = os.path.join(at, name)
                    st = os.lstat(full)
                    found[full[len(self.path("")):]] = (oct(st.st_mode), st.st_uid, st.st_gid)
        return found
