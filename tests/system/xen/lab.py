# SPDX-License-Identifier: MIT
"""Hosts of real Xen for tests: QEMU emulates the machine, Debian's Xen and Linux run on it, with
our build in dom0.

    with lab.host(store="drover") as h:                 # "c", "oxen", None: no store is started
        h.run("xl create " + h.guest_cfg("g1"))         # a Linux guest that beats, see beat.c
        h.guest_line("g1", r"beat 10 ")                 # waits for a line of its console
        h.run(["xl", "list"]).out                       # .out .err .lines .status
        job = h.start("xl save g1 /tmp/image")          # .wait() .kill() .line(regex) .write()
        h.put("/root/x", b"octets"); h.get("/root/x")
        port = h.forward(16509)                         # on our 127.0.0.1, to dom0's port
    with lab.pair() as (a, b):                          # 10.9.0.1 and 10.9.0.2, named a and b

A file of cases ends in sys.exit(lab.main(__doc__, CASES, store="drover")): a case that takes
an argument gets a host of the file, made with what main was told; (function, {...}) one of its
own, or two with "pair": True. What a host wrote is kept in BUILD/xen-logs, and its end is shown
when a case fails.
"""
import argparse
import base64
import contextlib
import ctypes
import inspect
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import image  # noqa: E402
import lib  # noqa: E402
from job import TIMEOUT, Job  # noqa: E402
from lib import Skip, equal, until  # noqa: E402,F401

QEMU = "qemu-system-x86_64"
BOOT_TIMEOUT = 180
CHUNK = 48 * 1024
STORE_PID = "/run/xenstored.pid"
CONSOLES = "/var/log/xen/console"
DOM0_KERNEL = ("console=hvc0 panic=1 nokaslr mitigations=off tsc=reliable no_timer_check "
               "rdinit=/init quiet")
XEN = ("console=com1 com1=115200,8n1 loglvl=warning guest_loglvl=info dom0_max_vcpus=1 "
       "spec-ctrl=no,eager-fpu xpti=no ucode=no watchdog=0")
