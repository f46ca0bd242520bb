# SPDX-License-Identifier: MIT
"""From measured values to the table, its Markdown file and the plots."""
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Scale:
    """The populations and times of a run."""
    connections: list
    domains: list
    watches: list
    nodes: list
    siblings: list
    memory_watches: int
    life_domains: int
    rivals: int
    configs: list
    migrations: int   # of one guest, one after the other
    together: int     # guests that are migrated at once
    crowd: int        # guests that a daemon has and is asked for
    time: float     # factor on every measurement's length
    repeat: int     # how often in a round the short tests are run
    judged: bool    # whether values are held against the targets


FULL = Scale(connections=[1, 10, 100, 1000], domains=[0, 1, 10, 100, 1000],
             watches=[0, 1000, 10000, 100000], nodes=[1000, 10000, 100000],
             siblings=[0, 1000, 10000, 100000], memory_watches=10000, life_domains=1000,
             rivals=32, configs=[250, 1000], migrations=6,
             together=20, crowd=100, time=1, repeat=3, judged=True)
QUICK = Scale(connections=[1, 100], domains=[0, 20], watches=[0, 1000], nodes=[1000, 3000],
              siblings=[0, 1000], memory_watches=1000, life_domains=20, rivals=8, configs=[10, 40],
              migrations=2, together=3, crowd=5, time=.15, repeat=1, judged=False)


class Results:
    """value[target][test, param, metric][label of the round]"""

    def __init__(self):
        self.value = {}

    def add(self, label, target, test, param, metric, value):
        self.value.setdefault(target, {}).setdefault((test, param, metric), {})[label] = value

    def of(self, target, key):
        return self.value.get(target, {}).get(key, {})

    def keys(self):
        found = {}
        for values in self.value.values():
            found.update(dict.fromkeys(values))
        return list(found)

    def ratios(self, target, key, over_target, over_key):
        """Of values of the same round only."""
        below = self.of(over_target, over_key)
        return [v / below[label] for label, v in self.of(target, key).items()
                if below.get(label)]


@dataclass
class Cell:
    """One number of a row: a value, or its ratio to another key or to another target."""
    key: tuple
    over_key: tuple = None
    over_target: str = None
    form: str = '{:.2f}'
    unit: str = ''
    at_most: float = None
    at_least: float = None
    worst: bool = False     # the largest of all rounds instead of their median
    hidden: bool = False    # judged, not shown

    def samples(self, results, target):
        if not self.over_key and not self.over_target:
            return list(results.of(target, self.key).values())
        return results.ratios(target, self.key, self.over_target or target,
                              self.over_key or self.key)

    def value(self, results, target):
        samples = self.samples(results, target)
        if not samples:
            return None
        return max(samples) if self.worst else median(samples)

    def text(self, results, target):
        value = self.value(results, target)
        return '–' if value is None else self.form.format(value) + self.unit

    def spread(self, results, target):
        samples = self.samples(results, target)
        if not samples:
            return '–'
        return f'{self.form.format(min(samples))}…{self.form.format(max(samples))}{self.unit}'

    def describe(self, results):
        what = ' '.join(self.key)
        if self.over_key:
            what += ' ÷ ' + ' '.join(self.over_key)
        if self.over_target:
            what += f' ÷ {self.over_target}\'s'
        bound = (f'at most {self.at_most}' if self.at_most is not None
                 else f'at least {self.at_least}')
        return (f'{what} is {self.text(results, "ours")} ({self.spread(results, "ours")}), '
                f'to be {bound}{self.unit}')

    def judge(self, results):
        """True or False; None where there is nothing to judge or to judge by. What is printed
        is what counts: a value that rounds to its target meets it."""
        if self.at_most is None and self.at_least is None:
            return True
        value = self.value(results, 'ours')
        if value is None:
            return None
        value = float(self.form.format(value))
        if self.at_most is not None:
            return value <= self.at_most
        return value >= self.at_least


