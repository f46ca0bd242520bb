#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Plays the same scenarios on the C xenstored, on oxenstored and on ours, and compares what every
connection saw. A difference that docs/decisions/0100 and 0101 do not list is a failure.

    tests/diff/run.py                       all scenarios, and the random ones of seeds 0..59
    tests/diff/run.py --seeds 1000..9999    other random ones
    tests/diff/run.py --only rm-missing     scenarios by name or pattern; 'random-17' is seed 17
    tests/diff/run.py --only NAME --show    what each daemon answered, step by step
    tests/diff/run.py --against c           one reference alone
    tests/diff/run.py --daemon drover-xen   ours on its Xen backend

Output is TAP. A reference daemon that is not installed is skipped by name.
"""
import argparse
import fnmatch
import multiprocessing
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cases  # noqa: E402
import known  # noqa: E402
import rnd  # noqa: E402
import world  # noqa: E402
from world import peers  # noqa: E402

HERE = "tests/diff/run.py"


def play_all(job):
    """One scenario on every daemon: {kind: outcome, or the text of what went wrong}."""
    scenario, kinds = job
    seen = {}
    for kind in kinds:
        try:
            seen[kind] = world.play(scenario, kind)
        except Exception:   # pylint: disable=broad-except
            seen[kind] = traceback.format_exc()
    return scenario, seen


def seeds_of(text):
    low, _, high = text.partition("..")
    return range(int(low), int(high or low) + 1)


def chosen(args):
    fixed, every = cases.all_scenarios(), not args.only
    names = [s.name for s in fixed]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise SystemExit("scenarios named twice: %s" % ", ".join(sorted(twice)))
    if every:
        return fixed + [rnd.scenario(seed) for seed in seeds_of(args.seeds)]
    found = [s for s in fixed if any(fnmatch.fnmatchcase(s.name, p) for p in args.only)]
    for p in args.only:
        if p.startswith("random-"):
            found.append(rnd.scenario(int(p[len("random-"):])))
    if not found:
        raise SystemExit("no scenario %s" % " ".join(args.only))
    return found


def show(scenario, seen):
    for i, step in enumerate(scenario.steps):
        print("# %s" % step)
        for kind, outcome in seen.items():
            if isinstance(outcome, str):
                print("#   %-11s %s" % (kind, outcome.replace("\n", "\n#   ")))
                continue
            reply, events = outcome[i] if i < len(outcome) else ("", {})
            text = "; ".join("%s: %s" % (n, ", ".join(e)) for n, e in sorted(events.items()))
            print("#   %-11s %s%s" % (kind, reply, "   [%s]" % text if text else ""))


class Tap:
    def __init__(self):
        self.n = self.failed = 0

    def case(self, good, name, why=""):
        self.n += 1
        self.failed += not good
        print("%s %d - %s" % ("ok" if good else "not ok", self.n, name))
        if not good:
            for line in why.rstrip("\n").split("\n"):
                print("# " + line)
        sys.stdout.flush()

    def skip(self, name, why):
        self.n += 1
        print("ok %d - %s # SKIP %s" % (self.n, name, why))


def judge(tap, scenario, seen, ours, tables, met):
    """One scenario's cases, one for each reference."""
    replay = "replay: %s --only %s --show" % (HERE, scenario.name)
    for kind in seen:
        if kind == ours:
            continue
        name = "%s as %s" % (scenario.name, kind)
        failed = [k for k in (kind, ours) if isinstance(seen[k], str)]
        if failed:
            tap.case(False, name, "\n".join("%s: %s" % (k, seen[k]) for k in failed) + replay)
            continue
        unlisted, rows = known.compare(tables[kind], kind, scenario, seen[kind], seen[ours])
        met[kind] |= rows
        why = ["%s: %s\n  %-6s %s\n  ours   %s" % (d.step, d.what, kind, d.theirs, d.ours)
               for d in unlisted]
        tap.case(not unlisted, name, "\n".join(why + [replay]))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0..59", help="A..B: random scenarios")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--against", action="append", choices=("c", "ocaml"), default=[])
    parser.add_argument("--daemon", default="drover", choices=("drover", "drover-xen"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--references", action="store_true",
                        help="show the references without ours")
    args = parser.parse_args()

    start, tap = time.monotonic(), Tap()
    wanted = args.against or ["c", "ocaml"]
    kinds = [k for k in wanted if peers.have(k)]
    for kind in sorted(set(wanted) - set(kinds)):
        tap.skip("all scenarios as %s" % kind, "%s is not installed" % kind)
    own = [] if args.references else [args.daemon]
    tables = {k: known.load(k) for k in kinds}
    met = {k: set() for k in kinds}
    todo = chosen(args)
    jobs = [(s, [k for k in kinds if k in s.kinds] + own) for s in todo]
    with multiprocessing.Pool(args.jobs) as pool:
        for scenario, seen in pool.imap(play_all, jobs):
            if args.show or args.references:
                print("# --- %s" % scenario.name)
                show(scenario, seen)
            if own:
                judge(tap, scenario, seen, args.daemon, tables, met)
    if own and not args.only:
        for kind in kinds:
            for row in [r for r in tables[kind] if not r.scenario.startswith("random-")]:
                tap.case(row.id in met[kind], "%s: %s still differs" % (known.FILES[kind], row.id),
                         "no scenario meets this row: take it out, or write one")
    print("1..%d" % tap.n)
    print("# %d cases, %d failed, %.1f s" % (tap.n, tap.failed, time.monotonic() - start))
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
