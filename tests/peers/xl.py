# SPDX-License-Identifier: MIT
"""Domains as libxl 4.17 makes them, its own xl without a hypervisor, and backends that answer as
they are told: for tests of configurations on any store that peers.py starts.

    with peers.Daemon("drover") as d, xl.Host(d) as h:      # or "c", "ocaml"
        h.add_domain(9, "drv")                              # no record: somebody else's
        h.add_domain(7, "pv1", record=xl.config("pv1", xl.uuid_of(7)))
        h.add_disk(7, "xvda", "/dev/vg0/root")              # keys alone, all that libxl writes
        h.add_nic(7, 0, "00:16:3e:11:22:33", "xenbr0")
        with xl.Backend(h, 9):
            h.xl("block-attach", "7", "phy:/dev/vg0/b,xvdb,w,backend=drv")
        h.retrieved(7)                                      # libxl's answer, a tree
        h.drover("config", "show", "pv1", "--json")         # ours; a Result of lib.py's kind

Records lie in h.userdata, which xl takes for /var/lib/xen (see xlshim.c). h.x is a privileged
client. Backend(h, B, policy): see there.
"""
import collections
import contextlib
import json
import os
import re
import select
import subprocess
import threading
import time
import uuid

from xsclient import Closed, Timeout, XsError, build_dir, XS_SET_PERMS, XS_WRITE

XL = os.environ.get("XEN_BIN", "/usr/lib/xen-4.17/bin") + "/xl"
TIMEOUT = 120


def have():
    return os.access(XL, os.X_OK) and os.path.exists(build_dir() + "/tests/peers/xlshim.so")


def uuid_of(domid, life=0):
    """The same for the same domain, so that a failure is found again."""
    return str(uuid.UUID(int=(0x6f1c2b3a << 96) | (0x4000 << 64) | (0x8000 << 48) |
                         life << 32 | domid))


def devid_of(vdev):
    """Of xvdX, sdX and hdX, without partitions, as far as tests go."""
    letters = vdev[len(vdev.rstrip("abcdefghijklmnopqrstuvwxyz")):] or vdev
    n = ord(letters[-1]) - ord("a")
    if vdev.startswith("xvd"):
        return 202 << 8 | n << 4 if n < 16 else 1 << 28 | n << 8
    if vdev.startswith("sd"):
        return 8 << 8 | n << 4
    return (3 if n < 2 else 22) << 8 | (n % 2) << 6


def config(name, of, kind="pv", vcpus=2, mem_kb=1048576, max_kb=2097152, **lists):
    """A record's tree, as libxl writes it for a small domain."""
    tree = {
        "c_info": {"type": kind, "name": name, "uuid": of},
        "b_info": {
            "max_vcpus": vcpus, "avail_vcpus": list(range(vcpus)), "max_memkb": max_kb,
            "target_memkb": mem_kb, "video_memkb": 0, "sched_params": {},
            "kernel": "/boot/vmlinuz", "cmdline": "root=/dev/xvda1 ro", "type." + kind: {},
            "arch_arm": {}, "arch_x86": {}}}
    tree.update(lists)
    tree.update(on_reboot="restart", on_crash="restart", on_soft_reset="soft_reset")
    return tree


def disk(vdev, path, **more):
    return dict({"pdev_path": path, "vdev": vdev, "format": "raw", "readwrite": 1}, **more)


def nic(devid, mac, bridge, **more):
    return dict({"devid": devid, "mac": mac, "bridge": bridge, "nictype": "vif"}, **more)


class Result:
    def __init__(self, argv, p):
        self.argv, self.status, self.out, self.err = argv, p.returncode, p.stdout, p.stderr
        self.lines = p.stdout.splitlines()

    def __str__(self):
        return "%s: exit %d\n%s%s" % (" ".join(self.argv), self.status, self.out[-3000:],
                                      self.err[-3000:])

    def json(self):
        return json.loads(self.out)


def device_nodes(domid, kind, devid, backend_domid=0, back=(), front=(), backend_kind=None,
                 state="4", front_state="4", libxl_state="1", front_hard=()):
    """[(path, value, perms)] of a device's three directories, in libxl's order. front_hard: keys
    of the frontend that the guest may only read."""
    f = "/local/domain/%d/device/%s/%d" % (domid, kind, devid)
    b = "/local/domain/%d/backend/%s/%d/%d" % (backend_domid, backend_kind or kind, domid, devid)
    lib = "/libxl/%d/device/%s/%d" % (domid, kind, devid)
    own, hard = ("n%d" % domid, "r%d" % backend_domid), ("n%d" % backend_domid, "r%d" % domid)
    nodes = [(lib, "", ("n0",)), (f, "", own), (b, "", hard)]
    nodes += [(f + "/" + k, v, own) for k, v in
              [("backend", b), ("backend-id", str(backend_domid)), ("state", front_state)]]
    nodes += [(f + "/" + k, v, own) for k, v in dict(front).items()]
    nodes += [(f + "/" + k, v, hard) for k, v in dict(front_hard).items()]
    keys = dict([("frontend-id", str(domid)), ("online", "1"), ("state", state)], **dict(back))
    nodes += [(b + "/" + k, v, hard) for k, v in [("frontend", f), *keys.items()]]
    keys["state"] = libxl_state
    nodes += [(lib + "/" + k, v, ("n0",)) for k, v in
              [("frontend", f), ("backend", b), *keys.items()]]
    return nodes


