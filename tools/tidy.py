#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks the rules of HACKING.md that a program can see. Prints path:line: message for each
breach and exits 1 when there is one. tidy_test.py breaks every rule once."""
import os
import re
import subprocess
import sys

WIDTH = 100
FUNCTION_LINES = 70
FILE_LINES = 600

# Floor order; see src/meson.build, which rule_floor_list holds to be the same.
FLOORS = ['base', 'wire', 'image', 'hv', 'perm', 'quota', 'store', 'watch', 'txn', 'conn',
          'domain', 'op', 'control', 'state', 'recover', 'keeper', 'xenstored', 'rpc', 'config',
          'vmm', 'migrate', 'hostd', 'cli']
LOWER = FLOORS[FLOORS.index('rpc'):]
LOWER_MAY = ['base', 'wire', 'image'] + LOWER
HOST_MAY = LOWER_MAY + ['hv']   # hv/sim/sim.h, the toolstack's side

CODE = ('.c', '.h', '.py', '.sh')
TEXT = CODE + ('.md', '.build', '.txt', '.8', '.1', '.service', '.gp')
MARKS = ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK']
# Paths and names of the place where somebody happens to work: the project speaks of itself.
ELSEWHERE = ['../' + 'shared', '/wo' + 'rk/', '/fa' + 'rm/', '.lib' + 'rary', 'before' + '-stop',
             'deb.' + 'debian.org', 'registry.' + 'npmjs', r'\bC' + r'EO\b', r'\bstee' + r'ring\b']


class Tree:
    """The files of the project: path -> text."""

    def __init__(self, files):
        self.files = files

    @classmethod
    def of(cls, root):
        names = subprocess.run(['git', '-C', root, 'ls-files', '-co', '--exclude-standard'],
                               check=True, capture_output=True, text=True).stdout.split('\n')
        files = {}
        for name in filter(None, names):
            path = os.path.join(root, name)
            if name.startswith(('tests/fuzz/corpus/', 'tests/golden/')) or not os.path.isfile(path):
                continue
            with open(path, encoding='utf-8', errors='surrogateescape') as f:
                files[name] = f.read()
        return cls(files)

    def named(self, *suffixes, under=''):
        return [(p, t) for p, t in sorted(self.files.items())
                if p.endswith(suffixes) and p.startswith(under)]

    def sources(self):
        return self.named('.c', '.h')


def is_text(path):
    name = os.path.basename(path)
    return path.endswith(TEXT) or name in ('Makefile', 'run', '.gitignore', '.clang-format',
                                           '.clang-tidy')


def line_of(text, offset):
    return text.count('\n', 0, offset) + 1


def without_comments(text):
    """Comments blanked, lines kept."""
    def blank(m):
        return re.sub(r'[^\n]', ' ', m.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*', blank, text, flags=re.S)


def floor_may_include(floor, other):
    if floor in ('hostd', 'cli'):
        return other in HOST_MAY and FLOORS.index(other) <= FLOORS.index(floor)
    if floor in LOWER:
        return other in LOWER_MAY and FLOORS.index(other) <= FLOORS.index(floor)
    return FLOORS.index(other) <= FLOORS.index(floor)


def rule_floors(tree):
    for path, text in tree.sources():
        parts = path.split('/')
        if parts[0] != 'src' or len(parts) < 3:
            continue
        if parts[1] not in FLOORS:
            yield path, 1, f'src/{parts[1]} is not in the list of floors'
            continue
        for m in re.finditer(r'^#include "([^"/]+)/[^"]*"', text, re.M):
            other = m.group(1)
            if other in FLOORS and not floor_may_include(parts[1], other):
                yield path, line_of(text, m.start()), f'{parts[1]} must not include {other}'


def rule_floor_list(tree):
    text = tree.files.get('src/meson.build', '')
    m = re.search(r'^floors = \[(.*?)\]', text, re.M | re.S)
    if m and re.findall(r"'(\w+)'", m.group(1)) != FLOORS:
        yield 'src/meson.build', line_of(text, m.start()), 'floors differ from tools/tidy.py'


def rule_function_length(tree):
    for path, text in tree.named('.c', '.h'):
        start = None
        for n, line in enumerate(text.split('\n'), 1):
            if line == '{':
                start = n
            elif line == '}' and start:
                lines = n - start + 1
                if lines > FUNCTION_LINES:
                    yield path, start, f'function of {lines} lines, at most {FUNCTION_LINES}'
                start = None


def rule_file_length(tree):
    for path, text in tree.files.items():
        lines = text.count('\n')
        if path.endswith(CODE) and lines > FILE_LINES:
            yield path, lines, f'file of {lines} lines, at most {FILE_LINES}'


def rule_lines(tree):
    for path, text in tree.files.items():
        if not is_text(path):
            continue
        if text and not text.endswith('\n'):
            yield path, line_of(text, len(text)), 'no newline at the end'
        fenced = False
        for n, line in enumerate(text.split('\n'), 1):
            if line != line.rstrip():
                yield path, n, 'trailing whitespace'
            if path.endswith('.md'):
                fenced ^= line.startswith('```')
                if fenced or line.startswith('|'):
                    continue    # output and tables keep their own width
            if len(line.expandtabs(8)) > WIDTH:
                yield path, n, f'line of {len(line.expandtabs(8))} columns, at most {WIDTH}'


def rule_licence(tree):
    for path, text in tree.files.items():
        if path.endswith(CODE + ('meson.build', 'meson_options.txt')) or path == 'Makefile':
            if not re.search('SPDX-License-Identifier' + ': MIT', text[:200]):
                yield path, 1, 'no licence line'


def rule_opening(tree):
    for path, text in tree.named('.c'):
        if not re.match(r'/\* SPDX[^\n]*\*/\n/\*\n \* \S', text):
            yield path, 2, 'does not open with a comment that says what the file is for'


def listed_sources(tree):
    """What some meson.build names: files, tests by their name, and 'a_' + name + '.c'."""
    found = set()
    for path, text in tree.named('meson.build'):
        folder = os.path.dirname(path)
        words = re.findall(r"'([^'\s]+)'", text)
        for name in words:
            for candidate in (name, name + '.c', name + '_test.c'):
                found.add(os.path.normpath(os.path.join(folder, candidate)))
        for before, after in re.findall(r"'([^'\s]*)' \+ name \+ '([^'\s]*\.c)'", text):
            for name in words:
                found.add(os.path.normpath(os.path.join(folder, before + name + after)))
    return found


def rule_dead_files(tree):
    listed = listed_sources(tree)
    includes = {os.path.basename(name) for _, text in tree.sources()
                for name in re.findall(r'^#include "([^"]+)"', text, re.M)}
    for path, _ in tree.sources():
        if path.endswith('.h') and os.path.basename(path) not in includes:
            yield path, 1, 'nobody includes it'
        if path.endswith('.c') and path not in listed:
            yield path, 1, 'no meson.build names it'


def links(path, text):
    for m in re.finditer(r'\]\(([^)\s#]+)[^)]*\)', text):
        if '://' not in m.group(1):
            target = os.path.normpath(os.path.join(os.path.dirname(path), m.group(1)))
            yield line_of(text, m.start()), target


def rule_links(tree):
    linked = set()
    for path, text in tree.named('.md'):
        for line, target in links(path, text):
            linked.add(target)
            known = any(p == target or p.startswith(target.rstrip('/') + '/') for p in tree.files)
            if not known:
                yield path, line, f'links to {target}, which does not exist'
    for path, _ in tree.named('.md', under='docs/'):
        if path not in linked:
            yield path, 1, 'no other document links to it'


def rule_words(tree):
    marks = re.compile(r'\b(' + '|'.join(MARKS) + r')\b')
    elsewhere = re.compile('|'.join(w if w.startswith('\\') else re.escape(w)
                                    for w in ELSEWHERE))
    for path, text in tree.files.items():
        for what, pattern in (('unfinished mark', marks), ('not of this project', elsewhere)):
            for m in pattern.finditer(text):
                yield path, line_of(text, m.start()), f'{what}: {m.group(0)}'


def rule_typedef(tree):
    for path, text in tree.sources():
        for m in re.finditer(r'^typedef\s+(struct|union|enum)\b', without_comments(text), re.M):
            yield path, line_of(text, m.start()), 'typedef: say struct, union or enum'


def rule_sleep(tree):
    call = re.compile(r'\b(sleep|usleep|nanosleep|clock_nanosleep)\s*\(')
    command = re.compile(r'^\s*sleep\s', re.M)
    for path, text in tree.files.items():
        if not (path.startswith('tests/') or path.endswith(('_test.c', '_test.py'))):
            continue
        pattern = command if path.endswith('.sh') else call
        for m in pattern.finditer(text):
            yield path, line_of(text, m.start()), 'a test sleeps: await the event'


def rule_bounds(tree):
    """Every constant of src/ that bounds something is named in docs/limits.md."""
    limits = tree.files.get('docs/limits.md', '')
    define = re.compile(r'^#define ((?:\w+_)?(?:MAX|LIMIT|BOUND)(?:_\w+)?|\w+_PER_ROUND)\s', re.M)
    for path, text in tree.named('.c', '.h', under='src/'):
        if path.endswith(('_test.c', '_test.h')):
            continue
        for m in define.finditer(text):
            if not re.search(r'\b' + m.group(1) + r'\b', limits):
                yield path, line_of(text, m.start()), f'docs/limits.md does not name {m.group(1)}'


RULES = [rule_floors, rule_floor_list, rule_function_length, rule_file_length, rule_lines,
         rule_licence, rule_opening, rule_dead_files, rule_links, rule_words, rule_typedef,
         rule_sleep, rule_bounds]


def breaches(tree):
    for rule in RULES:
        yield from sorted(rule(tree))


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    tree = Tree.of(root)
    count = 0
    for path, line, message in breaches(tree):
        print(f'{path}:{line}: {message}')
        count += 1
    print(f'tidy: {len(tree.files)} files, {len(RULES)} rules, {count} breaches')
    return 1 if count else 0


if __name__ == '__main__':
    sys.exit(main())
