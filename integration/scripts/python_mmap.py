import mmap, os, tempfile
with tempfile.TemporaryFile() as f:
    f.write(b"a" * 10000); f.flush()
    m = mmap.mmap(f.fileno(), 0); print(len(m), m[:5], m.find(b"b")); m[100:105] = b"hello"; m.flush()
    f.seek(100); print(f.read(5)); os.pwrite(f.fileno(), b"HELLO", 200); print(m[200:205])
    p = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY); p[0:3] = b"zzz"; print(m[0:3], p[0:3], os.pread(f.fileno(), 3, 0))
    r = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
    try: r[0] = 1
    except TypeError as e: print("TypeError")
    m.resize(20000); print(os.fstat(f.fileno()).st_size, m[15000]); o = mmap.mmap(f.fileno(), 4096, offset=8192); print(o[0:2]); m.close()
a = mmap.mmap(-1, 4096); pid = os.fork()
if pid == 0: a[0:5] = b"child"; os._exit(0)
os.waitpid(pid, 0); print(a[0:5])
with open("/etc/passwd", "rb") as f: m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); print(m.readline().startswith(b"root:"))
a = mmap.mmap(-1, 1 << 26); a[1 << 25] = 7; print(a[1 << 25], a[0]); a.madvise(mmap.MADV_DONTNEED); a.close()