@dataclass
class Row:
    label: str
    target: str
    cells: list = field(default_factory=list)

    def text(self, results, target):
        shown = [c.text(results, target) for c in self.cells if not c.hidden]
        return '–' if all(s == '–' for s in shown) else '; '.join(shown)

    def verdict(self, results):
        verdicts = [c.judge(results) for c in self.cells]
        if False in verdicts:
            return 'missed'
        return 'no data' if None in verdicts else 'met'


def among(nodes):
    return ' / '.join(f'{n:,}' for n in nodes) + ' nodes'


def outages(test, nodes, most):
    """A cell for each population."""
    return [Cell((test, str(n), 'stall_ms'), form='{:.1f}', at_most=limit)
            for n, limit in zip(nodes, most)]


def rows(s):
    n, p = s.nodes, s.rivals
    few, many = str(n[0]), str(n[-1])
    idle_few, idle_many = str(s.connections[0]), str(s.connections[-1])
    dom_few, dom_many = str(s.domains[0]), str(s.domains[-1])
    watch_few, watch_many = str(s.watches[0]), str(s.watches[-1])
    sib_few, sib_many = str(s.siblings[0]), str(s.siblings[-1])
    newchild, same = ('conflict', f'newchild-n{p}'), ('conflict', f'same-n{p}')
    read64, write64 = ('pipe', 'read-k64-d16', 'ops'), ('pipe', 'write-k64-d16', 'ops')
    create_many = ('nodes', many, 'create/s')
    cfg_few, cfg_many = str(s.configs[0]), str(s.configs[-1])
    return [
        Row('READ, 1 client: server CPU per op ÷ echo', '≤ 1.10',
            [Cell(('lat', 'read', 'op_cpu'), over_target='echo', at_most=1.10)]),
        Row('READ/s, 64 clients × 1 outstanding ÷ echo', '≥ 0.85',
            [Cell(('pipe', 'read-k64-d1', 'ops'), over_target='echo', at_least=.85)]),
        Row('READ/s, WRITE/s, 64 × 16 outstanding ÷ echo', '≥ 0.60, ≥ 0.50',
            [Cell(read64, over_target='echo', at_least=.60),
             Cell(write64, over_target='echo', at_least=.50)]),
        Row('transaction of 4 trips ÷ echo\'s 4 trips', '≤ 1.06',
            [Cell(('lat', 'txn', 'op_p50'), over_target='echo', at_most=1.06)]),
        Row(f'READ beside {idle_many} idle connections ÷ beside {idle_few}; beside {dom_many} '
            'idle domains', '≤ 1.1',
            [Cell(('idle', idle_many, 'read_p50'), ('idle', idle_few, 'read_p50'), at_most=1.1),
             Cell(('idledom', dom_many, 'read_p50'), ('idledom', dom_few, 'read_p50'),
                  at_most=1.1)]),
        Row(f'WRITE beside {int(watch_many):,} unrelated watches ÷ beside {watch_few}', '≤ 1.1',
            [Cell(('watches', watch_many, 'write_p50'), ('watches', watch_few, 'write_p50'),
                  at_most=1.1)]),
        Row(f'connect+READ+close beside {int(watch_many):,} watches ÷ beside {watch_few}',
            '≤ 1.2',
            [Cell(('watches', watch_many, 'visit_p50'), ('watches', watch_few, 'visit_p50'),
                  at_most=1.2)]),
        Row(f'nodes created/s at {int(many):,} ÷ at {int(few):,}; ÷ echo', '≥ 0.9; ≥ 0.5',
            [Cell(create_many, ('nodes', few, 'create/s'), at_least=.9),
             Cell(create_many, over_target='echo', at_least=.5)]),
        Row(f'MKDIR+RM beside {int(sib_many):,} siblings ÷ beside {sib_few}', '≤ 1.2',
            [Cell(('siblings', sib_many, 'mkdirrm_p50'), ('siblings', sib_few, 'mkdirrm_p50'),
                  at_most=1.2)]),
        Row(f'RM of {int(many):,} nodes, ms; longest stall of another client, ms',
            '≤ OCaml\'s; ≤ 1',
            [Cell(('remove', many, 'rm_ms')),
             Cell(('remove', many, 'rm_ms'), over_target='ocaml', at_most=1, hidden=True),
             Cell(('remove', many, 'stall_ms'), at_most=1)]),
        Row(f'bytes per node ({int(many):,}), per watch ({s.memory_watches:,}), KB per connection',
            '≤ 100, ≤ 220, ≤ 1',
            [Cell(('memory', many, 'bytes/node'), form='{:.0f}', at_most=100),
             Cell(('memory', str(s.memory_watches), 'bytes/watch'), form='{:.0f}', at_most=220),
             Cell(('memory', idle_many, 'KB/connection'), form='{:.1f}', at_most=1)]),
        Row('the same in what it maps besides: the journal', 'reported',
            [Cell(('memory', many, 'mapped_bytes/node'), form='{:.0f}'),
             Cell(('memory', str(s.memory_watches), 'mapped_bytes/watch'), form='{:.0f}'),
             Cell(('memory', idle_many, 'mapped_KB/connection'), form='{:.1f}')]),
        Row(f'retries, {p} clients creating in one directory; same node, most tries, commits/s',
            '0 %; ≤ 8 tries, commits/s ≥ C\'s',
            [Cell(newchild + ('retry%',), form='{:.3g}', unit=' %', at_most=0, worst=True),
             Cell(same + ('retry%',), form='{:.0f}', unit=' %'),
             Cell(newchild + ('max_tries',), form='{:.0f}', at_most=8, worst=True, hidden=True),
             Cell(same + ('max_tries',), form='{:.0f}', unit=' tries', at_most=8, worst=True),
             Cell(same + ('commits/s',), form='{:.0f}', unit='/s'),
             Cell(same + ('commits/s',), over_target='c', at_least=1, hidden=True),
             Cell(newchild + ('commits/s',), over_target='c', at_least=1, hidden=True)]),
        Row(f'{s.life_domains} simulated domains created, each 60 nodes, 12 watches, '
            '4 transactions: last ÷ first domain\'s cost', '≤ 1.1',
            [Cell(('domains', 'domains', 'last_wall_us'), ('domains', 'domains', 'first_wall_us'),
                  at_most=1.1)]),
        Row('longest stall of a client in a live update, ms, ' + among(n), '≤ 2; 5; 25',
            outages('update', n, (2, 5, 25))),
        Row('the same when the worker is killed, ms', '≤ 5; 10; 40',
            outages('kill', n, (5, 10, 40))),
        Row('export + import of a domain with 200 nodes, 30 watches, ms, ' + among(n),
            '≤ 1, whatever the store holds',
            [Cell(('move', str(i), 'move_ms'), at_most=1) for i in n]
            + [Cell(('move', many, 'move_ms'), ('move', few, 'move_ms'), at_most=1.5,
                    hidden=True)]),
        Row('WRITE/s with the journal ÷ without, 64 × 16', '≥ 0.9',
            [Cell(('journal', 'write-k64-d16', 'ops'), over_target='plain', at_least=.9)]),
        Row(f'drover image verify of {int(many):,} nodes, MB/s ÷ cat\'s', 'reported',
            [Cell(('image', many, 'verify_MB/s'), form='{:.0f}', unit=' MB/s'),
             Cell(('image', many, 'verify_MB/s'), ('image', many, 'cat_MB/s'))]),
        Row('configurations of one domain with 6 devices retrieved/s: ours; libxl\'s on the same '
            'store; round trips of ours', 'reported',
            [Cell(('config', cfg_few, 'ours/s'), form='{:.0f}'),
             Cell(('config', cfg_few, 'libxl/s'), form='{:.0f}'),
             Cell(('config', cfg_few, 'trips'), form='{:.0f}')]),
        Row(f'all of {int(cfg_many):,} such domains listed ÷ their keys read raw, pipelined; per '
            f'domain ÷ with {cfg_few}', '≤ 2; ≤ 1.1',
            [Cell(('config', cfg_many, 'list/raw'), at_most=2),
             Cell(('config', cfg_many, 'list_us/domain'), ('config', cfg_few, 'list_us/domain'),
                  at_most=1.1)]),
        Row(f'{cfg_few} listed, ms; their keys raw: a transaction for each domain, none, one by '
            'one with libxenstore', 'reported',
            [Cell(('config', cfg_few, what + '_ms'), form='{:.0f}')
             for what in ('list', 'raw_in_tx', 'raw', 'single')]),
        Row('the same for a domain: CPU of ours + of the server, µs', 'reported',
            [Cell(('config', cfg_few, what + side), form='{:.0f}')
             for what in ('list', 'raw_in_tx', 'raw') for side in ('_client_us', '_server_us')]),
        Row(f'peak memory of the list of {int(cfg_many):,}, MB', 'reported',
            [Cell(('config', cfg_many, 'peak_MB'), form='{:.1f}')]),
    ] + host_rows(s)


