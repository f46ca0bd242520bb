# SPDX-License-Identifier: MIT
"""What a Xen host of the tests boots from: Debian's packages and our build, nothing else.

    files = image.base()            # made once, kept in a cache: see Base
    disk = image.ours(folder)       # our build as a second disk, made anew in folder

base() downloads the closure of PACKAGES as if nothing was installed and unpacks it; no package is
installed here, and root is not needed. Whole packages end in one ext4 image, which dom0 has as its
root, read-only below a tmpfs; an initramfs has only what finds it. DROVER_XEN_CACHE names the
cache, ~/.cache/drover-xen otherwise; several processes may ask at once.
"""
import contextlib
import ctypes
import fcntl
import glob
import gzip
import hashlib
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import lib  # noqa: E402

XEN_VERSION = "4.17"
UNUSED_S = 7 * 24 * 3600        # what an older list of packages gave is removed then
XEN_BIN = "/usr/lib/xen-%s/bin" % XEN_VERSION

PACKAGES = """
    bash busybox-static dash iproute2 libc6 libgcc-s1 python3 python3-pyxs socat strace util-linux
    linux-image-amd64 linux-image-cloud-amd64
    libcurl3-gnutls libgnutls30 libjson-c5 libseccomp2 libsqlite3-0 libsystemd0 libtirpc3 libuuid1
    liblz4-1 libuv1 libxml2 libyajl2
    libvirt-clients libvirt-daemon libvirt-daemon-driver-xen
    libxenmisc4.17 xen-hypervisor-4.17-amd64 xen-utils-4.17 xen-utils-common xenstore-utils
""".split()

# Of the kernel that can be dom0: what finds the disks, what Xen's tools need, what tests may.
BOOT_MODULES = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "overlay"]
MODULES = ["virtio_console", "virtio_net", "xen-evtchn", "xen-gntdev", "xen-gntalloc",
           "xen-privcmd", "xenfs"]
MORE_MODULES = ["xen-blkback", "xen-netback", "bridge", "loop", "tun"]
GUEST_MODULES = ["xen-blkfront", "xen-netfront"]

# No test reads them, and they would be most of the image.
DROPPED = ["boot", "lib/modules", "usr/share/doc", "usr/share/man", "usr/share/locale",
           "usr/share/info", "usr/share/i18n", "usr/share/lintian",
           "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/debug"]

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
FOLDERS = ["dev", "proc", "sys", "tmp", "run", "root", "mnt", "lab", "guest", "var/lib/xen",
           "var/log/xen/console", "etc/xen/auto", "usr/local/sbin"]


class Cpio:
    """An initramfs archive (Linux: buffer-format.rst, newc), in memory."""

    def __init__(self):
        self.parts, self.ino = [], 0

    def add(self, name, data=b"", mode=0o100644):
        self.ino += 1
        raw = name.encode() + b"\0"
        numbers = [self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0]
        head = b"070701" + b"".join(b"%08X" % n for n in numbers) + raw
        self.parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]

    def folder(self, name):
        self.add(name, mode=0o040755)

    def link(self, name, target):
        self.add(name, target.encode(), 0o120777)

    def octets(self):
        self.add("TRAILER!!!")
        return b"".join(self.parts)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data, mode=0o644):
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    os.chmod(path, mode)


def tool(*argv, **more):
    p = subprocess.run(argv, capture_output=True, text=True, check=False, **more)
    assert p.returncode == 0, "%s: exit %d\n%s%s" % (" ".join(argv[:6]), p.returncode,
                                                    p.stdout[-2000:], p.stderr[-2000:])
    return p.stdout


def cache():
    return os.environ.get("DROVER_XEN_CACHE") or os.path.expanduser("~/.cache/drover-xen")


def key():
    """Another list of packages or another way to lay them out is another image."""
    parts = (__file__, HERE + "/dom0_init.sh", HERE + "/guest_init.sh")
    return hashlib.sha256(b"".join(map(read, parts))).hexdigest()[:16]


