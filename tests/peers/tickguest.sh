#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tickguest.sh SOURCE IMAGE: a disk of 1 MiB that boots into tickguest.S.
set -e
object=$2.o
trap 'rm -f "$object"' EXIT
as --32 -o "$object" "$1"
ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$2" "$object"
chmod 0644 "$2"
truncate -s 1M "$2"