def disk_nodes(domid, vdev, path, backend_domid=0, **more):
    back = {"params": path, "script": "/etc/xen/scripts/block", "removable": "0", "bootable": "1",
            "dev": vdev, "type": "phy", "mode": "w", "device-type": "disk",
            "discard-enable": "1", "specification": "xen"}
    kind = more.get("backend_kind") or "vbd"
    if kind == "qdisk":
        back.update({"type": "qdisk", "params": "aio:" + path if path else ""})
        del back["script"]
    back.update(more.pop("keys", {}))
    devid = devid_of(vdev)
    front = {"virtual-device": str(devid), "device-type": back["device-type"], "trusted": "1",
             "protocol": "x86_64-abi"}
    return device_nodes(domid, "vbd", devid, backend_domid, back, front, **more)


def nic_nodes(domid, devid, mac, bridge, backend_domid=0, **more):
    back = {"script": "/etc/xen/scripts/vif-bridge", "mac": mac, "bridge": bridge,
            "handle": str(devid), "type": "vif", "hotplug-status": "connected"}
    back.update(more.pop("keys", {}))
    front = {"handle": str(devid), "mac": mac, "trusted": "1"}
    return device_nodes(domid, "vif", devid, backend_domid, back, front,
                        front_hard={"mtu": "1500"}, **more)


def domain_nodes(domid, name, of, kind="pv", vcpus=2, online=None, target_kb=1048576,
                 max_kb=2097152):
    """The keys of a domain that libxl built."""
    d, vm, reader = "/local/domain/%d" % domid, "/vm/" + of, "r%d" % domid
    hard, soft = ("n0", reader), ("n%d" % domid,)
    nodes = [(d, "", hard), (vm, "", hard), ("/libxl/%d" % domid, "", ("n0",)),
             (d + "/vm", vm, hard), (d + "/name", name, hard)]
    nodes += [(d + "/" + k, "", hard) for k in ("cpu", "memory", "device", "control")]
    nodes += [(d + "/" + k, "", soft) for k in
              ("control/shutdown", "control/feature-poweroff", "control/feature-reboot",
               "control/feature-suspend", "control/sysrq", "device/suspend/event-channel",
               "data", "drivers", "feature", "attr", "error")]
    nodes += [("/libxl/%d/device" % domid, "", ("n0",)),
              ("/libxl/%d/type" % domid, kind, ("n0",)),
              (vm + "/name", name, hard), (vm + "/uuid", of, hard),
              (d + "/domid", str(domid), hard),
              (d + "/memory/static-max", str(max_kb), hard),
              (d + "/memory/target", str(target_kb), hard),
              (d + "/memory/videoram", "0", hard)]
    nodes += [(d + "/cpu/%d/availability" % i,
               "online" if i < (vcpus if online is None else online) else "offline", hard)
              for i in range(vcpus)]
    return nodes