class Base:
    """Paths of the files that every host boots from."""

    def __init__(self, folder):
        self.folder = folder
        self.xen = folder + "/xen"
        self.kernel = folder + "/vmlinux"
        self.initrd = folder + "/initrd"
        self.root = folder + "/root.img"
        self.versions = folder + "/versions"


def download(debs):
    """The packages with all that they depend on, as if this machine had none."""
    os.makedirs(debs + "/partial", exist_ok=True)
    with tempfile.TemporaryDirectory() as nothing:
        write(nothing + "/status", "")
        os.makedirs(nothing + "/debs/partial")
        apt = ["apt-get", "-o", "Dir::State::status=%s/status" % nothing, "-o",
               "Debug::NoLocking=1", "-y", "-q", "--no-install-recommends", "install"] + PACKAGES
        # An older version may lie beside a newer one: which belong is what an empty folder wants.
        archives = ["-o", "Dir::Cache::archives=" + debs]
        for attempt in range(2):
            p = subprocess.run(apt + archives + ["--download-only"], text=True, check=False,
                               capture_output=True, stdin=subprocess.DEVNULL)
            if p.returncode == 0:
                break
            if attempt or os.getuid() != 0:
                raise lib.Skip("the packages of a Xen host cannot be had: " +
                               (p.stderr.strip().splitlines() or ["apt-get failed"])[-1])
            # the lists of a fresh machine are empty or old
            subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
        wanted = tool(*apt, "-o", "Dir::Cache::archives=%s/debs" % nothing, "--print-uris")
    return ["%s/%s" % (debs, line.split()[1]) for line in wanted.splitlines()
            if line.startswith("'")]


def unpack(archives, sysroot):
    os.makedirs(sysroot + "/usr")
    for name in ("bin", "sbin", "lib", "lib64"):
        os.mkdir(sysroot + "/usr/" + name)
        os.symlink("usr/" + name, sysroot + "/" + name)
    for archive in archives:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive],
                              stdout=subprocess.PIPE) as p:
            tool("tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", sysroot,
                 stdin=p.stdout)
        assert p.returncode == 0, "%s cannot be unpacked" % archive


def newest(folder, pattern):
    found = [name for name in os.listdir(folder) if re.fullmatch(pattern, name)]
    assert found, "nothing like %s in %s" % (pattern, folder)
    return sorted(found, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])[-1]


def unlz4(data, sysroot):
    """The form that the kernel's own build gives: blocks that unpack to 8 MiB at most."""
    lz4 = ctypes.CDLL(sysroot + "/usr/lib/x86_64-linux-gnu/liblz4.so.1")
    room, at, out = ctypes.create_string_buffer(8 << 20), 4, []
    while at + 4 <= len(data):
        size = struct.unpack_from("<I", data, at)[0]
        if at + 4 + size > len(data):   # the length of the whole, which is told last
            break
        n = lz4.LZ4_decompress_safe(data[at + 4:at + 4 + size], room, size, len(room))
        assert n >= 0, "damaged: a block of lz4"
        out.append(room.raw[:n])
        at += 4 + size
    return b"".join(out)


def vmlinux(sysroot, release):
    """The ELF file in a kernel image (Linux: x86/boot.rst), so that nothing has to be unpacked
    while the processor is emulated."""
    data = read(sysroot + "/boot/vmlinuz-" + release)
    sectors = data[0x1f1]
    offset, length = struct.unpack_from("<II", data, 0x248)
    payload = data[(sectors + 1) * 512 + offset:][:length]
    if payload.startswith(b"\xfd7zXZ"):
        payload = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(b"\x02\x21\x4c\x18"):
        payload = unlz4(payload, sysroot)
    assert payload.startswith(b"\x7fELF"), "vmlinuz-%s: an unknown compression" % release
    return payload


