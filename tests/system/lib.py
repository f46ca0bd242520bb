# SPDX-License-Identifier: MIT
"""What the system tests share: cases that print TAP, programs run against a daemon, and waiting
for what is to happen instead of sleeping.

A test file has functions of one daemon, named after what they claim, and ends in

    sys.exit(lib.main(__doc__, CASES))

where a case is a function, or (function, {"args": [...], ...}) to have a daemon of its own, made
with those arguments of peers.Daemon. --kind says which daemon, --only runs some cases, --valgrind
runs the daemon under memcheck and fails on what it finds.
"""
import argparse
import contextlib
import glob
import inspect
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "peers"))
import peers  # noqa: E402

TIMEOUT = 60
DROVER = peers.build_dir() + "/drover"
XENSTORED = peers.build_dir() + "/drover-xenstored"
VALGRIND_ERROR = 99

options = argparse.Namespace(kind="drover", valgrind=False, iterations=100)


class Skip(Exception):
    """This machine has not what the case needs."""


def need(path):
    if not os.access(path, os.X_OK):
        raise Skip("%s is not installed" % path)
    return path


def equal(got, want):
    assert got == want, "%r, not %r" % (got, want)


def until(true, what, timeout=TIMEOUT):
    """Waits for what no descriptor tells of."""
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, "in vain: %s" % what
        select.select([], [], [], 0.005)


def refusal(call, *args):
    """The error that a request gets, None for none."""
    try:
        call(*args)
    except peers.XsError as e:
        return e.name
    return None


def environment(d, **more):
    env = dict(os.environ, XENSTORED_PATH=d.socket, XENSTORED_RUNDIR=d.run, **more)
    env.pop("LD_PRELOAD", None)
    return env


class Result:
    def __init__(self, p):
        self.status, self.out, self.err = p.returncode, p.stdout, p.stderr
        self.lines = p.stdout.splitlines()


def run(d, *argv, status=0, timeout=TIMEOUT, stdin=""):
    """A client program that must end with that status (None: any)."""
    p = subprocess.run([need(shutil.which(argv[0]) or argv[0]), *argv[1:]], env=environment(d),
                       capture_output=True, text=True, timeout=timeout, input=stdin, check=False)
    assert status in (None, p.returncode), "%s: exit %d\n%s%s" % (
        " ".join(argv), p.returncode, p.stdout[-2000:], p.stderr[-2000:])
    return Result(p)


@contextlib.contextmanager
def started(argv, env=None, **more):
    """A program that runs meanwhile; killed at the end if it still does."""
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, bufsize=1, **more) as p:
        try:
            yield p
        finally:
            if p.poll() is None:
                p.kill()


def next_line(p, timeout=TIMEOUT):
    """The next line of a started program: octet by octet, for what a buffer had taken of the one
    after it would not be waited for."""
    fd, line, end = p.stdout.fileno(), b"", time.monotonic() + timeout
    while not line.endswith(b"\n"):
        left = max(0, end - time.monotonic())
        assert select.select([fd], [], [], left)[0], "no line in %d s" % timeout
        octet = os.read(fd, 1)
        if not octet:
            break
        line += octet
    return line.decode(errors="replace").rstrip("\n")


@contextlib.contextmanager
def scratch():
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = tempfile.mkdtemp(prefix="drover-test-", dir=base)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def family(pid):
    """A process and its children: a keeper and who serves for it."""
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [pid] + [int(word) for word in f.read().split()]


def rss_kb(pid):
    """Of a daemon as a whole, without what its processes share of files."""
    total = 0
    for one in family(pid):
        with open("/proc/%d/status" % one) as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("RssAnon:"))
    return total


def not_grown(pid, before_kb, most_kb):
    """That it holds no more memory than before, nearly. Sanitizers keep what is freed."""
    with open("/proc/%d/maps" % pid) as f:
        if options.valgrind or "libasan" in f.read():
            return
    now_kb = rss_kb(pid)
    assert now_kb - before_kb < most_kb, "grown from %d to %d KB" % (before_kb, now_kb)


