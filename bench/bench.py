#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""make bench: what a request costs here, in the C and the OCaml xenstored, and at the limit.

Every test runs against every target in turn, the order rotated from round to round, the server
on one CPU and the client on another. A ratio is taken between values of the same round, and the
table shows the median over rounds: a machine that changes its mind changes both sides.

Leaves results.tsv (every value), results.md (the table, its spread, all metrics) and SVG plots
of cost against population in the output directory.
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import image
import migrate
import report
import targets as servers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CLIENT_S = 900


class Group:
    """Tests that share a server, or get a fresh one each (fresh). repeat: times per round.
    echo: whether the limit is measured, too; only: these targets and no others. PROGRAM among
    the words of a test is the target's own, BUILD in one the build directory. client: the load
    generator. tool: what measures without a server; it yields (target, test, parameter, metric,
    value) of (build, directory, scale, round)."""

    def __init__(self, name, tests, seconds, fresh=True, repeat=1, echo=False, only=(),
                 client='bench-client', tool=None):
        self.tool = tool
        self.name, self.tests, self.seconds = name, tests, seconds
        self.fresh, self.repeat, self.echo, self.only = fresh, repeat, echo, only
        self.client = client

    def measures(self, target):
        if self.only:
            return target.key in self.only
        return target.column or (self.echo and target.key == 'echo')


def plan(scale):
    """The groups, at the populations that scale gives."""
    def sweep(test, levels):
        return [[test] + [str(n) for n in levels]]
    s = scale
    pipes = [['pipe', 'read', '64', '1'], ['pipe', 'read', '64', '16'],
             ['pipe', 'write', '64', '16']]
    return [
        Group('steady', [['lat', 'read'], ['lat', 'txn']] + pipes, .4 * s.time, fresh=False,
              repeat=s.repeat, echo=True),
        Group('ops', [['lat', op] for op in ('write', 'dir', 'perms', 'mkdirrm', 'read2k',
                                             'write2k')], .3 * s.time, fresh=False, echo=True),
        Group('conflict', [['conflict', mode, str(s.rivals)]
                           for mode in ('newchild', 'same', 'disjoint')], .6 * s.time,
              fresh=False, repeat=s.repeat),
        Group('idle', sweep('idle', s.connections), .5 * s.time),
        Group('idledom', sweep('idledom', s.domains), .5 * s.time),
        Group('watches', sweep('watches', s.watches), .5 * s.time),
        Group('nodes', sweep('nodes', s.nodes), .3 * s.time, echo=True),
        Group('siblings', sweep('siblings', s.siblings), .5 * s.time),
        Group('remove', [['remove', str(s.nodes[-1])]], .5 * s.time),
        Group('memory', [['memory', str(s.nodes[-1]), str(s.memory_watches),
                          str(s.connections[-1])]], .5 * s.time),
        Group('domains', [['domains', str(s.life_domains)]], .5 * s.time),
        Group('update', [['update', str(n), 'PROGRAM'] for n in s.nodes], .5 * s.time),
        Group('move', sweep('move', s.nodes), .5 * s.time, only=('ours',)),
        Group('kill', [['kill', str(n)] for n in s.nodes], .5 * s.time, only=('ours',)),
        Group('journal', [['journal', 'write', '64', '16']], .6 * s.time, fresh=False,
              repeat=2 * s.repeat, only=('ours', 'plain')),
        Group('image', [], 0, only=('ours',), tool=measure_image),
        Group('config', [[word, str(s.configs[0])] for word in ('fill', 'list', 'one')]
              + [['libxl', str(s.configs[0]), 'BUILD/tests/peers/xlconf']],
              .8 * s.time, fresh=False, only=('c', 'ours'), client='bench-config'),
        # C takes minutes to be given so many domains.
        Group('configs', [[word, str(s.configs[1])] for word in ('fill', 'list')],
              .8 * s.time, fresh=False, only=('ours',), client='bench-config'),
        Group('hostd', [], 0, only=('ours',), tool=measure_hosts),
    ]


def measure_image(build, base, scale, _turn):
    for row in image.measure(build, base, scale.nodes[-1]):
        yield 'ours', *row


def measure_hosts(build, _base, scale, turn):
    return migrate.measure(build, scale, turn)