def modules(tree, wanted):
    """Paths of modules after those that they depend on. What is built in has none."""
    paths = {}
    for folder, _, names in os.walk(tree):
        for name in names:
            if name.endswith(".ko"):
                paths[name[:-3].replace("-", "_")] = os.path.join(folder, name)
    order = []

    def add(name):
        path = paths.get(name.replace("-", "_"))
        if not path or path in order:
            return
        depends = re.search(rb"\0depends=([^\0]*)", read(path)).group(1).decode()
        for one in filter(None, depends.split(",")):
            add(one)
        order.append(path)

    for name in wanted:
        add(name)
    return order


def put_modules(sysroot, release, initrd):
    tree = sysroot + "/lib/modules/" + release
    first, later = modules(tree, BOOT_MODULES), modules(tree, BOOT_MODULES + MODULES)
    rest = modules(tree, BOOT_MODULES + MODULES + MORE_MODULES)
    os.mkdir(sysroot + "/lab/mods")
    for path in rest:
        shutil.copy(path, sysroot + "/lab/mods")
    write(sysroot + "/lab/mods/order", "".join(os.path.basename(path) + "\n" for path in later
                                               if path not in first))
    write(sysroot + "/lab/mods/more", "".join(os.path.basename(path) + "\n" for path in rest
                                              if path not in later))
    initrd.folder("mods")
    for path in first:
        initrd.add("mods/" + os.path.basename(path), read(path))
    initrd.add("mods/order", "".join(os.path.basename(path) + "\n" for path in first).encode())


def busybox(initrd, sysroot):
    for name in ("bin", "dev", "proc", "sys", "tmp", "run", "etc", "root", "mnt"):
        initrd.folder(name)
    initrd.add("bin/busybox", read(sysroot + "/bin/busybox"), 0o100755)
    initrd.link("bin/sh", "busybox")


def guest_initrd(sysroot, release):
    """What a Linux guest has: busybox, xenstore's clients, and in /mods the drivers of its
    devices. A test appends what it wants run."""
    initrd = Cpio()
    busybox(initrd, sysroot)
    initrd.folder("mods")
    for path in modules(sysroot + "/lib/modules/" + release, GUEST_MODULES):
        initrd.add("mods/" + os.path.basename(path), read(path))
    for name in ("lib", "lib64", "lib/x86_64-linux-gnu", "usr", "usr/bin"):
        initrd.folder(name)
    libraries = sysroot + "/lib/x86_64-linux-gnu"
    for name in ("libc.so.6", "libgcc_s.so.1", "libxenstore.so.4", "libxentoolcore.so.1"):
        initrd.add("lib/x86_64-linux-gnu/" + name, read(libraries + "/" + name), 0o100755)
    initrd.add("lib64/ld-linux-x86-64.so.2", read(libraries + "/ld-linux-x86-64.so.2"), 0o100755)
    initrd.add("usr/bin/xenstore", read(sysroot + "/usr/bin/xenstore"), 0o100755)
    for name in ("read", "write", "ls", "list", "exists", "rm", "chmod", "watch"):
        initrd.link("usr/bin/xenstore-" + name, "xenstore")
    initrd.add("init", read(HERE + "/guest_init.sh"), 0o100755)
    return initrd.octets()


