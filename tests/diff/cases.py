# SPDX-License-Identifier: MIT
"""The written scenarios: files of cases.d, in which a line opens each scenario:

== NAME [kinds=c,ocaml] [quotas=lifted|default] [args=-E,20,...]
"""
import glob
import os

from world import Scenario

HERE = os.path.dirname(os.path.abspath(__file__))


def _scenario(head, lines):
    name, *rest = head.split()
    options = dict(word.split("=", 1) for word in rest)
    for key in ("kinds", "args"):
        if key in options:
            options[key] = tuple(options[key].split(","))
    return Scenario(name, "\n".join(lines), **options)


def load(path):
    found, head, lines = [], None, []
    with open(path) as f:
        for line in f.read().split("\n") + ["== "]:
            if not line.startswith("== "):
                lines.append(line)
                continue
            if head:
                found.append(_scenario(head, lines))
            head, lines = line[3:].strip(), []
    return found


def all_scenarios():
    return [s for path in sorted(glob.glob(HERE + "/cases.d/*.txt")) for s in load(path)]
