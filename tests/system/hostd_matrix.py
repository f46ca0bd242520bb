# SPDX-License-Identifier: MIT
"""Two hosts, one guest, and one thing that goes wrong while unmodified virsh migrates it: what a
cell of the fault matrix is made of (hostd_matrix_test.py).

    with Pair("drover-sim", base) as pair:
        cell = pair.play(Row("Perform", 305, "a"), FAULTS["client killed, reply lost"])
        cell.where, cell.complaints

Kinds: drover-sim, drover-qemu, libvirtd. Everything is awaited; nothing is slept for but what a
fault takes by itself (how long a daemon stands still, or a cable is out).
"""
import collections
import os
import re
import select
import shutil
import signal
import subprocess
import time

import lib
import hosts
import peers
import rpcproxy

KINDS = ("drover-sim", "drover-qemu", "libvirtd")
QUIET_S = 40        # until all must be over
TOLD_S = 3          # until what is told is true, once all is over
LIBVIRT_S = 12      # it has no more to do by itself then
GIVES_UP_S = 2      # then whoever waits for a lost answer kills virsh

Row = collections.namedtuple("Row", "name procedure host program slow p2p",
                             defaults=(rpcproxy.REMOTE, False, False))
# kind of frame, what happens to it, who dies, who stands still, whether the peers are cut off
Fault = collections.namedtuple("Fault", "name kind verdict kill stop cable",
                               defaults=("", "", False))

ROWS = [
    Row("GetFeatures at source", 60, "a"), Row("GetFeatures at destination", 60, "b"),
    Row("LookupByName", 23, "a"), Row("Begin", 302, "a"), Row("GetState", 212, "a"),
    Row("Prepare", 303, "b"), Row("Perform", 305, "a"),
    Row("GetJobInfo", 163, "a", rpcproxy.REMOTE, True),
    Row("Finish", 306, "b"), Row("Confirm", 307, "a"),
    Row("p2p: Prepare", 303, "b", p2p=True), Row("p2p: Finish", 306, "b", p2p=True),
    Row("p2p: Perform", 305, "a", p2p=True),
]
PEER_ROWS = [
    Row("START", 1, "b", rpcproxy.PEER), Row("STATE", 2, "b", rpcproxy.PEER),
    Row("COMMIT", 4, "a", rpcproxy.PEER), Row("TAKEN", 6, "a", rpcproxy.PEER),
]
FAULTS = [
    Fault("call lost", "call", rpcproxy.DROP),
    Fault("reply lost", "reply", rpcproxy.DROP),
    Fault("cut, call lost", "call", rpcproxy.CLOSE),
    Fault("cut after call", "call", rpcproxy.PASS_AND_CLOSE),
    Fault("cut, reply lost", "reply", rpcproxy.CLOSE),
    Fault("client killed at call", "call", rpcproxy.FORWARD, "c"),
    Fault("client killed at reply", "reply", rpcproxy.CLOSE, "c"),
    Fault("source killed at call", "call", rpcproxy.FORWARD, "a"),
    Fault("source killed at reply", "reply", rpcproxy.CLOSE, "a"),
    Fault("destination killed at call", "call", rpcproxy.FORWARD, "b"),
    Fault("destination killed at reply", "reply", rpcproxy.CLOSE, "b"),
    Fault("both killed at call", "call", rpcproxy.FORWARD, "ab"),
    Fault("both killed at reply", "reply", rpcproxy.CLOSE, "ab"),
    Fault("source stands still", "call", rpcproxy.FORWARD, "", "a"),
    Fault("destination stands still", "call", rpcproxy.FORWARD, "", "b"),
    Fault("peers cut off", "call", rpcproxy.FORWARD, "", "", True),
]


class Cell:
    """What became of one."""

    def __init__(self, row, fault):
        self.row, self.fault = row, fault
        self.where = "?"            # source, destination, both, nowhere
        self.virsh = ""             # ok, error or killed
        self.said = ""              # virsh's last words, of an error
        self.complaints = []
        self.seconds = 0.0
        self.reached = False

    def __str__(self):
        return "%s, %s: %s, virsh %s%s (%.1f s)" % (
            self.row.name, self.fault.name, self.where, self.virsh,
            "".join("; " + c for c in self.complaints), self.seconds)


