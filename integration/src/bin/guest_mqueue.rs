//! POSIX message queues (mq_overview(7)).

use std::ffi::CString;
use std::fs;
use std::mem::zeroed;
use std::process::ExitCode;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use integration::checks;
use integration::guest::{self, in_child};
use nix::errno::Errno;

fn main() -> ExitCode {
    guest::main(checks![
        queues_are_made_and_found_by_name,
        names_are_checked,
        modes_and_access_are_checked,
        attributes_are_told_and_set,
        limits_are_enforced,
        messages_come_by_priority_then_by_age,
        sizes_and_priorities_are_checked,
        nonblocking_queue_answers_eagain,
        timeouts_are_of_the_realtime_clock,
        receiver_waits_for_a_message,
        sender_waits_for_room,
        waiting_is_interrupted_by_a_handler,
        queue_is_polled,
        queue_file_tells_how_it_stands,
        signal_is_sent_once,
        registration_ends_with_the_descriptor,
        receiver_comes_before_the_notification,
        thread_is_told_by_a_netlink_socket,
        removed_queue_lives_while_it_is_open,
        queues_are_inherited_by_fork,
    ])
}

/// Runs `f` in a process of its own.
fn child(f: impl FnOnce()) {
    let status = in_child(|| {
        f();
        0
    });
    assert_eq!(status, 0);
}

/// A queue, closed and removed with the value.
struct Queue {
    fd: i32,
    name: CString,
}

fn name() -> CString {
    static NEXT: AtomicI32 = AtomicI32::new(0);
    // SAFETY: the call takes no pointer.
    let pid = unsafe { libc::getpid() };
    CString::new(format!("/guest-{pid}-{}", NEXT.fetch_add(1, Ordering::Relaxed))).expect("no zero")
}

fn attributes(max: i64, size: i64) -> libc::mq_attr {
    // SAFETY: plain data.
    let mut attr: libc::mq_attr = unsafe { zeroed() };
    (attr.mq_maxmsg, attr.mq_msgsize) = (max, size);
    attr
}

fn open_with(name: &CString, flags: i32, attr: *const libc::mq_attr) -> nix::Result<i32> {
    // SAFETY: name and attributes are readable.
    Errno::result(unsafe { libc::mq_open(name.as_ptr(), flags, 0o600, attr) })
}

fn unlink(name: &CString) -> nix::Result<()> {
    // SAFETY: the name is readable.
    Errno::result(unsafe { libc::mq_unlink(name.as_ptr()) }).map(drop)
}

fn close(fd: i32) {
    // SAFETY: callers own the descriptor.
    unsafe { libc::close(fd) };
}

const NEW: i32 = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;

impl Queue {
    fn new(max: i64, size: i64, flags: i32) -> Self {
        let name = name();
        let fd = open_with(&name, NEW | flags, &attributes(max, size)).expect("mq_open");
        Self { fd, name }
    }

    fn attr(&self) -> libc::mq_attr {
        let mut attr = attributes(0, 0);
        // SAFETY: the structure is writable.
        Errno::result(unsafe { libc::mq_getattr(self.fd, &mut attr) }).expect("mq_getattr");
        attr
    }

    fn send(&self, text: &[u8], priority: u32) -> nix::Result<()> {
        // SAFETY: as many bytes as said.
        Errno::result(unsafe { libc::mq_send(self.fd, text.as_ptr().cast(), text.len(), priority) }).map(drop)
    }

    fn receive(&self) -> nix::Result<(Vec<u8>, u32)> {
        self.receive_into(64, null())
    }

    fn receive_into(&self, room: usize, until: *const libc::timespec) -> nix::Result<(Vec<u8>, u32)> {
        let (mut text, mut priority) = (vec![0u8; room], 0);
        // SAFETY: as many bytes as said.
        let len =
            unsafe { libc::mq_timedreceive(self.fd, text.as_mut_ptr().cast(), room, &mut priority, until) };
        let len = Errno::result(len)?;
        text.truncate(usize::try_from(len).expect("a length"));
        Ok((text, priority))
    }

