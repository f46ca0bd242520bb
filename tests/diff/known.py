# SPDX-License-Identifier: MIT
"""The listed differences: tables in docs/decisions, one row per kind of difference.

| id | scenario | step | theirs | ours | then | reason |

scenario, step, theirs and ours are patterns, in which * is anything and / between two patterns
is "or" (with blanks around it), on the scenario's name, on the step as it is written, and on what
only they and only we said: a reply, or events as "path token, path token". '-' is nothing. then
is 'go on', or 'stop' where from here on the two stores may differ.
"""
import collections
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILES = {"c": "0100-differences-from-c.md", "ocaml": "0101-differences-from-ocaml.md"}
COLUMNS = ["id", "scenario", "step", "theirs", "ours", "then", "reason"]

Row = collections.namedtuple("Row", COLUMNS)
Difference = collections.namedtuple("Difference", "scenario step what theirs ours")


def load(kind):
    rows = []
    with open(os.path.join(ROOT, "docs", "decisions", FILES[kind])) as f:
        for line in f:
            cells = [c.strip().strip("`") for c in line.strip().strip("|").split("|")]
            if line.startswith("|") and len(cells) == len(COLUMNS) and cells[0] != "id" and \
                    not cells[0].startswith("--"):
                rows.append(Row(*cells))
    names = [r.id for r in rows]
    for name in set(names):
        if names.count(name) > 1:
            raise ValueError("%s: id %s twice" % (FILES[kind], name))
    for r in rows:
        if r.then not in ("go on", "stop"):
            raise ValueError("%s: %s: then is 'go on' or 'stop'" % (FILES[kind], r.id))
    return rows


def matches(pattern, text):
    return any(re.fullmatch(".*".join(re.escape(part) for part in p.split("*")), text)
               for p in pattern.split(" / "))


def find(rows, d):
    """The row that lists a difference."""
    for r in rows:
        if all(matches(pattern, text) for pattern, text in
               ((r.scenario, d.scenario), (r.step, d.step), (r.theirs, d.theirs),
                (r.ours, d.ours))):
            return r
    return None


def only_in(a, b):
    """What list a has more than list b, repetitions counted."""
    rest = collections.Counter(a)
    rest.subtract(collections.Counter(b))
    return sorted(rest.elements()) if all(n >= 0 for n in rest.values()) else \
        sorted((rest - collections.Counter()).elements())


def differences(scenario, step, theirs, ours, ordered):
    """What differs in one step's outcome. ordered: the place of own events counts, too."""
    found = []
    if theirs[0] != ours[0]:
        found.append(Difference(scenario, step, "reply", theirs[0], ours[0]))
    for conn in sorted(set(theirs[1]) | set(ours[1])):
        a, b = theirs[1].get(conn, []), ours[1].get(conn, [])
        if not ordered:
            a, b = ([e.lstrip("<") for e in x] for x in (a, b))
        if sorted(a) != sorted(b):
            found.append(Difference(scenario, step, "events of " + conn,
                                    ", ".join(only_in(a, b)) or "-",
                                    ", ".join(only_in(b, a)) or "-"))
    return found


def compare(rows, kind, scenario, theirs, ours):
    """(differences that no row lists, ids of the rows met)."""
    unlisted, met = [], set()
    for step, a, b in zip(scenario.steps, theirs, ours):
        stop = False
        for d in differences(scenario.name, step, a, b, ordered=kind == "c"):
            row = find(rows, d)
            if row is None:
                unlisted.append(d)
                stop = True     # what follows may come of it
            else:
                met.add(row.id)
                stop = stop or row.then == "stop"
        if stop:
            break
    return unlisted, met
