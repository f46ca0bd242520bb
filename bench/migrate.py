# SPDX-License-Identifier: MIT
"""Migrations of real guests between two daemons of ours, and between two libvirtd: the same guest,
the same virsh, in turn.

measure() yields (target, test, parameter, metric, value). A downtime is what the guest's serial
line shows: the time between its last count on one host and its first on the other, less what lies
between two counts otherwise; its clock stands still while it is stopped. The journals are on a
disk, not in memory.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT + '/tests/peers')
import hosts  # noqa: E402

Failed = hosts.HostError

MEMORY_MIB = 96
SMALL_MIB = 16      # guests that are only there to be listed
POLL_S = .0005
TIMEOUT = 600


def pair(kind, base, build):
    """Two hosts, not started."""
    if kind == 'ours':
        return [hosts.Drover(base, name, build=build) for name in ('a', 'b')]
    return [hosts.Libvirtd(base, name) for name in ('a', 'b')]


def migrate_words(kind, name, to):
    words = ['migrate', '--live', name, to.far_uri]
    # libvirtd would tell the other host's name, which nobody resolves here
    return words + (['--migrateuri', 'tcp://127.0.0.1'] if kind == 'libvirt' else [])


class SerialWatch(threading.Thread):
    """When the serial files of one guest on two hosts grew: (time, which of them)."""

    def __init__(self, name, pair_):
        super().__init__(daemon=True)
        self.paths = [host.serial_path(name) for host in pair_]
        self.grown, self.over = [], threading.Event()

    def run(self):
        sizes = [self.size(path) for path in self.paths]
        while not self.over.wait(POLL_S):
            for i, path in enumerate(self.paths):
                size = self.size(path)
                if size != sizes[i]:
                    self.grown.append((time.monotonic(), i))
                    sizes[i] = size

    @staticmethod
    def size(path):
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return 0

    def stop(self):
        self.over.set()
        self.join()

    def downtime_ms(self, to):
        """Of a move to host number `to`. A line is written in several pieces: the gaps that count
        are those of half a count's time and more."""
        at = [t for t, where in self.grown]
        gaps = [(at[i + 1] - at[i]) * 1000 for i in range(len(at) - 1)
                if self.grown[i][1] == self.grown[i + 1][1]]
        gaps = [gap for gap in gaps if gap > 30]
        across = [(self.grown[i + 1][0] - self.grown[i][0]) * 1000
                  for i in range(len(at) - 1)
                  if self.grown[i][1] != to and self.grown[i + 1][1] == to]
        if not gaps or not across:
            raise hosts.HostError('the guest did not count on both hosts')
        return max(across[-1] - statistics.median(gaps), 0)


def one_migration(kind, pair_, name, source):
    """Wall time and downtime, ms."""
    from_, to = pair_[source], pair_[1 - source]
    watch = SerialWatch(name, pair_)
    watch.start()
    from_.await_ticks(name, 10)
    start = time.monotonic()
    from_.virsh(*migrate_words(kind, name, to), timeout=TIMEOUT)
    wall = time.monotonic() - start
    to.await_ticks(name, 10)
    watch.stop()
    return wall * 1000, watch.downtime_ms(1 - source)


def steps(host, build):
    """Of each migration that the host's journal has: when which phase was entered, ms."""
    out = subprocess.run([build + '/drover', 'migrations', '--json', '-c', host.uri],
                         capture_output=True, text=True, timeout=60, check=True).stdout
    return {(m['id'], m['side']): {step['phase']: step['at_ms'] for step in m['steps']}
            for m in json.loads(out)}


def commit_ms(pair_, build):
    """What the decision costs while the guest stands still: the source writes down that it has
    given the guest and answers, until the destination has the answer."""
    known = {}
    for host in pair_:
        known.update(steps(host, build))
    return [at['owned'] - known[id_, 'source']['given'] for (id_, side), at in known.items()
            if side == 'destination' and 'owned' in at]


def disk_ms(folder, times=50):
    """What the disk takes to keep one page: no commit can cost less."""
    took = []
    with open(folder + '/disk', 'wb', buffering=0) as f:
        for _ in range(times):
            f.write(bytes(4096))
            start = time.monotonic()
            os.fdatasync(f.fileno())
            took.append((time.monotonic() - start) * 1000)
    return statistics.median(took)


