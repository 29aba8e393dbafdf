import os, signal, threading, time
got = []
signal.signal(signal.SIGUSR1, lambda n, f: got.append(n))
os.kill(os.getpid(), signal.SIGUSR1); print(got)
signal.signal(signal.SIGALRM, lambda n, f: got.append("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.1); signal.pause(); print(got)
r, w = os.pipe(); os.set_blocking(w, False); signal.set_wakeup_fd(w)
signal.alarm(1); print(os.read(r, 1) == bytes([signal.SIGALRM])); signal.set_wakeup_fd(-1); print(got)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); os.kill(os.getpid(), signal.SIGUSR2)
print(signal.sigpending(), signal.sigwait([signal.SIGUSR2]))
i = None
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); os.kill(os.getpid(), signal.SIGTERM); i = signal.sigwaitinfo([signal.SIGTERM])
print(i.si_signo, i.si_pid == os.getpid(), i.si_uid, i.si_code); print(signal.sigtimedwait([signal.SIGTERM], 0.1))
class Boom(Exception): pass
def boom(n, f): raise Boom
signal.signal(signal.SIGALRM, boom); signal.setitimer(signal.ITIMER_REAL, 0.1)
try: os.read(r, 1)
except Boom: print("a handler's exception ends read")
signal.signal(signal.SIGALRM, lambda n, f: os.write(w, b"z")); signal.setitimer(signal.ITIMER_REAL, 0.1); print(os.read(r, 1))
got.clear(); signal.signal(signal.SIGCHLD, lambda n, f: got.append("chld"))
pid = os.fork()
if pid == 0: os._exit(3)
os.waitpid(pid, 0); time.sleep(0.01); print(got)
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
pid = os.fork()
if pid == 0:
    signal.signal(signal.SIGINT, signal.SIG_DFL); signal.pause()
os.kill(pid, signal.SIGSTOP); p, s = os.waitpid(pid, os.WUNTRACED); print(os.WIFSTOPPED(s), os.WSTOPSIG(s) == signal.SIGSTOP)
os.kill(pid, signal.SIGCONT); p, s = os.waitpid(pid, os.WCONTINUED); print(os.WIFCONTINUED(s))
time.sleep(0.1); os.kill(pid, signal.SIGINT); p, s = os.waitpid(pid, 0); print(os.WIFSIGNALED(s), os.WTERMSIG(s))
t0 = time.monotonic(); signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05); n = 0
signal.signal(signal.SIGALRM, lambda *a: globals().__setitem__("n", n + 1)); time.sleep(0.5); signal.setitimer(signal.ITIMER_REAL, 0)
print(n >= 5, time.monotonic() - t0 >= 0.5); print(signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN)
t = threading.Thread(target=lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)); t.start(); t.join(); print(got)
