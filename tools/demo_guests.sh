#!/bin/bash
# SPDX-License-Identifier: MIT
# make demo, the second part: two hosts, each with drover-xenstored and drover-hostd, and a guest
# that counts. It moves under virsh while it runs; then its client is killed, and a daemon, at the
# worst instant, and there is one guest, still counting. Uses a directory of its own and ends what
# it started. A real guest of QEMU; a simulated one where QEMU is not installed.
# Usage: tools/demo_guests.sh [BUILD]
set -euo pipefail

build=$(cd "${1:-build}" && pwd)
dir=$(mktemp -d /tmp/drover-guests.XXXXXX)
uuid=deadbeef-0000-4000-8000-00000000c0de
declare -A daemon store
client=

# Guests are processes of their own: each one's pid is in its directory.
end() {
	for p in $client "${daemon[@]}"; do
		{ kill -9 "$p" && wait "$p"; } 2>/dev/null || true
	done
	for p in /proc/[0-9]*; do
		case $(tr '\0' ' ' 2>/dev/null <"$p/cmdline" || true) in
		*qemu-system*"$dir"/* | *drover-simguest*"$dir"/*) kill -9 "${p#/proc/}" || true ;;
		esac
	done
	for p in "${store[@]}"; do
		kill "$p" 2>/dev/null || true
	done
	rm -rf "$dir"
}
trap end EXIT
trap 'exit 1' INT TERM

PATH=$build:$PATH
backend=qemu kind=qemu program=()
type='<type arch="x86_64" machine="q35">hvm</type>'
disk="<disk type='file' device='disk'><driver name='qemu' type='raw'/>
    <source file='$build/tests/peers/tick.img'/><target dev='vda' bus='virtio'/><readonly/></disk>"
if ! command -v qemu-system-x86_64 >/dev/null; then
	echo "QEMU is not installed: the guest is a simulated one"
	backend=sim kind=test disk=
	type='<type>hvm</type><kernel>/none</kernel><cmdline>fill whole</cmdline>'
	program=("--program=$build/drover-simguest")
fi

bold="" plain=""
if [ -t 1 ]; then
	bold=$'\033[1m' plain=$'\033[0m'
fi
say() {
	printf '\n%s# %s%s\n' "$bold" "$*" "$plain"
}

# Waits until a command succeeds.
await() {
	local by=$((SECONDS + 30))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $by ] || { echo "demo: in vain: $*" >&2; exit 1; }
		read -r -t 0.02 <> <(:) || true
	done
}

uri() {
	echo "qemu+unix:///system?socket=$dir/$1/sock"
}
# What a client says of a host, its URI by that host's name.
on() {
	local host=$1 tool=$2
	shift 2
	printf '%s$ %s %s\n' "$host" "$tool" "${*//"$dir"\//}"
	ask "$host" "$tool" "$@" 2>&1 | sed -e "s|$dir/||g" -e '/^$/d' -e 's/^/    /'
}
ask() {
	local host=$1 tool=$2
	shift 2
	case $tool in
	virsh) virsh -q -c "$(uri "$host")" "$@" ;;
	*) drover "$1" -c "$(uri "$host")" "${@:2}" ;;
	esac
}
in_store() {
	printf "%s\$ drover ls -f / | grep tick's\n" "$1"
	drover -s "$dir/$1/store/socket" ls -f / 2>&1 |
		grep -E '/drover/guests/.*=|/domain/[0-9]+/(name|vm) ' | sed 's/^/    /' ||
		echo "    (no guest is in it)"
}
start_daemon() {
	local host=$1 d=$dir/$1 port=$2
	: >"$d/hostd.conf"
	drover-hostd -c "$d/hostd.conf" --backend="$backend" --state-dir="$d/state" \
		--run-dir="$d/run" --log-dir="$d/log" --listen="unix://$d/sock" \
		--libvirt-sockets=no \
		--host-name="$host" --peer-address="unix://$d/sock" \
		--migration-address=127.0.0.1 --migration-port-min="$port" \
		--migration-port-max=$((port + 99)) --store="$d/store/socket" \
		--store-userdata="$d/userdata" --sim-dir="$d/hv" \
		"${program[@]}" \
		>"$d/ready" 2>>"$d/hostd.log" &
	daemon[$host]=$!
	await grep -q ready "$d/ready"
}
start_host() {
	local d=$dir/$1
	mkdir -p "$d/store" "$d/hv" "$d/userdata"
	XENSTORED_RUNDIR=$d/store XENSTORED_PATH=$d/store/socket \
		drover-xenstored -N --hv="sim:$d/hv" 2>"$d/store.log" &
	store[$1]=$!
	await drover -s "$d/store/socket" ls /tool
	start_daemon "$1" "$2"
}

