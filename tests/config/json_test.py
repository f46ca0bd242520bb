#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`drover config canon` held against Debian's libxl 4.17, octet by octet: what real xl makes of
each file of the corpus, and every field of our tables with its default, with other values and with
none. And records that nobody should accept.

DROVER_CORPUS=FILE... runs only those of the corpus."""
import functools
import glob
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "peers"))
import lib  # noqa: E402
import xl  # noqa: E402

BUILD = lib.peers.build_dir()
XLCONF = BUILD + "/tests/peers/xlconf"
DUMP = BUILD + "/tests/config/schema-dump"
VERSION = 0x0417
MANY = 40


@functools.lru_cache
def schema():
    return json.loads(subprocess.run([DUMP], capture_output=True, check=True).stdout)


def libxl(path):
    """libxl's reading and writing of a file; None: it refuses."""
    lib.need(XLCONF)
    p = subprocess.run([XLCONF, "canon", path], capture_output=True, check=False)
    return p.stdout[:-1] if p.returncode == 0 else None     # it ends in a line's end of its own


def ours(path, *words):
    p = subprocess.run([lib.DROVER, "config", "canon", *words, path], capture_output=True,
                       check=False)
    return p.returncode, p.stdout, p.stderr.decode()


def same(directory, text, what):
    """One record is the same to both, and to us again."""
    path = directory + "/record"
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    theirs = libxl(path)
    assert theirs is not None, "%s: libxl refuses %s" % (what, text[:2000])
    status, out, err = ours(path)
    assert status == 0, "%s: exit %d: %s\n%s" % (what, status, err, text[:2000])
    if out != theirs:
        at = next((i for i, (a, b) in enumerate(zip(out, theirs)) if a != b),
                  min(len(out), len(theirs)))
        raise AssertionError("%s, octet %d: ours %r, libxl's %r" % (
            what, at, out[max(at - 200, 0):at + 100], theirs[max(at - 200, 0):at + 100]))
    lib.equal(json.loads(out), json.loads(theirs))
    # What newer libxl prints says the same, and comes back.
    status, newest, err = ours(path, "--layout", "newest")
    assert status == 0, err
    with open(path, "wb") as f:
        f.write(newest + b"\0")
    status, again, err = ours(path)
    assert (status, again) == (0, out), "%s: not the same after the newest layout: %s" % (what, err)


# ---- the corpus ----

def corpus():
    chosen = os.environ.get("DROVER_CORPUS")
    return chosen.split() if chosen else sorted(glob.glob(HERE + "/corpus/*.cfg"))


def created(directory, path):
    """The record that xl would make of a file."""
    with open(directory + "/domains", "w", encoding="ascii") as f:
        f.write("0 00000000-0000-0000-0000-000000000000 pv 4 4194304 4194304\n")
    env = dict(os.environ, DROVER_SIM_DIR=directory, DROVER_NO_STORE="1",
               LD_PRELOAD=BUILD + "/tests/peers/xlshim.so")
    p = subprocess.run([xl.XL, "create", "-n", "-q", path], env=env, capture_output=True,
                       text=True, timeout=lib.TIMEOUT, check=False)
    assert p.returncode == 0, "%s: %s" % (path, p.stderr)
    return p.stdout


def need_xl():
    if not xl.have():
        raise lib.Skip("xl of Xen 4.17 is not installed")


def what_xl_makes_of_each_file_is_the_same_to_libxl_and_to_us():
    need_xl()
    seen = set()
    with lib.scratch() as directory:
        for path in corpus():
            text = created(directory, path)
            same(directory, text, os.path.basename(path))
            tree = json.loads(text)
            seen |= {tree["c_info"]["type"]} | {k for k, v in tree.items() if isinstance(v, list)}
    if os.environ.get("DROVER_CORPUS"):
        return
    assert len(corpus()) >= MANY, len(corpus())
    lists = {f["name"] for f in schema()["domain_config"]["fields"]
             if f["shape"] == "array" and f["since"] <= VERSION}
    # Nothing in a file for xl makes an rdm: libxl does, of PCI devices.
    lib.equal({"pv", "pvh", "hvm"} | lists - seen, {"pv", "pvh", "hvm", "rdms"})


