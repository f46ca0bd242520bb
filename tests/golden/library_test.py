#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""libdrover-image as other programs see it: its headers stand alone, it exports what they declare
and nothing else, and a program linked with it, either way, reads what C xenstored wrote.

    tests/golden/library_test.py       prints TAP; DROVER_BUILD is the build folder
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("DROVER_BUILD", os.path.join(ROOT, "build"))
LIBRARY = os.path.join(BUILD, "src/image/libdrover-image")
INCLUDE = os.path.join(ROOT, "include")
HEADERS = ["image.h", "libxl_stream.h"]

PROGRAM = r"""
#include <drover/image.h>
#include <stdio.h>

static int from_file(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	*ret_len = fread(buf, 1, len, ctx);
	return 0;
}

int main(int argc, char **argv)
{
	FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
	struct drover_reader_options o = { .read = from_file, .ctx = file };
	struct drover_reader *r;
	struct drover_record rec;
	int err, nodes = 0;

	if (!file || drover_reader_new(&o, &r))
		return 2;
	while (!(err = drover_reader_next(r, &rec)))
		nodes += rec.type == DROVER_RECORD_NODE;
	printf("%d nodes, %s\n", nodes, err == 61 ? "whole" : drover_reader_error(r)->text);
	drover_reader_free(r);
	return fclose(file);
}
"""


def run(*argv, **more):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **more).stdout


def declared():
    names = set()
    for header in HEADERS:
        with open(os.path.join(INCLUDE, "drover", header), encoding="utf-8") as f:
            text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
        names |= set(re.findall(r"\b(drover_\w+)\(", text))
    return names


def exports_what_the_headers_declare(_folder):
    exported, others = set(), []
    for line in run("nm", "-D", "--defined-only", LIBRARY + ".so").splitlines():
        name, _, version = line.split()[-1].partition("@@")
        if name == "DROVER_IMAGE_1":
            continue
        exported.add(name)
        if version != "DROVER_IMAGE_1":
            others.append(name)
    assert exported == declared(), exported ^ declared()
    assert not others, others


def the_static_one_has_no_other_names_either(_folder):
    names = {line.split()[-1] for line in
             run("nm", "-g", "--defined-only", LIBRARY + ".a").splitlines() if " T " in line}
    assert names == declared(), names ^ declared()


def headers_stand_alone(folder):
    for header in HEADERS:
        source = os.path.join(folder, "alone.c")
        with open(source, "w", encoding="utf-8") as f:
            f.write("#include <drover/%s>\nint main(void) { return 0; }\n" % header)
        run("cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", INCLUDE,
            "-fsyntax-only", source)
        if shutil.which("g++"):
            run("g++", "-Wall", "-Wextra", "-Werror", "-I", INCLUDE, "-fsyntax-only", "-x", "c++",
                source)


def program(folder, name, *link):
    source, binary = os.path.join(folder, "program.c"), os.path.join(folder, name)
    with open(source, "w", encoding="utf-8") as f:
        f.write(PROGRAM)
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", INCLUDE, source, "-o", binary, *link)
    image = os.path.join(HERE, "c-4.17-many.img")
    broken = os.path.join(folder, "broken.img")
    with open(image, "rb") as f:
        octets = f.read()
    with open(broken, "wb") as f:
        f.write(octets[:-8])
    env = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(LIBRARY))
    said = run(binary, image, env=env)
    assert said == "531 nodes, whole\n", said
    said = run(binary, broken, env=env)
    assert said == "531 nodes, length: the image ends without END\n", said


def the_manuals_example_is_a_program(folder):
    with open(os.path.join(ROOT, "man/libdrover-image.3"), encoding="utf-8") as f:
        text = re.search(r"^\.Bd -literal\n(.*?)^\.Ed$", f.read(), re.M | re.S).group(1)
    source, binary = os.path.join(folder, "example.c"), os.path.join(folder, "example")
    with open(source, "w", encoding="utf-8") as f:
        f.write(text.replace("\\e", "\\"))
    run("cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I", INCLUDE, source, "-o", binary,
        LIBRARY + ".a")
    with open(os.path.join(HERE, "c-4.17-many.img"), "rb") as image:
        assert len(run(binary, stdin=image).splitlines()) == 531


def a_program_reads_with_the_shared_library(folder):
    program(folder, "shared", "-L", os.path.dirname(LIBRARY), "-ldrover-image")


def a_program_reads_with_the_static_library(folder):
    program(folder, "static", LIBRARY + ".a")


def needs_nothing_but_the_c_library(_folder):
    needed = re.findall(r"NEEDED\)\s+Shared library: \[(.*?)\]", run("readelf", "-d",
                                                                   LIBRARY + ".so"))
    assert [n for n in needed if not n.startswith("libc.")] == [], needed
    soname = re.findall(r"SONAME\)\s+Library soname: \[(.*?)\]", run("readelf", "-d",
                                                                   LIBRARY + ".so"))
    assert soname == ["libdrover-image.so.1"], soname


CASES = [exports_what_the_headers_declare, the_static_one_has_no_other_names_either,
         headers_stand_alone, the_manuals_example_is_a_program,
         a_program_reads_with_the_shared_library, a_program_reads_with_the_static_library,
         needs_nothing_but_the_c_library]


def main():
    failures = 0
    print("1..%d" % len(CASES))
    for number, case in enumerate(CASES, 1):
        name = case.__name__.replace("_", " ")
        folder = tempfile.mkdtemp(prefix="drover-library-")
        try:
            case(folder)
            print("ok %d - %s" % (number, name))
        except (AssertionError, subprocess.CalledProcessError) as e:
            failures += 1
            print("not ok %d - %s" % (number, name))
            for line in (str(e) + "\n" + (getattr(e, "stderr", "") or "")).splitlines():
                print("# " + line)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