def open_fds(pid):
    return sum(len(os.listdir("/proc/%d/fd" % one)) for one in family(pid))


def serves(d):
    """Whether the daemon answers somebody new."""
    with d.connect() as x:
        x.write("/tests/alive", "1")
        equal(x.read("/tests/alive"), b"1")
        x.rm("/tests")


def clean(d):
    """CONTROL check finds nothing."""
    with d.connect() as x:
        said = x.control("check")
    assert "contradiction" not in said, said + d.output()


def memcheck(directory):
    return ["valgrind", "--quiet", "--leak-check=full", "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect", "--error-exitcode=%d" % VALGRIND_ERROR,
            "--track-fds=no", "--log-file=%s/valgrind.%%p" % directory]


@contextlib.contextmanager
def daemon(kind=None, **more):
    """A daemon for one case or one file; it must end well."""
    with scratch() as logs:
        if options.valgrind:
            more["prefix"] = memcheck(need_valgrind(logs))
            more["args"] = [*more.get("args", ()), "--no-sandbox"]
        d = peers.Daemon(kind or options.kind, **more)
        try:
            assert not options.valgrind or "memcheck" in os.readlink("/proc/%d/exe" % d.pid)
            yield d
        finally:
            alive = d.process is not None and d.process.poll() is None
            log = d.output()
            status = d.stop()
        found = "".join(open(f).read() for f in sorted(glob.glob(logs + "/valgrind.*")))
        assert alive, "the daemon died:\n" + log[-4000:]
        assert status == 0 or not kind_is_ours(d), \
            "exit %s\n%s\n%s" % (status, log[-4000:], found[-8000:])


def need_valgrind(directory):
    need(shutil.which("valgrind") or "/usr/bin/valgrind")
    return directory


def kind_is_ours(d):
    return d.kind.startswith("drover")


class Tap:
    def __init__(self):
        self.n = self.failed = 0

    def case(self, name, function):
        self.n += 1
        try:
            function()
        except Skip as e:
            print("ok %d - %s # SKIP %s" % (self.n, name, e))
        except Exception:   # pylint: disable=broad-except
            self.failed += 1
            print("not ok %d - %s" % (self.n, name))
            for line in traceback.format_exc().splitlines():
                print("# " + line)
        else:
            print("ok %d - %s" % (self.n, name))
        sys.stdout.flush()

    def end(self):
        print("1..%d" % self.n)
        return 1 if self.failed else 0


def _own(function, arguments):
    with daemon(**arguments) as d:
        function(d)


def _shared(tap, functions):
    with contextlib.ExitStack() as stack:
        d = stack.enter_context(daemon())
        for function in functions:
            def once(function=function):
                assert d.process.poll() is None, "the daemon is gone"
                function(d)
            tap.case(function.__name__.replace("_", " "), once)
        tap.case("the daemon ends well", stack.pop_all().close)


def heed_signals():
    """A test run by nohup, or in the background of a script, is started to ignore these, and so
    would be all that it starts."""
    for sig in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(sig) == signal.SIG_IGN:
            signal.signal(sig, signal.SIG_DFL)


def main(doc, cases):
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="drover", choices=("drover", "drover-xen", "c", "ocaml"))
    parser.add_argument("--valgrind", action="store_true")
    parser.add_argument("--iterations", type=int, default=100, help="of test-xenstore")
    parser.add_argument("--only", action="append", default=[], metavar="FUNCTION")
    parser.parse_args(namespace=options)
    heed_signals()
    tap, shared = Tap(), []
    for case in cases:
        function, arguments = case if isinstance(case, tuple) else (case, None)
        if options.only and function.__name__ not in options.only:
            continue
        if arguments is None and inspect.signature(function).parameters:
            shared.append(function)
        elif arguments is None:
            tap.case(function.__name__.replace("_", " "), function)
        else:
            tap.case(function.__name__.replace("_", " "),
                     lambda f=function, a=arguments: _own(f, a))
    if shared:
        _shared(tap, shared)
    return tap.end()
