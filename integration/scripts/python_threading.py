import queue, threading, time
from concurrent.futures import ThreadPoolExecutor
count = 0
lock = threading.Lock()
def add():
    global count
    for _ in range(2000):
        with lock: count += 1
threads = [threading.Thread(target=add) for _ in range(200)]
for t in threads: t.start()
for t in threads: t.join()
print(count)
q = queue.Queue(10)
def produce():
    for i in range(500): q.put(i)
    q.put(None)
threading.Thread(target=produce).start()
print(sum(iter(q.get, None)))
with ThreadPoolExecutor(8) as pool: print(list(pool.map(lambda x: x * x, range(10))))
e = threading.Event(); threading.Timer(0.1, e.set).start(); print(e.wait(20))
c = threading.Condition(); done = []
def waiter(n):
    with c:
        c.wait_for(lambda: len(done) == n); done.append(n); c.notify_all()
ts = [threading.Thread(target=waiter, args=(n,)) for n in reversed(range(10))]
[t.start() for t in ts]; [t.join() for t in ts]; print(done)
b = threading.Barrier(5); seen = []
ts = [threading.Thread(target=lambda: seen.append(b.wait())) for _ in range(5)]
[t.start() for t in ts]; [t.join() for t in ts]; print(sorted(seen))
s = time.monotonic(); print(lock.acquire() and not lock.acquire(timeout=0.2), time.monotonic() - s >= 0.2)
local = threading.local(); local.x = 1
threading.Thread(target=lambda: print(hasattr(local, "x"))).start()
time.sleep(0.05); print(threading.active_count() >= 1, threading.get_native_id() > 0)
