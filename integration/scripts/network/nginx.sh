# nginx under load: small and large files, connections that are kept and not, over v4, v6 and a Unix socket; a reload
# and an orderly end.
set -eu
mkdir -p /tmp/www
cd /tmp/www
head -c 1024 /dev/zero | tr '\0' k >small
head -c 1048576 /dev/zero | tr '\0' m >large
cat >/tmp/nginx.conf <<'X'
worker_processes 2;
pid /tmp/nginx.pid;
error_log /tmp/error.log notice;
events { worker_connections 512; }
http {
	access_log /tmp/access.log;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 100000;
	upstream behind { server unix:/tmp/behind.sock; }
	server {
		listen 8080 backlog=511;
		listen [::1]:8080;
		listen unix:/tmp/behind.sock;
		root /tmp/www;
		location /forwarded/ { proxy_pass http://behind/; }
	}
}
X
nginx -c /tmp/nginx.conf
wait_for_port 8080
load() {
	echo "== $*"
	ab -q "$@" | grep -E '^(Complete|Failed|Non-2xx|HTML transferred)'
}
load -n 1500 -c 100 http://127.0.0.1:8080/small
load -n 4000 -c 100 -k http://127.0.0.1:8080/small
load -n 60 -c 20 http://127.0.0.1:8080/large
load -n 60 -c 20 -k 'http://[::1]:8080/large'
load -n 500 -c 20 http://127.0.0.1:8080/forwarded/small
wrk -t 2 -c 100 -d 1 http://127.0.0.1:8080/small | grep -cE 'Socket errors|Non-2xx' || true
curl -s -r 1000-1030 http://localhost:8080/small
echo
curl -s http://localhost:8080/forwarded/large | sha256sum
curl -s -o /dev/null -w '%{http_code}\n' http://localhost:8080/nothing
nginx -c /tmp/nginx.conf -s reload 2>/dev/null
wait_for grep -q 'signal 1 (SIGHUP) received' /tmp/error.log
curl -s http://127.0.0.1:8080/small | wc -c
nginx -c /tmp/nginx.conf -s quit 2>/dev/null
wait_for test ! -e /tmp/nginx.pid
! grep -E 'crit|alert|emerg' /tmp/error.log
