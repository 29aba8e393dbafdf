# curl, wget, and git over HTTP and by its own protocol.
set -eu
mkdir -p /tmp/transfers/cgi-bin
cd /tmp/transfers
git config --global user.email a@example.org
git config --global user.name a
git config --global init.defaultBranch main
# The server's programs run as nobody.
git config --system safe.directory '*'
head -c 2000000 /dev/zero | tr '\0' x >file
git init -q source
for i in $(seq 30); do
	seq "$i" 400 >"source/$i"
	git -C source add .
	git -C source commit -q -m "$i" --date='2020-01-01T00:00:00Z'
done
git clone -q --bare source repository.git
git -C repository.git config http.receivepack true
chown -R nobody repository.git
cat >cgi-bin/git <<'X'
#!/bin/sh
GIT_PROJECT_ROOT=/tmp/transfers GIT_HTTP_EXPORT_ALL=1 exec git http-backend
X
chmod +x cgi-bin/git
cat >server.py <<'X'
import http.server
class Handler(http.server.CGIHTTPRequestHandler):
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(('', 8201), Handler).serve_forever()
X
python3 server.py &
wait_for_port 8201
curl -sf http://localhost:8201/file | cksum
curl -sf -H 'X-Header: value' -w '%{http_code} %{size_download} %{num_connects}\n' \
	-o /dev/null http://localhost:8201/file -o /dev/null http://localhost:8201/source/1
curl -s -o /dev/null -w '%{http_code}\n' http://localhost:8201/nothing
curl -s --max-time 20 http://127.0.0.1:1/ || echo "status $?"
curl -s --max-time 20 http://192.0.2.1/ || echo "status $?"
curl -s --max-time 20 http://no.such.name.invalid/ || echo "status $?"
wget -q -O - http://localhost:8201/file | cksum
wget -q -r -np -nH -P tree http://localhost:8201/source/ && ls tree/source | wc -l
wget -q http://localhost:8201/nothing || echo "status $?"
# A clone whose packs go through chunked bodies and pipes, and a push.
git clone -q http://localhost:8201/cgi-bin/git/repository.git over_http
git -C over_http log --oneline | wc -l
git -C over_http fsck --full 2>&1
echo pushed >over_http/new
git -C over_http add new
git -C over_http commit -q -m pushed
git -C over_http push -q 2>&1
git -C repository.git show main:new
git daemon --base-path=/tmp/transfers --export-all --reuseaddr --port=9419 --pid-file=/tmp/transfers/pid &
wait_for_port 9419
git clone -q --depth 3 git://localhost:9419/repository.git by_git
git -C by_git log --format=%s
kill $(jobs -p)
wait 2>/dev/null || true