    fn notify(&self, event: *const libc::sigevent) -> nix::Result<()> {
        // SAFETY: the event is null or readable.
        Errno::result(unsafe { libc::mq_notify(self.fd, event) }).map(drop)
    }

    fn text(&self) -> String {
        fs::read_to_string(format!("/proc/self/fd/{}", self.fd)).expect("read the queue's file")
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        close(self.fd);
        let _ = unlink(&self.name);
    }
}

fn realtime(after: Duration) -> libc::timespec {
    // SAFETY: plain data.
    let mut now: libc::timespec = unsafe { zeroed() };
    // SAFETY: the structure is writable.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut now) };
    let ns = now.tv_nsec + i64::from(after.subsec_nanos());
    now.tv_sec += i64::try_from(after.as_secs()).expect("short") + ns / 1_000_000_000;
    now.tv_nsec = ns % 1_000_000_000;
    now
}

fn queues_are_made_and_found_by_name() {
    let queue = Queue::new(4, 64, 0);
    assert_eq!(open_with(&queue.name, NEW, null()), Err(Errno::EEXIST));
    let again = open_with(&queue.name, libc::O_RDONLY, null()).expect("open");
    // SAFETY: the call takes no pointer.
    let flags = unsafe { libc::fcntl(again, libc::F_GETFD) };
    assert_eq!(flags, libc::FD_CLOEXEC);
    queue.send(b"hello", 1).expect("send");
    let other = Queue { fd: again, name: name() };
    assert_eq!(other.receive(), Ok((b"hello".to_vec(), 1)));
    let link = fs::read_link(format!("/proc/self/fd/{again}")).expect("readlink");
    assert_eq!(link.as_os_str().as_encoded_bytes(), queue.name.as_bytes());
    unlink(&queue.name).expect("unlink");
    assert_eq!(open_with(&queue.name, libc::O_RDWR, null()), Err(Errno::ENOENT));
    assert_eq!(unlink(&queue.name), Err(Errno::ENOENT));
}

/// mq_open as the kernel has it: without the slash that libc takes off.
fn raw_open(name: &str) -> nix::Result<i64> {
    let name = CString::new(name).expect("no zero");
    // SAFETY: the name is readable.
    let fd = unsafe { libc::syscall(libc::SYS_mq_open, name.as_ptr(), libc::O_RDWR, 0o600, 0) };
    Errno::result(fd)
}

fn names_are_checked() {
    assert_eq!(raw_open(""), Err(Errno::ENOENT));
    assert_eq!(raw_open("."), Err(Errno::EACCES));
    assert_eq!(raw_open(".."), Err(Errno::EACCES));
    assert_eq!(raw_open("a/b"), Err(Errno::EACCES));
    assert_eq!(raw_open(&"n".repeat(256)), Err(Errno::ENAMETOOLONG));
    assert_eq!(raw_open(&"n".repeat(255)), Err(Errno::ENOENT));
}

fn modes_and_access_are_checked() {
    let queue = Queue::new(4, 64, 0);
    let reader = Queue { fd: open_with(&queue.name, libc::O_RDONLY, null()).expect("open"), name: name() };
    assert_eq!(reader.send(b"x", 0), Err(Errno::EBADF));
    let writer = Queue { fd: open_with(&queue.name, libc::O_WRONLY, null()).expect("open"), name: name() };
    assert_eq!(writer.receive(), Err(Errno::EBADF));
    assert_eq!(open_with(&queue.name, 3, null()), Err(Errno::EINVAL));
    // SAFETY: plain data.
    let mut stat: libc::stat = unsafe { zeroed() };
    // SAFETY: the structure is writable.
    assert_eq!(unsafe { libc::fstat(queue.fd, &mut stat) }, 0);
    assert_eq!((stat.st_mode, stat.st_size, stat.st_nlink), (libc::S_IFREG | 0o600, 80, 1));
    let other = fs::File::open("/dev/null").expect("open");
    let other = Queue { fd: std::os::fd::IntoRawFd::into_raw_fd(other), name: name() };
    assert_eq!((other.send(b"x", 0), other.receive().err()), (Err(Errno::EBADF), Some(Errno::EBADF)));
    // SAFETY: the call takes no pointer.
    if unsafe { libc::geteuid() } == 0 {
        child(|| {
            // SAFETY: the call takes no pointer.
            assert_eq!(unsafe { libc::setresuid(1000, 1000, 1000) }, 0);
            assert_eq!(open_with(&queue.name, libc::O_RDONLY, null()), Err(Errno::EACCES));
            // The kernel's EPERM is EACCES to libc.
            assert_eq!(unlink(&queue.name), Err(Errno::EACCES));
        });
    }
}

