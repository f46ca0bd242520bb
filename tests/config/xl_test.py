#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""xl's words for disks and nics, and files for xl, held against Debian's own xl 4.17: `xl create
-n` prints the record that it would make of a file.

    xl_test.py --words CLASS WORDS...   only says what words make
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, ROOT + "/tests/peers")
sys.path.insert(0, HERE)
import xl as judge  # noqa: E402
import xl_mutate  # noqa: E402
import xl_words  # noqa: E402
from xsclient import build_dir  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--only", default="", help="cases whose name has this")
parser.add_argument("--seed", type=int, default=1, help="of the first changed record")
parser.add_argument("--seeds", type=int, default=200, help="how many changed records")
parser.add_argument("--words", nargs="+", metavar=("CLASS", "WORDS"))
args = parser.parse_args()

PRINT = build_dir() + "/tests/config/xl-print"
BASE = 'name = "x"\ntype = "pv"\nmemory = 64\nvcpus = 1\nkernel = "/k"\n'
# What xl says where it goes on all the same, having left a nic's word out.
PASSED_OVER = ("unrecognized argument", "Invalid parameter")


class Xl:
    """Debian's xl on a host with no domains and no store."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="xl-test.", dir="/dev/shm")
        with open(self.dir + "/domains", "w", encoding="ascii") as f:
            f.write("0 00000000-0000-0000-0000-000000000000 pv 4 4194304 4194304\n")
        self.env = dict(os.environ, DROVER_SIM_DIR=self.dir, DROVER_NO_STORE="1",
                        LD_PRELOAD=build_dir() + "/tests/peers/xlshim.so")

    def close(self):
        subprocess.run(["rm", "-r", self.dir], check=True)

    def create(self, text):
        """The record of a file, and what was said; None: xl refuses."""
        path = self.dir + "/x.cfg"
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        p = subprocess.run([judge.XL, "create", "-n", "-q", path], env=self.env, timeout=60,
                           capture_output=True, text=True, check=False)
        return (json.loads(p.stdout) if p.returncode == 0 else None), p.stderr

    def device(self, key, field, words):
        """The entry that words make, None: refused."""
        tree, said = self.create('%s%s = [ "%s" ]\n' % (BASE, key, words.replace("\t", "\\t")))
        if tree is None or any(w in said for w in PASSED_OVER):
            return None
        entry = tree[field][0]
        if "devid=" not in words:
            entry.pop("devid", None)
        return entry


def ours(class_name, words):
    """For each words the entry, or None and the error."""
    p = subprocess.run([PRINT, "words", class_name, *words], capture_output=True, text=True,
                       timeout=60, check=True)
    lines = p.stdout.splitlines()
    assert len(lines) == len(words), p.stdout
    return [(None, line[2:]) if line.startswith("!") else (json.loads(line), "") for line in lines]


def compare(xl, class_name, key, field, same, differ):
    wrong = []
    for words, (entry, why) in zip(same, ours(class_name, same)):
        of_xl = xl.device(key, field, words)
        if entry != of_xl:
            wrong.append("%r: xl %s, we %s %s" % (words, of_xl, entry, why))
        if entry is None:
            noun = "disk" if class_name == "vbd" else "nic"
            assert why.startswith(noun + ", column "), (words, why)
    for (words, accept, why), (entry, _) in zip(differ, ours(class_name, [d[0] for d in differ])):
        of_xl = xl.device(key, field, words)
        if (entry is not None) != accept:
            wrong.append("%r: we %s; expected to differ: %s" % (words, entry, why))
        elif entry == of_xl:
            wrong.append("%r: no difference any more (%s)" % (words, why))
    assert not wrong, "\n".join(wrong)


def words_of_disks_are_as_xl_reads_them(xl):
    assert len(xl_words.DISKS) >= 120
    compare(xl, "vbd", "disk", "disks", xl_words.DISKS, xl_words.DISKS_DIFFER)


def words_of_nics_are_as_xl_reads_them(xl):
    assert len(xl_words.NICS) >= 60
    compare(xl, "vif", "vif", "nics", xl_words.NICS, xl_words.NICS_DIFFER)


def an_error_says_which_word_and_where(_xl):
    for class_name, words, said in (
            ("vbd", "/a,raw,xvda,fmt=raw", 'disk, column 13: "fmt": no such parameter'),
            ("vbd", "/a,vmdk,xvda", 'disk, column 4: "vmdk": no such value'),
            ("vbd", "/a,raw,xvda,w,more", 'disk, column 15: "more": one word too many'),
            ("vif", "bridge=b,foo=1", 'nic, column 10: "foo": no such parameter'),
            ("vif", "bridge=b, rate=x", 'nic, column 11: "x": no rate: a number')):
        (entry, why), = ours(class_name, [words])
        assert entry is None and why.startswith(said), (words, entry, why)


def other_classes_have_no_words(_xl):
    for class_name in ("vtpm", "pci", "vkb"):
        (entry, why), = ours(class_name, ["backend=0"])
        assert entry is None and "xl has no words" in why, (class_name, entry, why)


# ---- files ----

def cut(tree, path):
    """Takes out what is at a path of the lost lines: keys of a map may have a dot in them."""
    if isinstance(tree, list):
        head, _, rest = path.partition(".")
        if not head.isdigit() or int(head) >= len(tree):
            return
        if rest:
            cut(tree[int(head)], rest)
        else:
            tree[int(head)] = None
        return
    if not isinstance(tree, dict):
        return
    if path in tree:
        del tree[path]
        return
    for key in tree:
        if path.startswith(key + "."):
            cut(tree[key], path[len(key) + 1:])


def pruned(tree):
    """Without maps that are empty, and what is of them alone: it says nothing."""
    if isinstance(tree, dict):
        tree = {k: pruned(v) for k, v in tree.items()}
        return {k: v for k, v in tree.items() if v not in ({}, [], None)}
    if isinstance(tree, list):
        return [v for v in map(pruned, tree) if v not in ({}, None)]
    return tree


def difference(a, b, path=""):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(set(a) | set(b)):
            yield from difference(a.get(key), b.get(key), path + "." + key)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            yield from difference(x, y, "%s.%d" % (path, i))
    elif a != b:
        yield "%s: %s, then %s" % (path[1:], json.dumps(a), json.dumps(b))


class Refused(Exception):
    """The record is none."""


def to_xl(xl, tree):
    path = xl.dir + "/x.json"
    with open(path, "w", encoding="utf-8") as f:
        json.dump(tree, f)
    p = subprocess.run([PRINT, "file", path], capture_output=True, text=True, timeout=60,
                       check=False)
    if p.returncode == 3:
        raise Refused(p.stderr)
    assert p.returncode == 0, p.stderr
    return p.stdout, [line.split(": ", 1)[0] for line in p.stderr.splitlines()]


# xl takes no file without them, and we say so.
WANTED = {"c_info.name", "b_info.kernel"}


def put_back_the_missing(was, now):
    """An entry of which all is lost is not in the second record: those behind it moved up."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key, value in was.items():
            if isinstance(value, list):
                now.setdefault(key, [])
            put_back_the_missing(value, now.get(key))
    elif isinstance(was, list) and isinstance(now, list):
        for i, entry in enumerate(was):
            if isinstance(entry, dict) and not pruned(entry) and len(now) < len(was):
                now.insert(i, {})
        for mine, other in zip(was, now):
            put_back_the_missing(mine, other)


def again(xl, tree, name):
    """The record that xl makes of our file for a record, and what was told to be lost; equal to it
    but for that."""
    text, lost = to_xl(xl, tree)
    back, said = xl.create(text)
    if back is None and WANTED & set(lost):
        raise Refused(said)
    assert back is not None, "%s: xl refuses what we print: %s\n%s" % (name, said, text)
    was, now = json.loads(json.dumps(tree)), json.loads(json.dumps(back))
    for path in lost:
        cut(was, path)
    put_back_the_missing(was, now)
    for path in lost:
        cut(now, path)
    wrong = list(difference(pruned(was), pruned(now)))
    assert not wrong, "%s: %s\n%s" % (name, "\n".join(wrong), text)
    return back, lost


# The only fields of the corpus that xl's file cannot say: nothing else may be lost of them.
MAY_BE_LOST = {
    "b_info.type.hvm.ms_vm_genid": "xl makes a new one",
    "b_info.cpuid.msr": "words for bits of cpuid do not reach MSRs",
    "b_info.type.hvm.rdm.policy": "4.17 refuses every policy",
    "rdm_policy": "of an hvm domain that is what rdm.policy was",
}


def corpus(xl):
    """[(name, record)] of the files that xl takes."""
    found = []
    for path in sorted(glob.glob(HERE + "/corpus/*.cfg")):
        with open(path, encoding="utf-8") as f:
            tree, said = xl.create(f.read())
        assert tree is not None, "%s: %s" % (path, said)
        found.append((os.path.basename(path), tree))
    assert found, "no corpus"
    return found


def files_of_the_corpus_come_back_whole(xl):
    for name, tree in corpus(xl):
        _, lost = again(xl, tree, name)
        for field in lost:
            known = field in MAY_BE_LOST or field.split(".")[-1] in MAY_BE_LOST or \
                any(field.startswith(k + ".") for k in MAY_BE_LOST)
            assert known, "%s: %s is lost" % (name, field)


def changed_records_come_back_but_for_what_is_told(xl):
    records, tried = corpus(xl), 0
    for seed in range(args.seed, args.seed + args.seeds):
        name, tree = xl_mutate.mutated(records, seed)
        try:
            again(xl, tree, "%s, seed %d" % (name, seed))
            tried += 1
        except Refused:
            pass
    assert tried > args.seeds * 0.8, "%d of %d records are none" % (args.seeds - tried, args.seeds)


def record(**more):
    tree = judge.config("x", judge.uuid_of(7))
    tree["c_info"]["run_hotplug_scripts"] = "True"
    tree["b_info"]["claim_mode"] = "True"
    del tree["b_info"]["video_memkb"]
    tree.update(more)
    return tree


def text_of_any_kind_survives(xl):
    for text in ('a "quoted" word', "back\\slash", "two\nlines", "'", "#no comment", "ä €", "a\tb",
                 "[x, y]", "x;y", "", "\x01\x7f", "\\n", "\\"):
        tree = record()
        tree["b_info"]["cmdline"] = text
        back, lost = again(xl, tree, repr(text))
        assert not lost and back["b_info"].get("cmdline") == text, (text, lost)


def targets_of_any_kind_survive(xl):
    for target in ("/a", "/a,b", "/a,", ",,", "/a=b", 'x"y', " /a", "nbd://h:1/x", "phy:/a", "/ä"):
        tree = record(disks=[judge.disk("xvda", target)])
        back, lost = again(xl, tree, target)
        assert not lost and back["disks"][0]["pdev_path"] == target, (target, lost)


# A record, and the fields that a file for xl cannot say of it.
LOST = [
    ({"disks": [judge.disk("xvda", "/a\n/b")]}, {"disks.0.pdev_path"}),
    ({"disks": [judge.disk("xvda", "/a", backend_domid=5)]},
     {"disks.0.backend_domid", "disks.0.backend_domname"}),
    ({"disks": [judge.disk("xvda", "/a", script="a,b")]}, {"disks.0.script"}),
    ({"disks": [judge.disk("xvda", "/a", colo_restore_enable="True")]},
     {"disks.0.colo_restore_enable"}),
    ({"disks": [judge.disk("xvda", "/a", removable=1)]}, {"disks.0.removable"}),
    ({"disks": [judge.disk("a,b", "/a"), judge.disk("xvdb", "/b")]},
     {"disks.0.vdev", "disks.0.pdev_path", "disks.0.format", "disks.0.readwrite"}),
    ({"nics": [judge.nic(0, "00:16:3e:00:00:01", "a,b")]}, {"nics.0.bridge"}),
    ({"nics": [judge.nic(0, "00:16:3e:00:00:01", "b", rate_bytes_per_interval=1 << 40,
                         rate_interval_usecs=3)]},
     {"nics.0.rate_bytes_per_interval", "nics.0.rate_interval_usecs"}),
    ({"vtpms": [{"devid": 3, "backend_domname": "t"}]}, {"vtpms.0.devid"}),
    ({"vtpms": [{"devid": 0}]}, {"vtpms.0.backend_domname"}),
    ({"vkbs": [{"devid": 0}]}, {"vkbs.0.devid"}),
    ({"vfbs": [{"devid": 0, "backend_domid": 3}], "vkbs": [{"devid": 0}]},
     {"vfbs.0.backend_domid"}),
    ({"vfbs": [{"devid": 0}]}, {"vkbs.0.devid"}),
    ({"vfbs": [{"devid": 0}], "vkbs": [{"devid": 0, "unique_id": "a"}]}, {"vkbs.0.unique_id"}),
    ({"p9s": [{"tag": "t", "path": "/p", "security_model": "none", "devid": 0}]}, {"p9s.0.devid"}),
    ({"p9s": [{"tag": "t", "path": "/p", "security_model": "none", "backend_domname": "d"},
              {"tag": "u", "path": "/q", "security_model": "none"}]}, {"p9s.1.backend_domname"}),
    ({"p9s": [{"tag": "t,u", "path": "/p", "security_model": "none"}]},
     {"p9s.0.tag", "p9s.0.path", "p9s.0.security_model"}),
    ({"channels": [{"devid": 0, "name": "a b", "connection.pty": {}}]}, {"channels.0.name"}),
    ({"channels": [{"devid": 0, "name": "a=b", "connection.socket": {"path": "/s"}}]},
     {"channels.0.name"}),
    ({"vdispls": [{"devid": 0, "connectors": [{"unique_id": "a:b", "width": 1, "height": 2}]}]},
     {"vdispls.0.devid", "vdispls.0.connectors.0.unique_id", "vdispls.0.connectors.0.width",
      "vdispls.0.connectors.0.height"}),
    ({"rdms": [{"start": 4096, "size": 4096}]}, {"rdms.0.start", "rdms.0.size"}),
    ({"pcidevs": [{"bus": 3, "vfunc_mask": 1, "vdevfn": 3}]},
     {"b_info.type.pv.e820_host", "pcidevs.0.vdevfn", "pcidevs.0.rdm_policy"}),
]
LOST_IN_DOMAIN = [
    ("c_info", {"ssidref": 7}, {"c_info.ssidref"}),
    ("c_info", {"xsdata": {"a": "b"}}, {"c_info.xsdata.a"}),
    ("c_info", {"run_hotplug_scripts": "False"}, {"c_info.run_hotplug_scripts"}),
    ("c_info", {"ssid_label": "a", "pool_name": "p"}, set()),
    ("b_info", {"exec_ssid_label": "a"}, {"b_info.exec_ssid_label"}),
    ("b_info", {"target_memkb": 1048577}, {"b_info.target_memkb"}),
    ("b_info", {"avail_vcpus": [1]}, {"b_info.avail_vcpus"}),
    ("b_info", {"avail_vcpus": [0, 1, 2]}, {"b_info.avail_vcpus"}),
    ("b_info", {"blkdev_start": "xvdq"}, {"b_info.blkdev_start"}),
    ("b_info", {"numa_placement": "True"}, {"b_info.numa_placement"}),
    ("b_info", {"vcpu_hard_affinity": [[0], [1]]}, {"b_info.numa_placement"}),
    ("b_info", {"vcpu_hard_affinity": [[0], [1]], "numa_placement": "False"}, set()),
    ("b_info", {"vcpu_hard_affinity": [[0, 1], [0, 1]]}, set()),
    ("b_info", {"vcpu_hard_affinity": [[0, 1], [0, 1]], "numa_placement": "False"}, set()),
    ("b_info", {"vcpu_soft_affinity": [[0, 1], [0, 1]]}, {"b_info.numa_placement"}),
    ("b_info", {"vcpu_soft_affinity": [[0, 1], [0, 1]], "numa_placement": "False"}, set()),
    ("b_info", {"ioports": [{"first": 8}]}, {"b_info.ioports.0.first"}),
    ("b_info", {"rtc_timeoffset": 4294963696, "event_channels": 127}, set()),
    ("b_info", {"iommu_memkb": 4096}, {"b_info.iommu_memkb"}),
    ("b_info", {"timer_mode": "one_missed_tick_pending"}, {"b_info.timer_mode"}),
]


def what_a_file_cannot_say_is_named(xl):
    cases = [(record(**more), want) for more, want in LOST]
    for part, more, want in LOST_IN_DOMAIN:
        tree = record()
        tree[part].update(more)
        cases.append((tree, want))
    for tree, want in cases:
        _, lost = to_xl(xl, tree)
        assert set(lost) == want, "%s: lost %s, not %s" % (json.dumps(tree), lost, want)
        again(xl, tree, json.dumps(tree))


def an_unknown_field_is_named(xl):
    tree = record(disks=[judge.disk("xvda", "/a", novelty=3)])
    tree["b_info"]["future"] = {"a": [1, 2], "b": "x"}
    _, lost = to_xl(xl, tree)
    assert set(lost) == {"disks.0.novelty", "b_info.future.a", "b_info.future.b"}, lost


CASES = [words_of_disks_are_as_xl_reads_them, words_of_nics_are_as_xl_reads_them,
         an_error_says_which_word_and_where, other_classes_have_no_words,
         files_of_the_corpus_come_back_whole, changed_records_come_back_but_for_what_is_told,
         text_of_any_kind_survives, targets_of_any_kind_survive,
         what_a_file_cannot_say_is_named, an_unknown_field_is_named]


def run(xl, n, case):
    name = case.__name__.replace("_", " ")
    try:
        case(xl)
    except AssertionError as e:
        print("not ok %d - %s" % (n, name))
        print("\n".join("# " + line for line in str(e).splitlines()))
        print("# again: %s --only %s --seed %d --seeds %d" %
              (sys.argv[0], case.__name__, args.seed, args.seeds))
        return False
    print("ok %d - %s" % (n, name))
    return True


def main():
    if args.words:
        for words, entry in zip(args.words[1:], ours(args.words[0], args.words[1:])):
            print("%r: %s" % (words, entry))
        return 0
    if not judge.have():
        print("1..0 # SKIP xl 4.17 is not installed")
        return 0
    cases = [c for c in CASES if args.only in c.__name__]
    print("1..%d" % len(cases))
    failed = 0
    xl = Xl()
    try:
        for n, case in enumerate(cases, 1):
            failed |= not run(xl, n, case)
    finally:
        xl.close()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
