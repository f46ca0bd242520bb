#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs everything that a change must pass, stage after stage, and counts every case. Stages that
only compute go on beside the others, at the lowest priority: most tests wait for something most of
the time. The last line is 'N passed, N failed' (and ', N skipped'); the exit status is 1 when a
case failed."""
import argparse
import contextlib
import glob
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import xml.etree.ElementTree as ET

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
JOBS = str(os.cpu_count() or 1)
C_FOLDERS = ('src', 'tests', 'bench')


def show(text):
    print(text, flush=True)


class Tally:
    """Counts cases; say: where lines go."""

    def __init__(self, say=show):
        self.say = say
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, name, result):
        if result == 'passed':
            self.passed += 1
        elif result == 'skipped':
            self.skipped += 1
            self.say(f'  skipped: {name}')
        else:
            self.failed += 1
            self.failures.append(name)
            self.say(f'  FAILED: {name}')

    def join(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures

    def cases(self):
        return self.passed + self.failed + self.skipped


class Stage:
    """One stage under way: runs commands until its time is up, and counts their cases. before: the
    words in front of each command."""
    running = set()     # the processes of all stages
    stopped = False     # nothing more is started

    def __init__(self, name, limit_s, tally, before=()):
        self.name = name
        self.end = time.monotonic() + limit_s
        self.tally = tally
        self.before = before

    def run(self, *argv, env=None):
        """(exit status, output); a command past the stage's time is killed with its children."""
        if Stage.stopped:
            return 143, ''
        try:
            proc = subprocess.Popen([*self.before, *argv], cwd=ROOT, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    text=True, errors='replace', start_new_session=True,
                                    env={**os.environ, **(env or {})})
        except OSError as e:
            return 127, f'{argv[0]}: {e.strerror}\n'
        self.running.add(proc)
        try:
            out, _ = proc.communicate(timeout=max(1, self.end - time.monotonic()))
            status = proc.returncode
        except subprocess.TimeoutExpired:
            os.killpg(proc.pid, signal.SIGKILL)
            out, _ = proc.communicate()
            out += f'\n{self.name}: out of time\n'
            status = 124
        except BaseException:   # told to stop: nothing stays behind
            os.killpg(proc.pid, signal.SIGTERM)
            raise
        finally:
            self.running.discard(proc)
        return status, out

    def must(self, case, *argv, env=None, show=False):
        """A command as one case: prints its output when it fails, or where it is to be shown."""
        status, out = self.run(*argv, env=env)
        if status or show:
            self.tally.say('\n'.join(out.split('\n')[-80:]))
        self.tally.add(case, 'failed' if status else 'passed')
        return status == 0

    def tap(self, *argv, env=None):
        """A program that prints TAP: each line is a case."""
        status, out = self.run(*argv, env=env)
        failed = self.tally.failed
        count = 0
        for m in re.finditer(r'^(not )?ok\b *\d* *-? *(.*)$', out, re.M):
            skip = re.search(r'# SKIP', m.group(2), re.I)
            result = 'failed' if m.group(1) else 'skipped' if skip else 'passed'
            self.tally.add(f'{self.name}: {m.group(2)}', result)
            count += 1
        bailed = status != 0 and self.tally.failed == failed
        if bailed or count == 0:
            self.tally.add(f'{self.name}: {" ".join(argv)}: exit {status}, {count} cases',
                           'failed')
        if self.tally.failed > failed:
            self.tally.say('\n'.join(out.split('\n')[-200:]))

    def meson(self, build, *suites, env=None, jobs=JOBS, but=()):
        """meson test of some suites: the cases are those of its JUnit log."""
        argv = ['meson', 'test', '-C', build, '--no-rebuild', '--print-errorlogs',
                '--logbase', self.name, '--num-processes', str(jobs)]
        for suite in suites:
            argv += ['--suite', suite]
        for suite in but:
            argv += ['--no-suite', suite]
        log = os.path.join(ROOT, build, 'meson-logs', f'{self.name}.junit.xml')
        each = log.replace('.junit.xml', '.json')
        for old in (log, each):
            if os.path.exists(old):
                os.unlink(old)
        status, out = self.run(*argv, env=env)
        failed = self.tally.failed
        count = 0
        for suite in ET.parse(log).iter('testsuite') if os.path.exists(log) else ():
            for case in suite.iter('testcase'):
                kinds = {child.tag for child in case}
                result = ('failed' if kinds & {'failure', 'error'} else
                          'skipped' if 'skipped' in kinds else 'passed')
                name = f'{suite.get("name")}: {case.get("name")}'
                if result == 'skipped':
                    name += f': {case.findtext("system-out") or "no reason given"}'
                self.tally.add(name, result)
                count += 1
        if status == 0 and count == 0:
            self.tally.add(f'{self.name}: meson test: no cases', 'failed')
        if status:
            self.told(each)
            if self.tally.failed == failed:
                self.tally.say('\n'.join(out.split('\n')[-200:]))
                self.tally.add(f'{self.name}: meson test: exit {status}, {count} cases', 'failed')

    def told(self, log):
        """What meson's log of one test a line knows of those that failed: a test that ended badly
        or not at all is a case too, for each line of its TAP may be well."""
        with contextlib.suppress(OSError), open(log, encoding='utf-8') as lines:
            for test in map(json.loads, lines):
                if test['result'] in ('OK', 'SKIP', 'EXPECTEDFAIL'):
                    continue
                out = test.get('stdout', '') + test.get('stderr', '')
                if not re.search('^not ok', out, re.M):
                    self.tally.add(f'{self.name}: {test["name"]}: {test["result"]}', 'failed')
                self.tally.say(f'  {test["name"]}: {test["result"]}, {test["duration"]:.1f} s, '
                               f'status {test["returncode"]}')
                self.tally.say('\n'.join('  | ' + line for line in out.split('\n')[-60:]))


