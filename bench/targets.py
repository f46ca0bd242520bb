# SPDX-License-Identifier: MIT
"""The servers that the benchmark compares: how each is started and stopped.

A server runs in the foreground as our child, so that its pid is known from the first instant and
stopping it is one signal. Each has a private directory: its socket, and the simulated hypervisor
that its domains live in.
"""
import os
import shutil
import signal
import subprocess
import time

XEN_BIN = '/usr/lib/xen-4.17/bin'
START_S = 30

# Quotas out of the way, for all alike: what is measured is the work, not a refusal.
QUOTAS = ['-E', '2000000', '-S', '1000000', '-W', '1000000', '-t', '1000', '-A', '1000',
          '-Q', 'transaction-nodes=1000000', '-Q', 'memory=2000000000',
          '-Q', 'outstanding=100000']

OCAML_CONF = '''pid-file = {dir}/pid-file
test-eagain = false
merge-activate = true
conflict-burst-limit = 5.0
conflict-max-history-seconds = 0.05
conflict-rate-limit-is-aggregate = true
perms-activate = true
perms-watch-activate = true
quota-activate = true
quota-maxentity = 2000000
quota-maxsize = 1000000
quota-maxwatch = 1000000
quota-transaction = 1000
quota-maxrequests = 10000000
quota-path-max = 1024
quota-maxoutstanding = 1000000
quota-maxwatchevents = 1000000
persistent = false
xenstored-kva = {dir}/dom/0.ring
xenstored-port = {dir}/xsd_port
'''


class TargetMissing(Exception):
    """The program is not installed or not built."""


class Target:
    """One kind of server. name is the table's column, key what options and results say."""

    def __init__(self, key, name, program, build):
        self.key, self.name, self.program, self.build = key, name, program, build

    def check(self):
        for path in self.needs():
            if not os.path.exists(path):
                raise TargetMissing(path)

    def needs(self):
        return [self.program]

    def command(self, directory):
        raise NotImplementedError

    def environment(self, directory):
        return {}

    def socket(self, directory):
        return directory + '/run/socket'


class Ours(Target):
    def command(self, directory):
        return [self.program, '-N', '--hv=sim:' + directory] + QUOTAS

    def environment(self, directory):
        return {'XENSTORED_PATH': self.socket(directory),
                'XENSTORED_RUNDIR': directory + '/run'}


class Shimmed(Target):
    """A reference daemon: it finds the simulated hypervisor through the preloaded shim."""

    def shim(self):
        return self.build + '/tests/peers/xenshim.so'

    def needs(self):
        return [self.program, self.shim()]

    def environment(self, directory):
        return {'DROVER_SIM_DIR': directory, 'LD_PRELOAD': self.shim()}


class C(Shimmed):
    def command(self, directory):
        return [self.program, '-N'] + QUOTAS


class OCaml(Shimmed):
    def command(self, directory):
        conf = directory + '/oxenstored.conf'
        with open(conf, 'w') as f:
            f.write(OCAML_CONF.format(dir=directory))
        return [self.program, '--no-fork', '--no-access-log', '--config-file', conf]


class Echo(Target):
    def command(self, directory):
        return [self.program, self.socket(directory)]


def all_targets(build):
    return [C('c', 'C 4.17', XEN_BIN + '/xenstored', build),
            OCaml('ocaml', 'OCaml 4.17', XEN_BIN + '/oxenstored', build),
            Ours('ours', 'ours', build + '/drover-xenstored', build),
            Echo('echo', 'echo', build + '/bench/bench-echo', build)]


def place_process(cpu, fifo):
    """What a new process does before its program: its CPU, its priority, its limits."""
    import resource

    def place():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        os.sched_setaffinity(0, {cpu})
        if fifo:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
    return place


class Server:
    """A running target. Use as a context manager: it ends with the block."""

    def __init__(self, target, base, cpu, fifo):
        self.target = target
        self.dir = f'{base}/{target.key}'
        shutil.rmtree(self.dir, ignore_errors=True)
        for sub in ('run', 'runxen', 'log', 'lib'):
            os.makedirs(f'{self.dir}/{sub}')
        self.log = open(f'{self.dir}/out', 'w+')
        environment = dict(os.environ, **target.environment(self.dir))
        self.process = subprocess.Popen(
            target.command(self.dir), env=environment, stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, preexec_fn=place_process(cpu, fifo),
            start_new_session=True)
        try:
            self.wait_for_socket()
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self):
        return self.process.pid

    @property
    def socket(self):
        return self.target.socket(self.dir)

    def alive(self):
        return self.process.poll() is None

    def output(self):
        self.log.flush()
        with open(self.log.name, errors='replace') as f:
            return f.read().strip()

    def wait_for_socket(self):
        import socket
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if not self.alive():
                raise RuntimeError(f'{self.target.name} ended: {self.output()}')
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(self.socket)
                    return
            except OSError:
                time.sleep(.005)
        raise RuntimeError(f'{self.target.name}: no socket in {START_S} s: {self.output()}')

    def stop(self):
        if self.alive():
            children = descendants(self.pid)
            self.process.send_signal(signal.SIGTERM if children else signal.SIGKILL)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
            for pid in children:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()


def descendants(pid):
    found = []
    try:
        tasks = os.listdir(f'/proc/{pid}/task')
    except FileNotFoundError:
        return found
    for task in tasks:
        try:
            with open(f'/proc/{pid}/task/{task}/children') as f:
                children = [int(c) for c in f.read().split()]
        except FileNotFoundError:
            continue
        for child in children:
            found += [child] + descendants(child)
    return found
