#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The code does what runs of the model did: step after step it has to say, answer and end as the
model does (tests/migrate/replay.h). Runs come from runs.txt, which has each of the model's steps,
and from spin, which plays the model at random, with the same seeds each time.

    tests/model/replay.py REPLAY            what make check asks
    tests/model/replay.py REPLAY --runs N   N new ones of each kind (make model: many)
    tests/model/replay.py REPLAY --keep N   writes runs.txt anew, from N new ones of each kind:
                                            after the model was changed

REPLAY is the program (tests/migrate/replay_main.c). In runs.txt are also runs of models with a
broken rule: what they do, the code does not. Output is TAP; without spin there are no new runs.
"""
import argparse
import collections
import concurrent.futures
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap

from run import HERE, MISTAKES, pan_of

RUNS = os.path.join(HERE, 'runs.txt')
KINDS = {'plain': [], 'arbiter': ['ARBITER'], 'short': ['ARBITER', 'SHORT_CLIENT'],
         'offline': ['OFFLINE']}
STEPS_MAX = 45      # of a run without faults, about
KEPT = 250
# Steps that lead nowhere: each is asked for once, and of who is idle.
NEVER = {'s begin refused', 'd prepare refused'}
# Rules that are kept by the daemon around the code, or by the arbiter.
NOT_THE_CODES = {'RETURN_AFTER_RUN', 'PUT_WITHOUT_COMPARING'}


def steps_said(out):
    return re.findall(r'^ *@(.*)$', out, re.M)


def to_harm(macros):
    """The steps of a broken model's way to its harm; "end …" may be missing."""
    with tempfile.TemporaryDirectory(prefix='drover-replay-') as folder:
        subprocess.run(pan_of(folder, macros) + ['-i'], cwd=folder, check=False,
                       stdout=subprocess.DEVNULL)
        spin = subprocess.run(['spin', *(f'-D{m}' for m in macros), '-t', '-T', '-k',
                               'handover.pml.trail', os.path.join(HERE, 'handover.pml')],
                              cwd=folder, check=False, capture_output=True, text=True)
    return steps_said(spin.stdout)


def play(kind, seed):
    """One run: its steps, the last one "end …"."""
    r = random.Random(f'{kind} {seed}')
    macros = [*KINDS[kind], 'TRACE', f'FAULTS={r.choice((0, 1, 2, 3, 4, 5))}',
              f'AT={r.randrange(STEPS_MAX)}', f'GAP={r.choice((0, 0, 0, 1, 2, 3, 5, 8))}']
    with tempfile.TemporaryDirectory(prefix='drover-replay-') as folder:
        spin = subprocess.run(['spin', *(f'-D{m}' for m in macros), f'-n{seed}', '-T',
                               os.path.join(HERE, 'handover.pml')], cwd=folder, check=False,
                              capture_output=True, text=True)
    steps = steps_said(spin.stdout)
    if not steps:
        raise RuntimeError(spin.stdout + spin.stderr)
    return steps


def follow(program, runs):
    """runs: (name, kind, steps). ({name: how it differs}, {step: how often it was done})."""
    lines = []
    for name, kind, steps in runs:
        lines.append(f'={name} {kind} {" ".join(m.lower() for m in KINDS[kind])}')
        lines += ['@' + step for step in steps]
    done = subprocess.run([program], input='\n'.join(lines) + '\n', check=False,
                          capture_output=True, text=True)
    if not re.search(r'^traces: %d,' % len(runs), done.stdout, re.M):
        raise RuntimeError(f'exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}')
    steps = {name: int(n) for n, name in re.findall(r'^step: (\d+) (.*)$', done.stdout, re.M)}
    return dict(re.findall(r'^differs: (\S+) .*?, (step .*)$', done.stdout, re.M)), steps


def steps_of_model():
    found = set()
    for name in os.listdir(HERE):
        if name.endswith('.pml'):
            with open(os.path.join(HERE, name), encoding='ascii') as f:
                found |= set(re.findall(r'(?:SAY|LOSE)\((?:\w+, )?"([^"]*)"\)', f.read()))
    return found - NEVER


