import fcntl, glob, os, pathlib, shutil, stat, tempfile
with tempfile.TemporaryFile() as f:
    f.write(b"x" * 100000); f.seek(0); print(len(f.read()), os.fstat(f.fileno()).st_nlink)
with tempfile.NamedTemporaryFile(mode="w+", suffix=".txt") as f:
    print(f.name.endswith(".txt"), oct(stat.S_IMODE(os.stat(f.name).st_mode)), os.path.dirname(f.name)); name = f.name
print(os.path.exists(name))
with tempfile.TemporaryDirectory() as d:
    p = pathlib.Path(d)
    for i in range(50): (p / f"f{i}").write_text(str(i))
    (p / "sub" / "deep").mkdir(parents=True); (p / "link").symlink_to("f7")
    print(len(list(p.iterdir())), (p / "link").read_text(), (p / "link").is_symlink(), (p / "link").resolve().name)
    print(sorted(os.path.basename(x) for x in glob.glob(d + "/f4*")))
    shutil.copytree(p, p / "copy", symlinks=True); print(sum(len(f) for _, _, f in os.walk(p)))
    os.rename(p / "f1", p / "renamed"); print(os.path.exists(p / "f1"), (p / "renamed").read_text())
    os.chmod(p / "f2", 0o604); print(oct((p / "f2").stat().st_mode))
    os.utime(p / "f2", ns=(1_000_000_001, 2_000_000_002)); s = os.stat(p / "f2"); print(s.st_atime_ns, s.st_mtime_ns)
    os.link(p / "f3", p / "hard"); print(os.stat(p / "f3").st_nlink, os.path.samefile(p / "f3", p / "hard"))
    try: os.rmdir(p / "sub")
    except OSError as e: print(e.strerror)
    a = open(p / "lock", "w"); b = open(p / "lock", "w"); fcntl.flock(a, fcntl.LOCK_EX)
    try: fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e: print("locked", e.errno)
    shutil.make_archive(d + "/archive", "gztar", p / "sub"); print(os.path.getsize(d + "/archive.tar.gz") > 0)
    with open(p / "sparse", "wb") as f: f.truncate(1 << 30)
    s = os.stat(p / "sparse"); print(s.st_size, s.st_blocks < 100)
    fd = os.open(d, os.O_RDONLY); os.mkdir("by-fd", dir_fd=fd); print(os.stat("by-fd", dir_fd=fd).st_mode & 0o777 > 0, "by-fd" in os.listdir(fd)); os.close(fd)
    print(shutil.disk_usage(d).total > 0, os.access(d, os.W_OK), os.pathconf(d, "PC_NAME_MAX"))
print(os.path.exists(d))