class Host:
    """Domain 0 and its domains on a store that runs."""

    def __init__(self, d):
        self.d, self.dir, self.socket = d, d.dir, d.socket
        self.userdata = d.dir + "/lib"
        self.x = d.connect()
        self.domains = {}
        os.makedirs(self.userdata, exist_ok=True)
        for path, value in (("/local/domain/0/name", "Domain-0"), ("/local/domain/0/domid", "0"),
                            ("/local/pool/0/name", "Pool-0")):
            self.x.write(path, value)
        self._hypervisor_domain(0, "0" * 8 + "-0000-0000-0000-" + "0" * 12, "pv", 4, 4 << 20,
                                4 << 20)

    def close(self):
        self.x.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- what the hypervisor says ----

    def _hypervisor_domain(self, domid, *words):
        if words:
            self.domains[domid] = words
        else:
            self.domains.pop(domid, None)
        path = self.dir + "/domains"
        with open(path + ".new", "w") as f:
            for n, values in sorted(self.domains.items()):
                print(n, *values, file=f)
        os.rename(path + ".new", path)

    # ---- the store ----

    def put(self, nodes, client=None):
        """Writes nodes and their permissions, many requests on their way at once."""
        x = client or self.x
        for at in range(0, len(nodes), 64):
            part = nodes[at:at + 64]
            for path, value, perms in part:
                x.send(XS_WRITE, path.encode() + b"\0" + value.encode())
                x.send(XS_SET_PERMS, b"".join(p.encode() + b"\0" for p in (path, *perms)))
            for path, value, perms in part:
                for _ in range(2):
                    m = x.recv_reply()
                    assert m.type in (XS_WRITE, XS_SET_PERMS), (path, value, perms, m)

    def dump(self, top="/", client=None):
        """{path: (value, perms)} of a subtree."""
        x, found, todo = client or self.x, {}, [top]
        while todo:
            path = todo.pop()
            try:
                found[path] = (x.read(path), tuple(x.perms(path)))
                todo += [path.rstrip("/") + "/" + name for name in x.ls(path)]
            except XsError:
                continue    # it went meanwhile
        return found

    def rm(self, path):
        with contextlib.suppress(XsError):
            self.x.rm(path)

    # ---- domains ----

    def add_domain(self, domid, name, of=None, record=None, kind="pv", vcpus=2,
                   mem_kb=1048576, max_kb=2097152, ring=False):
        """ring: it is introduced to the store, and d.guest(domid) may speak as it."""
        of = of or uuid_of(domid)
        self._hypervisor_domain(domid, of, kind, vcpus, mem_kb, max_kb)
        self.d.sim.create(domid)    # stores refuse nodes of domains that are not there
        if ring:
            self.x.introduce(domid)
        self.put(domain_nodes(domid, name, of, kind, vcpus, None, mem_kb, max_kb))
        if record is not None:
            self.set_record(domid, record)
        return of

    def remove_domain(self, domid, files=True):
        """As libxl's destroy leaves it."""
        words = self.domains.get(domid)
        self._hypervisor_domain(domid)
        if domid in [n for n, *_ in self.d.sim.list()]:
            self.d.sim.destroy(domid)
        self.rm("/local/domain/%d" % domid)
        self.rm("/libxl/%d" % domid)
        if words:
            self.rm("/vm/" + words[0])
        for name in os.listdir(self.userdata) if files and words else ():
            if name.startswith("userdata-") and ".%d.%s." % (domid, words[0]) in name:
                with contextlib.suppress(FileNotFoundError):    # a lock that was let go
                    os.unlink(self.userdata + "/" + name)

    def uuid(self, domid):
        return self.domains[domid][0]

    def file(self, domid, name="libxl-json", what="d"):
        return "%s/userdata-%s.%d.%s.%s" % (self.userdata, what, domid, self.uuid(domid), name)

    def set_record(self, domid, tree):
        path = self.file(domid)
        # An empty map, as libxl prints it.
        text = re.sub(r"(?m)^( *)(.*)\{\}", r"\1\2{\n\n\1}", json.dumps(tree, indent=4))
        with open(path + ".new", "w") as f:
            f.write(text + "\n\0")
        os.rename(path + ".new", path)

    def record(self, domid):
        with open(self.file(domid)) as f:
            return json.loads(f.read().rstrip("\0"))

    # ---- devices: keys alone ----

    def add_disk(self, domid, vdev, path, backend_domid=0, **more):
        self.put(disk_nodes(domid, vdev, path, backend_domid, **more))

    def add_nic(self, domid, devid, mac, bridge, backend_domid=0, **more):
        self.put(nic_nodes(domid, devid, mac, bridge, backend_domid, **more))

    def state(self, domid, kind, devid):
        """Of the backend, None where it is gone."""
        try:
            back = self.x.read("/libxl/%d/device/%s/%d/backend" % (domid, kind, devid)).decode()
            return self.x.read(back + "/state").decode()
        except XsError:
            return None

    # ---- programs ----

    def environment(self, **more):
        env = dict(os.environ, XENSTORED_PATH=self.socket, DROVER_SIM_DIR=self.dir)
        env.pop("LD_PRELOAD", None)
        # A sanitizer's library wants to be loaded first; nothing else here is built with it.
        env["ASAN_OPTIONS"] = ":".join(filter(None, [env.get("ASAN_OPTIONS"),
                                                     "verify_asan_link_order=0"]))
        env.update(more)
        return env

    def xl_env(self):
        return self.environment(LD_PRELOAD=build_dir() + "/tests/peers/xlshim.so")

    @staticmethod
    def _run(argv, env, status, timeout=TIMEOUT, stdin=""):
        r = Result(argv, subprocess.run(argv, env=env, capture_output=True, text=True,
                                        timeout=timeout, input=stdin, check=False))
        assert status is None or r.status == status, str(r)
        return r

    def xl(self, *words, status=0):
        """Debian's own xl. status None: any."""
        return self._run([XL, *words], self.xl_env(), status)

    def xlconf(self, *words, status=0):
        return self._run([build_dir() + "/tests/peers/xlconf", *words], self.environment(), status)

    def retrieved(self, domid):
        """libxl's own answer, and what it said on the way."""
        r = self.xlconf("retrieve", str(domid), status=None)
        return (json.loads(r.out) if r.status == 0 else None), r

    def drover_argv(self, *words):
        """`config CMD ...` gets the store and the directory of this host."""
        argv = [build_dir() + "/drover", *words]
        if words[0] == "config":
            argv[3:3] = ["-s", self.socket, "-d", self.userdata]
        return argv

    def drover(self, *words, status=0, timeout=TIMEOUT, stdin=""):
        return self._run(self.drover_argv(*words), self.environment(), status, timeout, stdin)


