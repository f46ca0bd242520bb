#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the Debian packages of this source below OUT, and has lintian judge them:
#
#     packaging/deb.sh OUT
#
# What is built is a copy, so that nothing of a developer's folder gets in that is not the
# source's; debian/ is there where dpkg-buildpackage looks for it.
set -eu

[ $# = 1 ] || { echo "usage: packaging/deb.sh OUT" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$root/meson.build")
tree=$out/drover-$version

rm -rf "$tree" "$out"/*.deb "$out"/*.changes "$out"/*.buildinfo
mkdir "$tree"
cd "$root"
if git rev-parse --git-dir >/dev/null 2>&1; then
	git ls-files -coz --exclude-standard
else
	find . -type f ! -path './build*' -print0
fi | tar -c --null --ignore-failed-read -T - | tar -x -C "$tree"
cp -R "$tree/packaging/debian" "$tree/debian"

cd "$tree"
export DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" DEB_BUILD_PROFILES=nocheck
# debhelper gives the build a home of its own, where the compiler's cache would be a new one.
CCACHE_DIR=${CCACHE_DIR:-${HOME:-/root}/.cache/ccache}
export CCACHE_DIR
dpkg-buildpackage -b -us -uc >"$out/build.log" 2>&1 || {
	tail -n 60 "$out/build.log" >&2
	exit 1
}
cd "$out"
rm -rf "$tree"
# These are no packages of Debian's own, whose first upload would close a wish for them.
lintian --allow-root --fail-on error,warning --pedantic \
	--suppress-tags initial-upload-closes-no-bugs ./*.changes
ls ./*.deb