class Lane(threading.Thread):
    """Stages beside the others, one after another; what they print is kept until join."""

    def __init__(self, stages):
        super().__init__(daemon=True)
        self.stages, self.lines, self.tally = stages, [], Tally(self.keep)

    def keep(self, text):
        self.lines.append(text)

    def run(self):
        # Each command has a session of its own, and where the system is fair to sessions, only
        # a session's priority counts between two of them.
        low = ('sh', '-c', '(echo 19 >/proc/self/autogroup) 2>/dev/null; exec nice -n 19 "$@"',
               'sh')
        for stage in self.stages:
            try:
                run_stage(stage, self.tally, low)
            except Exception:   # pylint: disable=broad-except
                self.keep(traceback.format_exc())
                self.tally.add(f'{stage[0]}: it broke off', 'failed')

    def finish(self, tally):
        self.join()
        tally.join(self.tally)
        for line in self.lines:
            tally.say(line)


def build(stage, folder, *options, cc='gcc'):
    setup = ['meson', 'setup', folder, '-Dwerror=true', *options]
    if os.path.exists(os.path.join(ROOT, folder, 'build.ninja')):
        setup = ['meson', 'configure', folder, '-Dwerror=true', *options]
    return (stage.must(f'{folder}: configure', *setup, env={'CC': cc}) and
            stage.must(f'{folder}: build', 'ninja', '-C', folder, '-j' + JOBS))


def c_files(*suffixes):
    found = []
    for folder in C_FOLDERS:
        for suffix in suffixes:
            found += glob.glob(f'{folder}/**/*{suffix}', recursive=True, root_dir=ROOT)
    return sorted(found)


def stage_gcc(stage):
    build(stage, 'build')


def stage_clang(stage):
    # For what it says: nothing of it is run.
    build(stage, 'build-clang', '-Doptimization=0', '-Ddebug=false', cc='clang')


def stage_tidy(stage):
    stage.tap('tools/tidy_test.py')
    stage.must('tidy', 'tools/tidy.py')


def stage_format(stage):
    stage.must('clang-format', 'clang-format', '--dry-run', '-Werror', *c_files('.c', '.h'))


def stage_man(stage):
    for page in sorted(glob.glob('man/*.[1-8]', root_dir=ROOT)):
        stage.must(f'mandoc {page}', 'mandoc', '-Tlint', '-Wwarning', page)


def stage_clang_tidy(stage):
    if not os.path.exists(os.path.join(ROOT, 'build-clang', 'compile_commands.json')):
        stage_clang(stage)
    files = [f for f in c_files('.c') if f.startswith('src/') and not f.endswith('_test.c')]
    # How far the analyzer follows a function: deeper costs minutes (its own default is 225000).
    words = ('-Xclang', '-analyzer-config', '-Xclang',
             'max-nodes=' + os.environ.get('ANALYZER_NODES', '60000'))
    stage.must('clang-tidy', 'sh', '-c', 'printf "%s\\n" "$@" | xargs -P ' + JOBS +
               ' -n 4 clang-tidy --quiet -p build-clang ' +
               ' '.join('--extra-arg=' + w for w in words), 'sh', *files)


def stage_unit(stage):
    stage.meson('build', 'unit')


def stage_world(stage):
    stage.meson('build', 'sim')


def stage_diff(stage):
    stage.meson('build', 'diff')


def stage_model(stage):
    # As meson would, but that each test would be a session of its own.
    stage.tap('tests/model/run.py')
    stage.tap('tests/model/replay.py', 'build/tests/migrate/migrate-replay')


def stage_system(stage):
    # Most of them wait for others most of the time.
    stage.meson('build', 'system', jobs=int(JOBS) + 1)


def stage_xen_short(stage):
    stage.meson('build', 'xen-short', jobs=1)


