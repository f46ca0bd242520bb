#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Asks spin about how two daemons hand a guest over (handover.pml), and whether it notices when a
rule of the protocol is broken.

    tests/model/run.py                  what make check asks: about a minute
    tests/model/run.py --deep           larger ones, for as long as they take (make model)
    tests/model/run.py --only 'arbiter*'
    tests/model/run.py --show NAME      the steps that lead to a mistake's harm

Output is TAP. A machine without spin skips all by name.
"""
import argparse
import concurrent.futures
import fnmatch
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MEMORY_MIB = 2000
DEEP_MEMORY_MIB = 12000
DEPTH = 400000

# What holds. Name, macros, whether it is asked by --deep alone.
HOLDS = [
    ('three faults', ['FAULTS=3'], False),
    ('arbiter, two faults', ['ARBITER', 'SHORT_CLIENT', 'FAULTS=2'], False),
    ('arbiter, a name put late, one fault',
     ['ARBITER', 'LATE_PUT', 'SHORT_CLIENT', 'FAULTS=1'], False),
    ('offline, four faults', ['OFFLINE', 'FAULTS=4'], False),
    ('offline, any number of any fault', ['OFFLINE', 'ANY'], False),
    ('every run ends, one fault', ['ENDS', 'FAULTS=1'], False),
    ('every run with an arbiter ends', ['ENDS', 'ARBITER', 'FAULTS=0'], False),
    ('any number of any fault', ['ANY'], True),
    ('four faults', ['FAULTS=4'], True),
    ('five faults', ['FAULTS=5'], True),
    ('arbiter, a name put late, two faults', ['ARBITER', 'LATE_PUT', 'FAULTS=2'], True),
    ('arbiter and the whole client, two faults', ['ARBITER', 'FAULTS=2'], True),
    ('arbiter, three faults', ['ARBITER', 'FAULTS=3'], True),
    ('every run ends, two faults', ['ENDS', 'FAULTS=2'], True),
]

TWO = 'runs in two places, or goes back after it ran'
STUCK = 'runs nowhere, or something is left over'
FALSE = 'is not where they say'
HARM = [(r'd_ran\)|s_guest!=1', TWO), (r's_moved|said_no', FALSE), ('', STUCK)]
# What a broken rule leads to; each must be found.
MISTAKES = [
    ('CANCEL_OVERTAKES_COMMIT', TWO, ['FAULTS=1']),
    ('GRANT_BEFORE_JOURNAL', TWO, ['FAULTS=2']),
    ('QUESTION_IS_A_PROMISE', TWO, ['FAULTS=2']),
    ('RUN_BEFORE_JOURNAL', TWO, ['FAULTS=2']),
    ('RETURN_AFTER_RUN', FALSE, ['FAULTS=2']),
    ('SEND_BEFORE_JOURNAL', STUCK, ['FAULTS=1']),
    ('ASK_BEFORE_JOURNAL', STUCK, ['FAULTS=1']),
    ('DROP_AFTER_ASKING', STUCK, ['FAULTS=1']),
    ('NOTHING_IS_RETURNED', STUCK, ['FAULTS=1']),
    ('ANSWER_TAKEN_EARLY', STUCK, ['FAULTS=1']),
    ('DONE_BEFORE_RESUMED', STUCK, ['FAULTS=2']),
    ('DONE_BEFORE_DESTROYED', STUCK, ['FAULTS=2']),
    ('RESUME_WITHOUT_ARBITER', TWO, ['ARBITER', 'FAULTS=1']),
    ('PUT_WITHOUT_COMPARING', TWO, ['ARBITER', 'LATE_PUT', 'FAULTS=1']),
    ('DROPPED_KEEPS_WHAT_WAS_GIVEN', STUCK, ['ARBITER', 'FAULTS=2']),
]


def limit_memory(mib):
    resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))


def pan_of(folder, macros):
    """Makes the verifier of the model with these macros. Raises on an error of the model."""
    spin = subprocess.run(['spin', *(f'-D{m}' for m in macros), '-a',
                           os.path.join(HERE, 'handover.pml')], cwd=folder, check=False,
                          capture_output=True, text=True)
    if spin.returncode or 'Error' in spin.stdout:
        raise RuntimeError(spin.stdout + spin.stderr)
    ends = 'ENDS' in macros
    flags = ['-DNFAIR=3'] if ends else ['-DSAFETY', '-DNOCLAIM']
    subprocess.run(['gcc', '-O2', '-w', *flags, '-o', 'pan', 'pan.c'], cwd=folder, check=True)
    return ['./pan', '-E', f'-m{DEPTH}', '-w24', *(['-a'] if ends else [])]


def ask(macros, mib):
    """(errors, states, what was violated, output, seconds); errors is None: no answer."""
    with tempfile.TemporaryDirectory(prefix='drover-model-') as folder:
        begin = time.monotonic()
        argv = pan_of(folder, macros)
        run = subprocess.run(argv, cwd=folder, check=False, capture_output=True, text=True,
                             preexec_fn=lambda: limit_memory(mib))
        out = run.stdout + run.stderr
        m = re.search(r'errors: (\d+)', out)
        whole = m and not re.search(r'out of memory|max search depth too small|resource', out)
        states = re.search(r'([\d.e+]+) states, stored', out)
        violated = re.search(r'(assertion violated.*|acceptance cycle.*) \(at depth', out)
        return (int(m.group(1)) if whole else None, float(states.group(1)) if states else 0,
                violated.group(1) if violated else '', out, time.monotonic() - begin)


def show(name):
    """The steps of a mistake's trail."""
    _, _, macros = next(m for m in MISTAKES if m[0] == name)
    macros = macros + ['MISTAKE', 'MISTAKE_' + name]
    with tempfile.TemporaryDirectory(prefix='drover-model-') as folder:
        subprocess.run(pan_of(folder, macros) + ['-i'], cwd=folder, check=False,
                       stdout=subprocess.DEVNULL)
        subprocess.run(['spin', *(f'-D{m}' for m in macros), '-t', '-p', '-g', '-k',
                        'handover.pml.trail', os.path.join(HERE, 'handover.pml')],
                       cwd=folder, check=False)


