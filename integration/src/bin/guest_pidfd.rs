//! Processes as files: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), waitid(2) on a pidfd.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use integration::guest::{self, fd, signal};
use integration::{checks, raw};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::{SaFlags, Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{ForkResult, Pid, fork, getpid, pipe, write};

fn main() -> ExitCode {
    guest::main(checks![
        pidfd_becomes_readable_with_the_death,
        waitid_on_a_pidfd_waits_for_the_child,
        waitid_that_does_not_block_loses_no_death,
        waitid_on_a_pidfd_of_no_child_gets_echild,
        pidfd_of_a_zombie_opens,
        signal_reaches_the_process,
        queued_signal_carries_its_value,
        dead_process_gets_esrch,
        proc_directory_takes_signals_as_a_pidfd,
        getfd_copies_a_descriptor,
        info_tells_ids_and_credentials,
        fdinfo_names_the_process,
        calls_check_their_arguments,
    ])
}

fn open(pid: Pid, flags: u32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes no pointer.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), flags) };
    Errno::result(number).map(|number| fd::own(i32::try_from(number).expect("a descriptor")))
}

fn send(pidfd: i32, signal: i32, info: Option<&libc::siginfo_t>, flags: u32) -> nix::Result<()> {
    let info = info.map_or(std::ptr::null(), |info| &raw const *info);
    // SAFETY: the info is live or null.
    Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, info, flags) }).map(drop)
}

fn getfd(pidfd: &impl AsFd, number: i32, flags: u32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes no pointer.
    let got = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_fd().as_raw_fd(), number, flags) };
    Errno::result(got).map(|number| fd::own(i32::try_from(number).expect("a descriptor")))
}

fn child(run: impl FnOnce() -> i32) -> Pid {
    // SAFETY: checks run in a process of one thread.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => std::process::exit(run()),
    }
}

fn sleeper() -> Pid {
    child(|| {
        thread::sleep(Duration::from_secs(30));
        0
    })
}

fn reap(pidfd: BorrowedFd<'_>) -> nix::Result<WaitStatus> {
    waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED)
}

fn events(pidfd: &impl AsFd, ms: u16) -> Option<PollFlags> {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    (poll(&mut fds, PollTimeout::from(ms)).expect("poll") == 1).then(|| fds[0].revents().expect("known"))
}

fn pidfd_becomes_readable_with_the_death() {
    let pid = child(|| {
        thread::sleep(Duration::from_millis(60));
        3
    });
    let pidfd = open(pid, 0).expect("pidfd_open");
    assert_eq!(fd::fcntl(pidfd.as_raw_fd(), libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC));
    assert_eq!(events(&pidfd, 0), None);
    assert_eq!(events(&pidfd, 5000), Some(PollFlags::POLLIN));
    assert_eq!(reap(pidfd.as_fd()), Ok(WaitStatus::Exited(pid, 3)));
    let sleeping = sleeper();
    let pidfd = open(sleeping, 0).expect("pidfd_open");
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    epoll.add(&pidfd, EpollEvent::new(EpollFlags::EPOLLIN, 1)).expect("add");
    kill(sleeping, Signal::SIGKILL).expect("kill");
    assert_eq!(epoll.wait(&mut [EpollEvent::empty()], 5000u16), Ok(1));
    assert_eq!(reap(pidfd.as_fd()), Ok(WaitStatus::Signaled(sleeping, Signal::SIGKILL, false)));
}

fn waitid_on_a_pidfd_waits_for_the_child() {
    let pid = child(|| {
        thread::sleep(Duration::from_millis(80));
        9
    });
    let pidfd = open(pid, 0).expect("pidfd_open");
    let now = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    assert_eq!(waitid(Id::PIDFd(pidfd.as_fd()), now), Ok(WaitStatus::StillAlive));
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    assert_eq!(waitid(Id::PIDFd(pidfd.as_fd()), look), Ok(WaitStatus::Exited(pid, 9)));
    assert_eq!(reap(pidfd.as_fd()), Ok(WaitStatus::Exited(pid, 9)));
    assert_eq!(reap(pidfd.as_fd()), Err(Errno::ECHILD));
    let other = sleeper();
    let pidfd = open(other, libc::O_NONBLOCK.cast_unsigned()).expect("pidfd_open");
    assert_eq!(reap(pidfd.as_fd()), Err(Errno::EAGAIN));
    kill(other, Signal::SIGKILL).expect("kill");
}