def host_rows(s):
    """drover-hostd beside libvirtd."""
    one, many, crowd = ('migrate', '96MiB'), ('parallel', str(s.together)), str(s.crowd)
    rss = ('crowd', crowd, 'rss_KiB')
    return [
        Row('virsh migrate --live of a QEMU guest, 96 MiB, ms; ÷ libvirtd\'s', '≤ 0.5',
            [Cell(one + ('wall_ms',), form='{:.0f}', unit=' ms'),
             Cell(one + ('wall_ms',), over_target='libvirt', at_most=.5)]),
        Row('its downtime by the guest\'s own count, ms; ÷ libvirtd\'s', '≤ 1',
            [Cell(one + ('down_ms',), form='{:.0f}', unit=' ms'),
             Cell(one + ('down_ms',), over_target='libvirt', at_most=1)]),
        Row('the commit: the source writes that it has given the guest, and answers, ms; a '
            'page made durable alone', '≤ 5',
            [Cell(one + ('commit_ms',), form='{:.1f}', at_most=5),
             Cell(one + ('disk_ms',), form='{:.1f}')]),
        Row(f'{s.together} guests at once, ms; ÷ libvirtd\'s', '≤ 0.5',
            [Cell(many + ('wall_ms',), form='{:.0f}', unit=' ms'),
             Cell(many + ('wall_ms',), over_target='libvirt', at_most=.5)]),
        Row(f'resident memory of the daemon with {crowd} guests, MiB; ÷ libvirtd\'s', '≤ 0.25',
            [Cell(('crowd', crowd, 'rss_MiB'), form='{:.1f}', unit=' MiB'),
             Cell(rss, over_target='libvirt', at_most=.25)]),
        Row('those listed with their states, ms; ÷ libvirtd\'s; virsh list ÷ libvirtd\'s',
            '≤ 1',
            [Cell(('crowd', crowd, 'list_ms'), form='{:.1f}', unit=' ms'),
             Cell(('crowd', crowd, 'list_ms'), over_target='libvirt', at_most=1),
             Cell(('crowd', crowd, 'virsh_list_ms'), over_target='libvirt')]),
    ]


