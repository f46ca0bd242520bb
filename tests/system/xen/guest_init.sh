#!/bin/sh
# SPDX-License-Identifier: MIT
# The first process of a Linux guest of the tests: runs /guest-run.sh, then waits to be ended.
PATH=/bin:/sbin:/usr/bin:/usr/sbin
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox --install -s /bin
mkdir -p /sbin
for word in poweroff reboot; do
	printf '#!/bin/sh\nexec /bin/busybox %s -f\n' $word > /sbin/$word
	chmod 755 /sbin/$word
done
exec < /dev/console > /dev/console 2>&1
echo "guest: up, $(uname -r)"
[ -x /guest-run.sh ] && /guest-run.sh
echo "guest: done"
while :; do sleep 3600; done
