#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""libdrover-config as other programs see it: installed, found by pkg-config, linked shared and
static, from C and from C++; what it exports is what its header declares. And docs/config.md names
every class, key and verdict that there is.

    tests/golden/config_library_test.py       prints TAP; DROVER_BUILD is the build folder
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests/peers"))
import peers  # noqa: E402

BUILD = peers.build_dir()
NODE = "DROVER_CONFIG_1"
UUID = "d20fe200-0000-4000-8000-000000000007"

# Both C and C++.
PROGRAM = r"""
#include <drover/config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct drover_config_options opt;
	struct drover_domain_config *config = NULL;
	struct drover_device *disk;
	struct drover_config *c = NULL;
	char *text = NULL;
	uint32_t domid = 0;
	int r;

	if (argc != 4)
		return 2;
	memset(&opt, 0, sizeof(opt));
	opt.size = sizeof(opt);
	opt.store = argv[1];
	opt.userdata = argv[2];
	r = drover_config_open(&opt, &c);
	if (!r)
		r = drover_config_find(c, argv[3], &domid);
	if (!r)
		r = drover_config_retrieve(c, domid, DROVER_VIEW_LIVE, 0, &config);
	if (r) {
		printf("%s\n", drover_config_error(c));
		drover_config_close(c);
		return 3;
	}
	drover_config_close(c); /* the configuration outlives it */
	disk = drover_domain_config_device(config, "vbd", 0);
	printf("%u %s %s %s\n", (unsigned int)drover_domain_config_domid(config),
	       drover_domain_config_get(config, "c_info.name"), drover_device_id(disk),
	       drover_device_get(disk, "pdev_path"));
	for (size_t i = 0; i < drover_domain_config_report_len(config); i++) {
		const struct drover_report_item *item = drover_domain_config_report(config, i);

		printf("%s %s %s\n", item->class_name, item->id,
		       drover_verdict_name(item->verdict));
	}
	r = drover_domain_config_to_json(config, DROVER_CONFIG_LAYOUT_4_17, &text, NULL);
	if (!r)
		puts(text);
	free(text);
	drover_domain_config_free(config);
	return r ? 3 : 0;
}
"""

CONFIG = {
    "c_info": {"type": "pv", "name": "library", "uuid": UUID},
    "b_info": {"max_vcpus": 1, "avail_vcpus": [0], "max_memkb": 65536, "target_memkb": 65536,
               "video_memkb": 0, "type.pv": {}},
    "disks": [{"pdev_path": "/dev/vg/x", "vdev": "xvda", "backend": "phy", "format": "raw",
               "readwrite": 1}]}


def run(*argv, status=0, **more):
    p = subprocess.run(argv, capture_output=True, text=True, check=False, **more)
    assert p.returncode == status, "%s: exit %d\n%s%s" % (" ".join(argv), p.returncode,
                                                        p.stdout[-2000:], p.stderr[-2000:])
    return p.stdout


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def declared():
    text = re.sub(r"/\*.*?\*/", "", text_of("include/drover/config.h"), flags=re.S)
    return {name for name in re.findall(r"\b(drover_\w+)\(", text) if not name.endswith("_fn")}