# The guest's serial line: a number ten times a second, the same file wherever it runs.
count() {
	sed -n 's/^TICK \([0-9]*\).*/\1/p' "$dir/serial" 2>/dev/null | tail -n 1
}
has_counted() {
	[ "$(count)" -gt "$1" ]
}
still_counts() {
	local from
	from=$(count)
	await has_counted $((${from:-0} + 5))
	printf 'the guest counts: %s ... %s' "$from" "$(count)"
	# Two that run would both count, one that was lost would not, a copy would begin again.
	sed -n 's/^TICK \([0-9]*\).*/\1/p' "$dir/serial" | awk '
		$1 <= last { again++ } { last = $1 }
		END { printf "; numbers that came twice: %d\n", again; exit again > 0 }'
}
# One of the two stores serves a domain for it, and none of the daemons has it paused.
one_runs() {
	local n=0 host
	for host in alpha beta; do
		if drover -s "$dir/$host/store/socket" read "/drover/guests/$uuid" 2>/dev/null |
			grep -q ' here '; then
			n=$((n + 1))
		fi
		if [ -n "$virsh" ]; then
			[ -z "$(ask "$host" virsh list --state-paused --name)" ] || return
		fi
	done
	[ $n = 1 ]
}
where() {
	local host
	await one_runs
	for host in alpha beta; do
		if [ -n "$virsh" ]; then
			on "$host" virsh list --all
		else
			in_store "$host"
		fi
	done
	still_counts
}
is_at() {
	[ "$(ask "$1" drover migrations --open --json | grep -c "\"phase\": *\"$2\"")" -gt 0 ]
}
nothing_open() {
	local host
	for host in alpha beta; do
		[ "$(ask "$host" drover migrations --open | wc -l)" = 1 ] || return # its titles
	done
}
# Live, from one to the other, in the background; slow enough to be looked at.
leave() {
	local from=$1 to=$2 line="migrate --live --persistent --undefinesource --bandwidth 24"
	if [ -n "$virsh" ]; then
		printf '%s$ virsh %s tick %s &\n' "$from" "$line" "$to"
		# shellcheck disable=SC2086
		virsh -q -c "$(uri "$from")" $line tick "$(uri "$to")" >"$dir/client" 2>&1 &
	else
		printf '%s$ drover %s tick %s &\n' "$from" "$line" "$to"
		# shellcheck disable=SC2086
		drover $line -c "$(uri "$from")" tick "$(uri "$to")" >"$dir/client" 2>&1 &
	fi
	client=$!
}
client_says() {
	local status=0
	wait "$client" 2>/dev/null || status=$?
	client=
	sed -e "s|$dir/||g" -e '/^$/d' -e '/: info : /d' -e 's/^[-0-9]* [0-9:.+]*: [0-9]*: //' \
		-e 's/^/    client: /' "$dir/client"
	echo "    client: exit status $status"
}
run() {
	printf '$ %s\n' "$*"
}

virsh=$(command -v virsh || true)
mkdir -p "$dir/alpha/state/domains"
cat >"$dir/tick.xml" <<XML
<domain type='$kind'><name>tick</name><uuid>$uuid</uuid>
  <memory unit='MiB'>64</memory><vcpu>1</vcpu><os>$type</os><features><acpi/></features>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
  <devices>$disk
    <serial type='file'><source path='$dir/serial' append='on'/><target port='0'/></serial>
    <memballoon model='none'/></devices></domain>
XML
if [ -z "$virsh" ]; then
	echo "virsh is not installed: the guest starts with its host, and drover migrate moves it"
	cp "$dir/tick.xml" "$dir/alpha/state/domains/$uuid.xml"
	: >"$dir/alpha/state/domains/$uuid.autostart"
fi

say "Two hosts, alpha and beta, with a store and a daemon each; a guest that counts"
start_host alpha 45100
start_host beta 45200
if [ -n "$virsh" ]; then
	on alpha virsh define "$dir/tick.xml"
	on alpha virsh start tick
fi
await test -s "$dir/serial"
where
in_store alpha

say "It moves while it runs, and its part of the store goes along"
leave alpha beta
client_says
await nothing_open
where
in_store alpha
in_store beta
id=$(ask beta drover migrations --json | sed -n 's/^ *"id": *"\(.*\)",*$/\1/p')
on beta drover migrations "$id"

say "The client is killed at the worst instant: after the guest was sent, before anybody was told"
leave beta alpha
await is_at beta performing
run "kill -STOP \$client    # it stands still while the daemons hand the guest over"
kill -STOP "$client"
await nothing_open
run "kill -9 \$client"
kill -9 "$client"
client_says
where

say "The source's daemon is killed the moment it has given the guest away"
: >"$dir/alpha/hostd.log"
leave alpha beta
victim=${daemon[alpha]}
# The line with the migration's id comes once the journal has it.
grep -q -m 1 'tick: given$' < <(exec tail -n +1 -f --pid="$victim" "$dir/alpha/hostd.log")
kill -9 "$victim"
run "kill -9 \$(pidof alpha's drover-hostd)    # its log says: given"
wait "$victim" 2>/dev/null || true
echo "alpha\$ drover-hostd    # again: beta, if it had not heard the answer, is answered now"
start_daemon alpha 45100
client_says
await nothing_open
where
on beta drover migrations

say "Both daemons are killed while it is being sent: then it has not left"
leave beta alpha
await is_at alpha receiving
run "kill -9 both daemons"
kill -9 "${daemon[alpha]}" "${daemon[beta]}"
wait "${daemon[alpha]}" 2>/dev/null || true
wait "${daemon[beta]}" 2>/dev/null || true
echo "drover-hostd, at both, again"
start_daemon alpha 45100
start_daemon beta 45200
client_says
await nothing_open
where

say "Called off by Ctrl-C, without virsh: the exit status is what the daemons say"
echo "beta\$ drover migrate --live --bandwidth 4 tick alpha &    # and Ctrl-C"
drover migrate --live --bandwidth 4 -c "$(uri beta)" tick "$(uri alpha)" >"$dir/client" 2>&1 &
client=$!
await is_at alpha receiving
kill -INT "$client"
client_says
await nothing_open
where
in_store alpha
on alpha drover migrations