def kept():
    """(kind, mistake or '', steps) of runs.txt: "kind [MISTAKE]: step; step; …", lines that begin
    with a space go on with the one before."""
    with open(RUNS, encoding='ascii') as f:
        text = re.sub('^#.*\n', '', f.read(), flags=re.M)
    for line in text.replace('\n ', ' ').splitlines():
        who, steps = line.split(': ', 1)
        kind, _, mistake = who.partition(' ')
        yield kind, mistake, steps.split('; ')


# ---- runs.txt anew ----

def chosen(runs):
    """KEPT of them: each kind's steps, then what follows what, of both the rarest first."""
    def steps_of(run):
        return {(run[0], step) for step in run[1]}

    def pairs_of(run):
        return set(zip(run[1], run[1][1:]))

    take = []
    for parts in (steps_of, pairs_of):
        n = collections.Counter(p for run in runs for p in parts(run))
        left = set(n).difference(*map(parts, take))
        for run in sorted(runs, key=lambda run, n=n: min(n[p] for p in parts(run))):
            if parts(run) & left and len(take) < KEPT:
                left -= parts(run)
                take.append(run)
    return sorted(take)


def keep(program, pool, n):
    jobs = [(kind, seed) for kind in KINDS for seed in range(n)]
    runs = list(zip((kind for kind, _ in jobs), pool.map(lambda job: play(*job), jobs)))
    lines = [f'{kind}: {"; ".join(steps)}' for kind, steps in chosen(runs)]
    for name, _, macros in MISTAKES:
        if name not in NOT_THE_CODES:
            kind = 'arbiter' if 'ARBITER' in macros else 'plain'
            steps = to_harm([*macros, 'TRACE', 'MISTAKE', 'MISTAKE_' + name])
            lines.append(f'{kind} {name}: {"; ".join(steps)}')
    with open(RUNS, 'w', encoding='ascii') as f:
        f.write('# Runs of the model: written by replay.py --keep.\n')
        for line in lines:
            f.write(textwrap.fill(line, 100, subsequent_indent=' ') + '\n')


class Tap:
    def __init__(self):
        self.n = self.failed = 0

    def case(self, good, said, why=()):
        self.n += 1
        self.failed += not good
        print(f'{"ok" if good else "not ok"} {self.n} - {said}', flush=True)
        for line in () if good else why:
            print('#', line)


def follows(tap, program, runs, what):
    differ, steps = follow(program, runs)
    tap.case(not differ, f'the code does what {what} did ({sum(steps.values())} steps)',
             [f'{name}: {how}\n#   {"; ".join(run)}'
              for name, _, run in runs if name in differ for how in [differ[name]]])
    return steps


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('replay')
    parser.add_argument('--runs', type=int, default=60, help='new ones of a kind (%(default)s)')
    parser.add_argument('--keep', type=int, metavar='N')
    args = parser.parse_args()
    tap = Tap()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        if args.keep:
            keep(args.replay, pool, args.keep)
            return 0
        runs = list(kept())
        good = [(f'{i}', kind, steps) for i, (kind, mistake, steps) in enumerate(runs)
                if not mistake]
        steps = follows(tap, args.replay, good, f'{len(good)} kept runs')
        never = sorted(steps_of_model() - set(steps))
        tap.case(not never, f'they have all {len(steps_of_model())} steps of the model', never)
        for kind, mistake, bad in runs:
            if mistake:
                differ, _ = follow(args.replay, [('it', kind, bad)])
                tap.case(differ, f'the code does not {mistake.lower().replace("_", " ")}'
                         f'{": " + differ["it"] if differ else ""}')
        missing = {m[0] for m in MISTAKES} - NOT_THE_CODES - {m for _, m, _ in runs}
        tap.case(not missing, 'a run of each broken rule is kept', sorted(missing))
        for kind in KINDS if shutil.which('spin') else ():
            new = pool.map(lambda seed, kind=kind: (f'{seed}', kind, play(kind, seed)),
                           range(args.runs))
            follows(tap, args.replay, list(new), f'{args.runs} new runs of kind {kind}')
    print(f'1..{tap.n}')
    return 1 if tap.failed else 0


if __name__ == '__main__':
    sys.exit(main())
