# SPDX-License-Identifier: MIT
"""Hosts of guests, as many as a test wants on one machine: drover-hostd, or libvirtd to compare.

    with hosts.Drover(base, "a") as a, hosts.Drover(base, "b") as b:
        a.virsh("create", hosts.tick_xml(base, "tick"))
        a.virsh("migrate", "--live", "tick", b.far_uri)

Each host is a daemon in a mount and a UTS namespace of its own, in which BASE/here is the host's
directory: so a guest's serial line, BASE/here/NAME.serial, is another file on each host, which
BASE/HOST/NAME.serial is from outside. That takes CAP_SYS_ADMIN (usable()).
"""
import itertools
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import time
import uuid

LIBVIRTD = "/usr/sbin/libvirtd"
VIRSH = shutil.which("virsh") or "/usr/bin/virsh"
EMULATOR = "/usr/bin/qemu-system-x86_64"
TIMEOUT = 60
COUNTER = itertools.count()


class HostError(Exception):
    pass


def build_dir():
    return os.environ.get("DROVER_BUILD") or os.path.join(
        os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "build")


def usable():
    """None, or why there can be no hosts here."""
    if not os.access(VIRSH, os.X_OK):
        return "virsh is not installed"
    done = subprocess.run(["unshare", "-m", "-u", "true"], capture_output=True, check=False)
    return None if done.returncode == 0 else "namespaces are not allowed"


def free_port():
    """One that nobody has now. Below those that the system gives to whoever asks for none, and
    above those of migrations, so that it stays free; but for another test that draws the same."""
    while True:
        port = random.SystemRandom().randrange(30000, 32768)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def tick_xml(base, name, memory_mib=96, uid=None, kind="qemu", disk=None, serial=None):
    """The file of a guest's definition: one that boots from a sector and counts on its serial
    line. kind test: a simulated one."""
    disk = disk or build_dir() + "/tests/peers/tick.img"
    serial = serial or "%s/here/%s.serial" % (base, name)
    boot = ("<type arch='x86_64' machine='pc-q35-7.2'>hvm</type>" if kind == "qemu"
            else "<type>hvm</type>")
    devices = ("<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
               "<source file='%s'/><target dev='vda' bus='virtio'/><readonly/></disk>" % disk
               if kind == "qemu" else "")
    path = "%s/%s.xml" % (base, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write("<domain type='%s'><name>%s</name><uuid>%s</uuid>"
                "<memory unit='MiB'>%d</memory><vcpu>1</vcpu><os>%s</os>"
                "<features><acpi/></features><on_poweroff>destroy</on_poweroff>"
                "<on_reboot>restart</on_reboot><on_crash>destroy</on_crash><devices>%s"
                "<serial type='file'><source path='%s' append='on'/><target port='0'/></serial>"
                "<memballoon model='none'/></devices></domain>\n"
                % (kind, name, uid or uuid.uuid5(uuid.NAMESPACE_DNS, name), memory_mib, boot,
                   devices, serial))
    return path


class Host:
    """What both kinds have in common. far_uri: how another host's clients reach it."""
    scheme = "qemu"

    def __init__(self, base, name):
        self.base, self.name, self.dir = base, name, "%s/%s" % (base, name)
        os.makedirs(self.dir, exist_ok=True)
        os.makedirs(base + "/here", exist_ok=True)
        self.port = free_port()
        self.port_is_known = False
        self.process = None

    # -- what a kind says of itself --

    def mounts(self):
        """Pairs: what is seen, and where in the host."""
        return [(self.dir, self.base + "/here")]

    def command(self):
        raise NotImplementedError

    def await_ready(self):
        raise NotImplementedError

    def logs(self):
        """Files in which the daemon says why it does not start."""
        return [self.dir + "/daemon.err"]

    def environment(self):
        return dict(os.environ)

    # -- life --

    def script(self):
        """What runs in the namespaces, and becomes the daemon."""
        lines = ["set -e", "mount --make-rprivate /", "hostname %s.test" % self.name]
        lines += ["mount --bind '%s' '%s'" % pair for pair in self.mounts()]
        return "\n".join(lines + ['exec "$@"'])

    def port_is_taken(self):
        for path in self.logs():
            with open(path, encoding="utf-8", errors="replace") as f:
                if "in use" in f.read():
                    return True
        return False

    def start(self):
        """Where its port is taken, another one is, unless others know it already."""
        for tries in (2, 1, 0):
            try:
                self.launch()
                break
            except HostError:
                if self.port_is_known or not tries or not self.port_is_taken():
                    raise
                self.port = free_port()
        self.port_is_known = True
        return self

    def launch(self):
        with open(self.dir + "/daemon.err", "ab") as err:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                ["unshare", "-m", "-u", "sh", "-c", self.script(), "sh", *self.command()],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
                env=self.environment(), start_new_session=True)
        self.await_ready()

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, sig=signal.SIGKILL):
        """Its guests go on."""
        self.process.send_signal(sig)
        status = self.process.wait(TIMEOUT)
        self.process.stdout.close()
        return status

    def stop(self):
        """The daemon and all guests of this host."""
        if self.alive():
            for name in self.virsh("list", "--name", check=False).split():
                self.virsh("destroy", name, check=False)
        if self.alive():
            self.kill(signal.SIGTERM)
        for pid in self.guests():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def guests(self):
        """Pids of processes of guests in this host's namespaces, whoever started them."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    program = os.path.basename(f.read().split(b"\0")[0]).decode("latin1")
                with open("/proc/%s/mountinfo" % pid, encoding="utf-8") as f:
                    mounts = f.read()
            except OSError:
                continue
            if (program.startswith(("qemu-system-", "drover-simguest"))
                    and re.search(r"%s %s/here " % (re.escape(self.dir.split("/", 2)[-1]),
                                                    re.escape(self.base)), mounts)):
                found.append(int(pid))
        return found

    # -- clients --

    def argv(self, *words, uri=None):
        return [VIRSH, "-q", "-c", uri or self.uri, *words]

    def virsh(self, *words, check=True, uri=None, timeout=TIMEOUT):
        done = subprocess.run(self.argv(*words, uri=uri), capture_output=True, text=True,
                              timeout=timeout, check=False, env=dict(os.environ, LC_ALL="C"))
        if check and done.returncode:
            raise HostError("%s: virsh %s: %s" % (self.name, " ".join(words), done.stderr.strip()))
        return done.stdout

    @property
    def uri(self):
        return "%s+unix:///system?socket=%s" % (self.scheme, self.socket)

    @property
    def far_uri(self):
        return "%s+tcp://127.0.0.1:%d/system" % (self.scheme, self.port)

    # -- guests --

    def serial_path(self, name):
        return "%s/%s.serial" % (self.dir, name)

    def ticks(self, name):
        """The numbers on a counting guest's serial line."""
        try:
            with open(self.serial_path(name), encoding="latin1") as f:
                return [int(n) for n in re.findall(r"TICK (\d+)\b(?=.*\n)", f.read())]
        except FileNotFoundError:
            return []

    def await_ticks(self, name, more=1, timeout=TIMEOUT):
        want, deadline = len(self.ticks(name)) + more, time.monotonic() + timeout
        while len(self.ticks(name)) < want:
            if time.monotonic() > deadline:
                raise HostError("%s: %s does not count" % (self.name, name))
            select.select([], [], [], .01)


