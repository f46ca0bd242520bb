#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Breaks each rule of tidy.py once and sees it caught; prints TAP."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import tidy  # noqa: E402

C_HEAD = '/* SPDX-License-Identifier: MIT */\n/*\n * What it is for.\n */\n'
GOOD = {
    'src/meson.build': '# SPDX-License-Identifier: MIT\n',
    'src/base/meson.build': "# SPDX-License-Identifier: MIT\nfloor_sources = files('a.c')\n"
                            "floor_tests = ['a']\n",
    'src/base/a.c': C_HEAD + '#include "base/a.h"\n',
    'src/base/a_test.c': C_HEAD,
    'src/base/a.h': '/* SPDX-License-Identifier: MIT */\n#define A_MAX 3\n',
    'docs/limits.md': 'A_MAX is 3.\n',
    'README.md': 'See [limits](docs/limits.md).\n',
}

# name of the case, files that break the rule, where the breach must be told, part of its message
BREACHES = [
    ('an upward include', {'src/base/a.c': C_HEAD + '#include "base/a.h"\n#include "op/op.h"\n'},
     'src/base/a.c', 'base must not include op'),
    ('an upward include in a unit test', {'src/base/a_test.c': C_HEAD + '#include "op/op.h"\n'},
     'src/base/a_test.c', 'base must not include op'),
    ('the lower half reaching into the store', {
        'src/cli/meson.build': "# SPDX-License-Identifier: MIT\nfiles('c.c')\n",
        'src/cli/c.c': C_HEAD + '#include "store/tree.h"\n'},
     'src/cli/c.c', 'cli must not include store'),
    ('a folder that is no floor', {'src/misc/x.h': '/* SPDX-License-Identifier: MIT */\n'},
     'src/misc/x.h', 'not in the list of floors'),
    ('floors that differ from the build', {
        'src/meson.build': "# SPDX-License-Identifier: MIT\nfloors = ['base']\n"},
     'src/meson.build', 'floors differ'),
    ('a long function', {
        'src/base/a.c': C_HEAD + '#include "base/a.h"\nvoid f(void)\n{\n' + '\tg();\n' * 70 +
        '}\n'},
     'src/base/a.c', 'function of 72 lines'),
    ('a long file', {'src/base/a.c': C_HEAD + '#include "base/a.h"\n' + '\n' * 600},
     'src/base/a.c', 'file of 605 lines'),
    ('a wide line', {'src/base/a.c': C_HEAD + '#include "base/a.h"\n\t\t' + 'x' * 85 + '\n'},
     'src/base/a.c', 'line of 101 columns'),
    ('trailing whitespace', {'README.md': '[l](docs/limits.md) \n'}, 'README.md', 'trailing'),
    ('no last newline', {'README.md': '[l](docs/limits.md)'}, 'README.md', 'no newline'),
    ('no licence line', {'src/base/a.h': '#define A_MAX 3\n'}, 'src/base/a.h', 'no licence'),
    ('no opening comment', {
        'src/base/a.c': '/* SPDX-License-Identifier: MIT */\n#include "base/a.h"\n'},
     'src/base/a.c', 'does not open'),
    ('a dead source', {'src/base/b.c': C_HEAD}, 'src/base/b.c', 'no meson.build'),
    ('a dead header', {'src/base/b.h': '/* SPDX-License-Identifier: MIT */\n'},
     'src/base/b.h', 'nobody includes'),
    ('a dead document', {'docs/b.md': 'Alone.\n'}, 'docs/b.md', 'no other document'),
    ('a broken link', {'README.md': '[l](docs/limits.md) [m](docs/none.md)\n'},
     'README.md', 'does not exist'),
    ('an unfinished mark', {'README.md': '[l](docs/limits.md) ' + 'TO' + 'DO\n'},
     'README.md', 'unfinished'),
    ('a place outside the project', {'README.md': '[l](docs/limits.md) /wo' + 'rk/x\n'},
     'README.md', 'not of this project'),
    ('a typedef', {'src/base/a.h': GOOD['src/base/a.h'] + 'typedef struct x x_t;\n'},
     'src/base/a.h', 'typedef'),
    ('a sleeping test', {'src/base/a_test.c': C_HEAD + 'int x = usl' + 'eep(3);\n'},
     'src/base/a_test.c', 'sleeps'),
    ('a bound that no document names', {
        'src/base/a.h': GOOD['src/base/a.h'] + '#define QUEUE_MAX 4\n'},
     'src/base/a.h', 'does not name QUEUE_MAX'),
]


def main():
    failed = 0
    cases = [('a tidy tree', {}, None, None)] + BREACHES
    print(f'1..{len(cases)}')
    for n, (name, change, path, message) in enumerate(cases, 1):
        found = list(tidy.breaches(tidy.Tree({**GOOD, **change})))
        if path is None:
            good = not found
        else:
            good = any(p == path and message in m for p, _, m in found)
        failed += not good
        print(f'{"ok" if good else "not ok"} {n} - {name} is {"caught" if path else "accepted"}')
        if not good:
            print(f'# found: {found}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
