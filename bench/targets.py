# SPDX-License-Identifier: MIT
"""The servers that the benchmark compares: how each is started and stopped.

The three daemons are tests/peers' own, with quotas lifted for all alike: what is measured is the
work, not a refusal. Each runs in the foreground as our child in a private directory, which holds
its socket and the simulated hypervisor that its domains live in.
"""
import os
import resource
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'tests',
                                'peers'))
import peers  # noqa: E402

START_S = 30


class TargetMissing(Exception):
    """The program is not installed or not built."""


class Target:
    """name is the table's column, key what options and results say, kind what peers calls it.
    column: whether it is compared; otherwise it is what others are held against."""

    def __init__(self, key, name, program, kind=None, args=(), column=True):
        self.key, self.name, self.program, self.kind = key, name, program, kind
        self.args, self.column = list(args), column

    def check(self, build):
        shim = [build + '/tests/peers/xenshim.so'] if self.kind in ('c', 'ocaml') else []
        for path in [self.program] + shim:
            if not os.path.exists(path):
                raise TargetMissing(path)


def all_targets(build):
    return [Target('c', 'C 4.17', peers.XEN_BIN + '/xenstored', 'c'),
            Target('ocaml', 'OCaml 4.17', peers.XEN_BIN + '/oxenstored', 'ocaml'),
            Target('ours', 'ours', build + '/drover-xenstored', 'drover'),
            Target('plain', 'ours, no journal', build + '/drover-xenstored', 'drover',
                   ['--no-journal'], column=False),
            Target('echo', 'echo', build + '/bench/bench-echo', column=False)]


def placed(cpu, fifo):
    """Words before a command that give it its CPU and its priority."""
    return ['taskset', '-c', str(cpu)] + (['chrt', '-f', '5'] if fifo else [])


def raise_limits():
    """A thousand connections are more than most shells allow; children inherit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class EchoProcess:
    """The limit, started as peers.Daemon starts a daemon."""

    def __init__(self, program, directory, prefix):
        self.dir, self.socket = directory, directory + '/socket'
        self.process = subprocess.Popen(prefix + [program, self.socket],
                                        stdin=subprocess.DEVNULL)
        self.pid = self.process.pid
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket(socket.AF_UNIX) as s:
                if not s.connect_ex(self.socket):
                    return
            time.sleep(.005)
        self.stop()
        raise RuntimeError('bench-echo did not start')

    def stop(self):
        self.process.kill()
        self.process.wait()

    def output(self):
        return ''


class Server:
    """A running target. Use as a context manager: it ends with the block."""

    def __init__(self, target, build, base, cpu, fifo):
        self.target = target
        self.dir = f'{base}/{target.key}'
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        prefix = placed(cpu, fifo)
        if target.kind:
            self.daemon = peers.Daemon(target.kind, dir=self.dir, build=build, prefix=prefix,
                                       args=target.args)
        else:
            self.daemon = EchoProcess(target.program, self.dir, prefix)
        self.pid, self.socket = self.daemon.pid, self.daemon.socket

    def alive(self):
        process = self.daemon.process
        return bool(process) and process.poll() is None

    def output(self):
        return self.daemon.output().strip()

    def stop(self):
        self.daemon.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()
