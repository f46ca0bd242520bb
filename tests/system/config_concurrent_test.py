#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Eight at once, ours and Debian's own xl, at the devices of the same three domains: what was
reported done is done, whoever else wrote the record meanwhile, and nobody waits for ever.

Each of the eight has disks and nics of its own, so that it knows what must be there; they share
records, locks, stores, and a cdrom in each domain that all of them change.

Usage: [SEED=n] [OPERATIONS=n] config_concurrent_test.py [--kind drover|c|ocaml] [--only CASE]...
"""
import json
import os
import random
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import config_lib  # noqa: E402
import lib  # noqa: E402
import xl  # noqa: E402
from lib import equal  # noqa: E402

SEED = int(os.environ.get("SEED", "1"))
OPERATIONS = int(os.environ.get("OPERATIONS", "40"))
WORKERS = 8
DOMAINS = (7, 8, 10)
CDROM = "xvdp"
OPERATION_S = 90    # nothing takes so long that does not wait for ever


class Failed(Exception):
    device = None


class Worker(threading.Thread):
    """devices: {(domid, class, key): True (attached), False (gone), None (nobody can know)}, key a
    vdev or a mac."""

    def __init__(self, w, number, kill):
        super().__init__(name="worker %d" % number)
        self.w, self.number, self.kill = w, number, kill
        self.rnd = random.Random("%d %d %d" % (SEED, number, kill))
        self.devices, self.media, self.macs = {}, [], 0
        self.ids = {}       # of nics: {(domid, mac): devid}
        self.killed = self.failed = 0
        self.error = None
        self.history = []       # (from, to, words, exit status): what was done, for a failure

    def run(self):
        try:
            for i in range(OPERATIONS):
                self.step(i)
        except BaseException as e:  # pylint: disable=broad-except
            self.error = e

    # ---- programs ----

    def call(self, argv, env, ours):
        start = time.monotonic()
        try:
            status, out = self.run_one(argv, env, ours)
        except Failed:
            status = "failed"
            raise
        finally:
            self.history.append((start, time.monotonic(), self.number, argv[-4:], status))
        return status, out

    def run_one(self, argv, env, ours):
        """(exit status, None if it was killed; stdout)."""
        with subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as p:
            try:
                deadly = ours and self.kill and self.rnd.random() < 0.4
                out, err = p.communicate(
                    timeout=self.rnd.uniform(0, 0.25) if deadly else OPERATION_S)
            except subprocess.TimeoutExpired:
                p.kill()
                p.communicate()
                if not deadly:
                    raise Failed("%s did not end" % " ".join(argv)) from None
                self.killed += 1
                return None, ""
        if p.returncode and ours and not self.kill:
            raise Failed("%s: exit %d\n%s" % (" ".join(argv), p.returncode, err))
        if p.returncode and ours and p.returncode not in (1, 3):
            raise Failed("%s: exit %d\n%s" % (" ".join(argv), p.returncode, err))
        if p.returncode:
            self.failed += 1
            lib_note("%s: exit %d: %s" % (" ".join(argv[1:]), p.returncode, err.strip()[-300:]))
        return p.returncode, out

    def ours(self, *words):
        return self.call(self.w.drover_argv("config", *words), self.w.environment(), True)

    def xl(self, *words):
        return self.call([xl.XL, *words], self.w.xl_env(), False)

    # ---- operations ----

    def step(self, i):
        domid = self.rnd.choice(DOMAINS)
        known = [k for k, v in self.devices.items() if k[0] == domid and v]
        choice = self.rnd.random()
        if choice < 0.45 or not known:
            self.attach(domid)
        elif choice < 0.7:
            self.detach(*self.rnd.choice(known))
        elif choice < 0.8:
            medium = "/iso/%d-%d" % (self.number, i)
            status, _ = self.ours("update", str(domid), "vbd", "vdev=" + CDROM,
                                  "pdev_path=" + medium)
            if status in (0, None):
                self.media.append((domid, medium))
        elif choice < 0.9:
            self.look(domid)
        else:
            self.ours("repair", str(domid))

    def attach(self, domid):
        ours = self.rnd.random() < 0.6
        if self.rnd.random() < 0.6:
            gone = [v for d, c, v in self.devices
                    if (d, c) == (domid, "vbd") and self.devices[d, c, v] is False]
            new = [v for v in ("xvd" + chr(ord("a") + 1 + self.number), "sd" + chr(
                ord("a") + self.number), "xvd" + chr(ord("q") + self.number))
                   if (domid, "vbd", v) not in self.devices]
            if not gone + new:
                return
            key = self.rnd.choice(gone + new)
            words = "phy:/dev/w%d/%s,%s,w,backend=drv" % (self.number, key, key)
            status, _ = (self.ours("attach", str(domid), "vbd", words) if ours else
                         self.xl("block-attach", str(domid), words))
            self.devices[domid, "vbd", key] = {0: True}.get(status)
            return
        self.macs += 1
        key = "00:16:3e:%02x:%02x:%02x" % (domid, self.number, self.macs)
        words = ["mac=" + key, "bridge=br%d" % self.number, "backend=drv"]
        status, out = (self.ours("attach", "--json", str(domid), "vif", *words) if ours else
                       self.xl("network-attach", str(domid), *words))
        if ours and not status and status is not None:
            self.ids[domid, key] = json.loads(out)["id"]
        self.devices[domid, "vif", key] = {0: True}.get(status)

    def detach(self, domid, kind, key):
        devid = self.ids.get((domid, key))
        if self.rnd.random() < 0.6 and (kind == "vbd" or devid is not None):
            status, _ = self.ours("detach", str(domid), kind,
                                  key if kind == "vbd" else devid)
        else:
            status, _ = self.xl("block-detach" if kind == "vbd" else "network-detach",
                                str(domid), key)
        self.devices[domid, kind, key] = {0: False}.get(status)

    def look(self, domid):
        status, out = self.ours("show", "--json", str(domid))
        if status is None:
            return
        there = keys(json.loads(out))
        for (d, kind, key), known in self.devices.items():
            if d == domid and known is not None and ((kind, key) in there) != known:
                report = self.w.drover("config", "check", str(domid), status=None)
                failed = Failed("%d %s %s: %s, and show says otherwise\n%s" % (
                    d, kind, key, known, report.out))
                failed.device = d, kind, key
                raise failed


def keys(tree):
    return {("vbd", d["vdev"]) for d in tree.get("disks", [])} | \
        {("vif", n["mac"]) for n in tree.get("nics", [])}


def lib_note(text):
    for line in text.splitlines():
        print("# " + line)


def in_store(w, domid):
    found = set()
    for kind, key in (("vbd", "dev"), ("vif", "mac")):
        top = "/libxl/%d/device/%s" % (domid, kind)
        for path, (value, _) in w.dump(top).items():
            if path.count("/") == 6 and path.endswith("/" + key):
                found.add((kind, value.decode()))
    return found


def tell(w, workers, domid, kind, key):
    """All that was done to a domain while a device of it came to be what it is."""
    lib_note("%d %s %s is %s" % (domid, kind, key,
                                 "there" if (kind, key) in in_store(w, domid) else "not there"))
    done = sorted(h for one in workers for h in one.history if str(domid) in h[3])
    for start, end, number, words, status in done:
        mark = "  <--" if key in " ".join(words) else ""
        lib_note("%.3f-%.3f worker %d: %s: %s%s" % (start - done[0][0], end - done[0][0], number,
                                                    " ".join(words), status, mark))


def furnish(w):
    w.add_domain(9, "drv")
    for domid in DOMAINS:
        of, name = xl.uuid_of(domid), "pv%d" % domid
        cd = xl.disk(CDROM, "/iso/first", readwrite=0, removable=1, is_cdrom=1,
                     backend_domname="drv")
        w.add_domain(domid, name, of, xl.config(name, of, disks=[cd]))
        w.add_disk(domid, CDROM, "/iso/first", 9,
                   keys={"removable": "1", "mode": "r", "device-type": "cdrom"})
        w.drover("config", "check", str(domid))


def judge(w, workers):
    for domid in DOMAINS:
        live = w.settled(str(domid))
        there = keys(live)
        equal(in_store(w, domid), there)
        equal(keys(w.record(domid)), there)
        expected = {("vbd", CDROM)}
        for worker in workers:
            for (d, kind, key), known in worker.devices.items():
                if d == domid and (known or known is None and (kind, key) in there):
                    expected.add((kind, key))
        for kind, key in there ^ expected:
            tell(w, workers, domid, kind, key)
        equal(there ^ expected, set())
        medium = [d["pdev_path"] for d in live["disks"] if d["vdev"] == CDROM][0]
        equal(w.x.read("/local/domain/9/backend/vbd/%d/%d/params" % (domid, xl.devid_of(CDROM))),
              medium.encode())
        assert medium == "/iso/first" or (domid, medium) in [m for one in workers
                                                             for m in one.media]


def rounds(kill):
    lib.need(xl.XL)
    with lib.daemon() as d, config_lib.Host(d) as w, xl.Backend(w, 9):
        furnish(w)
        workers = [Worker(w, n, kill) for n in range(WORKERS)]
        started = time.monotonic()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(OPERATIONS * OPERATION_S)
        lib_note("%d operations of %d in %.1f s, %d killed, %d failed" % (
            OPERATIONS * WORKERS, WORKERS, time.monotonic() - started,
            sum(worker.killed for worker in workers), sum(worker.failed for worker in workers)))
        try:
            for worker in workers:
                if worker.error:
                    if getattr(worker.error, "device", None):
                        tell(w, workers, *worker.error.device)
                    raise worker.error
                assert not worker.is_alive(), worker.name
            for domid in DOMAINS:
                w.drover("config", "repair", str(domid))
            judge(w, workers)
            w.no_files_left()
            equal(w.drover("config", "locks", "--json").json(), [])
        except BaseException:
            lib_note("SEED=%d OPERATIONS=%d %s" % (SEED, OPERATIONS, " ".join(sys.argv)))
            raise


def nothing_is_lost():
    rounds(False)


def nothing_is_lost_though_some_are_killed():
    rounds(True)


if __name__ == "__main__":
    sys.exit(lib.main(__doc__, [nothing_is_lost, nothing_is_lost_though_some_are_killed]))
