# SPDX-License-Identifier: MIT
"""A strict reader of OpenMetrics 1.0 text, for what drover writes: gauges and counters, without
timestamps and exemplars. parse(text) -> {family: Family}; raises ValueError for any breach."""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
KEY = r"[a-zA-Z_][a-zA-Z0-9_]*"
VALUE = r'(?:[^"\\\n]|\\["\\n])*'
PAIR = '%s="%s"' % (KEY, VALUE)
LABEL = '(%s)="(%s)"' % (KEY, VALUE)
SAMPLE = re.compile(r"(%s)(?:\{(%s(?:,%s)*)\})? (\S+)" % (NAME, PAIR, PAIR))
NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
SUFFIX = {"gauge": "", "counter": "_total"}


class Family:
    def __init__(self, name):
        self.name = name
        self.type = self.help = None
        self.samples = {}  # frozenset of (label, value) -> number

    def value(self, **labels):
        return self.samples[frozenset((k, str(v)) for k, v in labels.items())]


def _metadata(line, families, current):
    m = re.fullmatch(r"# (HELP|TYPE) (%s) (.+)" % NAME, line)
    if not m:
        raise ValueError("metadata: " + line)
    kind, name, text = m.groups()
    if current is None or current.name != name:
        if name in families:
            raise ValueError("family in two places: " + name)
        if name.endswith("_total"):
            raise ValueError("_total is the sample's, not the family's: " + name)
        current = families[name] = Family(name)
    if current.samples:
        raise ValueError("metadata after samples: " + line)
    if kind == "TYPE":
        if current.type or text not in SUFFIX:
            raise ValueError("type: " + line)
        current.type = text
    else:
        if current.help or re.search(r"\\(?![\\n\"])", text):
            raise ValueError("help: " + line)
        current.help = text
    return current


def _sample(line, current):
    m = SAMPLE.fullmatch(line)
    if not m:
        raise ValueError("sample: " + line)
    name, labels, number = m.group(1), m.group(2), m.group(3)
    if current is None or not current.type or name != current.name + SUFFIX[current.type]:
        raise ValueError("sample outside of its family: " + line)
    pairs = re.findall(LABEL, labels or "")
    key = frozenset(pairs)
    if len({k for k, _ in pairs}) != len(pairs) or key in current.samples:
        raise ValueError("twice: " + line)
    if not NUMBER.fullmatch(number) or (current.type == "counter" and number[0] == "-"):
        raise ValueError("number: " + line)
    if current.samples and len(next(iter(current.samples))) != len(key):
        raise ValueError("other labels than the samples before: " + line)
    current.samples[key] = float(number)


def parse(text):
    if not text.endswith("\n# EOF\n"):
        raise ValueError("no # EOF at the end")
    families, current = {}, None
    for line in text[:-len("# EOF\n")].splitlines():
        if line.startswith("#"):
            current = _metadata(line, families, current)
        else:
            _sample(line, current)
    for f in families.values():
        if not f.type or not f.help:
            raise ValueError("no TYPE or HELP: " + f.name)
    return families