def stage_xen(stage):
    """All of real Xen, a file after the other: each emulates machines of its own."""
    stage.meson('build', 'xen-short', 'xen', jobs=1)


def stage_valgrind(stage):
    stage.meson('build', 'valgrind')


def stage_others(stage):
    """Suites that no stage above names: a new one is never forgotten."""
    status, out = stage.run('meson', 'introspect', 'build', '--tests')
    suites = {suite.split(':')[-1] for test in json.loads(out if status == 0 else '[]')
              for suite in test['suite']}
    others = suites - {'unit', 'sim', 'diff', 'model', 'system', 'on-c', 'valgrind', 'xen-short',
                       'xen'}
    if others:
        stage.meson('build', *sorted(others))


def stage_asan(stage):
    if build(stage, 'build-asan', '-Db_sanitize=address,undefined', '-Db_lundef=false',
             '-Doptimization=1'):
        # On C xenstored the same code of ours runs again.
        stage.meson('build-asan', 'unit', 'system', jobs=int(JOBS) + 1, but=('on-c',))
        for program in sorted(glob.glob('build-asan/tests/sim/scenarios_*', root_dir=ROOT)):
            if os.access(os.path.join(ROOT, program), os.X_OK) and not program.endswith('.p'):
                stage.tap(program)
        stage.tap('build-asan/tests/sim/world', '--seeds', '1..100')


def stage_fuzz(stage):
    stage.tap('tests/fuzz/run.py', '--build', 'build-fuzz', '--seconds', '8')


def stage_bench(stage):
    stage.must('bench --quick', 'bench/bench.py', '--quick', show=True)


def run_stage(stage, tally, before=()):
    name, function, limit_s, _ = stage
    tally.say(f'== {name}')
    start, cases = time.monotonic(), tally.cases()
    function(Stage(name, limit_s, tally, before))
    tally.say(f'   {name}: {tally.cases() - cases} cases, {time.monotonic() - start:.1f} s')


# How a stage goes: one after another, beside those, or with nothing beside it.
TURN, BESIDE, ALONE = range(3)
# name, what, time limit in seconds, how
STAGES = [
    ('gcc', stage_gcc, 300, TURN),
    ('clang', stage_clang, 1200, BESIDE),
    ('tidy', stage_tidy, 60, TURN),
    ('format', stage_format, 60, TURN),
    ('man', stage_man, 60, TURN),
    ('clang-tidy', stage_clang_tidy, 1200, BESIDE),
    ('unit', stage_unit, 300, TURN),
    ('world', stage_world, 420, TURN),
    ('diff', stage_diff, 420, TURN),
    ('model', stage_model, 1200, BESIDE),
    ('system', stage_system, 600, TURN),
    ('xen-short', stage_xen_short, 600, TURN),
    ('valgrind', stage_valgrind, 240, TURN),
    ('others', stage_others, 240, TURN),
    ('asan', stage_asan, 900, TURN),
    ('fuzz', stage_fuzz, 600, TURN),
    ('bench', stage_bench, 180, ALONE),
    ('xen', stage_xen, 7200, TURN),
]
ON_REQUEST = {'xen'}    # of make check-xen


def run_stages(stages, tally):
    """Those beside the others begin where the first of them stands, and are told of at the end of
    the others, or before a stage that wants to be alone."""
    lane = Lane([stage for stage in stages if stage[3] == BESIDE])
    for stage in stages:
        if stage[3] == BESIDE:
            if lane.stages[0] is stage:
                lane.start()
            continue
        if stage[3] == ALONE and lane and lane.ident:
            lane.finish(tally)
            lane = None
        run_stage(stage, tally)
    if lane and lane.ident:
        lane.finish(tally)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--list', action='store_true', help='name the stages')
    parser.add_argument('--only', help='stages to run, comma between them')
    args = parser.parse_args()
    names = [name for name, *_ in STAGES]
    if args.list:
        print('\n'.join(names))
        return 0
    chosen = args.only.split(',') if args.only else [n for n in names if n not in ON_REQUEST]
    for name in set(chosen) - set(names):
        parser.error(f'no stage {name}; there are {", ".join(names)}')

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tally = Tally()
    begin = time.monotonic()
    try:
        run_stages([stage for stage in STAGES if stage[0] in chosen], tally)
    finally:    # told to stop: nothing stays behind
        Stage.stopped = True
        for proc in list(Stage.running):
            os.killpg(proc.pid, signal.SIGTERM)
    print(f'{time.monotonic() - begin:.0f} s in all')
    for name in tally.failures:
        print(f'FAILED: {name}')
    skipped = f', {tally.skipped} skipped' if tally.skipped else ''
    print(f'{tally.passed} passed, {tally.failed} failed{skipped}')
    return 1 if tally.failed else 0


if __name__ == '__main__':
    sys.exit(main())
