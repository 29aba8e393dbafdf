# dnsmasq asked by dig, over UDP and TCP, and by the C library.
set -eu
cat >/tmp/hosts <<'X'
10.1.2.3 alpha.test
fd00::1 alpha.test
10.1.2.4 beta.test
X
dnsmasq --port=5399 --listen-address=127.0.0.1,::1 --bind-interfaces --no-resolv --no-hosts --addn-hosts=/tmp/hosts \
	--user=root --pid-file=/tmp/dnsmasq.pid --log-facility=/tmp/dnsmasq.log --local=/test/ \
	--txt-record=long.test,"$(printf 'a%.0s' $(seq 200))","$(printf 'b%.0s' $(seq 200))","$(printf 'c%.0s' $(seq 200))" \
	--srv-host=_http._tcp.test,alpha.test,80
wait_for dig +time=1 +tries=1 -p 5399 @127.0.0.1 alpha.test
ask() { dig +time=10 +tries=2 -p 5399 "$@"; }
ask @127.0.0.1 +short alpha.test A
ask @::1 +short alpha.test AAAA
ask @127.0.0.1 +short -x 10.1.2.4
ask @127.0.0.1 +short _http._tcp.test SRV
ask @127.0.0.1 +tcp +short beta.test
ask @127.0.0.1 +noedns +ignore long.test TXT | grep -o 'flags: [a-z ]*'
ask @127.0.0.1 +noedns +short long.test TXT | wc -c
ask @127.0.0.1 nothing.test | grep -o 'status: [A-Z]*'
for i in $(seq 40); do echo "alpha.test A"; echo "beta.test A"; done >/tmp/batch
ask @127.0.0.1 +short -f /tmp/batch | sort | uniq -c
dig +time=1 +tries=1 -p 5398 @127.0.0.1 alpha.test | grep -oE 'connection refused|no servers could be reached' | sort -u
getent hosts localhost
getent ahosts localhost | sort -u | head -3
getent services ssh
kill "$(cat /tmp/dnsmasq.pid)"