def lay_out(sysroot, release, guest, out):
    """Makes of the unpacked packages what dom0 has, and the files that Xen boots."""
    for name in FOLDERS:
        os.makedirs(sysroot + "/" + name, exist_ok=True)
    initrd = Cpio()
    busybox(initrd, sysroot)
    put_modules(sysroot, release, initrd)
    initrd.add("init", read(HERE + "/dom0_init.sh"), 0o100755)
    write(out.initrd, initrd.octets())
    write(out.xen, gzip.decompress(read(sysroot + "/boot/xen-%s-amd64.gz" % XEN_VERSION)))
    write(out.kernel, vmlinux(sysroot, release))
    write(sysroot + "/guest/vmlinux", vmlinux(sysroot, guest))
    write(sysroot + "/guest/base.cpio", guest_initrd(sysroot, guest))
    write(sysroot + "/etc/passwd", PASSWD)
    write(sysroot + "/etc/group", GROUP)
    write(sysroot + "/etc/hosts", "127.0.0.1 localhost\n10.9.0.1 a\n10.9.0.2 b\n")
    write(sysroot + "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
    for name, target in (("sbin/poweroff", "/bin/busybox"), ("bin/sh", "dash")):
        if not os.path.lexists(sysroot + "/" + name):
            os.symlink(target, sysroot + "/" + name)
    for name, target in (("var/run", "/run"), ("var/lock", "/run/lock")):
        shutil.rmtree(sysroot + "/" + name, ignore_errors=True)
        os.symlink(target, sysroot + "/" + name)
    for name in DROPPED:
        shutil.rmtree(sysroot + "/" + name, ignore_errors=True)


def ext4(folder, path):
    """folder as a file system that is never written to."""
    used = int(tool("du", "-sm", "--apparent-size", folder).split()[0])
    files = sum(len(names) + len(folders) for _, folders, names in os.walk(folder))
    tool("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0",
         "-N", str(files + 1000), "-d", folder, path, "%dM" % (used + used // 5 + 32),
         env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/sbin:/usr/sbin"})


def make(out, debs):
    archives = download(debs)
    with tempfile.TemporaryDirectory(dir=out.folder) as work:
        sysroot = work + "/sysroot"
        unpack(archives, sysroot)
        boot = sysroot + "/boot"
        release = newest(boot, r"vmlinuz-[\d.-]+-amd64")[len("vmlinuz-"):]
        guest = newest(boot, r"vmlinuz-[\d.-]+-cloud-amd64")[len("vmlinuz-"):]
        for name, wanted in ((release, "CONFIG_XEN_DOM0=y"), (guest, "CONFIG_XEN_PVH=y")):
            assert wanted in read(boot + "/config-" + name).decode(), "%s: no %s" % (name, wanted)
        lay_out(sysroot, release, guest, out)
        ext4(sysroot, out.root)
    write(out.versions, "".join(os.path.basename(path) + "\n" for path in archives))


@contextlib.contextmanager
def locked(path):
    with open(path, "a", encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def base():
    for name in ("apt-get", "dpkg-deb", "tar"):
        if not shutil.which(name):
            raise lib.Skip("%s is not installed" % name)
    out = Base(cache() + "/" + key())
    os.makedirs(out.folder, exist_ok=True)
    with locked(cache() + "/lock"):
        if not os.path.exists(out.versions):
            make(out, cache() + "/debs")
        os.utime(out.folder)
        for old in glob.glob(cache() + "/" + "[0-9a-f]" * 16):
            if os.stat(old).st_mtime < os.stat(out.folder).st_mtime - UNUSED_S:
                shutil.rmtree(old, ignore_errors=True)
    return out


def ours(folder, build, more=()):
    """Our build, installed as its packages install it, and files of more as (path, octets, mode),
    as a disk in folder that lies above Debian's."""
    tree = folder + "/ours"
    tool("meson", "install", "-C", build, "--destdir", tree, "--no-rebuild", "--quiet",
         stdin=subprocess.DEVNULL)
    for name, data, mode in more:
        os.makedirs(os.path.dirname(tree + name), exist_ok=True)
        write(tree + name, data, mode)
    # Debian's /lib is a link: a folder above it would hide all that is there.
    for name in ("lib", "bin", "sbin"):
        if os.path.isdir(tree + "/" + name):
            shutil.copytree(tree + "/" + name, tree + "/usr/" + name, dirs_exist_ok=True)
            shutil.rmtree(tree + "/" + name)
    ext4(tree, folder + "/ours.img")
    shutil.rmtree(tree)
    return folder + "/ours.img"