# What a backend does when a device's state becomes one that it must answer. after_s: it takes so
# long. error: says so in words and closes instead of connecting. on: the states it answers.
# remove_s: from state 6 until a driver domain's directory is removed: libxl gives up where it goes
# before that has seen the 6, and xl devd runs a script in between.
Policy = collections.namedtuple("Policy", "on after_s error remove_s",
                                defaults=(("1", "5", "6"), 0.0, None, 0.3))
GOOD = Policy()
SILENT = Policy(on=())
STUCK = Policy(on=("1",))       # takes devices and never lets go


class Backend(threading.Thread):
    """Plays the drivers of a domain: new devices (1) are taken (2), those asked to go (5) are let
    go (6), and removed where the domain is a driver domain, as xl devd there would do.

    .policy may be replaced at any time; .answers counts what was done to each path.
    """

    def __init__(self, host, domid, policy=GOOD):
        super().__init__(daemon=True)
        self.base = "/local/domain/%d/backend" % domid
        self.domid, self.policy = domid, policy
        self.x = host.d.connect()
        self.state_of = re.compile(re.escape(self.base) + r"/[^/]+/\d+/\d+/state$")
        self.due = []           # (when, path)
        self.answers = collections.Counter()
        self.stop_read, self.stop_write = os.pipe()

    def __enter__(self):
        self.x.watch(self.base, "backend")
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        if not self.x:
            return
        os.write(self.stop_write, b"x")
        self.join()
        self.x.close()
        self.x = None
        os.close(self.stop_read)
        os.close(self.stop_write)

    def run(self):
        with contextlib.suppress(Closed, BrokenPipeError):
            while True:
                wait = max(0, min(self.due)[0] - time.monotonic()) if self.due else None
                if self.x.events or self.x.buf:     # came along with an answer
                    wait = 0
                ready = select.select([self.x, self.stop_read], [], [], wait)[0]
                if self.stop_read in ready:
                    return
                self.collect()
                now = time.monotonic()
                ripe = [path for when, path in self.due if when <= now]
                self.due = [one for one in self.due if one[0] > now]
                for path in ripe:
                    self.answer(path)

    def collect(self):
        with contextlib.suppress(Timeout):
            while True:
                path, _ = self.x.next_event(0.000001 if not self.x.events else None)
                if path == self.base:
                    self.scan()
                elif self.state_of.match(path):
                    self.take(path)

    def take(self, path):
        """Answers what is there now, when its time has come."""
        try:
            state = self.x.read(path).decode()
        except XsError:
            return
        after_s = self.policy.remove_s if state == "6" else self.policy.after_s
        self.due.append((time.monotonic() + after_s, path))

    def scan(self):
        with contextlib.suppress(XsError):
            for kind in self.x.ls(self.base):
                for of in self.x.ls(self.base + "/" + kind):
                    for devid in self.x.ls("%s/%s/%s" % (self.base, kind, of)):
                        self.take("%s/%s/%s/%s/state" % (self.base, kind, of, devid))

    def answer(self, path):
        """In a transaction, as drivers do: a state written late must not make a device anew."""
        while True:
            tx = self.x.begin()
            try:
                state = self.x.read(path, tx).decode()
                done = state in self.policy.on and self.answer_in(tx, path, state)
                self.x.commit(tx) if done else self.x.abort(tx)
                if done:
                    self.answers[path] += 1
                return
            except XsError as e:
                if e.name != "EAGAIN":
                    with contextlib.suppress(XsError):
                        self.x.abort(tx)
                    return

    def answer_in(self, tx, path, state):
        device = path.rsplit("/", 1)[0]
        if state == "1" and self.policy.error:  # as xenbus_dev_fatal
            home, name = device.split("/backend/")
            self.x.write("%s/error/backend/%s/error" % (home, name), self.policy.error, tx)
            self.x.write(path, "5", tx)
        elif state == "1":
            self.x.write(path, "2", tx)
        elif state == "5":
            self.x.write(path, "6", tx)
        elif self.domid and self.x.read(device + "/online", tx) == b"0":
            self.x.rm(device, tx)
        else:
            return False
        return True