fn waitid_that_does_not_block_loses_no_death() {
    for _ in 0..20 {
        let (reader, writer) = pipe().expect("pipe");
        let pid = child(move || {
            let _ = nix::unistd::read(&reader, &mut [0]);
            6
        });
        let pidfd = open(pid, libc::O_NONBLOCK.cast_unsigned()).expect("pidfd_open");
        assert_eq!(reap(pidfd.as_fd()), Err(Errno::EAGAIN));
        assert_eq!(write(&writer, b"x"), Ok(1));
        let end = loop {
            match reap(pidfd.as_fd()) {
                Err(Errno::EAGAIN) => thread::yield_now(),
                end => break end,
            }
        };
        assert_eq!(end, Ok(WaitStatus::Exited(pid, 6)));
    }
}

fn waitid_on_a_pidfd_of_no_child_gets_echild() {
    let own = open(getpid(), 0).expect("pidfd_open");
    assert_eq!(reap(own.as_fd()), Err(Errno::ECHILD));
    assert_eq!(waitid(Id::PIDFd(own.as_fd()), WaitPidFlag::WNOHANG), Err(Errno::EINVAL));
    let (reader, _writer) = pipe().expect("pipe");
    assert_eq!(reap(reader.as_fd()), Err(Errno::EBADF));
}

fn pidfd_of_a_zombie_opens() {
    let pid = child(|| 4);
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    assert_eq!(waitid(Id::Pid(pid), look), Ok(WaitStatus::Exited(pid, 4)));
    let pidfd = open(pid, 0).expect("pidfd_open");
    assert_eq!(events(&pidfd, 5000), Some(PollFlags::POLLIN));
    assert_eq!(send(pidfd.as_raw_fd(), 0, None, 0), Ok(()));
    assert_eq!(reap(pidfd.as_fd()), Ok(WaitStatus::Exited(pid, 4)));
    assert_eq!(events(&pidfd, 0), Some(PollFlags::POLLIN | PollFlags::POLLHUP));
    assert_eq!(open(pid, 0).err(), Some(Errno::ESRCH));
}

fn signal_reaches_the_process() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let own = open(getpid(), 0).expect("pidfd_open");
    send(own.as_raw_fd(), libc::SIGUSR1, None, 0).expect("pidfd_send_signal");
    assert_eq!((signal::count(), signal::CODE.load(Ordering::SeqCst)), (1, libc::SI_USER));
    let pid = sleeper();
    let pidfd = open(pid, 0).expect("pidfd_open");
    send(pidfd.as_raw_fd(), libc::SIGTERM, None, 0).expect("pidfd_send_signal");
    assert_eq!(reap(pidfd.as_fd()), Ok(WaitStatus::Signaled(pid, Signal::SIGTERM, false)));
}

fn queued_signal_carries_its_value() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let own = open(getpid(), 0).expect("pidfd_open");
    // SAFETY: siginfo_t is plain data.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    (info.si_signo, info.si_code) = (libc::SIGUSR1, libc::SI_QUEUE);
    assert_eq!(send(own.as_raw_fd(), libc::SIGUSR2, Some(&info), 0), Err(Errno::EINVAL));
    send(own.as_raw_fd(), libc::SIGUSR1, Some(&info), 0).expect("pidfd_send_signal");
    assert_eq!((signal::count(), signal::CODE.load(Ordering::SeqCst)), (1, libc::SI_QUEUE));
    let pid = sleeper();
    let other = open(pid, 0).expect("pidfd_open");
    info.si_code = libc::SI_USER;
    assert_eq!(send(other.as_raw_fd(), libc::SIGUSR1, Some(&info), 0), Err(Errno::EPERM));
    kill(pid, Signal::SIGKILL).expect("kill");
}

fn dead_process_gets_esrch() {
    let pid = child(|| 0);
    let pidfd = open(pid, 0).expect("pidfd_open");
    reap(pidfd.as_fd()).expect("waitid");
    assert_eq!(send(pidfd.as_raw_fd(), libc::SIGTERM, None, 0), Err(Errno::ESRCH));
    assert_eq!(getfd(&pidfd, 0, 0).err(), Some(Errno::ESRCH));
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).expect("fdinfo");
    assert!(info.contains("Pid:\t-1\n"), "{info}");
}

fn proc_directory_takes_signals_as_a_pidfd() {
    let pid = sleeper();
    let directory = File::open(format!("/proc/{pid}")).expect("open");
    assert_eq!(send(directory.as_raw_fd(), 0, None, 0), Ok(()));
    assert_eq!(send(directory.as_raw_fd(), libc::SIGTERM, None, 0), Ok(()));
    let pidfd = open(pid, 0).expect("pidfd_open");
    assert_eq!(reap(pidfd.as_fd()), Ok(WaitStatus::Signaled(pid, Signal::SIGTERM, false)));
    assert_eq!(send(directory.as_raw_fd(), 0, None, 0), Err(Errno::ESRCH));
    for other in ["/proc", "/proc/self/task", "/proc/thread-self", "/proc/self/stat", "/"] {
        let file = File::open(other).expect("open");
        assert_eq!(send(file.as_raw_fd(), 0, None, 0), Err(Errno::EBADF), "{other}");
    }
}