# Without smap dom0 lives under this emulation; guests without rdtscp.
CPU = "max,la57=off,smap=off,rdtscp=off"


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Host:
    """A machine, from its start to its end."""

    def __init__(self, name="A", memory_mib=2048, dom0_mib=768, smp=1, link=None, logs=None):
        self.name, self.jobs, self.count = name, {}, 0
        self.lock, self.ready = threading.Lock(), queue.Queue()
        self.folder = tempfile.mkdtemp(prefix="drover-xen-")
        self.logs = logs or log_folder(name)
        self.consoles, self.port, self.process = {}, None, None
        try:
            self.begin(smp, memory_mib, dom0_mib, link)
        except BaseException:
            self.stop()
            raise

    # ---- the machine

    def command(self, smp, memory_mib, dom0_mib, link):
        base = files()
        words = "%s host=%s" % (DOM0_KERNEL, self.name.lower())
        if link:
            words += " link=10.9.0.%d/24" % link[0]
        argv = [QEMU, "-accel", "tcg,thread=multi", "-machine", "pc", "-cpu", CPU,
                "-m", str(memory_mib), "-smp", str(smp), "-display", "none", "-monitor", "none",
                "-no-reboot", "-nodefaults", "-vga", "none",
                "-chardev", "file,id=console,path=%s/console" % self.logs,
                "-serial", "chardev:console",
                "-chardev", "socket,id=agent,path=%s/agent,server=on,wait=off" % self.folder,
                "-device", "virtio-serial-pci",
                "-device", "virtserialport,chardev=agent,name=drover.agent",
                "-qmp", "unix:%s/qmp,server=on,wait=off" % self.folder,
                "-kernel", base.xen,
                "-append", "%s dom0_mem=%dM,max:%dM" % (XEN, dom0_mib, dom0_mib),
                "-initrd", "%s %s,%s" % (base.kernel, words.replace(",", ",,"), base.initrd),
                "-netdev", "user,id=user,restrict=on",
                "-device", "virtio-net-pci,netdev=user,romfile=,mac=52:54:00:0a:00:01"]
        for i, disk in enumerate((base.root, our_disk())):
            argv += ["-drive", "file=%s,format=raw,if=none,id=disk%d,readonly=on" % (disk, i),
                     "-device", "virtio-blk-pci,drive=disk%d" % i]
        if link:
            number, folder = link
            argv += ["-netdev", "dgram,id=link,local.type=unix,local.path=%s/%d,remote.type=unix,"
                     "remote.path=%s/%d" % (folder, number, folder, 3 - number),
                     "-device",
                     "virtio-net-pci,netdev=link,romfile=,mac=52:54:00:09:00:%02d" % number]
        return argv

    def begin(self, *machine):
        argv = self.command(*machine)
        with open(self.logs + "/qemu", "wb") as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, preexec_fn=die_with_parent)
        self.port = socket.socket(socket.AF_UNIX)

        def connects():     # the name is there a moment before anybody listens
            return self.port.connect_ex(self.folder + "/agent") == 0

        until(lambda: connects() or self.process.poll() is not None, "QEMU starts", 30)
        assert self.process.poll() is None, "QEMU did not start: " + image.read(
            self.logs + "/qemu").decode(errors="replace")
        self.jobs[0] = Job(self, 0, "the agent of %s" % self.name)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        """Everything that the agent says, to the jobs that it is about."""
        unread = b""
        while True:
            try:
                data = self.port.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                break
            *lines, unread = (unread + data).split(b"\n")
            for text in lines:
                message = json.loads(text)
                job = self.jobs.get(message["id"])
                if job:
                    job.take(message)
        for job in list(self.jobs.values()):
            job.take(None)

    def await_agent(self):
        first = self.jobs[0]
        with first.changed:
            first.changed.wait_for(lambda: first.out or first.status is not None, BOOT_TIMEOUT)
        assert first.out, "%s did not come up" % self.name

    def tail(self, lines=40):
        said = image.read(self.logs + "/console").replace(b"\r", b"")
        return "\n".join(said.decode(errors="replace").split("\n")[-lines:])

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        if self.port:
            with contextlib.suppress(OSError):
                self.port.shutdown(socket.SHUT_RDWR)
            self.port.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def starved_ms(self):
        """How long in all the emulated machine has waited for a real processor."""
        total, folder = 0, "/proc/%d/task/" % self.process.pid
        for task in os.listdir(folder):
            with contextlib.suppress(OSError):
                total += int(image.read(folder + task + "/schedstat").split()[1])
        return total // 1000000

    def qmp(self, name, **arguments):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.folder + "/qmp")
            f = s.makefile("rw", encoding="utf-8")
            f.readline()
            for m in ({"execute": "qmp_capabilities"}, {"execute": name, "arguments": arguments}):
                f.write(json.dumps(m) + "\n")
                f.flush()
                answer = json.loads(f.readline())
                while "event" in answer:
                    answer = json.loads(f.readline())
        assert "return" in answer, answer
        return answer["return"]

    def forward(self, port):
        """A port of 127.0.0.1 here that leads to that port of dom0 (bound to 10.0.2.15 or any)."""
        ours = free_port()
        said = self.qmp("human-monitor-command", **{
            "command-line": "hostfwd_add user tcp:127.0.0.1:%d-10.0.2.15:%d" % (ours, port)})
        assert not said.strip(), said
        return ours

    # ---- dom0

    def send(self, **message):
        data = json.dumps(message).encode() + b"\n"
        with self.lock:
            try:
                self.port.sendall(data)
            except OSError as e:
                raise AssertionError("%s is gone; its console:\n%s" % (self.name, self.tail())) \
                    from e

    def job(self, what, **message):
        with self.lock:
            self.count += 1
            number = self.count
        job = self.jobs[number] = Job(self, number, what)
        self.send(id=number, **message)
        return job

    def start(self, command, stdin=False):
        """Runs argv, or a line of sh, meanwhile."""
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        job = self.job("%s: %s" % (self.name, command if isinstance(command, str)
                                   else " ".join(argv)), op="start", argv=argv)
        if not stdin:
            job.write(None)
        return job

    def run(self, command, check=True, timeout=TIMEOUT, stdin=None):
        job = self.start(command, stdin=stdin is not None)
        if stdin is not None:
            job.write(stdin)
            job.write(None)
        try:
            return job.wait(timeout, check)
        finally:
            self.jobs.pop(job.number, None)

    def put(self, path, data, mode=0o644):
        data = data.encode() if isinstance(data, str) else data
        for at in range(0, len(data) or 1, CHUNK):
            self.job("put " + path, op="put", path=path, mode=mode, append=at > 0,
                     data=base64.b64encode(data[at:at + CHUNK]).decode()).wait()

    def get(self, path):
        job = self.start(["cat", path])
        job.wait()
        return job.out

    def follow(self, path):
        """A job whose output is all that the file has and gets."""
        return self.job("%s: %s" % (self.name, path), op="follow", path=path)

    def wait_line(self, path, regex, timeout=TIMEOUT):
        """A line of a growing file, which need not exist yet; its match."""
        job = self.follow(path)
        try:
            return job.line(regex, timeout)
        finally:
            self.send(id=job.number, op="stop")

    # ---- the store

    def start_store(self, kind="drover", args=""):
        self.run({"drover": "drover-xenstored --hv=xen --pid-file=%s " % STORE_PID,
                  "c": image.XEN_BIN + "/xenstored --pid-file %s " % STORE_PID,
                  "oxen": image.XEN_BIN + "/oxenstored --pid-file %s " % STORE_PID}[kind] + args)
        until(lambda: self.run("xenstore-read -s /", check=False).status == 0, "the store serves")

    def start_tools(self):
        """What xencommons starts besides: dom0's own nodes, and the guests' consoles."""
        self.run("xen-init-dom0")
        self.run("xenconsoled --pid-file=/run/xenconsoled.pid --log=guest --log-dir=" + CONSOLES)

    def store_pid(self):
        return int(self.get(STORE_PID))

    def worker_pid(self):
        """The process of our store that serves, 0: none just now; the other holds what outlives
        it."""
        pid = self.store_pid()
        return int((self.run("cat /proc/%d/task/%d/children" % (pid, pid)).out.split() or [0])[0])

    def rss_kb(self):
        """What the store holds of memory, all of its processes, without what files are."""
        pid = self.store_pid()
        said = self.run("for p in %d $(cat /proc/%d/task/%d/children); do "
                        "grep RssAnon /proc/$p/status; done" % (pid, pid, pid)).lines
        return sum(int(line.split()[1]) for line in said)

    # ---- guests

    def guest_cfg(self, name, kind="pvh", memory=96, script=None, more="", files=()):
        """The path of an xl configuration of a Linux guest: one that beats (beat.c), or one with
        busybox and xenstore's clients that runs script, with files of (name, octets, mode)."""
        initrd = "/guest/beat.cpio"
        if script is not None:
            archive = image.Cpio()
            archive.add("guest-run.sh", script.encode(), 0o100755)
            for path, data, mode in files:
                archive.add(path, data, 0o100000 | mode)
            initrd = "/root/%s.cpio" % name
            self.put(initrd + ".more", archive.octets())
            self.run("cat /guest/base.cpio %s.more > %s" % (initrd, initrd))
        path = "/root/%s.cfg" % name
        self.put(path, 'name = "%s"\ntype = "%s"\nkernel = "/guest/vmlinux"\nramdisk = "%s"\n'
                 'extra = "console=hvc0 quiet"\nmemory = %d\nvcpus = 1\non_crash = "preserve"\n'
                 'on_reboot = "destroy"\n%s' % (name, kind, initrd, memory, more))
        return path

    def create(self, name, **more):
        self.run("xl create -q " + self.guest_cfg(name, **more))
        return self.domid(name)

    def domid(self, name):
        return int(self.run(["xl", "domid", name]).out)

    def console(self, name):
        """The job that follows a guest's console; the same each time."""
        return self.consoles.get(name) or self.follow_console(name, name)

    def follow_console(self, name, was):
        """The guest has another name by now than when its console was attached."""
        job = self.consoles[name] = self.follow("%s/guest-%s.log" % (CONSOLES, was))
        return job

    def guest_line(self, name, regex, timeout=TIMEOUT):
        """The next line of the guest's console that has it, after those that were asked for."""
        return self.console(name).line(regex, timeout)

    def beats(self, name):
        """(number, milliseconds of the guest's clock) of each beat on its console so far."""
        return [(int(n), int(ms)) for n, ms in re.findall(
            rb"^beat (\d+) (\d+)\r?$", self.console(name).out, re.M)]

    def errors(self, name):
        """What the guest's store refused."""
        return [line for line in self.console(name).lines if line.startswith("error ")]

    def await_beats(self, name, count=10, timeout=TIMEOUT):
        """That many more beats than there are by now; the number of the last."""
        job = self.console(name)
        with job.changed:
            job.seen = len(job.out)
        for _ in range(count):
            n = int(job.line(r"^beat (\d+) ", timeout).group(1))
        return n

    def largest_gap_ms(self, name, since=0):
        """Between two beats of which the later is past number since; none is missing between."""
        beats = [b for b in self.beats(name) if b[0] >= since]
        assert len(beats) > 1, "%s: %d beats since %d" % (name, len(beats), since)
        numbers = [n for n, _ in beats]
        equal(numbers, list(range(numbers[0], numbers[0] + len(numbers))))
        return max(b[1] - a[1] for a, b in zip(beats, beats[1:]))

    def tell(self, name, text):
        """Writes data/cmd of a guest that beats, and waits until its watch was seen to fire."""
        job = self.console(name)
        self.run(["xenstore-write", "/local/domain/%d/data/cmd" % self.domid(name), text])
        job.line(r"^watch %s \d+" % re.escape(text))

    def notes(self):
        """What to show of it when a case fails."""
        parts = ["console of %s (all of it: %s/console):\n%s" % (self.name, self.logs, self.tail())]
        with contextlib.suppress(Exception):
            parts.append(self.run("tail -n 30 /var/log/messages; cd /var/log/xen;"
                                  "tail -n 8 $(ls -t *.log console/* | head -n 8); xl list",
                                  check=False, timeout=15).out)
        return "\n".join(parts)

    def keep_logs(self):
        with contextlib.suppress(Exception):
            self.run("mkdir -p /tmp/logs; cp -r /var/log/messages /var/log/xen /tmp/logs; "
                     "dmesg > /tmp/logs/dom0-dmesg; xl dmesg > /tmp/logs/xen-dmesg; "
                     "tar -cf /tmp/logs.tar -C /tmp logs", check=False, timeout=20)
            image.write(self.logs + "/logs.tar", self.get("/tmp/logs.tar"))
            image.tool("tar", "-xf", self.logs + "/logs.tar", "-C", self.logs)
            os.unlink(self.logs + "/logs.tar")