fn attributes_are_told_and_set() {
    let queue = Queue::new(4, 64, 0);
    let attr = queue.attr();
    assert_eq!((attr.mq_flags, attr.mq_maxmsg, attr.mq_msgsize, attr.mq_curmsgs), (0, 4, 64, 0));
    queue.send(b"x", 0).expect("send");
    let mut new = attributes(100, 100);
    new.mq_flags = i64::from(libc::O_NONBLOCK);
    let mut old = attributes(0, 0);
    // SAFETY: both structures are valid.
    assert_eq!(unsafe { libc::mq_setattr(queue.fd, &new, &mut old) }, 0);
    assert_eq!((old.mq_flags, old.mq_curmsgs), (0, 1));
    let attr = queue.attr();
    assert_eq!((attr.mq_flags, attr.mq_maxmsg), (i64::from(libc::O_NONBLOCK), 4));
    new.mq_flags = i64::from(libc::O_APPEND);
    // SAFETY: both structures are valid.
    let refused = Errno::result(unsafe { libc::mq_setattr(queue.fd, &new, &mut old) });
    assert_eq!(refused, Err(Errno::EINVAL));
}

fn limits_are_enforced() {
    let refused = |max, size| open_with(&name(), NEW, &attributes(max, size)).expect_err("refused");
    assert_eq!(refused(0, 64), Errno::EINVAL);
    assert_eq!(refused(-1, 64), Errno::EINVAL);
    assert_eq!(refused(4, 0), Errno::EINVAL);
    assert_eq!(refused(1 << 20, 64), Errno::EINVAL);
    assert_eq!(refused(4, 1 << 30), Errno::EINVAL);
    child(|| {
        let limit = libc::rlimit { rlim_cur: 10_000, rlim_max: 10_000 };
        // SAFETY: the structure is readable.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MSGQUEUE, &limit) }, 0);
        assert_eq!(open_with(&name(), NEW, &attributes(10, 2048)), Err(Errno::EMFILE));
        drop(Queue::new(2, 64, 0));
    });
    for (file, least) in [("msg_max", 1), ("msgsize_max", 128), ("queues_max", 0)] {
        let text = fs::read_to_string(format!("/proc/sys/fs/mqueue/{file}")).expect("read");
        assert!(text.trim().parse::<i64>().expect("a number") >= least, "{file}");
    }
}

fn messages_come_by_priority_then_by_age() {
    let queue = Queue::new(6, 64, 0);
    for (text, priority) in [(b"a", 1), (b"b", 7), (b"c", 1), (b"d", 32767), (b"e", 7), (b"f", 0)] {
        queue.send(text, priority).expect("send");
    }
    let order: Vec<_> = (0..6).map(|_| queue.receive().expect("receive")).collect();
    let expected = [(b"d", 32767), (b"b", 7), (b"e", 7), (b"a", 1), (b"c", 1), (b"f", 0)];
    assert_eq!(order, expected.map(|(text, priority)| (text.to_vec(), priority)));
}

