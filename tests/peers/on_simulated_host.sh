#!/bin/sh
# SPDX-License-Identifier: MIT
# on_simulated_host.sh SHIM PROGRAM [ARG...]: runs it on a fresh simulated host, as if on Xen.
set -e
base=/dev/shm
[ -w $base ] || base=${TMPDIR:-/tmp}
dir=$(mktemp -d "$base/drover-host-XXXXXX")
trap 'rm -rf "$dir"' EXIT
shim=$1
shift
# A sanitizer's library wants to be loaded first; the shim does not mind.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0
export ASAN_OPTIONS
DROVER_SIM_DIR=$dir LD_PRELOAD=$shim "$@"
