# redis with an append-only file, one request at a time and in pipelines; what it kept over a restart and a kill.
set -eu
mkdir -p /tmp/redis
start() {
	redis-server --port 6400 --unixsocket /tmp/redis/sock --dir /tmp/redis --save '' --appendonly yes \
		--appendfsync always --daemonize yes --pidfile /tmp/redis/pid --logfile /tmp/redis/log >/dev/null
	wait_for sh -c 'redis-cli -p 6400 ping | grep -q PONG'
}
say() { redis-cli -p 6400 "$@"; }
load() {
	redis-benchmark -q --csv "$@" | cut -d, -f1
}
start
load -p 6400 -c 50 -n 4000 -t set,get,incr
load -p 6400 -c 50 -n 20000 -P 16 -t set,get,lpush,lrange_100
load -s /tmp/redis/sock -c 50 -n 4000 -t set,get
say set kept yes
say lpush list a b c
(redis-cli -p 6400 --csv subscribe channel >/tmp/redis/heard & echo $! >/tmp/redis/subscriber)
wait_for sh -c 'redis-cli -p 6400 pubsub numsub channel | grep -q 1'
say publish channel hello
wait_for grep -q hello /tmp/redis/heard
kill "$(cat /tmp/redis/subscriber)"
say bgrewriteaof
wait_for sh -c 'redis-cli -p 6400 info persistence | grep -q aof_rewrite_in_progress:0'
say set late yes
kill -9 "$(cat /tmp/redis/pid)"
wait_for sh -c '! redis-cli -p 6400 ping'
start
say mget kept late
say lrange list 0 -1
say shutdown nosave
wait_for test ! -e /tmp/redis/pid
grep -ciE 'crash|panic' /tmp/redis/log || true