class Drover(Host):
    """drover-hostd, with real guests of QEMU or simulated ones. args: further options."""

    def __init__(self, base, name, backend="qemu", args=(), store=None, build=None):
        super().__init__(base, name)
        self.backend, self.args, self.store = backend, list(args), store
        self.build = build or build_dir()
        self.socket = self.dir + "/sock"

    def command(self):
        words = [self.build + "/drover-hostd", "--backend", self.backend,
                 "--config", self.dir + "/hostd.conf",
                 "--state-dir", self.dir + "/state", "--run-dir", self.dir + "/run",
                 "--log-dir", self.dir + "/log", "--libvirt-sockets", "no",
                 "--listen", "unix://%s unix-ro://%s-ro tcp://127.0.0.1:%d" % (
                     self.socket, self.socket, self.port),
                 "--allow-plain-tcp", "yes", "--host-name", self.name,
                 "--peer-address", "tcp://127.0.0.1:%d" % self.port,
                 "--migration-address", "127.0.0.1",
                 "--migration-port-min", "20000", "--migration-port-max", "29999"]
        if self.backend == "sim":
            words += ["--program", self.build + "/drover-simguest"]
        return words + (["--store", "none"] if not self.store else self.store) + self.args

    def await_ready(self):
        if not select.select([self.process.stdout], [], [], TIMEOUT)[0]:
            raise HostError("%s: not ready in %d s" % (self.name, TIMEOUT))
        line = self.process.stdout.readline()
        if not line.startswith(b"drover-hostd: ready"):
            with open(self.dir + "/daemon.err", encoding="utf-8", errors="replace") as f:
                raise HostError("%s: %s" % (self.name, f.read()[-2000:]))

    def launch(self):
        with open(self.dir + "/hostd.conf", "a", encoding="ascii"):
            pass
        super().launch()


