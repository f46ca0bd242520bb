#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Our tables of libxl's types against the header that libxl was built with: every field and every
name of an enumeration that a domain's configuration reaches, in both directions. A newer Xen with
something new fails here, and not at somebody's record."""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))
import lib  # noqa: E402

HEADER = os.environ.get("LIBXL_TYPES_H", "/usr/include/_libxl_types.h")
DUMP = lib.peers.build_dir() + "/tests/config/schema-dump"
VERSION = 0x0417    # of the header that Debian 12 has

# How the header's C types are in JSON.
SIMPLE = {
    "char *": ("string", 0), "int": ("int", 32), "uint8_t": ("uint", 8), "uint16_t": ("uint", 16),
    "uint32_t": ("uint", 32), "uint64_t": ("uint", 64), "bool": ("bool", 0),
    "libxl_domid": ("uint", 32), "libxl_devid": ("int", 32), "libxl_defbool": ("defbool", 0),
    "libxl_uuid": ("uuid", 0), "libxl_mac": ("mac", 0), "libxl_bitmap": ("bitmap", 0),
    "libxl_cpuid_policy_list": ("cpuid", 0), "libxl_string_list": ("strings", 0),
    "libxl_key_value_list": ("key_values", 0), "libxl_ms_vm_genid": ("genid", 0),
}


class Header:
    """Structures and enumerations, as nested lists of what is declared."""

    def __init__(self, text):
        self.enums, self.structs = {}, {}
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        for name, body in re.findall(r"typedef enum (libxl_\w+) \{(.*?)\}", text, re.S):
            values = re.findall(r"(\w+) = (-?\d+)", body)
            prefix = name.upper() + "_"
            self.enums[name] = {(int(v), n[len(prefix):].lower()) for n, v in values}
        for name, body in re.findall(r"^typedef struct (libxl_\w+) \{\n(.*?)^\}", text,
                                     re.S | re.M):
            self.structs[name] = self._members(iter(body.split("\n")))

    def _members(self, lines):
        """[(type, name)], where a type of structures and unions is (word, members)."""
        members = []
        for line in lines:
            line = line.strip()
            nested = re.match(r"(struct|union) \{$", line)
            end = re.match(r"\} ?(\w*);?$", line)
            if nested:
                inner, name = self._members(lines)
                members.append(((nested.group(1), inner), name))
            elif end:
                return members, end.group(1)
            elif line:
                m = re.match(r"(.*?)\s*(\w+);$", line)
                assert m, "not understood: %s" % line
                members.append((m.group(1).strip(), m.group(2)))
        return members

    def fields(self, members):
        """[(name, shape, variant, type)] as JSON has them."""
        result = []
        for type_, name in members:
            if isinstance(type_, tuple) and type_[0] == "union":
                enum, key = result.pop()[3], members[[n for _, n in members].index(name) - 1][1]
                inner = dict((n, t) for t, n in type_[1])
                result += [(key, "union", word, inner.get(word, ("struct", [])))
                           for _, word in sorted(self.enums[enum])]
            elif isinstance(type_, str) and type_.startswith("const "):
                continue    # neither written nor read
            elif isinstance(type_, str) and type_.endswith("*") and type_ != "char *":
                result.pop()    # num_X
                result.append((name, "array", None, type_[:-1].strip()))
            else:
                result.append((name, "one", None, type_))
        return result


