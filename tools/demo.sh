#!/bin/bash
# SPDX-License-Identifier: MIT
# make demo: a daemon on a simulated hypervisor, three guests and a toolstack; shows what they say
# to each other and what the daemon says about them. Uses a directory of its own and ends what it
# started. Usage: tools/demo.sh [BUILD]
set -euo pipefail

build=$(cd "${1:-build}" && pwd)
dir=$(mktemp -d /tmp/drover-demo.XXXXXX)
pid=
end() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || true
	rm -rf "$dir"
}
trap end EXIT

export XENSTORED_RUNDIR=$dir XENSTORED_PATH=$dir/socket DROVER_SIM_DIR=$dir/hv
PATH=$build:$PATH

bold= plain=
if [ -t 1 ]; then
	bold=$'\033[1m' plain=$'\033[0m'
fi
say() {
	printf '\n%s# %s%s\n' "$bold" "$*" "$plain"
}

run() {
	printf '$ %s\n' "$*"
	"$@"
}

# What a guest says over its ring; a refusal is part of the story.
guest() {
	printf 'guest %s: %s\n' "$1" "$2"
	drover sim run "$1" -- "$2" | sed 's/^/    /' || true
}

# Prints the lines of descriptor 3, up to one that holds a word where one is given.
hear() {
	while read -r -u 3 line; do
		printf '    %s\n' "$line"
		case $line in *"${1-nothing ends it}"*) return ;; esac
	done
}

say "The daemon, on a simulated hypervisor in a directory"
printf '$ drover-xenstored -N --hv=sim:%s\n' "$DROVER_SIM_DIR"
exec 4< <(exec drover-xenstored -N -P --hv="sim:$DROVER_SIM_DIR" 2>"$dir/log")
# It prints its pid once clients can connect.
read -r -u 4 pid || { cat "$dir/log"; exit 1; }

say "A toolstack creates three guests"
for domid in 1 2 3; do
	run drover sim create "$domid"
done
run drover sim list

say "Guests write over their rings; guest 1 lets guest 2 read one node, and nobody else"
guest 1 'write data/mode slow ; write data/greeting "hello from 1" ; setperms data/greeting n1 r2'
guest 2 'read /local/domain/1/data/greeting'
guest 3 'read /local/domain/1/data/greeting'

say "The tree, with permissions: owner and everybody else's first, then one domain each"
run drover ls -p

say "Watch events: guest 2 waits for its device, the toolstack connects it"
run drover write /local/domain/2/device/vif/0/state 1
exec 3< <(exec drover sim run 2 -- 'watch device/vif/0/state 2 ; read device/vif/0/state')
hear watching
run drover write /local/domain/2/device/vif/0/state 4
hear

say "A conflict: guest 1 decides by a node that the toolstack changes meanwhile"
script='begin ; read data/mode ; watch data/go 2 ; write data/plan slow-plan ; commit'
printf 'guest 1: %s\n' "$script"
exec 3< <(exec drover sim run 1 -- "$script")
hear watching
run drover write /local/domain/1/data/mode fast
run drover write /local/domain/1/data/go now
hear
echo "(EAGAIN: what it read is no longer so. It tries again and sees the new value:)"
guest 1 'begin ; read data/mode ; write data/plan fast-plan ; commit'

say "A quota refusal, by name: guest 3 may own 8 nodes"
run drover control quota set nodes 8
guest 3 'write a/1 x ; write a/2 x ; write a/3 x ; write a/4 x ; write a/5 x ; write a/6 x'
guest 3 'write a/7 x'
echo "The daemon's log says why:"
sed 's/^/    /' "$dir/log"
run drover top --once
echo "$ drover metrics | grep 'refus.*domain=\"3\"' | grep -v ' 0\$'"
drover metrics | grep 'refus.*domain="3"' | grep -v ' 0$'

say "Guest 3 ends: nothing of it stays"
run drover sim destroy 3
run drover ls /local/domain
