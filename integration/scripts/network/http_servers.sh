# HTTP servers of languages, each under the same load.
set -eu
mkdir -p /tmp/servers
cd /tmp/servers
cat >asyncio_server.py <<'X'
import asyncio
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b'\r\n\r\n')
            body = b'asyncio ' * 128
            kept = b'keep-alive' in head.lower()
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n'
                         % (len(body), b'keep-alive' if kept else b'close') + body)
            await writer.drain()
            if not kept:
                break
    except asyncio.IncompleteReadError:
        pass
    writer.close()
async def main():
    async with await asyncio.start_server(serve, 'localhost', 8101, backlog=200) as server:
        await server.serve_forever()
asyncio.run(main())
X
cat >server.js <<'X'
const http = require('http');
http.createServer((request, response) => {
	const body = 'node '.repeat(200);
	response.writeHead(200, { 'Content-Length': body.length });
	response.end(body);
}).listen(8102);
X
cat >server.go <<'X'
package main

import (
	"net/http"
	"strings"
)

func main() {
	body := []byte(strings.Repeat("go ", 300))
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write(body) })
	panic(http.ListenAndServe("localhost:8103", nil))
}
X
GOFLAGS=-mod=mod GO111MODULE=off go build -o go_server server.go
python3 asyncio_server.py 2>python.err &
python3 -m http.server 8104 --directory /usr/share/common-licenses >/dev/null 2>&1 &
node server.js &
./go_server &
for port in 8101 8102 8103 8104; do
	wait_for_port $port
	case $port in 8104) file=GPL-3 n=100 c=5 ;; *) file= n=600 c=50 ;; esac
	for kept in -k ''; do
		echo "== $port $kept"
		ab -q $kept -n $n -c $c "http://localhost:$port/$file" | grep -E '^(Complete|Failed|Non-2xx|HTML transferred)'
	done
	curl -s "http://localhost:$port/$file" | sha256sum
done
cat python.err
kill $(jobs -p)
wait 2>/dev/null || true