class Pair:
    NAME = "tick"

    def __init__(self, kind, base, stop_s=2.0, args=()):
        self.kind, self.base, self.stop_s, self.args = kind, base, stop_s, list(args)
        self.ours = kind != "libvirtd"
        self.hosts, self.stores, self.front, self.peer = {}, {}, {}, {}
        self.virsh = None
        self.dead = set()
        self.stopped = {}
        self.mend_at = None

    # -- life --

    def __enter__(self):
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def open(self):
        os.makedirs(self.base, exist_ok=True)
        for h in "ab":
            self.hosts[h] = self.host(h)
            self.hosts[h].start()
            self.front[h] = rpcproxy.Proxy("unix://%s/front-%s" % (self.base, h),
                                           "unix://" + self.hosts[h].socket)
        self.xml = self.definition()

    def definition(self):
        if self.kind != "drover-sim":
            return hosts.tick_xml(self.base, self.NAME)
        path = hosts.tick_xml(self.base, self.NAME, kind="test")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        with open(path, "w", encoding="utf-8") as f:     # memory that takes a while to send
            f.write(text.replace("<type>hvm</type>", "<type>hvm</type><kernel>/none</kernel>"
                                 "<cmdline>fill tick=20 dirty=4</cmdline>"))
        return path

    def host(self, h):
        if not self.ours:
            return hosts.Libvirtd(self.base, h)
        store = peers.Daemon("drover", dir="%s/store-%s" % (self.base, h))
        self.stores[h] = store
        port = hosts.free_port()
        found = hosts.Drover(
            self.base, h, backend=self.kind.split("-")[1],
            store=["--store", store.socket, "--sim-dir", store.dir,
                   "--store-userdata", self.userdata(h)],
            args=["--peer-address", "tcp://127.0.0.1:%d" % port, *self.args])
        self.peer[h] = rpcproxy.Proxy("tcp://127.0.0.1:%d" % port,
                                      "tcp://127.0.0.1:%d" % found.port)
        found.port_is_known = True
        return found

    def userdata(self, h):
        return "%s/userdata-%s" % (self.base, h)

    def close(self):
        for proxy in [*self.front.values(), *self.peer.values()]:
            proxy.close()
        for host in self.hosts.values():
            host.stop()
        for store in self.stores.values():
            store.stop()
        shutil.rmtree(self.base, ignore_errors=True)

    # -- one cell --

    def play(self, row, fault):
        cell = Cell(row, fault)
        begin = time.monotonic()
        a = self.hosts["a"]
        for h in "ab":
            if os.path.exists(self.hosts[h].serial_path(self.NAME)):
                os.unlink(self.hosts[h].serial_path(self.NAME))
        a.virsh("create", self.xml)
        a.await_ticks(self.NAME, 2)
        rule = rpcproxy.Rule(fault.kind, row.procedure, lambda _: self.strike(fault), row.program)
        proxies = self.front if row.program == rpcproxy.REMOTE else self.peer
        targets = [proxies[row.host]] if row.program == rpcproxy.REMOTE else proxies.values()
        for proxy in targets:
            proxy.rules.append(rule)
        self.migrate(row)
        self.attend(rule, fault, cell)
        for proxy in [*self.front.values(), *self.peer.values()]:
            proxy.rules.clear()
        cell.reached = rule.fired.is_set()
        self.settle(cell)
        cell.seconds = time.monotonic() - begin
        return cell

    def migrate(self, row):
        there = "qemu+unix:///system?socket=%s/front-b" % self.base
        here = "qemu+unix:///system?socket=%s/front-a" % self.base
        words = ["migrate", "--live", "--verbose", self.NAME, there]
        if not self.ours:
            words += ["--migrateuri", "tcp://127.0.0.1"]
        if row.p2p:
            words.append("--p2p")
        if row.slow:
            words += ["--bandwidth", "8"]
        self.virsh = subprocess.Popen(  # pylint: disable=consider-using-with
            self.hosts["a"].argv(*words, uri=here), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=dict(os.environ, LC_ALL="C"))

    def strike(self, fault):
        """In a proxy's thread, before the frame goes on."""
        for who in fault.kill:
            if who == "c":
                self.virsh.kill()
            else:
                self.hosts[who].process.kill()
                self.dead.add(who)
        for who in fault.stop:
            os.kill(self.hosts[who].pid, signal.SIGSTOP)
            self.stopped[who] = time.monotonic() + self.stop_s
        if fault.cable:
            for proxy in self.peer.values():
                proxy.cut()
            self.mend_at = time.monotonic() + self.stop_s
        return fault.verdict

    def attend(self, rule, fault, cell):
        """Until virsh ends: starts daemons again, lets them go on, mends cables."""
        end = time.monotonic() + QUIET_S
        gives_up = None
        while self.virsh.poll() is None:
            now = time.monotonic()
            if (rule.fired.is_set() and fault.verdict == rpcproxy.DROP and gives_up is None
                    and rule.program == rpcproxy.REMOTE):   # daemons ask again by themselves
                gives_up = now + GIVES_UP_S
            if now > min(end, gives_up or end):
                self.virsh.kill()
            self.mend(now)
            select.select([], [], [], 0.02)
        out = self.virsh.communicate()[0]
        cell.virsh = ("killed" if self.virsh.returncode < 0 else
                      "error" if self.virsh.returncode else "ok")
        if self.virsh.returncode > 0:
            cell.said = out.strip().split("\n")[-1]

    def mend(self, now):
        for who in list(self.dead):
            self.hosts[who].process.wait()
            self.hosts[who].process.stdout.close()
            self.hosts[who].start()
            self.dead.discard(who)
        for who, when in list(self.stopped.items()):
            if now >= when:
                os.kill(self.hosts[who].pid, signal.SIGCONT)
                del self.stopped[who]
        if self.mend_at and now >= self.mend_at:
            for proxy in self.peer.values():
                proxy.mend()
            self.mend_at = None

    def settle(self, cell):
        """Waits until there is nothing to complain about, or for long enough."""
        end = time.monotonic() + QUIET_S
        while self.dead or self.stopped or self.mend_at:
            self.mend(time.monotonic())
            select.select([], [], [], 0.02)
        limit = end if self.ours else time.monotonic() + LIBVIRT_S
        while True:
            cell.where, cell.complaints = self.judge()
            if not self.ours and all(c.startswith("domjobinfo") for c in cell.complaints):
                limit = min(limit, time.monotonic() + TOLD_S)
            if not cell.complaints or time.monotonic() > limit:
                return
            select.select([], [], [], 0.2)

    # -- what there is --

    def judge(self):
        found = {h: self.state(h) for h in "ab"}
        running = [h for h in "ab" if found[h] == "running"]
        counting = self.counting()
        complaints = []
        where = {"a": "source", "b": "destination", "ab": "both", "": "nowhere"}["".join(counting)]
        if len(counting) != 1:
            complaints.append("runs " + where)
        if running != counting:
            complaints.append("states are " + ", ".join("%s: %s" % i for i in found.items()))
        complaints += self.ticks_wrong()
        for h in "ab":
            if h not in counting:
                complaints += ["%s: %s" % (h, what) for what in self.leftovers(h)]
        for h in "ab":
            complaints += ["%s: %s" % (h, what) for what in self.open_things(h, h in counting)]
        if self.ours and not complaints:
            complaints += self.untrue(counting[0])
        return where, complaints

    def state(self, h):
        names = self.hosts[h].virsh("list", "--all", "--name").split()
        return (self.hosts[h].virsh("domstate", self.NAME, check=False).strip()
                if self.NAME in names else "none")

    def counting(self):
        """The hosts on which the guest counts: for as long as three of its ticks take."""
        before = {h: len(self.hosts[h].ticks(self.NAME)) for h in "ab"}
        end = time.monotonic() + 2
        while time.monotonic() < end:
            now = {h: len(self.hosts[h].ticks(self.NAME)) - before[h] for h in "ab"}
            if max(now.values()) >= 3:
                break
            select.select([], [], [], 0.05)
        return [h for h in "ab" if now[h]]

    def ticks_wrong(self):
        """Each host's numbers rise one by one, and no number is on both."""
        numbers = {h: self.hosts[h].ticks(self.NAME) for h in "ab"}
        wrong = ["%s: %d after %d" % (h, y, x) for h in "ab"
                 for x, y in zip(numbers[h], numbers[h][1:]) if y != x + 1]
        if numbers["a"] and numbers["b"] and numbers["b"][0] <= numbers["a"][-1]:
            wrong.append("the destination counts %d, the source %d" % (numbers["b"][0],
                                                                       numbers["a"][-1]))
        return wrong[:2]

    def leftovers(self, h):
        """On a host on which the guest does not run."""
        host = self.hosts[h]
        left = []
        if self.state(h) != "none":
            left.append("a %s guest is left" % self.state(h))
        if host.guests():
            left.append("a guest's process is left")
        if self.ours:
            left += self.in_store(h)
            left += ["%s/%s is left" % (folder, name)
                     for folder in ("run", "state/guests")
                     for name in self.listed("%s/%s" % (host.dir, folder))
                     if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}", name)]
            left += ["%s is left" % name for name in self.listed(self.userdata(h))
                     if "libxl-json" in name]
        return left

    @staticmethod
    def listed(path):
        return os.listdir(path) if os.path.isdir(path) else []

    def in_store(self, h):
        store = self.stores[h]
        with store.connect() as x:
            left = []
            for path in ("/local/domain", "/vm", "/libxl"):
                try:
                    left += ["%s/%s is in the store" % (path, n) for n in x.ls(path)
                             if n not in ("", "0")]
                except peers.XsError:
                    pass
        return left

    def open_things(self, h, here):
        """Jobs, ports and locks, on any host."""
        host = self.hosts[h]
        left = []
        if self.ours:
            done = subprocess.run(
                [hosts.build_dir() + "/drover", "migrations", "--open", "-c", host.uri],
                capture_output=True, text=True, timeout=lib.TIMEOUT, check=False)
            if done.returncode or self.NAME in done.stdout:
                left.append("open: " + (done.stdout + done.stderr).strip().split("\n")[-1])
        if here:
            job = host.virsh("domjobinfo", self.NAME, check=False)
            if not re.search(r"Job type:\s+None", job):
                left.append("a job is left")
        ports = listening(host.pid) - {host.port}
        if ports:
            left.append("listens on %s" % sorted(ports))
        return left

    def untrue(self, h):
        """What domjobinfo --completed says there, against what is."""
        said = self.hosts[h].virsh("domjobinfo", "--completed", self.NAME, check=False)
        m = re.search(r"Job type:\s+(\w+)", said)
        kind = m.group(1) if m else "None"
        if h == "b" and kind != "Completed":
            return ["domjobinfo --completed at the destination says %s" % kind]
        if h == "a" and kind == "Completed":
            return ["domjobinfo --completed at the source says Completed"]
        return []

    def clear(self):
        """No guest, for the next cell."""
        for h in "ab":
            self.hosts[h].virsh("destroy", self.NAME, check=False)
            lib.until(lambda h=h: self.state(h) == "none", "%s is clear" % h)


def listening(pid):
    """The TCP ports that a process listens on."""
    inodes = set()
    try:
        for fd in os.listdir("/proc/%d/fd" % pid):
            m = re.match(r"socket:\[(\d+)\]", os.readlink("/proc/%d/fd/%s" % (pid, fd)))
            if m:
                inodes.add(m.group(1))
    except OSError:
        pass
    ports = set()
    for table in ("tcp", "tcp6"):
        with open("/proc/net/" + table, encoding="ascii") as f:
            for line in f.readlines()[1:]:
                words = line.split()
                if words[3] == "0A" and words[9] in inodes:
                    ports.add(int(words[1].rsplit(":", 1)[1], 16))
    return ports