class Installed:
    """The library as `meson install` leaves it, in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", folder)
        for path, _, names in os.walk(folder):
            if "libdrover-config.so" in names:
                self.lib = path
        self.env = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=folder,
                        PKG_CONFIG_PATH=self.lib + "/pkgconfig", LD_LIBRARY_PATH=self.lib)
        # Where a sanitizer's run preloads something, the compiler need not see it.
        self.env.pop("LD_PRELOAD", None)

    def flags(self, *words):
        return run("pkg-config", *words, "drover-config", env=self.env).split()

    def compile(self, compiler, name, text, *link):
        suffix = ".cc" if compiler.endswith("++") else ".c"
        source, binary = os.path.join(self.folder, name + suffix), os.path.join(self.folder, name)
        with open(source, "w", encoding="utf-8") as f:
            f.write(text)
        run(*compiler.split(), "-Wall", "-Wextra", "-Wpedantic", "-Werror",
            *self.flags("--cflags"), source, "-o", binary, *link, env=self.env)
        return binary


def exports_what_the_header_declares(i):
    exported = {}
    for line in run("nm", "-D", "--defined-only", i.lib + "/libdrover-config.so").splitlines():
        name, _, version = line.split()[-1].partition("@@")
        if name != NODE:
            exported[name] = version
    assert set(exported) == declared(), set(exported) ^ declared()
    assert set(exported.values()) == {NODE}, exported


def the_static_one_has_no_other_names_either(i):
    names = {line.split()[-1] for line in
             run("nm", "-g", "--defined-only", i.lib + "/libdrover-config.a").splitlines()
             if len(line.split()) == 3}
    assert names == declared(), names ^ declared()


def needs_json_c_and_the_c_library(i):
    said = run("readelf", "-d", i.lib + "/libdrover-config.so")
    needed = re.findall(r"NEEDED\)\s+Shared library: \[(.*?)\]", said)
    assert sorted(n.split(".")[0] for n in needed) == ["libc", "libjson-c"], needed
    assert "[libdrover-config.so.1]" in said, said


def its_header_stands_alone(i):
    program = "#include <drover/config.h>\nint main(void) { return 0; }\n"
    i.compile("cc -std=c11", "alone", program)
    if shutil.which("g++"):
        i.compile("g++", "alone", program)


def check_program(i, binary):
    with tempfile.TemporaryDirectory() as userdata, peers.Daemon("drover") as d:
        config = os.path.join(userdata, "config.json")
        with open(config, "w", encoding="utf-8") as f:
            json.dump(CONFIG, f)
        env = dict(i.env, XENSTORED_PATH=d.socket, DROVER_SIM_DIR=d.dir)
        run(BUILD + "/drover", "sim", "create", "7", "--config", config, "--userdata", userdata,
            env=env)
        with d.connect() as x:
            x.write("/local/domain/0/backend/vbd/7/51712/state", "4")
        lines = run(binary, d.socket, userdata, "library", env=env).splitlines()
        assert lines[:2] == ["7 library xvda /dev/vg/x", "vbd xvda attached"], lines
        assert json.loads("\n".join(lines[2:]))["c_info"] == CONFIG["c_info"], lines
        said = run(binary, d.socket, userdata, "nobody", status=3, env=env)
        assert "nobody" in said, said


def a_program_uses_the_shared_library(i):
    check_program(i, i.compile("cc -std=c11", "shared", PROGRAM, *i.flags("--libs")))


def a_program_uses_the_static_library(i):
    check_program(i, i.compile("cc -std=c11", "static", PROGRAM, i.lib + "/libdrover-config.a",
                               "-ljson-c"))


def so_does_one_in_another_language(i):
    if not shutil.which("g++"):
        return "no g++"
    check_program(i, i.compile("g++", "other", PROGRAM, *i.flags("--libs")))
    return None


def the_manuals_example_is_a_program(i):
    text = re.search(r"^\.Bd -literal\n(.*?)^\.Ed$", text_of("man/libdrover-config.3"),
                     re.M | re.S).group(1).replace("\\e", "\\")
    binary = i.compile("cc -std=gnu11", "example", text, *i.flags("--libs"))
    run(binary, status=2, env=i.env)
    env = dict(i.env, XENSTORED_PATH=i.folder + "/none")
    run(binary, "7", status=1, env=env)


def the_document_names_what_there_is(_i):
    doc = text_of("docs/config.md")
    words = set(re.findall(r"`([^`\s]+)`", doc))
    table = text_of("src/config/class_table.c")
    colo = {k for k in re.findall(r'SAME\("(\w+)"\)', table) if k.startswith("colo")}
    keys = set(re.findall(r'\.key = "([\w-]+)"', table)) - colo
    classes = set(re.findall(r'\.name = "(\w+)"', table))
    verdicts = set(re.findall(r'\] = "([\w-]+)"', text_of("src/config/judge_device.c")))
    assert keys and classes and verdicts
    for what in (keys, classes, verdicts):
        assert what <= words, "docs/config.md does not name %s" % sorted(what - words)


CASES = [exports_what_the_header_declares, the_static_one_has_no_other_names_either,
         needs_json_c_and_the_c_library, its_header_stands_alone,
         a_program_uses_the_shared_library, a_program_uses_the_static_library,
         so_does_one_in_another_language, the_manuals_example_is_a_program,
         the_document_names_what_there_is]


def main():
    failures = 0
    print("1..%d" % len(CASES))
    folder = tempfile.mkdtemp(prefix="drover-library-")
    try:
        installed = Installed(folder)
        for number, case in enumerate(CASES, 1):
            name = case.__name__.replace("_", " ")
            try:
                skip = case(installed)
                print("ok %d - %s%s" % (number, name, " # SKIP " + skip if skip else ""))
            except (AssertionError, subprocess.CalledProcessError) as e:
                failures += 1
                print("not ok %d - %s" % (number, name))
                for line in str(e).splitlines():
                    print("# " + line)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