fn sizes_and_priorities_are_checked() {
    let queue = Queue::new(2, 64, 0);
    assert_eq!(queue.send(&[0; 65], 0), Err(Errno::EMSGSIZE));
    assert_eq!(queue.send(&[0; 64], 0), Ok(()));
    assert_eq!(queue.send(b"", 0), Ok(()));
    assert_eq!(queue.send(b"", 32768), Err(Errno::EINVAL));
    assert_eq!(queue.receive_into(63, null()).err(), Some(Errno::EMSGSIZE));
    assert_eq!(queue.receive_into(100, null()), Ok((vec![0; 64], 0)));
    assert_eq!(queue.receive(), Ok((Vec::new(), 0)));
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    // SAFETY: the structures are valid.
    let sent = Errno::result(unsafe { libc::mq_timedsend(queue.fd, c"x".as_ptr(), 1, 0, &bad) });
    assert_eq!(sent, Err(Errno::EINVAL), "checked even where nothing waits");
}

fn nonblocking_queue_answers_eagain() {
    let queue = Queue::new(1, 64, libc::O_NONBLOCK);
    assert_eq!(queue.receive().err(), Some(Errno::EAGAIN));
    assert_eq!((queue.send(b"x", 0), queue.send(b"y", 0)), (Ok(()), Err(Errno::EAGAIN)));
}

fn timeouts_are_of_the_realtime_clock() {
    let queue = Queue::new(1, 64, 0);
    let begin = Instant::now();
    let until = realtime(Duration::from_millis(60));
    assert_eq!(queue.receive_into(64, &until).err(), Some(Errno::ETIMEDOUT));
    assert!(begin.elapsed() >= Duration::from_millis(55));
    let past = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    assert_eq!(queue.receive_into(64, &past).err(), Some(Errno::ETIMEDOUT));
    queue.send(b"x", 0).expect("send");
    // SAFETY: the structures are valid.
    let sent = Errno::result(unsafe { libc::mq_timedsend(queue.fd, c"y".as_ptr(), 1, 0, &past) });
    assert_eq!(sent, Err(Errno::ETIMEDOUT));
    assert_eq!(queue.receive_into(64, &past), Ok((b"x".to_vec(), 0)), "it need not wait");
}

fn receiver_waits_for_a_message() {
    let queue = Queue::new(1, 64, 0);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| queue.receive());
        thread::sleep(Duration::from_millis(30));
        queue.send(b"now", 5).expect("send");
        assert_eq!(receiver.join().expect("thread"), Ok((b"now".to_vec(), 5)));
    });
}

fn sender_waits_for_room() {
    let queue = Queue::new(1, 64, 0);
    queue.send(b"first", 0).expect("send");
    thread::scope(|scope| {
        let sender = scope.spawn(|| queue.send(b"second", 9));
        thread::sleep(Duration::from_millis(30));
        assert_eq!(queue.attr().mq_curmsgs, 1);
        assert_eq!(queue.receive(), Ok((b"first".to_vec(), 0)));
        assert_eq!(sender.join().expect("thread"), Ok(()));
        assert_eq!(queue.receive(), Ok((b"second".to_vec(), 9)));
    });
}

extern "C" fn ignore(_signal: i32) {}

fn waiting_is_interrupted_by_a_handler() {
    child(|| {
        // SAFETY: plain data.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_sigaction = ignore as extern "C" fn(i32) as usize;
        // SAFETY: the handler does nothing.
        assert_eq!(unsafe { libc::sigaction(libc::SIGALRM, &action, null_mut()) }, 0);
        let queue = Queue::new(1, 64, 0);
        // SAFETY: plain data.
        let mut timer: libc::itimerval = unsafe { zeroed() };
        timer.it_value.tv_usec = 30_000;
        // SAFETY: the structure is readable.
        assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, null_mut()) }, 0);
        assert_eq!(queue.receive().err(), Some(Errno::EINTR));
    });
}