def machine():
    model = 'unknown processor'
    with open('/proc/cpuinfo') as f:
        for line in f:
            if line.startswith('model name'):
                model = line.split(':', 1)[1].strip()
                break
    return f'{model}, {os.cpu_count()} CPUs, Linux {platform.release()}'


class Table:
    def __init__(self, results, targets, columns, scale):
        """targets: those that ran; columns: those that the table is about."""
        self.results, self.targets, self.scale = results, targets, scale
        self.rows = rows(scale)
        self.columns = columns

    def misses(self):
        """A line for each number that missed its target: by how much."""
        out = []
        for row in self.rows if self.scale.judged else []:
            for cell in row.cells:
                if cell.judge(self.results) is False:
                    out.append(f'missed: {row.label}: {cell.describe(self.results)}')
        return out

    def verdict(self, row):
        return row.verdict(self.results) if self.scale.judged else 'not judged'

    def lines(self):
        yield [''] + [t.name for t in self.columns] + ['target', 'verdict']
        for row in self.rows:
            yield ([row.label] + [row.text(self.results, t.key) if t in self.targets
                                  else 'skipped' for t in self.columns]
                   + [row.target, self.verdict(row)])

    def text(self):
        lines = list(self.lines())
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        return '\n'.join(['  '.join(c.ljust(w) for c, w in zip(line, widths)).rstrip()
                          for line in lines] + self.misses())

    def markdown(self, fifo):
        lines = [list(line) for line in self.lines()]
        out = ['# Benchmark', '',
               f'{machine()}; real-time priority {"on" if fifo else "off"}. Medians of ratios '
               'taken within a round; `echo` is a server with the same framing that stores '
               'nothing, on the same machine for the same client.', '']
        out += markdown_table(lines)
        out += [''] + ['- ' + line for line in self.misses()]
        out += ['', '## Spread over rounds', '']
        spread = [[''] + [t.name for t in self.columns]]
        for row in self.rows:
            spread.append([row.label] + ['; '.join(
                c.spread(self.results, t.key) for c in row.cells if not c.hidden)
                for t in self.columns])
        out += markdown_table(spread)
        out += ['', '## Every metric, medians', '',
                'p50, p99 and max in µs; ops per second; cpu: the server\'s, in µs per operation.',
                '']
        metrics = [['test', 'metric'] + [t.name for t in self.targets]]
        for key in self.results.keys():
            values = [self.results.of(t.key, key).values() for t in self.targets]
            metrics.append([f'{key[0]} {key[1]}', key[2]]
                           + [f'{median(v):.4g}' if v else '–' for v in values])
        out += markdown_table(metrics)
        return '\n'.join(out) + '\n'