LIBVIRTD_CONF = """
listen_tls = 0
listen_tcp = 1
tcp_port = "%(port)d"
listen_addr = "127.0.0.1"
auth_tcp = "none"
auth_unix_rw = "none"
auth_unix_ro = "none"
host_uuid = "%(uuid)s"
max_clients = 5000
max_anonymous_clients = 200
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
"""
QEMU_CONF = """
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
migration_port_min = %(low)d
migration_port_max = %(high)d
"""
# libvirtd looks for this user of Debian's libvirt-daemon-system, and ends without.
USER = "libvirt-qemu:x:64055:64055:Libvirt Qemu,,,:/var/lib/libvirt:/usr/sbin/nologin\n"
GROUP = "libvirt-qemu:x:64055:\n"


def libvirtd_usable():
    return usable() or (None if os.access(LIBVIRTD, os.X_OK) else "libvirtd is not installed")


class Libvirtd(Host):
    """An unmodified libvirtd with its QEMU driver."""
    FOLDERS = {"run": "/run", "etc": "/etc/libvirt", "lib": "/var/lib/libvirt",
               "cache": "/var/cache/libvirt", "log": "/var/log/libvirt"}

    def __init__(self, base, name):
        super().__init__(base, name)
        self.socket = self.dir + "/run/libvirt/libvirt-sock"
        self.ready = None
        for folder in self.FOLDERS:
            os.makedirs("%s/%s" % (self.dir, folder), exist_ok=True)
        for folder in ("run/libvirt", "run/lock", "etc/qemu", "lib/qemu"):
            os.makedirs("%s/%s" % (self.dir, folder), exist_ok=True)
        for target in list(self.FOLDERS.values())[1:]:
            os.makedirs(target, exist_ok=True)
        # below those that a system gives away by itself, and not those of another host
        low = 10000 + (os.getpid() * 2 + next(COUNTER)) % 90 * 100
        self.uuid = uuid.uuid4()
        self.write("etc/qemu.conf", QEMU_CONF % {"low": low, "high": low + 99})
        for path, line in (("passwd", USER), ("group", GROUP)):
            with open("/etc/" + path, encoding="utf-8") as f:
                text = f.read()
            self.write(path, text if "libvirt-qemu:" in text else text + line)

    def write(self, path, text):
        with open("%s/%s" % (self.dir, path), "w", encoding="utf-8") as f:
            f.write(text)

    def mounts(self):
        # /run last: what is bound onto it hides what the others are bound from, if that is there
        pairs = [("%s/%s" % (self.dir, folder), seen) for folder, seen in self.FOLDERS.items()]
        files = [("%s/%s" % (self.dir, name), "/etc/" + name) for name in ("passwd", "group")]
        return super().mounts() + files + pairs[1:] + pairs[:1]

    def environment(self):
        return dict(os.environ, NOTIFY_SOCKET="@" + self.ready.getsockname()[1:].decode())

    def command(self):
        return [LIBVIRTD, "--listen"]

    def logs(self):
        return super().logs() + [self.dir + "/log/libvirtd.log"]

    def launch(self):
        self.write("etc/libvirtd.conf", LIBVIRTD_CONF % {"port": self.port, "uuid": self.uuid})
        for leftover in ("libvirtd.pid", "libvirt/libvirtd.pid"):
            try:
                os.unlink("%s/run/%s" % (self.dir, leftover))
            except FileNotFoundError:
                pass
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as self.ready:
            self.ready.bind("\0drover-hosts-%d-%s" % (os.getpid(), uuid.uuid4()))
            super().launch()

    def await_ready(self):
        deadline, said = time.monotonic() + TIMEOUT, b""
        while b"READY=1" not in said:
            if not self.alive():
                raise HostError("%s: libvirtd ended with %d" % (self.name,
                                                                self.process.returncode))
            if time.monotonic() > deadline:
                raise HostError("%s: not ready in %d s" % (self.name, TIMEOUT))
            if select.select([self.ready], [], [], .1)[0]:
                said += self.ready.recv(4096)
