# iperf3, both ways, over TCP of both families and UDP.
set -eu
# A server for each: it listens anew after every test, and a client may come too early.
measure() {
	iperf3 -s -1 -p 5298 >/tmp/server.log 2>&1 &
	wait_for_port 5298
	iperf3 -J -p 5298 -c "$@" >/tmp/iperf.json || { grep error /tmp/iperf.json; cat /tmp/server.log; exit 1; }
	wait
	python3 - "$@" <<'X'
import json, sys
end = json.load(open('/tmp/iperf.json'))['end']
total = end.get('sum_received') or end['sum']
print(*sys.argv[1:], ':', 'some' if total['bytes'] > 1000000 else total)
X
}
measure 127.0.0.1 -n 100M
measure 127.0.0.1 -n 100M -R
measure ::1 -n 100M -P 4
measure 127.0.0.1 -n 50M --bidir
measure 127.0.0.1 -u -b 100M -n 5M
measure ::1 -u -b 100M -n 5M -R