def judge_holds(case, mib):
    name, macros, _ = case
    errors, states, violated, out, seconds = ask(macros, mib)
    said = f'{name} ({states:.0f} states, {seconds:.1f} s)'
    return errors == 0, said, '' if errors == 0 else violated or out


def judge_mistake(case, mib):
    name, harm, macros = case
    errors, _, violated, out, seconds = ask(macros + ['MISTAKE', 'MISTAKE_' + name], mib)
    found = errors and violated and harm == next(h for r, h in HARM if re.search(r, violated))
    said = f'{name.lower().replace("_", " ")} is found: it {harm} ({seconds:.1f} s)'
    return bool(found), said, '' if found else violated or out


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--deep', action='store_true', help='the large ones alone')
    parser.add_argument('--only', default='*', help='a pattern of names')
    parser.add_argument('--show', metavar='MISTAKE')
    args = parser.parse_args()
    if not shutil.which('spin'):
        print('1..1\nok 1 - model # SKIP spin is not installed')
        return 0
    if args.show:
        show(args.show)
        return 0

    mib = DEEP_MEMORY_MIB if args.deep else MEMORY_MIB
    jobs = [(judge_holds, c) for c in HOLDS if c[2] == args.deep]
    jobs += [(judge_mistake, c) for c in MISTAKES if not args.deep]
    jobs = [j for j in jobs if fnmatch.fnmatch(j[1][0], args.only)]
    if not jobs:
        parser.error(f'nothing is called {args.only}')
    failed = 0
    print(f'1..{len(jobs)}', flush=True)
    # The large ones one after another: two of them want more memory than a machine may have.
    with concurrent.futures.ThreadPoolExecutor(1 if args.deep else 2) as pool:
        results = pool.map(lambda job: job[0](job[1], mib), jobs)
        for i, (good, said, why) in enumerate(results, 1):
            failed += not good
            print(f'{"ok" if good else "not ok"} {i} - {said}', flush=True)
            for line in why.splitlines():
                print('#', line)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
