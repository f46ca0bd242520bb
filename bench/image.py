# SPDX-License-Identifier: MIT
"""How fast `drover image verify` reads an image, beside cat."""
import os
import struct
import subprocess
import time

REPEAT = 5


def record(kind, body):
    return struct.pack('<II', kind, len(body)) + body + bytes(-len(body) % 8)


def node(path, value):
    path = path.encode() + b'\0'
    return record(5, struct.pack('<IIHHHHBBH', 0, 0, len(path), len(value), 0, 1, ord('n'), 0, 0)
                  + path + value)


def write_image(path, nodes):
    """A store of that many nodes, as xenstored's own live update writes it."""
    with open(path, 'wb') as f:
        f.write(b'xenstore' + struct.pack('>II', 1, 0))
        f.write(record(1, struct.pack('<ii', -1, -1)))
        f.write(node('/', b'') + node('/b', b''))
        for i in range(nodes):
            if i % 100 == 0:
                f.write(node(f'/b/{i // 100}', b''))
            f.write(node(f'/b/{i // 100}/{i % 100}', b'0123456789abcdef'))
        f.write(record(0, b''))


def seconds(argv):
    """The best of some runs."""
    best = None
    for _ in range(REPEAT):
        start = time.monotonic()
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        took = time.monotonic() - start
        best = took if best is None else min(best, took)
    return best


def measure(build, folder, nodes):
    """[(test, parameter, metric, value)]"""
    path = folder + '/image'
    write_image(path, nodes)
    try:
        mb = os.path.getsize(path) / 1e6
        verify = seconds([build + '/drover', 'image', 'verify', path])
        cat = seconds(['cat', path])
    finally:
        os.unlink(path)
    return [('image', str(nodes), 'verify_MB/s', mb / verify),
            ('image', str(nodes), 'cat_MB/s', mb / cat)]
