# memcached over TCP, UDP and a Unix socket, by clients that all want something at once.
set -eu
memcached -u nobody -d -l 127.0.0.1 -p 11299 -U 11299 -t 4 -P /tmp/memcached.pid
memcached -u nobody -d -s /tmp/memcached.sock -a 777 -P /tmp/memcached_unix.pid
wait_for_port 11299
wait_for test -S /tmp/memcached.sock
python3 - <<'X'
import socket, struct, threading
def talk(connection, number, wrong):
    stream = connection.makefile('rwb')
    for i in range(40):
        value = (b'%d-%d-' % (number, i)) * (i * 20 + 1)
        stream.write(b'set key%d 0 0 %d\r\n%s\r\nget key%d\r\n' % (number, len(value), value, number))
        stream.flush()
        if stream.readline() != b'STORED\r\n' or stream.readline().split()[0] != b'VALUE':
            wrong.append((number, i))
        if stream.read(len(value) + 2) != value + b'\r\n' or stream.readline() != b'END\r\n':
            wrong.append((number, i))
def unix():
    connection = socket.socket(socket.AF_UNIX)
    connection.connect('/tmp/memcached.sock')
    return connection
wrong = []
connections = [socket.create_connection(('127.0.0.1', 11299)) for _ in range(30)] + [unix() for _ in range(10)]
threads = [threading.Thread(target=talk, args=(c, n, wrong)) for n, c in enumerate(connections)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print('wrong', wrong)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.settimeout(20)
datagrams.connect(('127.0.0.1', 11299))
datagrams.send(struct.pack('!HHHH', 77, 0, 1, 0) + b'get key3\r\n')
parts, total = {}, 1
while len(parts) < total:
    packet = datagrams.recv(2000)
    request, at, total, _ = struct.unpack('!HHHH', packet[:8])
    parts[at] = packet[8:]
answer = b''.join(parts[at] for at in sorted(parts))
print('datagrams', request, total, len(answer), answer[-5:])
connections[0].sendall(b'stats\r\n')
stats = b''
while not stats.endswith(b'END\r\n'):
    stats += connections[0].recv(65536)
for line in stats.split(b'\r\n'):
    if line.split(b' ')[1:2] in ([b'cmd_set'], [b'get_hits'], [b'threads'], [b'rejected_connections']):
        print(line.decode())
X
kill "$(cat /tmp/memcached.pid)" "$(cat /tmp/memcached_unix.pid)"
