# SPDX-License-Identifier: MIT
"""What the tests of `drover config` share: a host with a domain 7 and a driver domain 9, what
ours says of it, and the whole of what it might have changed."""
import contextlib
import copy
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import lib  # noqa: E402
import peers  # noqa: E402  pylint: disable=wrong-import-order
import xl  # noqa: E402
from lib import equal  # noqa: E402

UUID = "6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2c"
RECORD = xl.config("pv1", UUID, disks=[xl.disk("xvda", "/dev/vg0/pv1-root")],
                   nics=[xl.nic(0, "00:16:3e:11:22:33", "xenbr0")])
SETTLED = {"attached", "record-only", "implied"}
B = "phy:/dev/vg0/b,xvdb,w,backend=drv"     # a disk of the driver domain


def vdevs(tree):
    return [d["vdev"] for d in tree.get("disks", [])]


def without(tree, **lists):
    """A copy with other lists: None removes one."""
    tree = copy.deepcopy(tree)
    for name, entries in lists.items():
        tree.pop(name, None)
        if entries:
            tree[name] = entries
    return tree


class Host(xl.Host):
    """said: all that ours said, for comparing stores."""

    def __init__(self, d):
        super().__init__(d)
        self.said = []

    def furnish(self, ring=False):
        """Domain 7 with a disk and a nic that record and store have, and a driver domain, 9."""
        self.add_domain(9, "drv")
        self.add_domain(7, "pv1", UUID, RECORD, ring=ring)
        self.add_disk(7, "xvda", "/dev/vg0/pv1-root")
        self.add_nic(7, 0, "00:16:3e:11:22:33", "xenbr0")
        return self

    # ---- what ours says ----

    def _say(self, what):
        self.said.append(what)
        return what

    def ours(self, view="--live", status=0, *more, who="7"):
        """Its answer, which changes nothing; in self.said with its exit status and errors."""
        before = self.kept()
        r = self.drover("config", "show", view, "--json", *more, who, status=status)
        tree = json.loads(r.out) if not status else None
        self._say((view, r.status, tree, r.err.replace(self.dir, "DIR")))
        equal(self.kept(), before)
        return tree

    def refusal(self):
        """The one line of the last answer."""
        line, = self.said[-1][3].splitlines()
        return line

    def report(self, who="7"):
        r = self.drover("config", "check", "--json", who, status=None)
        one, = json.loads(r.out)
        assert "items" in one, one
        equal(r.status, int(any(i["fault"] for i in one["items"]) or one["degraded"]))
        for i in one["items"]:
            i["path"] = i["path"] and i["path"].replace(self.dir, "DIR")
        self._say(one)
        return {i["class"] + " " + i["id"]: i for i in one["items"]}

    def items(self, who="7"):
        """What check says: {"vbd xvda": verdict}."""
        return {name: i["verdict"] for name, i in self.report(who).items()}

    def settled(self, who="7"):
        """Nothing is left to say, and record and store agree. The tree."""
        items = self.items(who)
        assert set(items.values()) <= SETTLED, items
        live = self.ours(who=who)
        equal(self.ours("--persistent", who=who), live)
        return live

    def repair(self, *more, who="7"):
        """Says the same before and after, and leaves nothing to do."""
        words = ("--backend-timeout", "300", *more, who)
        dry = self.drover("config", "repair", "-n", *words, status=1)
        r = self.drover("config", "repair", *words)
        equal(r.out, dry.out)
        self._say(r.out.replace(self.dir, "DIR"))
        return r

    def refused(self, *words, status=3, says=()):
        """One line on stderr that says so, and nothing changed."""
        before = self.everything()
        r = self.drover("config", *words, status=status)
        equal((r.out, len(r.err.splitlines())), ("", 1))
        for word in (says,) if isinstance(says, str) else says:
            assert word in r.err, r.err
        equal(self.everything(), before)
        return r

    @contextlib.contextmanager
    def running(self, *words):
        """One of ours that runs meanwhile; killed at the end if it still does."""
        with subprocess.Popen(self.drover_argv("config", *words), env=self.environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            try:
                yield p
            finally:
                if p.poll() is None:
                    p.kill()

    # ---- all that it might change ----

    def files(self):
        return {name: open(self.userdata + "/" + name, "rb").read()
                for name in sorted(os.listdir(self.userdata))}

    def everything(self):
        return self.files(), self.dump()

    def kept(self):
        """Without locks: whoever takes one that a dead man left removes it in the end."""
        files, store = self.everything()
        return {n: v for n, v in files.items() if not n.startswith("userdata-l.")}, store

    def no_files_left(self):
        """No lock, no intent, nothing half written."""
        equal([n for n in self.files() if not n.endswith(".libxl-json")], [])

    def unchanged(self, before):
        """Parents of directories that came and went may stay."""
        files, store = self.everything()
        equal(files, before[0])
        more = {p for p in store if p not in before[1]}
        assert all(p.count("/") <= 6 and store[p][0] == b"" for p in more), sorted(more)
        equal({p: v for p, v in store.items() if p not in more}, before[1])

    # ---- waiting ----

    def await_node(self, path, value=None, timeout=30):
        """Until it is there (False: gone), with that value. A watch of one's own tells."""
        with self.d.connect() as x:
            x.watch(path, "await")
            while True:
                try:
                    now = x.read(path).decode()
                except peers.XsError:
                    now = None
                if (value is False) == (now is None) and value in (None, False, now):
                    return
                x.next_event(timeout)


def ended(p, status=None, timeout=60):
    """(exit status, stdout, stderr) of one that was running."""
    out, err = p.communicate(timeout=timeout)
    assert status is None or p.returncode == status, "exit %d\n%s%s" % (p.returncode, out, err)
    return p.returncode, out, err
