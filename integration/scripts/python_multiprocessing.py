import multiprocessing as mp, os, sys
def square(x): return x * x
def put(q, n): q.put(n * 10)
def bump(v, l):
    for _ in range(200):
        with l: v.value += 1
def talk(c): c.send(c.recv() + 1); c.close()
def die(n): sys.exit(n)
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        ctx = mp.get_context(method)
        with ctx.Pool(3) as pool: print(method, pool.map(square, range(12)), pool.apply(square, (9,)))
        q = ctx.Queue(); ps = [ctx.Process(target=put, args=(q, i)) for i in range(4)]
        [p.start() for p in ps]; print(sorted(q.get(timeout=60) for _ in ps)); [p.join() for p in ps]
        v = ctx.Value("i", 0, lock=False); l = ctx.Lock(); ps = [ctx.Process(target=bump, args=(v, l)) for _ in range(4)]
        [p.start() for p in ps]; [p.join() for p in ps]; print(v.value, [p.exitcode for p in ps])
        a, b = ctx.Pipe(); p = ctx.Process(target=talk, args=(b,)); p.start(); a.send(41); print(a.recv()); p.join()
        p = ctx.Process(target=die, args=(5,)); p.start(); p.join(); print(p.exitcode)
        q = ctx.SimpleQueue(); p = ctx.Process(target=put, args=(q, 1)); p.start(); print(q.get()); p.join(60); print(p.exitcode)
    import multiprocessing.shared_memory as sm
    s = sm.SharedMemory(create=True, size=100); s.buf[:3] = b"abc"; t = sm.SharedMemory(name=s.name); print(bytes(t.buf[:3])); t.close(); s.close(); s.unlink()
