#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""packaging/debian beside the build: what is installed is in exactly one package, the version is
the project's, the libraries' symbols are those of their maps, and the scripts are shell's.

    tests/packaging/manifest_test.py       prints TAP; DROVER_BUILD is the build folder
"""
import fnmatch
import glob
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("DROVER_BUILD", os.path.join(ROOT, "build"))
DEBIAN = os.path.join(ROOT, "packaging/debian")
sys.path.insert(0, os.path.join(ROOT, "tests/system"))
import lib  # noqa: E402


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def introspect(what):
    return json.loads(subprocess.run(["meson", "introspect", "--" + what, BUILD], check=True,
                                     capture_output=True, text=True).stdout)


def packages():
    return re.findall(r"^Package: (\S+)$", read(DEBIAN, "control"), re.M)


def installed():
    """As packages name them: a multiarch folder is whatever it is called."""
    return sorted(re.sub(r"^usr/lib/[^/]+-linux-gnu[^/]*/", "usr/lib/*/", path.lstrip("/"))
                  for path in introspect("installed").values())


def shipped():
    return {package: read(DEBIAN, package + ".install").split() for package in packages()}


def what_is_installed_is_in_one_package():
    wrong = []
    for path in installed():
        owners = [package for package, lines in shipped().items() for line in lines
                  if fnmatch.fnmatchcase(path, line)]
        if len(owners) != 1:
            wrong.append("%s: %s" % (path, " and ".join(owners) or "in no package"))
    assert not wrong, "\n".join(wrong)


def what_packages_name_is_installed():
    wrong = ["%s: %s" % (package, line) for package, lines in shipped().items() for line in lines
             if not fnmatch.filter(installed(), line)]
    assert not wrong, "not installed: " + ", ".join(wrong)


def every_list_belongs_to_a_package():
    lists = {os.path.basename(f).rsplit(".", 1)[0] for f in glob.glob(DEBIAN + "/*.install")}
    lib.equal(lists, set(packages()))


def the_version_is_the_projects():
    lib.equal(re.match(r"drover \((.*)-\d+\)", read(DEBIAN, "changelog")).group(1),
              introspect("projectinfo")["version"])


def symbols_are_those_of_the_maps():
    for name in ("config", "image"):
        mapped = re.findall(r"^\t(drover_\w+);", read("src", name, name + ".map"), re.M)
        files = glob.glob(DEBIAN + "/libdrover-%s*.symbols" % name)
        lib.equal(len(files), 1)
        listed = re.findall(r"^ (drover_\w+)@", read(files[0]), re.M)
        lib.equal(listed, sorted(mapped))


def a_package_is_named_after_its_library():
    for path in installed():
        m = re.fullmatch(r"usr/lib/\*/(lib[\w-]+)\.so\.(\d+)", path)
        if m:
            assert m.group(1) + m.group(2) in packages(), path


def scripts_are_shells():
    scripts = [f for end in ("inst", "rm") for f in glob.glob(DEBIAN + "/*.*" + end)]
    scripts += [ROOT + "/packaging/deb.sh", ROOT + "/packaging/boot/xenstored-boot"]
    assert len(scripts) > 4
    for script in scripts:
        subprocess.run(["sh", "-n", script], check=True)


CASES = [what_is_installed_is_in_one_package, what_packages_name_is_installed,
         every_list_belongs_to_a_package, the_version_is_the_projects,
         symbols_are_those_of_the_maps, a_package_is_named_after_its_library, scripts_are_shells]


if __name__ == "__main__":
    TAP = lib.Tap()
    for case in CASES:
        TAP.case(case.__name__.replace("_", " "), case)
    sys.exit(TAP.end())
