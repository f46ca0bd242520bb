#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the fuzz targets for a while each, from the committed corpus, and prints TAP. A finding is
left in the build folder with the command that replays it. --minimise adds to the corpus what the
run found and the corpus does not cover."""
import argparse
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TARGETS = ('wire', 'ring', 'daemon', 'image', 'libxl', 'journal', 'config', 'xl', 'class', 'rpc',
           'xml', 'cookie', 'simstream', 'blob', 'saved', 'oxdump')


def configure(folder):
    """True: the targets are built in folder."""
    env = {**os.environ, 'CC': 'clang'}
    if not os.path.exists(os.path.join(folder, 'build.ninja')):
        setup = ['meson', 'setup', folder, '-Dfuzz=true', '-Db_sanitize=address,undefined',
                 '-Db_lundef=false']
        if subprocess.run(setup, cwd=ROOT, env=env, stdout=subprocess.DEVNULL).returncode:
            return False
    names = [f'tests/fuzz/fuzz-{t}' for t in TARGETS]
    return subprocess.run(['ninja', '-C', folder, *names], cwd=ROOT, env=env,
                          stdout=subprocess.DEVNULL).returncode == 0


def start(folder, target, seconds):
    work = os.path.join(folder, 'fuzz', target)
    found = os.path.join(work, 'found')
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(found)
    binary = os.path.join(folder, 'tests/fuzz', f'fuzz-{target}')
    log = open(os.path.join(work, 'log'), 'w+', errors='replace')
    argv = [binary, f'-max_total_time={seconds}', '-max_len=2048', '-timeout=20',
            '-rss_limit_mb=2048',
            '-entropic=0', '-detect_leaks=1', f'-artifact_prefix={work}/', found,
            os.path.join(HERE, 'corpus', target)]
    env = {**os.environ, 'UBSAN_OPTIONS': 'halt_on_error=1:print_stacktrace=1'}
    return target, binary, work, log, subprocess.Popen(argv, stdout=log, stderr=log, env=env)


def finish(number, run):
    """Prints the target's line; True when nothing was found."""
    target, binary, work, log, proc = run
    status = proc.wait()
    log.seek(0)
    lines = log.read().split('\n')
    log.close()
    done = [line for line in lines if line.startswith('Done')]
    if status == 0 and done:
        print(f'ok {number} - fuzz {target}: {done[-1]}', flush=True)
        return True
    print(f'not ok {number} - fuzz {target}: exit {status}')
    for line in lines[-60:]:
        print(f'# {line}')
    for name in sorted(os.listdir(work)):
        if name.startswith(('crash-', 'leak-', 'timeout-', 'oom-')):
            print(f'# replay: {binary} {os.path.join(work, name)}')
    sys.stdout.flush()
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--build', default='build-fuzz')
    parser.add_argument('--seconds', type=int, default=60, help='per target')
    parser.add_argument('--minimise', action='store_true')
    args = parser.parse_args()
    folder = os.path.abspath(os.path.join(ROOT, args.build))
    print(f'1..{len(TARGETS)}')
    if not shutil.which('clang'):
        for i, target in enumerate(TARGETS):
            print(f'ok {i + 1} - fuzz {target} # SKIP clang is not installed')
        return 0
    if not configure(folder):
        print('Bail out! the fuzz targets do not build')
        return 1
    good, jobs, waiting = True, os.cpu_count() or 1, list(enumerate(TARGETS, 1))
    while waiting:
        batch, waiting = waiting[:jobs], waiting[jobs:]
        runs = [(n, start(folder, t, args.seconds)) for n, t in batch]
        for number, run in runs:
            good &= finish(number, run)
    if args.minimise:
        for target in TARGETS:
            subprocess.run([os.path.join(folder, 'tests/fuzz', f'fuzz-{target}'), '-merge=1',
                            os.path.join(HERE, 'corpus', target),
                            os.path.join(folder, 'fuzz', target, 'found')], check=True)
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