fn poll(fd: i32) -> i16 {
    let mut fds = libc::pollfd { fd, events: libc::POLLIN | libc::POLLOUT, revents: 0 };
    // SAFETY: one structure.
    assert!(unsafe { libc::poll(&mut fds, 1, 0) } >= 0);
    fds.revents
}

fn queue_is_polled() {
    let queue = Queue::new(1, 64, 0);
    assert_eq!(poll(queue.fd), libc::POLLOUT);
    queue.send(b"x", 0).expect("send");
    assert_eq!(poll(queue.fd), libc::POLLIN);
    queue.receive().expect("receive");
    thread::scope(|scope| {
        let poller = scope.spawn(|| {
            let mut fds = libc::pollfd { fd: queue.fd, events: libc::POLLIN, revents: 0 };
            // SAFETY: one structure.
            unsafe { libc::poll(&mut fds, 1, 5000) }
        });
        thread::sleep(Duration::from_millis(30));
        queue.send(b"x", 0).expect("send");
        assert_eq!(poller.join().expect("thread"), 1);
    });
}

fn event(notify: i32, signal: i32, value: usize) -> libc::sigevent {
    // SAFETY: plain data.
    let mut event: libc::sigevent = unsafe { zeroed() };
    (event.sigev_notify, event.sigev_signo) = (notify, signal);
    event.sigev_value.sival_ptr = value as *mut libc::c_void;
    event
}

fn queue_file_tells_how_it_stands() {
    let queue = Queue::new(4, 64, 0);
    assert_eq!(queue.text(), "QSIZE:0          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n");
    queue.notify(&event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 0)).expect("notify");
    // SAFETY: the call takes no pointer.
    let pid = unsafe { libc::getpid() };
    // Reading opens the file anew, and closing that ends the registration.
    let text = queue.text();
    assert_eq!(text, format!("QSIZE:0          NOTIFY:0     SIGNO:10    NOTIFY_PID:{pid:<6}\n"));
    assert!(queue.text().ends_with("NOTIFY_PID:0     \n"));
    queue.send(b"12345", 0).expect("send");
    queue.send(b"678", 3).expect("send");
    assert!(queue.text().starts_with("QSIZE:8   "), "{}", queue.text());
    let mut byte = [0u8; 1];
    // SAFETY: one byte.
    let written = Errno::result(unsafe { libc::write(queue.fd, byte.as_mut_ptr().cast(), 1) });
    assert_eq!(written, Err(Errno::EINVAL));
}

static VALUE: AtomicI64 = AtomicI64::new(0);
static CALLS: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(_signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a siginfo.
    let info = unsafe { &*info };
    // SAFETY: signals of queues carry a value.
    let value = unsafe { info.si_value() }.sival_ptr as i64;
    VALUE.store(i64::from(info.si_code) << 32 | value, Ordering::Relaxed);
    CALLS.fetch_add(1, Ordering::Relaxed);
}

fn signal_is_sent_once() {
    child(|| {
        // SAFETY: plain data.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_sigaction = note as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: the handler touches atomics alone.
        assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &action, null_mut()) }, 0);
        let queue = Queue::new(4, 64, 0);
        queue.notify(&event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 77)).expect("notify");
        let again = queue.notify(&event(libc::SIGEV_NONE, 0, 0));
        assert_eq!(again, Err(Errno::EBUSY));
        queue.send(b"x", 0).expect("send");
        let begin = Instant::now();
        while CALLS.load(Ordering::Relaxed) == 0 && begin.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(VALUE.load(Ordering::Relaxed), -3i64 << 32 | 77, "SI_MESGQ and the value");
        queue.receive().expect("receive");
        queue.send(b"x", 0).expect("send");
        thread::sleep(Duration::from_millis(20));
        assert_eq!(CALLS.load(Ordering::Relaxed), 1);
        assert_eq!(queue.notify(&event(9, 0, 0)), Err(Errno::EINVAL));
        assert_eq!(queue.notify(&event(libc::SIGEV_SIGNAL, 65, 0)), Err(Errno::EINVAL));
        queue.notify(&event(libc::SIGEV_NONE, 0, 0)).expect("notify");
        queue.notify(null()).expect("unregister");
        queue.notify(&event(libc::SIGEV_NONE, 0, 0)).expect("notify again");
    });
}

