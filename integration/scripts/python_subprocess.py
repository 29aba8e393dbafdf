import os, subprocess, sys
print(subprocess.run(["echo", "hello"], capture_output=True, text=True))
print(subprocess.run("exit 7", shell=True).returncode)
print(subprocess.check_output(["tr", "a-z", "A-Z"], input=b"upper\n"))
try:
    subprocess.run(["/nonexistent"])
except FileNotFoundError as e:
    print("FileNotFoundError", e.filename)
try:
    subprocess.run(["/etc/passwd"])
except PermissionError as e:
    print("PermissionError", e.filename)
try:
    subprocess.run(["sleep", "30"], timeout=0.3)
except subprocess.TimeoutExpired as e:
    print("TimeoutExpired", e.cmd)
p = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
big = os.urandom(1 << 20)
print(p.communicate(big)[0] == big, p.returncode)
p = subprocess.Popen(["sleep", "30"]); p.terminate(); print(p.wait())
p1 = subprocess.Popen(["seq", "100"], stdout=subprocess.PIPE)
p2 = subprocess.Popen(["wc", "-l"], stdin=p1.stdout, stdout=subprocess.PIPE); p1.stdout.close()
print(p2.communicate()[0].strip(), p1.wait())
print(subprocess.run(["pwd"], cwd="/usr", capture_output=True).stdout)
print(subprocess.run(["env"], env={"A": "b"}, capture_output=True).stdout)
print(subprocess.run([sys.executable, "-c", "import os; print(os.getsid(0) == os.getpid())"], start_new_session=True, capture_output=True).stdout)
r, w = os.pipe(); os.set_inheritable(w, True)
subprocess.run(["sh", "-c", f"echo passed >&{w}"], pass_fds=[w]); os.close(w); print(os.read(r, 100))
print(os.waitstatus_to_exitcode(os.system("exit 3")))
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 9"], os.environ); print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print([subprocess.run(["sh", "-c", f"exit {i}"]).returncode for i in range(0, 256, 17)])
