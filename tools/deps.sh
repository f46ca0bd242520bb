#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs the Debian packages that building and checking need, where one is missing, and those
# that an argument names the purpose of. Asks nothing of the network when none is.
set -eu

packages="
	build-essential meson ninja-build pkg-config
	clang clang-tidy clang-format libclang-rt-14-dev
	libuv1-dev libjson-c-dev libcmocka-dev libxen-dev libsystemd-dev libseccomp-dev
	libtirpc-dev rpcsvc-proto libgnutls28-dev libcurl4-gnutls-dev libsqlite3-dev libxml2-dev
	uuid-dev libyajl2
	xen-utils-4.17 xenstore-utils
	python3 python3-pyxs
	libvirt-clients python3-libvirt libvirt-daemon libvirt-daemon-driver-qemu
	qemu-system-x86 etcd-server gnutls-bin
	valgrind gnuplot-nox mandoc strace util-linux spin
"

for purpose in "$@"; do
	case $purpose in
	deb) packages="$packages debhelper debootstrap dpkg-dev fakeroot lintian" ;;
	xen) packages="$packages e2fsprogs" ;;
	*)
		echo "deps: no such purpose: $purpose" >&2
		exit 2
		;;
	esac
done

missing=
for package in $packages; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "deps: missing Debian packages:$missing" >&2
	echo "deps: install them as root: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
install="apt-get install -y -q --no-install-recommends"
# The package lists of a fresh machine are empty or old: fetch them only when needed.
# shellcheck disable=SC2086
$install $missing </dev/null || {
	apt-get update -q </dev/null
	$install $missing </dev/null
}