fn registration_ends_with_the_descriptor() {
    let queue = Queue::new(4, 64, 0);
    child(|| {
        queue.notify(&event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 0)).expect("notify");
    });
    queue.notify(&event(libc::SIGEV_NONE, 0, 0)).expect("the child is gone");
    // SAFETY: the call takes no pointer.
    let copy = unsafe { libc::dup(queue.fd) };
    child(|| {
        assert_eq!(queue.notify(&event(libc::SIGEV_NONE, 0, 0)), Err(Errno::EBUSY));
        queue.notify(null()).expect("that of another is left alone");
        assert_eq!(queue.notify(&event(libc::SIGEV_NONE, 0, 0)), Err(Errno::EBUSY));
    });
    close(copy);
    queue.notify(&event(libc::SIGEV_NONE, 0, 0)).expect("any close ends it");
}

fn receiver_comes_before_the_notification() {
    let queue = Queue::new(4, 64, 0);
    queue.notify(&event(libc::SIGEV_NONE, 0, 0)).expect("notify");
    thread::scope(|scope| {
        let receiver = scope.spawn(|| queue.receive());
        thread::sleep(Duration::from_millis(30));
        queue.send(b"x", 0).expect("send");
        assert_eq!(receiver.join().expect("thread"), Ok((b"x".to_vec(), 0)));
    });
    let again = queue.notify(&event(libc::SIGEV_NONE, 0, 0));
    assert_eq!(again, Err(Errno::EBUSY), "nobody was told");
}

/// What libc does for SIGEV_THREAD.
fn thread_is_told_by_a_netlink_socket() {
    let queue = Queue::new(4, 64, 0);
    // SAFETY: the call takes no pointer.
    let socket = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    assert!(socket >= 0, "{}", Errno::last());
    let cookie: [u8; 32] = std::array::from_fn(|n| n as u8);
    // libc starts a thread of its own for mq_notify with SIGEV_THREAD: the call is made past it.
    let raw_notify = |signo| {
        let event = event(libc::SIGEV_THREAD, signo, cookie.as_ptr() as usize);
        // SAFETY: event and cookie are readable.
        Errno::result(unsafe { libc::syscall(libc::SYS_mq_notify, queue.fd, &event) }).map(drop)
    };
    assert_eq!(raw_notify(queue.fd), Err(Errno::ENOTSOCK));
    assert_eq!(raw_notify(-1), Err(Errno::EBADF));
    let receive = || {
        let mut told = [0u8; 64];
        // SAFETY: as many bytes as said.
        let len = unsafe { libc::recv(socket, told.as_mut_ptr().cast(), told.len(), libc::MSG_WAITALL) };
        assert_eq!(len, 32);
        (told[..31] == cookie[..31], told[31])
    };
    raw_notify(socket).expect("notify");
    queue.send(b"x", 0).expect("send");
    assert_eq!(receive(), (true, 1), "woken up");
    queue.receive().expect("receive");
    raw_notify(socket).expect("notify");
    queue.notify(null()).expect("unregister");
    assert_eq!(receive(), (true, 2), "removed");
    close(socket);
}

fn removed_queue_lives_while_it_is_open() {
    let queue = Queue::new(4, 64, 0);
    unlink(&queue.name).expect("unlink");
    queue.send(b"x", 0).expect("send");
    assert_eq!(queue.receive(), Ok((b"x".to_vec(), 0)));
    let new = open_with(&queue.name, NEW, null()).expect("another of that name");
    close(new);
}

fn queues_are_inherited_by_fork() {
    let queue = Queue::new(4, 64, 0);
    child(|| queue.send(b"from the child", 2).expect("send"));
    assert_eq!(queue.receive(), Ok((b"from the child".to_vec(), 2)));
}