def markdown_table(lines):
    out = ['| ' + ' | '.join(line) + ' |' for line in lines]
    out.insert(1, '|' + '---|' * len(lines[0]))
    return out


# file, test, metric, title, what is on the x axis, unit of y
PLOTS = [
    ('connections', 'idle', 'read_p50', 'READ beside idle connections', 'connections', 'µs'),
    ('domains', 'idledom', 'read_p50', 'READ beside idle domains', 'domains', 'µs'),
    ('watches', 'watches', 'write_p50', 'WRITE beside unrelated watches', 'watches', 'µs'),
    ('visits', 'watches', 'visit_p50', 'connect, READ, close beside watches', 'watches', 'µs'),
    ('nodes', 'nodes', 'create/s', 'Nodes created per second', 'nodes in the store', '1/s'),
    ('siblings', 'siblings', 'mkdirrm_p50', 'MKDIR and RM beside siblings', 'siblings', 'µs'),
]


def plot_all(results, targets, out, script):
    """An SVG for each of PLOTS of which there is data; none without gnuplot."""
    if not shutil.which('gnuplot'):
        print('no gnuplot: no plots')
        return
    for name, test, metric, title, xlabel, ylabel in PLOTS:
        drawn = []
        for target in targets:
            points = []
            for key in results.keys():
                values = results.of(target.key, key).values()
                if key[0] == test and key[2] == metric and values:
                    points.append((int(key[1]), min(values), median(values), max(values)))
            if len(points) < 2:
                continue
            with open(f'{out}/{name}-{target.key}.dat', 'w') as f:
                # A logarithmic axis has no 0: it is drawn at one half.
                for x, low, mid, high in sorted(points):
                    f.write(f'{x or 0.5} {mid} {low} {high}\n')
            drawn.append(target)
        if not drawn:
            continue
        subprocess.run(
            ['gnuplot', '-e', f'base="{out}/{name}"; title_text="{title}"; '
             f'x_text="{xlabel}"; y_text="{ylabel}"; '
             f'keys="{" ".join(t.key for t in drawn)}"; '
             'names="' + ' '.join(t.name.replace(' ', '_') for t in drawn) + '"', script],
            check=False)