def singles(pairs, build, n, turn):
    """A guest of each kind that goes to and fro, one kind's move beside the other's in time: what
    else the machine does then is the same for both."""
    for kind, pair_ in pairs.items():
        pair_[0].virsh('create', hosts.tick_xml(pair_[0].base, 'tick', MEMORY_MIB))
        pair_[0].await_ticks('tick', 5)
        # not counted: libvirtd asks the emulator what it can when it first needs it, for seconds
        one_migration(kind, pair_, 'tick', 0)
    for i in range(n):
        for kind in list(pairs) if (i + turn) % 2 else reversed(pairs):
            wall, down = one_migration(kind, pairs[kind], 'tick', (i + 1) % 2)
            yield kind, 'migrate', f'{MEMORY_MIB}MiB', f'wall_ms.{i}', wall
            yield kind, 'migrate', f'{MEMORY_MIB}MiB', f'down_ms.{i}', down
    for i, took in enumerate(commit_ms(pairs['ours'], build)):
        yield 'ours', 'migrate', f'{MEMORY_MIB}MiB', f'commit_ms.{i}', took
    yield ('ours', 'migrate', f'{MEMORY_MIB}MiB', 'disk_ms', disk_ms(pairs['ours'][0].base))
    for pair_ in pairs.values():
        pair_[(n + 1) % 2].virsh('destroy', 'tick')


def together(kind, pair_, n):
    """n guests at once: until the last virsh has ended."""
    names = [f'many{i}' for i in range(n)]
    for name in names:
        pair_[0].virsh('create', hosts.tick_xml(pair_[0].base, name, 64))
    for name in names:
        pair_[0].await_ticks(name, 2)
    start = time.monotonic()
    running = [subprocess.Popen(pair_[0].argv(*migrate_words(kind, name, pair_[1])),
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
               for name in names]
    failed = [p.communicate(timeout=TIMEOUT)[1].strip() for p in running]
    wall = time.monotonic() - start
    for p, said in zip(running, failed):
        if p.returncode:
            raise hosts.HostError(f'{kind}: {said}')
    yield 'parallel', f'{n}', 'wall_ms', wall * 1000
    for name in names:
        pair_[1].await_ticks(name, 1)
        pair_[1].virsh('destroy', name)


def resident_kib(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmRSS:'))


def crowd(host, n):
    """n paused guests: what they cost the daemon, and how long it takes to tell of them."""
    import libvirt  # pylint: disable=import-outside-toplevel
    yield 'crowd', '0', 'rss_KiB', resident_kib(host.pid)
    for i in range(n):
        host.virsh('create', hosts.tick_xml(host.base, f'crowd{i}', SMALL_MIB), '--paused')
    yield 'crowd', f'{n}', 'rss_KiB', resident_kib(host.pid)
    yield 'crowd', f'{n}', 'rss_MiB', resident_kib(host.pid) / 1024
    conn = libvirt.open(host.uri)
    took = {'list_ms': [], 'virsh_list_ms': []}
    for _ in range(50):
        start = time.monotonic()
        found = conn.listAllDomains(0)
        for domain in found:
            domain.state()
        took['list_ms'].append(time.monotonic() - start)
        assert len(found) == n, len(found)
    conn.close()
    for _ in range(20):
        start = time.monotonic()
        host.virsh('list', '--all')
        took['virsh_list_ms'].append(time.monotonic() - start)
    for metric, values in took.items():
        yield 'crowd', f'{n}', metric, statistics.median(values) * 1000
    for i in range(n):
        host.virsh('destroy', f'crowd{i}')


def measure_all(pairs, build, scale, turn):
    # starting so many takes libvirtd minutes, and memory is no matter of chance
    if turn == 0:
        for kind, pair_ in pairs.items():
            for row in crowd(pair_[0], scale.crowd):
                yield kind, *row
    yield from singles(pairs, build, scale.migrations, turn)
    for kind, pair_ in list(pairs.items())[::-1 if turn % 2 else 1]:
        for row in together(kind, pair_, scale.together):
            yield kind, *row


def measure(build, scale, turn):
    """Both kinds; the order changes from round to round."""
    missing = hosts.libvirtd_usable()
    kinds = ['ours'] if missing else ['ours', 'libvirt']
    if missing:
        print(f'libvirtd beside ours is skipped: {missing}', file=sys.stderr)
    bases = {kind: tempfile.mkdtemp(prefix='drover-bench-', dir='/var/tmp') for kind in kinds}
    pairs = {kind: pair(kind, base, build) for kind, base in bases.items()}
    values = {}
    try:
        for host in (host for pair_ in pairs.values() for host in pair_):
            host.start()
        for kind, test, param, metric, value in measure_all(pairs, build, scale, turn):
            values.setdefault((kind, test, param, metric.split('.')[0]), []).append(value)
    finally:
        for host in (host for pair_ in pairs.values() for host in pair_):
            if host.process:
                host.stop()
        for base in bases.values():
            shutil.rmtree(base, ignore_errors=True)
    for (kind, test, param, metric), found in values.items():
        yield kind, test, param, metric, statistics.median(found)