fn getfd_copies_a_descriptor() {
    let (reader, writer) = pipe().expect("pipe");
    let number = writer.as_raw_fd();
    let pid = sleeper();
    drop(writer);
    let pidfd = open(pid, 0).expect("pidfd_open");
    let copy = getfd(&pidfd, number, 0).expect("pidfd_getfd");
    write(&copy, b"through the child").expect("write");
    kill(pid, Signal::SIGKILL).expect("kill");
    reap(pidfd.as_fd()).expect("waitid");
    drop(copy);
    let mut all = String::new();
    File::from(reader).read_to_string(&mut all).expect("read");
    assert_eq!(all, "through the child");
}

fn info_tells_ids_and_credentials() {
    const PIDFD_GET_INFO: u32 = 0xc040_ff0b;
    let child = sleeper();
    let pidfd = open(child, 0).expect("pidfd_open");
    let mut words = [0_u32; 16];
    words[0] = 3;
    match raw!(SYS_ioctl, pidfd.as_raw_fd(), PIDFD_GET_INFO, words.as_mut_ptr()) {
        // A kernel before 6.13.
        Err(Errno::ENOTTY) => {}
        done => {
            done.expect("PIDFD_GET_INFO");
            // The mask has the ids and the credentials.
            assert_eq!(words[0] & 3, 3);
            let ids = [child.as_raw(), child.as_raw(), getpid().as_raw()].map(i32::cast_unsigned);
            assert_eq!(words[4..7], ids);
            assert_eq!(words[7..15], [0; 8]);
            let null = raw!(SYS_ioctl, pidfd.as_raw_fd(), PIDFD_GET_INFO, 0);
            assert_eq!(null, Err(Errno::EINVAL));
            let small = raw!(SYS_ioctl, pidfd.as_raw_fd(), 0xc020_ff0b_u32, words.as_mut_ptr());
            assert_eq!(small, Err(Errno::ENOTTY));
        }
    }
    kill(child, Signal::SIGKILL).expect("kill");
    reap(pidfd.as_fd()).expect("waitid");
}

fn fdinfo_names_the_process() {
    let own = open(getpid(), 0).expect("pidfd_open");
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", own.as_raw_fd())).expect("fdinfo");
    let line = format!("Pid:\t{}\n", std::process::id());
    assert!(info.contains(&line), "{info}");
    let link = fs::read_link(format!("/proc/self/fd/{}", own.as_raw_fd())).expect("readlink");
    assert_eq!(link.to_str(), Some("anon_inode:[pidfd]"));
}

fn calls_check_their_arguments() {
    let own = open(getpid(), 0).expect("pidfd_open");
    assert_eq!(open(Pid::from_raw(0), 0).err(), Some(Errno::EINVAL));
    assert_eq!(open(Pid::from_raw(-1), 0).err(), Some(Errno::EINVAL));
    assert_eq!(open(getpid(), 1).err(), Some(Errno::EINVAL));
    assert_eq!(open(Pid::from_raw(4_000_000), 0).err(), Some(Errno::ESRCH));
    let (told, tid) = std::sync::mpsc::channel();
    let (finish, end) = std::sync::mpsc::channel::<()>();
    let other = thread::spawn(move || {
        // SAFETY: gettid(2) takes no argument.
        told.send(unsafe { libc::gettid() }).expect("send");
        let _ = end.recv();
    });
    assert_eq!(open(Pid::from_raw(tid.recv().expect("recv")), 0).err(), Some(Errno::ENOENT));
    drop(finish);
    other.join().expect("join");
    assert_eq!(send(0, libc::SIGTERM, None, 0), Err(Errno::EBADF));
    assert_eq!(send(own.as_raw_fd(), 65, None, 0), Err(Errno::EINVAL));
    assert_eq!(send(own.as_raw_fd(), 0, None, 8), Err(Errno::EINVAL));
    assert_eq!(getfd(&own, 99, 0).err(), Some(Errno::EBADF));
    assert_eq!(getfd(&own, 0, 1).err(), Some(Errno::EINVAL));
    assert_eq!(getfd(&own, 0, 0).map(|copy| copy.as_raw_fd() > 2), Ok(true));
}