class Runner:
    def __init__(self, args, scale, chosen, out):
        self.args, self.scale, self.targets, self.out = args, scale, chosen, out
        self.results = report.Results()
        self.base = tempfile.mkdtemp(
            prefix='drover-bench-', dir='/dev/shm' if os.access('/dev/shm', os.W_OK) else None)
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu, self.client_cpu = cpus[0], cpus[1 if len(cpus) > 1 else 0]
        self.fifo = not args.no_fifo and may_use_fifo()
        self.failed = 0

    def start(self, target):
        return servers.Server(target, self.args.build, self.base, self.server_cpu, self.fifo)

    def run(self, server, group, test, label):
        command = servers.placed(self.client_cpu, self.fifo) + [
            f'{self.args.build}/bench/{group.client}', '-p', str(server.pid),
            '-t', str(group.seconds), '-d', server.dir, server.socket] + [
                server.target.program if word == 'PROGRAM'
                else word.replace('BUILD', self.args.build) for word in test]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True)
        try:
            out, err = client.communicate(timeout=CLIENT_S)
        except subprocess.TimeoutExpired:
            err = f'no end in {CLIENT_S} s'
        finally:
            if client.poll() is None:
                client.kill()
                out = client.communicate()[0]
        if client.returncode or err:
            self.failed += 1
            self.say(f'{server.target.name}: {" ".join(test)}: {err.strip()}'
                     + ('' if server.alive() else f'\nthe server ended: {server.output()}'))
        for line in out.splitlines():
            name, param, metric, value = line.split()
            self.add(label, server.target.key, group, name, param, metric, float(value))

    def add(self, label, key, group, name, param, metric, value):
        self.results.add(label, key, name, param, metric, value)
        self.out.write('\t'.join([label, key, group.name, name, param, metric,
                                  f'{value:g}']) + '\n')
        self.out.flush()

    def run_tools(self, group, turn):
        """No server of ours takes part."""
        if 'ours' not in [t.key for t in self.targets]:
            return
        try:
            for key, name, param, metric, value in group.tool(self.args.build, self.base,
                                                              self.scale, turn):
                self.add(f'{turn}', key, group, name, param, metric, value)
        except (OSError, subprocess.SubprocessError, migrate.Failed) as e:
            self.failed += 1
            self.say(f'{group.name}: {e}')

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def order(self, group, turn):
        chosen = [t for t in self.targets if group.measures(t)]
        turn %= max(len(chosen), 1)
        return chosen[turn:] + chosen[:turn]

    def run_fresh(self, group, turn):
        for test in group.tests:
            for target in self.order(group, turn):
                with self.start(target) as server:
                    self.run(server, group, test, f'{turn}')

    def run_shared(self, group, turn):
        running = {}
        try:
            for target in self.order(group, 0):
                running[target.key] = self.start(target)
            for again in range(group.repeat):
                for test in group.tests:
                    for target in self.order(group, turn + again):
                        if not running[target.key].alive():
                            running[target.key].stop()
                            running[target.key] = self.start(target)
                        self.run(running[target.key], group, test, f'{turn}.{again}')
        finally:
            for server in running.values():
                server.stop()

    def run_all(self, groups):
        start = time.monotonic()
        for turn in range(self.args.rounds):
            for group in groups:
                (self.run_tools if group.tool else
                 self.run_fresh if group.fresh else self.run_shared)(group, turn)
                self.say(f'{time.monotonic() - start:5.0f} s  round {turn + 1} of '
                         f'{self.args.rounds}: {group.name}')

    def close(self):
        shutil.rmtree(self.base, ignore_errors=True)


def may_use_fifo():
    """Real-time priority keeps other programs of the machine out of the latencies."""
    try:
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, before[0], before[1])
        return True
    except OSError:
        return False


def options(argv):
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--quick', action='store_true',
                   help='one short round at small populations: shows that it runs, judges nothing')
    p.add_argument('--targets', default='c,ocaml,ours,plain,echo')
    p.add_argument('--groups', default='', help='comma-separated; default all')
    p.add_argument('--build', default=ROOT + '/build', help='the build directory')
    p.add_argument('--no-fifo', action='store_true',
                   help='do not use real-time priority even where it is allowed')
    p.add_argument('-o', dest='out', default='', help='output directory, default BUILD/bench')
    args = p.parse_args(argv)
    args.build = os.path.abspath(args.build)
    args.out = os.path.abspath(args.out or args.build + '/bench')
    if args.quick:
        args.rounds = 1
    return p, args


def choose(parser, args, scale):
    known = servers.all_targets(args.build)
    wanted = [k for k in args.targets.split(',') if k]
    for key in wanted:
        if key not in [t.key for t in known]:
            parser.error(f'no such target: {key}')
    chosen = []
    for target in known:
        if target.key not in wanted:
            continue
        try:
            target.check(args.build)
            chosen.append(target)
        except servers.TargetMissing as missing:
            print(f'{target.name} is skipped: no {missing}', file=sys.stderr)
    groups = plan(scale)
    names = [g for g in args.groups.split(',') if g] or [g.name for g in groups]
    for name in names:
        if name not in [g.name for g in groups]:
            parser.error(f'no such group: {name}')
    columns = [t for t in known if t.column and t.key in wanted]
    return chosen, columns, [g for g in groups if g.name in names]


def main(argv):
    parser, args = options(argv)
    scale = report.QUICK if args.quick else report.FULL
    chosen, columns, groups = choose(parser, args, scale)
    if not os.path.exists(args.build + '/bench/bench-client'):
        parser.error(f'{args.build}/bench/bench-client is not built')
    os.makedirs(args.out, exist_ok=True)
    os.environ['DROVER_BUILD'] = args.build
    servers.raise_limits()
    # Every way out goes through the finally below, so that no server is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    stopped = False
    with open(args.out + '/results.tsv', 'w') as out:
        runner = Runner(args, scale, chosen, out)
        try:
            runner.run_all(groups)
        except KeyboardInterrupt:
            stopped = True
            print('stopped; the table shows what was measured', file=sys.stderr)
        finally:
            runner.close()
    table = report.Table(runner.results, chosen, columns, scale)
    print(table.text())
    with open(args.out + '/results.md', 'w') as f:
        f.write(table.markdown(runner.fifo))
    report.plot_all(runner.results, chosen, args.out, os.path.dirname(__file__) + '/plots.gp')
    print(f'\n{args.out}: results.md, results.tsv, *.svg')
    return 130 if stopped else 1 if runner.failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
