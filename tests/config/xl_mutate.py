# SPDX-License-Identifier: MIT
"""Records changed at random, for xl_test.py: fields that go, numbers and words that are odd,
devices twice and in another order. The same seed makes the same record."""
import copy
import random

# Fields that are any text.
TEXTS = {"name", "cmdline", "kernel", "ramdisk", "bootloader", "pdev_path", "vdev", "script", "ip",
         "backend_domname", "bridge", "ifname", "model", "gatewaydev", "passwd", "listen", "keymap",
         "tag", "path", "unique_id", "short_name", "long_name", "pool_name", "serial", "boot",
         "firmware", "device_model", "colo_host", "display", "soundhw", "host"}
ODD = ["a,b", 'q"x', "l\nm", " sp", "x ", "a=b", "a;b", "a:b", "", "ä", "\\", "#", "],["]
NUMBERS = [1, 2, 3, 7, 1025, 65536]
# xl makes no record without them.
KEPT = {"type", "c_info", "b_info", "uuid", "name", "kernel"}


def places(tree, path=()):
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, path + (key,))
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            yield from places(value, path + (i,))
    if path:
        yield path


def change(r, tree):
    path = r.choice(list(places(tree)))
    parent, key = tree, path[-1]
    for step in path[:-1]:
        parent = parent[step]
    value = parent[key]
    if r.random() < 0.35:
        in_list = isinstance(parent, list) and len(path) != 2
        if key not in KEPT and not in_list and not str(key).startswith("type."):
            del parent[key]
    elif isinstance(value, bool) or isinstance(parent, list):
        pass
    elif isinstance(value, int):
        parent[key] = r.choice(NUMBERS + [value + 1, value * 2])
    elif value in ("True", "False"):
        parent[key] = "True" if value == "False" else "False"
    elif isinstance(value, str) and key in TEXTS:
        parent[key] = r.choice(ODD)
    elif isinstance(value, list) and value and len(path) == 1:
        if r.random() < 0.5:
            value.append(copy.deepcopy(r.choice(value)))
        else:
            r.shuffle(value)


def mutated(records, seed):
    """(name, record), of one of the (name, record)s."""
    r = random.Random(seed)
    name, tree = r.choice(records)
    tree = copy.deepcopy(tree)
    for _ in range(r.randint(1, 4)):
        change(r, tree)
    return name, tree
