#!/bin/bash
# SPDX-License-Identifier: MIT
# make demo: a daemon on a simulated hypervisor, three guests and a toolstack; shows what they say
# to each other and what the daemon says about them, and that nothing is lost when it is killed, is
# replaced, or a guest moves to another one; then a domain's configuration, and changes of its
# devices that are cut short. Uses a directory of its own and ends what it started.
# Usage: tools/demo.sh [BUILD]
set -euo pipefail

build=$(cd "${1:-build}" && pwd)
dir=$(mktemp -d /tmp/drover-demo.XXXXXX)
pid= pid2= load= backend=
end() {
	for p in $load $backend $pid $pid2; do
		kill "$p" 2>/dev/null || true
	done
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

# The process that serves; the main one, $pid, holds what outlives it.
worker() {
	local children=
	until [ -n "$children" ]; do
		read -r children <"/proc/$pid/task/$pid/children" || true
	done
	echo "${children%% *}"
}

# Waits until every client of the load was answered, so many times more.
all_served() {
	local n=$1
	while [ "$n" -gt 0 ]; do
		read -r -u "$from_load" line || { cat "$dir/load"; exit 1; }
		case $line in progress*) n=$((n - 1)) ;; esac
	done
}

# The lines of the log that are new since the last call.
logged=0
log() {
	tail -n +$((logged + 1)) "$dir/log" | sed 's/^/    /'
	logged=$(wc -l <"$dir/log")
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
log
run drover top --once
echo "$ drover metrics | grep 'refus.*domain=\"3\"' | grep -v ' 0\$'"
drover metrics | grep 'refus.*domain="3"' | grep -v ' 0$'

say "Guest 3 ends: nothing of it stays"
run drover sim destroy 3
run drover ls /local/domain
run drover control quota set nodes 1000

say "The process that serves is killed, again and again: guest 1 has a transaction open meanwhile"
script='begin ; read data/mode ; watch data/go 2 ; write data/plan kept ; commit'
printf 'guest 1: %s\n' "$script"
exec 3< <(exec drover sim run 1 -- "$script")
hear watching
echo "16 clients and 4 guests at work, each of which checks every answer and event it gets:"
coproc LOAD {
	exec "$build/tests/stress/stress-history" --sim "$DROVER_SIM_DIR" --clients 16 --guests 4 \
		"$XENSTORED_PATH" 2>"$dir/load"
}
load=$LOAD_PID
# bash forgets a coprocess that ends, and its descriptors.
exec {from_load}<&"${LOAD[0]}" {to_load}>&"${LOAD[1]}" {LOAD[1]}>&-
all_served 1
for _ in 1 2 3 4 5; do
	victim=$(worker)
	run kill -9 "$victim"
	all_served 5
done
log
echo "Guest 1's transaction and watch are those that it had:"
run drover write /local/domain/1/data/go now
hear

say "Live update, under the same load: another program takes the daemon's place"
run drover update "$build/drover-xenstored"
all_served 5
log
echo "A program that is no daemon is refused, and nobody notices either:"
run drover update /bin/false 2>&1 || true
echo "What the load has seen and checked meanwhile:"
exec {to_load}>&-
result=
while read -r -u "$from_load" line; do
	result=$line
done
wait "$load" || { cat "$dir/load"; exit 1; }
load=
counted() {
	sed -E "s/.*\"$1\": ([0-9]+).*/\1/" <<<"$result"
}
printf '    %s requests, %s of them writes; %s events, %s transactions committed; failures: %s\n' \
	"$(counted ops)" "$(counted writes)" "$(counted events)" "$(counted commits)" \
	"$(counted failures)"

say "Guest 1 moves to a second host, in the middle of a transaction"
script='watch data/go ; begin ; read data/mode ; write data/plan "carried over"'
said=$(guest 1 "$script")
echo "$said"
id=$(sed -n 's/.*begin: transaction //p' <<<"$said")
host2=$dir/host2
mkdir "$host2"
on2() {
	printf 'host2$ %s\n' "$*"
	there "$@"
}
there() {
	XENSTORED_RUNDIR=$host2 XENSTORED_PATH=$host2/socket DROVER_SIM_DIR=$host2/hv "$@"
}
echo "host2\$ drover-xenstored -N --hv=sim:$host2/hv"
exec 5< <(there exec drover-xenstored -N -P --hv="sim:$host2/hv" 2>"$host2/log")
read -r -u 5 pid2 || { cat "$host2/log"; exit 1; }
cd "$dir"
run drover domain export 1 --output guest1
on2 drover sim create 1 --from "$DROVER_SIM_DIR"
on2 drover domain import --introduce 1044476:1 guest1
run drover sim destroy 1
on2 drover write /local/domain/1/data/go there
echo "It goes on there where it stopped here, with its ring, its transaction and its watch:"
script="events ; transaction $id ; read data/plan ; commit ; read data/plan"
printf 'guest 1: %s\n' "$script"
there drover sim run 1 --as-left -- "$script" | sed 's/^/    /'
on2 drover ls -p /local/domain

say "A domain's configuration: the record of its creation, and what the store says now"
cd "$dir"
mkdir userdata
config() {
	local command=$1
	shift
	printf '$ drover config %s%s\n' "$command" "${*:+ $*}"
	# Faults and differences are exit status 1, and part of the story.
	drover config "$command" -d userdata --no-scripts --backend-timeout 500 "$@" || [ $? = 1 ]
}
cat >web.json <<EOF
{ "c_info": { "type": "pvh", "name": "web" },
  "b_info": { "max_vcpus": 2, "avail_vcpus": [0, 1], "max_memkb": 1048576, "target_memkb": 524288,
              "kernel": "/boot/vmlinuz", "type.pvh": {} },
  "disks": [{ "pdev_path": "/dev/vg0/web", "vdev": "xvda", "backend": "phy", "format": "raw",
              "readwrite": 1 }],
  "nics": [{ "mac": "00:16:3e:00:00:07", "bridge": "xenbr0" }] }
EOF
run drover sim create 7 --config web.json --userdata userdata
play() {
	exec 6< <(exec drover sim backend 0 --frontends </dev/null)
	backend=$!
	read -r -u 6 _ # ready
}
stop_playing() {
	kill "$backend"
	backend=
}
play
echo "(drover sim backend plays the drivers in domain 0.)"
# The backends have taken its devices once both are connected.
for path in vbd/7/51712 vif/7/0; do
	until [ "$(drover read "/local/domain/0/backend/$path/state")" = 4 ]; do
		read -r -t 0.01 -u 6 _ || true
	done
done
config attach 7 vbd /srv/data.img,raw,xvdb,w
config attach 7 vbd /srv/old.img,raw,xvdc,w
config list web
config check web

# Begins a change, and kills whoever does it when a node has been written.
cut_short() {
	local node=$1
	shift
	exec 3< <(exec drover watch --count 2 "$node")
	read -r -u 3 _ # it watches
	printf '$ drover config %s &\n' "$*"
	drover config "$1" -d userdata --no-scripts "${@:2}" >/dev/null 2>&1 &
	local victim=$!
	read -r -u 3 _
	echo '$ kill -9 $!'
	kill -9 "$victim"
	wait "$victim" 2>/dev/null || true
}

say "Changes that are cut short: the drivers are silent, and who waits for them is killed"
stop_playing
cut_short /local/domain/0/backend/qdisk/7/51760/state attach web vbd /srv/new.img,raw,xvdd,w
cut_short /local/domain/0/backend/qdisk/7/51744/state detach web vbd xvdc
config locks
echo "Another tool, which knows of no record, moves the nic to another bridge and takes a disk:"
run drover write /libxl/7/device/vif/0/bridge xenbr1 /local/domain/0/backend/vif/7/0/bridge xenbr1
run drover rm /libxl/7/device/vbd/51728 /local/domain/0/backend/qdisk/7/51728 \
	/local/domain/7/device/vbd/51728
config check web
config diff web

say "Repair: each change was meant one way, and the intents say which"
config repair -n web
config repair web
config diff web
echo "(Both views agree.)"
play
config attach web vbd /srv/new.img,raw,xvdd,w
config check web