class Held:
    """The tables held against a header; what differs is told by path."""

    def __init__(self, header, tables):
        self.header, self.tables, self.told, self.seen = header, tables, [], set()
        self.struct("domain_config", self.header.structs["libxl_domain_config"], "domain_config")

    def type(self, path, ours, theirs):
        """One type: a name of the tables, and what the header has."""
        table = self.tables[ours]
        if isinstance(theirs, tuple):
            self.struct(ours, theirs[1], path)
        elif theirs in SIMPLE:
            if (table["kind"], table["bits"]) != SIMPLE[theirs]:
                self.told.append("%s: %s of %d bits, not %s" % (path, table["kind"],
                                                                table["bits"], theirs))
        elif theirs in self.header.enums:
            self.enum(path, table, self.header.enums[theirs])
        elif theirs in self.header.structs:
            self.struct(ours, self.header.structs[theirs], path)
        else:
            self.told.append("%s: what is a %s?" % (path, theirs))

    def enum(self, path, table, names):
        ours = {(v, n): since for v, n, since in table["names"]}
        if table["kind"] != "enum":
            self.told.append("%s: %s, not an enumeration" % (path, table["kind"]))
        for name in names - set(ours):
            self.told.append("%s: %s is missing in the table" % (path, name))
        for name, since in ours.items():
            if name not in names and since <= VERSION:
                self.told.append("%s: the header has no %s" % (path, name))

    def struct(self, ours, members, path):
        if ours in self.seen:
            return
        self.seen.add(ours)
        table = self.tables[ours]
        if table["kind"] != "struct":
            self.told.append("%s: %s, not a structure" % (path, table["kind"]))
            return
        have = {(f["name"], f["shape"], f["variant"]): f for f in table["fields"]}
        theirs = self.header.fields(members)
        for name, shape, variant, type_ in theirs:
            f = have.get((name, shape, variant))
            here = "%s.%s" % (path, name) + (".%s" % variant if variant else "")
            if not f:
                self.told.append("%s: missing in the table" % here)
            else:
                self.type(here, f["type"], type_)
        known = [(n, s, v) for n, s, v, _ in theirs]
        for key, f in have.items():
            if key not in known and f["since"] <= VERSION:
                self.told.append("%s: the header has no %s" % (path, key[0]))
        order = [(f["name"], f["shape"]) for f in table["fields"]
                 if f["shape"] != "union" and (f["name"], f["shape"], None) in known]
        if order != [(n, s) for n, s, v in known if not v and (n, s, v) in have]:
            self.told.append("%s: in another order" % path)


def header_text():
    if not os.path.exists(HEADER):
        raise lib.Skip("%s is not installed" % HEADER)
    with open(HEADER) as f:
        return f.read()


def tables():
    return json.loads(subprocess.run([DUMP], capture_output=True, check=True).stdout)


def told(edit=lambda text: text, change=lambda t: None):
    ours = tables()
    change(ours)
    text = edit(header_text())
    return Held(Header(text), ours).told


def the_tables_are_the_headers():
    lib.equal(told(), [])


def a_newer_header_is_told():
    """What a newer Xen would bring, one thing at a time."""
    edits = [
        ("libxl_disk_transport transport;", "libxl_disk_transport transport;\n    int shiny;",
         "domain_config.disks.shiny: missing"),
        ("LIBXL_DISK_FORMAT_QED = 6,", "LIBXL_DISK_FORMAT_QED = 6,\n LIBXL_DISK_FORMAT_NEW = 7,",
         "domain_config.disks.format: (7, 'new') is missing"),
        ("    uint32_t vfunc_mask;", "    uint64_t vfunc_mask;",
         "domain_config.pcidevs.vfunc_mask: uint of 32 bits"),
        ("            libxl_defbool pvshim;", "            libxl_defbool pvshim;\n char * more;",
         "domain_config.b_info.type.pvh.more: missing"),
        ("    LIBXL_DOMAIN_TYPE_PVH = 3,", "LIBXL_DOMAIN_TYPE_PVH = 3,\n"
         "    LIBXL_DOMAIN_TYPE_PVQ = 4,", "domain_config.b_info.type.pvq: missing"),
        ("    int num_usbdevs;", "    int num_toys;\n    libxl_device_vtpm * toys;\n"
         "    int num_usbdevs;", "domain_config.toys: missing"),
        ("    libxl_defbool vpmu;\n", "", "domain_config.b_info: the header has no vpmu"),
        ("    LIBXL_HDTYPE_AHCI = 2,\n", "",
         "domain_config.b_info.type.hvm.hdtype: the header has no (2, 'ahci')"),
        ("    int max_vcpus;\n    libxl_bitmap avail_vcpus;",
         "    libxl_bitmap avail_vcpus;\n    int max_vcpus;", "domain_config.b_info: in another"),
    ]
    for was, is_, want in edits:
        assert was in header_text(), was
        found = told(lambda text, a=was, b=is_: text.replace(a, b))
        assert any(line.startswith(want) for line in found), "%s: %s" % (want, found)


def a_field_left_out_of_the_tables_is_told():
    def forget(ours):
        ours["device_nic"]["fields"] = ours["device_nic"]["fields"][1:]

    lib.equal(told(change=forget), ["domain_config.nics.backend_domid: missing in the table"])


def every_type_is_reached():
    seen = Held(Header(header_text()), tables()).seen
    assert len(seen) > 35, sorted(seen)


CASES = [the_tables_are_the_headers, a_newer_header_is_told,
         a_field_left_out_of_the_tables_is_told, every_type_is_reached]

if __name__ == "__main__":
    sys.exit(lib.main(__doc__, CASES))