made = {}       # what every host of this process shares


def files():
    if "base" not in made:
        if not shutil.which(QEMU):
            raise Skip("%s is not installed" % QEMU)
        made["base"] = image.base()
    return made["base"]


def our_disk():
    if "ours" not in made:
        build = lib.peers.build_dir()
        beat = build + "/tests/system/xen/xen-beat"
        if not os.access(beat, os.X_OK):
            raise Skip("%s is not built" % beat)
        archive = image.Cpio()
        for name in ("dev", "sbin"):
            archive.folder(name)
        archive.add("init", image.read(beat), 0o100755)
        archive.link("sbin/poweroff", "/init")
        archive.link("sbin/reboot", "/init")
        made["folder"] = tempfile.TemporaryDirectory(prefix="drover-xen-")
        made["ours"] = image.ours(made["folder"].name, build, (
            ("/lab/agent.py", image.read(HERE + "/agent.py"), 0o755),
            ("/guest/beat.cpio", archive.octets(), 0o644)))
    return made["ours"]


def log_folder(name):
    test = os.path.splitext(os.path.basename(sys.argv[0] or "lab"))[0]
    folder = "%s/xen-logs/%s-%s" % (lib.peers.build_dir(), test, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder


@contextlib.contextmanager
def told(*hosts):
    """A case's failure says what its hosts said."""
    try:
        yield
    except Exception as e:
        for h in hosts:
            e.add_note(h.notes())
        raise


def bring_up(h, store, args, hostd):
    h.await_agent()
    if store:
        h.start_store(store, args)
        h.start_tools()
    if hostd:
        h.run("drover-hostd %s </dev/null >/var/log/xen/hostd.log 2>&1 &" %
              (hostd if isinstance(hostd, str) else ""))


@contextlib.contextmanager
def host(store="drover", store_args="", hostd=False, **machine):
    """A host with that store, and with drover-hostd where hostd is true or its arguments."""
    h = Host(**machine)
    try:
        with told(h):
            bring_up(h, store, store_args, hostd)
            yield h
    finally:
        h.keep_logs()
        h.stop()


@contextlib.contextmanager
def pair(store="drover", store_args="", hostd=False, **machine):
    """Two hosts that start at once, with a network of their own between them."""
    with tempfile.TemporaryDirectory(prefix="drover-link-") as link, contextlib.ExitStack() as ends:
        hosts = []
        for number, name in ((1, "A"), (2, "B")):
            h = Host(name=name, link=(number, link), **machine)
            ends.callback(h.stop)
            ends.callback(h.keep_logs)
            hosts.append(h)
        with told(*hosts):
            for h in hosts:
                bring_up(h, store, store_args, hostd)
            yield tuple(hosts)


def _own(function, arguments):
    more = dict(arguments)
    if more.pop("pair", False):
        with pair(**more) as hosts:
            function(*hosts)
    else:
        with host(**more) as h:
            function(h)


def main(doc, cases, **machine):
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="FUNCTION")
    only = parser.parse_args().only
    tap, shared = lib.Tap(), []
    for case in cases:
        function, arguments = case if isinstance(case, tuple) else (case, None)
        name = function.__name__.replace("_", " ")
        if only and function.__name__ not in only:
            continue
        if arguments is not None:
            tap.case(name, lambda f=function, a=arguments: _own(f, a))
        elif inspect.signature(function).parameters:
            shared.append((name, function))
        else:
            tap.case(name, function)
    if shared:
        _shared(tap, shared, machine)
    return tap.end()


def _shared(tap, functions, machine):
    """Cases of one host: a failure of one is told, and the others go on."""
    with contextlib.ExitStack() as stack:
        hosts = []

        def boots():
            hosts.append(stack.enter_context(host(**machine)))

        begin = time.monotonic()
        tap.case("the host boots", boots)
        print("# %.1f s" % (time.monotonic() - begin))
        for name, function in functions:
            def once(function=function):
                if not hosts:
                    raise Skip("the host did not boot")
                with told(hosts[0]):
                    function(hosts[0])
            tap.case(name, once)
