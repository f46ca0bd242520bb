#!/bin/sh
# SPDX-License-Identifier: MIT
# The first process of dom0: puts a tmpfs above our disk above Debian's, and there starts what
# Xen's tools need of the kernel, and the agent. No daemon: which, says who drives the agent.
# Words of the kernel's command line: host=NAME; link=ADDRESS/BITS, of the card to the other host.
B=/bin/busybox
if [ -e /mods/order ]; then
	$B mount -t devtmpfs dev /dev
	$B mount -t proc proc /proc
	for m in $($B cat /mods/order); do
		$B insmod /mods/$m || echo "dom0: no module $m"
	done
	$B mkdir -p /low /ours /over /root
	$B mount -t ext4 -o ro /dev/vda /low
	$B mount -t ext4 -o ro /dev/vdb /ours
	$B mount -t tmpfs -o size=80% over /over
	$B mkdir /over/up /over/work
	$B mount -t overlay -o lowerdir=/ours:/low,upperdir=/over/up,workdir=/over/work over /root
	$B cp /init /root/lab/init
	$B umount /proc
	$B mount --move /dev /root/dev
	exec $B switch_root /root /lab/init
fi

PATH=/usr/sbin:/usr/bin:/usr/lib/xen-4.17/bin:/lab/bin
export PATH HOME=/root XENSTORED_ROOTDIR=/run/xenstored
$B mkdir -p /lab/bin
$B --install -s /lab/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
for folder in /run /tmp /var/log /var/lib/xen /dev/shm; do
	mkdir -p $folder
	mount -t tmpfs tmpfs $folder
done
mkdir -p /dev/pts /run/xen /run/xenstored /run/lock /var/log/xen/console
mount -t devpts devpts /dev/pts
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
for m in $(cat /lab/mods/order); do
	insmod /lab/mods/$m || echo "dom0: no module $m"
done
mount -t xenfs xenfs /proc/xen
ip link set lo up
for word in $(cat /proc/cmdline); do
	case $word in
	host=*) hostname ${word#host=} ;;
	link=*) link=${word#link=} ;;
	esac
done
for card in /sys/class/net/*; do
	case $(cat $card/address) in
	52:54:00:09:*) address=$link ;;
	52:54:00:0a:*) address=10.0.2.15/24 ;;
	*) continue ;;
	esac
	ip addr add $address dev ${card##*/}
	ip link set ${card##*/} up
done
syslogd -O /var/log/messages
echo "dom0: up after $(cut -d' ' -f1 /proc/uptime) s, $(cat /proc/xen/capabilities)"
python3 /lab/agent.py &
while :; do wait; sleep 1000 & done