# ---- every field ----

def sample(type_, field, mode):
    """A value for a field of a simple type. mode: "init" the default, "zero", "some", "most"."""
    kind, bits = type_["kind"], type_["bits"]
    if kind in ("int", "uint"):
        # libxl cannot read what does not fit into 63 bits, nor always the last that does.
        most = min(2 ** (bits - (kind == "int")) - 1, 2 ** 63 - 2)
        init = field["init"] if kind == "int" or field["init"] >= 0 else 2 ** bits + field["init"]
        return {"init": init, "zero": 0, "some": 7, "most": most}[mode]
    if kind == "enum":
        names = [n for v, n, since in type_["names"] if since <= VERSION]
        init = [n for v, n, since in type_["names"] if v == field["init"]]
        return {"init": (init or names)[0], "zero": names[0],
                "some": names[len(names) // 2].upper(), "most": names[-1]}[mode]
    zeros = "00000000-0000-0000-0000-000000000000"
    values = {      # init, zero, some, most
        "string": (None, "", "x" * (bits or 1),
                   "x" * bits if bits else "\u00e9\"\\\u0001\u001f/\t"),
        "bool": (False, False, True, True),
        "defbool": ("<default>", "False", "True", "False"),
        "uuid": (zeros, zeros, "6F1C2B3A-0d4e-4f5a-9b6c-7d8e9f0a1b2c", "f" * 8 + "-ffff" * 3 +
                 "-" + "f" * 12),
        "mac": ("00:00:00:00:00:00", "00:00:00:00:00:00", "00:16:3E:0a:0B:0c",
                "ff:ff:ff:ff:ff:ff"),
        "bitmap": ([], [], [0, 2, 63, 64], [1023]),
        "strings": ([], [], ["a", "", "b,c"], ["\u00fc"]),
        "key_values": ({}, {}, {"b": "1", "a": "2"}, {"x": None, "y": ""}),
        "genid": ([0] * 16, [0] * 16, list(range(16)), [255] * 16),
        "cpuid": ([], {"cpuid": [], "msr": []},
                  [{"leaf": 1, "subleaf": 4294967295, "eax": "x" * 31 + "1"}],
                  {"cpuid": [{"leaf": 0, "subleaf": 0, "edx": "0" * 32}],
                   "msr": [{"index": 266, "policy": "x" * 63 + "1"}]}),
    }[kind]
    return values[("init", "zero", "some", "most").index(mode)]


def filled(name, mode, variants):
    """A structure with all its fields."""
    result = {}
    for f in schema()[name]["fields"]:
        type_ = schema()[f["type"]]
        if f["since"] > VERSION:
            continue
        if f["shape"] == "union":
            if f["variant"] in variants:
                result["%s.%s" % (f["name"], f["variant"])] = filled(f["type"], mode, variants)
        elif f["shape"] == "array":
            result[f["name"]] = [] if mode == "init" else [
                filled(f["type"], m, variants) if type_["kind"] == "struct" else entry(type_, f, m)
                for m in (mode, "init")]
        elif type_["kind"] == "struct":
            result[f["name"]] = filled(f["type"], mode, variants)
        else:
            result[f["name"]] = sample(type_, f, mode)
    return result


def entry(type_, field, mode):
    """An entry of a list has no default; null is none of its values."""
    return sample(type_, field, "some" if mode == "init" and type_["kind"] == "string" else mode)


def every_field_is_the_same_to_libxl_and_to_us():
    lists = [("invalid", "unknown", None), ("pv", "pty", "hostdev"), ("pvh", "socket", "hostdev"),
             ("hvm", "socket", "hostdev")]
    with lib.scratch() as directory:
        for mode in ("init", "zero", "some", "most"):
            for variants in lists:
                tree = filled("domain_config", mode, variants)
                tree["c_info"]["type"] = variants[0]
                same(directory, json.dumps(tree), "%s, %s" % (mode, variants[0]))
        same(directory, "{}", "nothing")


def each_name_of_an_enumeration_is_the_same_to_libxl_and_to_us():
    """In a structure of its own, so that a name that is wrong is told."""
    def places(name, path):
        for f in schema()[name]["fields"]:
            type_ = schema()[f["type"]]
            here = path + [(f["name"] + ("." + f["variant"] if f["variant"] else ""), f["shape"])]
            if f["since"] > VERSION:
                continue
            if type_["kind"] == "struct":
                yield from places(f["type"], here)
            elif type_["kind"] == "enum":
                yield here, [n for _, n, since in type_["names"] if since <= VERSION]

    def tree_at(path, value):
        for key, shape in reversed(path):
            value = {key: [value] if shape == "array" else value}
        return value

    n = 0
    with lib.scratch() as directory:
        for path, names in places("domain_config", []):
            for name in names:
                tree = tree_at(path, name)
                same(directory, json.dumps(tree), "%s of %s" % (name, path))
                n += 1
    assert n > 100, n


# ---- what is refused ----

def refused(directory, text, want):
    path = directory + "/bad"
    with open(path, "wb") as f:
        f.write(text)
    status, out, err = ours(path)
    lib.equal((status, out), (2, b""))
    assert want in err and path in err, "%s: %s" % (text[:100], err)
    lib.equal(err.count("\n"), 1)


def bad_records_are_refused_in_one_line_that_says_where():
    with lib.scratch() as directory:
        for text, want in (
                (b"", "line 1, column 1"), (b"{", "line 1, column 2"),
                (b"{\n \"c_info\": {},\n \"c_info\": {}\n}", "line 3, column 2"),
                (b"{} {}", "line 1, column 4: text behind the end"),
                (b"{\"disks\": [{}, {\"format\": \"zip\"}]}", "disks[1].format"),
                (b"{\"b_info\": {\"type.pv\": {}, \"type.hvm\": {}}}", "b_info.type"),
                (b"{\"c_info\": {\"name\": \"\xff\"}}", "line 1, column 22: not UTF-8"),
                (b"\x1b[31m", "line 1, column 1")):
            refused(directory, text, want)
        status, out, err = ours(directory + "/none")
        assert (status, out) == (3, b"") and directory + "/none" in err, (status, err)


def a_record_may_come_from_standard_input():
    p = subprocess.run([lib.DROVER, "config", "canon", "-"], input=b"{}\n\0", capture_output=True,
                       check=False)
    lib.equal((p.returncode, p.stderr, json.loads(p.stdout)["c_info"]), (0, b"", {}))


def what_libxl_loses_is_refused_or_kept():
    """Where libxl goes on in silence: with a value of another type, the second of two equal keys,
    one of two variants, text behind the end, fields that it does not know."""
    with lib.scratch() as directory:
        for text in (b"{\"c_info\":{\"ssidref\":\"7\"}}", b"{}garbage",
                     b"{\"c_info\":{\"name\":\"a\",\"name\":\"b\"}}"):
            with open(directory + "/loses", "wb") as f:
                f.write(text)
            assert libxl(directory + "/loses") is not None, "libxl refuses %s by now" % text
            refused(directory, text, "")
        path = directory + "/keeps"
        tree = {"c_info": {"type": "pv", "ours": [1.50]}, "disks": [{"vdev": "xvda", "new": None}],
                "top": {"a": [{}]}}
        with open(path, "w", encoding="ascii") as f:
            json.dump(tree, f)
        assert b"top" not in libxl(path)
        _, out, err = ours(path)
        assert not err, err
        got = json.loads(out)
        lib.equal(got["top"], tree["top"])
        lib.equal(got["disks"], tree["disks"])
        lib.equal(got["c_info"], tree["c_info"])


CASES = [what_xl_makes_of_each_file_is_the_same_to_libxl_and_to_us,
         every_field_is_the_same_to_libxl_and_to_us,
         each_name_of_an_enumeration_is_the_same_to_libxl_and_to_us,
         bad_records_are_refused_in_one_line_that_says_where,
         a_record_may_come_from_standard_input,
         what_libxl_loses_is_refused_or_kept]

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
