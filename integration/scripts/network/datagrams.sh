# Echo, groups, errors that come back, UDP-Lite and raw packets over lo.
ping -c 2 -i 0.2 127.0.0.1 | sed 's/time=.*//; s/time .*//; /^rtt/d'
ping -c 1 ::1 | sed 's/time=.*//; s/time .*//; /^rtt/d'
ping -c 1 -W 1 127.0.0.77 | sed 's/time=.*//; s/time .*//; /^rtt/d'
ping -c 1 192.0.2.1 2>&1 || true
python3 - <<'X'
import socket, struct, select
MSG_ERRQUEUE=0x2000
def show(*a): print(*a)
# multicast
r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); r.bind(('', 5007))
r2 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); 
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def attempt(f):
    try: return f()
    except OSError as e: return e
g='224.1.2.3'
show(1, attempt(lambda: s.sendto(b'x', (g, 5007))))
show(2, attempt(lambda: r.setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(g)+socket.inet_aton('0.0.0.0'))))
show(3, attempt(lambda: r.setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(g)+socket.inet_aton('127.0.0.1'))))
show(4, attempt(lambda: r.setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(g)+socket.inet_aton('127.0.0.1'))))
show(5, attempt(lambda: r.setsockopt(0, socket.IP_DROP_MEMBERSHIP, socket.inet_aton(g)+socket.inet_aton('0.0.0.0'))))
show(6, attempt(lambda: r.setsockopt(0, socket.IP_DROP_MEMBERSHIP, socket.inet_aton('224.1.2.4')+socket.inet_aton('127.0.0.1'))))
show(7, attempt(lambda: s.setsockopt(0, socket.IP_MULTICAST_IF, socket.inet_aton('127.0.0.1'))), s.getsockopt(0, socket.IP_MULTICAST_IF, 4))
show(8, attempt(lambda: s.setsockopt(0, socket.IP_MULTICAST_IF, socket.inet_aton('10.0.0.1'))))
r.setsockopt(0, 8, 1)
show(9, attempt(lambda: s.sendto(b'hello', (g, 5007))))
m = r.recvmsg(100, 100); show(m[0], m[1], m[3][0])
show(10, attempt(lambda: s.sendto(b'hello', ('224.1.2.9', 5007))), select.select([r],[],[],0)[0])
t = socket.socket(); show(11, attempt(lambda: t.setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(g)+socket.inet_aton('127.0.0.1'))))
s6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
g6 = socket.inet_pton(socket.AF_INET6,'ff01::114')
show(12, attempt(lambda: s6.setsockopt(41, 20, g6+struct.pack('i',1))), attempt(lambda: s6.setsockopt(41, 20, g6+struct.pack('i',0))), attempt(lambda: s6.setsockopt(41, 20, g6+struct.pack('i',1))), attempt(lambda: s6.setsockopt(41, 21, g6+struct.pack('i',1))),attempt(lambda: s6.setsockopt(41, 21, g6+struct.pack('i',1))))
show(13, attempt(lambda: s6.setsockopt(41, 17, 1)), attempt(lambda: s6.setsockopt(41, 17, 7)), s6.getsockopt(41,17))
show(14, attempt(lambda: s6.sendto(b'x', ('ff01::114', 5007, 0, 1))))
for i in range(25):
    e = attempt(lambda: r.setsockopt(0, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('224.5.0.%d' % i)+socket.inet_aton('127.0.0.1')))
    if e: show(i, e); break
# errqueue
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.setsockopt(0, 11, 1)
u.sendto(b'lost', ('127.0.0.1', 9))
p = select.poll(); p.register(u, select.POLLIN|select.POLLOUT); show('poll', p.poll(0)[0][1])
show(attempt(lambda: u.recv(10)))
show('poll', p.poll(0)[0][1])
m = u.recvmsg(100, 200, MSG_ERRQUEUE); show(m[0], m[1], hex(m[2]), m[3])
show('poll', p.poll(0)[0][1]); show(attempt(lambda: u.recvmsg(100, 200, MSG_ERRQUEUE)))
for i in range(3): u.sendto(b'z'*2000, ('127.0.0.1', 9)) if i != 1 else attempt(lambda: u.sendto(b'z'*2000, ('127.0.0.1', 9)))
m = attempt(lambda: u.recvmsg(10000, 200, MSG_ERRQUEUE)); show(len(m[0]), hex(m[2])); show(u.getsockopt(1, 4))
m = attempt(lambda: u.recvmsg(10000, 200, MSG_ERRQUEUE)); show(m if isinstance(m, OSError) else len(m[0])); show(u.getsockopt(1, 4))
v = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); v.setsockopt(41, 25, 1); v.sendto(b'q'*2000, ('::1', 9))
m = v.recvmsg(5000, 200, MSG_ERRQUEUE); show(len(m[0]), m[1], hex(m[2]), m[3])
# udplite
l = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136); l.bind(('127.0.0.1', 0)); 
show([attempt(lambda: (l.setsockopt(136, 10, v), l.getsockopt(136, 10))) for v in (0, 4, 100, 70000, -1)], attempt(lambda: u.setsockopt(136, 10, 4)))
l2 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136); l2.sendto(b'lite', l.getsockname()); show(l.recv(10), l.getsockopt(1, 38), open('/proc/net/udplite').read().count('\n'))
# raw
w = socket.socket(socket.AF_INET, socket.SOCK_RAW, 6); show(w.getsockname(), attempt(lambda: w.sendto(b'abcdef', ('127.0.0.1', 0)))); q = w.recvfrom(100); show(q[0][:2], q[0][6:10], q[0][12:], q[1])
h = socket.socket(socket.AF_INET, socket.SOCK_RAW, 255); show(attempt(lambda: h.sendto(b'short', ('127.0.0.1', 0)))); show(h.getsockopt(0, 3))
ip = bytes([0x45,0,0,0,0,1,0,0,64,6,0,0,0,0,0,0,127,0,0,1])+b'payload'; show(attempt(lambda: h.sendto(ip, ('127.0.0.1', 0)))); q=w.recvfrom(100); show(q[0][8:], q[1])
w6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 200); show(w6.getsockname(), attempt(lambda: w6.sendto(b'abcdef', ('::1', 7))), attempt(lambda: w6.sendto(b'abcdef', ('::1', 200)))); show(w6.recvfrom(100))
i = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); show(attempt(lambda: i.getsockopt(255, 1, 4)), attempt(lambda: w.getsockopt(255, 1, 4)), attempt(lambda: i.bind(('10.1.1.1', 0))), attempt(lambda: i.bind(('127.0.0.1', 0))), attempt(lambda: i.getpeername()))
show(attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 0)), attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 262).proto))
n = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); n.bind(('127.0.0.1', 0)); n.setsockopt(1, 35, 1)
show(n.getsockopt(1, 29), n.getsockopt(1, 35), n.sendto(b'x', n.getsockname()))
show([(c[0], c[1], len(c[2])) for c in n.recvmsg(10, 100)[1]])
X
