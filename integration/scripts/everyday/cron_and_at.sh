echo '* * * * * root echo "cron runs as $(id -un)" >/tmp/cron.out' >/etc/cron.d/test
cron; echo "cron: $?"
atd; echo "atd: $?"
# at(1) reads the daemon's pid file, which is written some time after atd has returned.
for try in $(seq 100); do
	[ -s /run/atd.pid ] && break
	sleep 0.1
done
echo 'echo "at runs as $(id -un) in $PWD" >/tmp/at.out' | at now 2>&1 | tail -1 | cut -d' ' -f1
for try in $(seq 160); do
	[ -s /tmp/at.out ] && [ -s /tmp/cron.out ] && break
	sleep 0.5
done
cat /tmp/at.out /tmp/cron.out
atq
pkill -x atd; pkill -x cron; echo "killed: $?"
