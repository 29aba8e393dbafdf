//! signalfd(2): what a read gives, and when it is ready.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use integration::checks;
use integration::guest::{self, fd};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, getpid, getuid};

fn main() -> ExitCode {
    guest::main(checks![
        read_gives_what_was_sent,
        read_takes_several_at_once,
        read_waits_for_a_signal,
        read_tells_of_a_child,
        realtime_signals_carry_their_values,
        nonblocking_read_gets_eagain,
        mask_can_be_changed,
        poll_and_epoll_see_pending_signals,
        epoll_waits_for_a_signal_from_a_child,
        child_sees_its_own_signals,
        thread_signals_are_the_threads_own,
        calls_check_their_arguments,
    ])
}

fn block(signals: &[Signal]) -> SigSet {
    let set: SigSet = signals.iter().copied().collect();
    set.thread_block().expect("block");
    set
}

fn open(signals: &[Signal], flags: SfdFlags) -> SignalFd {
    SignalFd::with_flags(&block(signals), flags).expect("signalfd")
}

fn next(fd: &SignalFd) -> siginfo {
    fd.read_signal().expect("read").expect("a signal")
}

fn is_ready(fd: &impl AsFd, ms: u8) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(ms)).expect("poll") == 1
}

fn child(run: impl FnOnce()) -> nix::unistd::Pid {
    // SAFETY: checks run in a process of one thread.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            run();
            std::process::exit(0)
        }
    }
}

fn read_gives_what_was_sent() {
    let fd = open(&[Signal::SIGUSR1], SfdFlags::empty());
    kill(getpid(), Signal::SIGUSR1).expect("kill");
    let info = next(&fd);
    assert_eq!((info.ssi_signo, info.ssi_code), (libc::SIGUSR1.cast_unsigned(), libc::SI_USER));
    assert_eq!((info.ssi_pid, info.ssi_uid), (std::process::id(), getuid().as_raw()));
    assert_eq!((info.ssi_ptr, info.ssi_status, info.ssi_addr), (0, 0, 0));
    assert!(!is_ready(&fd, 0), "it has been taken");
}

fn read_takes_several_at_once() {
    let fd = open(&[Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGHUP], SfdFlags::empty());
    for signal in [Signal::SIGUSR2, Signal::SIGHUP, Signal::SIGUSR1] {
        raise(signal).expect("raise");
    }
    let mut bytes = [0; 128 * 2 + 50];
    assert_eq!(fd::read(fd.as_fd().as_raw_fd(), &mut bytes), Ok(256));
    assert_eq!((i32::from(bytes[0]), i32::from(bytes[128])), (libc::SIGHUP, libc::SIGUSR1));
    assert_eq!(next(&fd).ssi_signo, libc::SIGUSR2.cast_unsigned());
}

fn read_waits_for_a_signal() {
    let fd = open(&[Signal::SIGUSR1], SfdFlags::empty());
    let parent = getpid();
    let sender = child(|| {
        thread::sleep(Duration::from_millis(60));
        kill(parent, Signal::SIGUSR1).expect("kill");
    });
    assert_eq!(next(&fd).ssi_pid, sender.as_raw().cast_unsigned());
    waitpid(sender, None).expect("waitpid");
}

fn read_tells_of_a_child() {
    let fd = open(&[Signal::SIGCHLD], SfdFlags::empty());
    let pid = child(|| std::process::exit(7));
    let info = next(&fd);
    assert_eq!((info.ssi_signo, info.ssi_code), (libc::SIGCHLD.cast_unsigned(), libc::CLD_EXITED));
    assert_eq!((info.ssi_pid, info.ssi_status), (pid.as_raw().cast_unsigned(), 7));
    waitpid(pid, None).expect("waitpid");
}

fn realtime_signals_carry_their_values() {
    let signal = libc::SIGRTMIN() + 2;
    let mut set = SigSet::empty().as_ref().to_owned();
    // SAFETY: the set is initialised and writable.
    unsafe { libc::sigaddset(&mut set, signal) };
    // SAFETY: an initialised set.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    // SAFETY: an initialised set.
    let number = unsafe { libc::signalfd(-1, &set, 0) };
    let fd: OwnedFd = fd::own(number);
    for value in [5_usize, 6] {
        let value = libc::sigval { sival_ptr: value as *mut libc::c_void };
        // SAFETY: the value is only carried.
        assert_eq!(unsafe { libc::sigqueue(getpid().as_raw(), signal, value) }, 0);
    }
    let mut bytes = [0; 256];
    assert_eq!(fd::read(fd.as_raw_fd(), &mut bytes), Ok(256));
    assert_eq!((bytes[44], bytes[48], bytes[128 + 44], bytes[128 + 48]), (5, 5, 6, 6));
    assert_eq!(bytes[8..12], libc::SI_QUEUE.to_ne_bytes());
}

fn nonblocking_read_gets_eagain() {
    let fd = open(&[Signal::SIGUSR1], SfdFlags::SFD_NONBLOCK);
    assert!(fd.read_signal().expect("read").is_none());
    raise(Signal::SIGUSR1).expect("raise");
    assert!(fd.read_signal().expect("read").is_some());
    assert!(fd.read_signal().expect("read").is_none());
}

fn mask_can_be_changed() {
    let fd = open(&[Signal::SIGUSR1, Signal::SIGUSR2], SfdFlags::SFD_NONBLOCK);
    raise(Signal::SIGUSR1).expect("raise");
    fd.set_mask(&[Signal::SIGUSR2].into_iter().collect()).expect("signalfd");
    assert!(fd.read_signal().expect("read").is_none());
    fd.set_mask(&[Signal::SIGUSR1].into_iter().collect()).expect("signalfd");
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()));
    assert!(info.expect("fdinfo").contains("sigmask:\t0000000000000200\n"));
    assert_eq!(next(&fd).ssi_signo, libc::SIGUSR1.cast_unsigned());
}

fn poll_and_epoll_see_pending_signals() {
    let fd = open(&[Signal::SIGUSR1], SfdFlags::empty());
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    epoll.add(&fd, EpollEvent::new(EpollFlags::EPOLLIN, 3)).expect("add");
    let mut events = [EpollEvent::empty()];
    assert!(!is_ready(&fd, 0));
    assert_eq!(epoll.wait(&mut events, EpollTimeout::ZERO), Ok(0));
    raise(Signal::SIGUSR1).expect("raise");
    assert!(is_ready(&fd, 0));
    assert_eq!(epoll.wait(&mut events, 1000u16), Ok(1));
    assert_eq!(events[0].data(), 3);
    next(&fd);
    assert_eq!(epoll.wait(&mut events, EpollTimeout::ZERO), Ok(0));
}

fn epoll_waits_for_a_signal_from_a_child() {
    let fd = open(&[Signal::SIGCHLD, Signal::SIGTERM], SfdFlags::SFD_NONBLOCK);
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    epoll.add(&fd, EpollEvent::new(EpollFlags::EPOLLIN, 3)).expect("add");
    let parent = getpid();
    let sender = child(|| {
        thread::sleep(Duration::from_millis(200));
        kill(parent, Signal::SIGTERM).expect("kill");
        thread::sleep(Duration::from_millis(300));
    });
    let mut events = [EpollEvent::empty()];
    for signal in [libc::SIGTERM, libc::SIGCHLD] {
        assert_eq!(epoll.wait(&mut events, 5000u16), Ok(1));
        assert_eq!(next(&fd).ssi_signo, signal.cast_unsigned());
    }
    waitpid(sender, None).expect("waitpid");
}

fn child_sees_its_own_signals() {
    let fd = open(&[Signal::SIGUSR1], SfdFlags::SFD_NONBLOCK);
    raise(Signal::SIGUSR1).expect("raise");
    let status = guest::in_child(|| {
        assert!(!is_ready(&fd, 0) && fd.read_signal().expect("read").is_none());
        raise(Signal::SIGUSR1).expect("raise");
        i32::from(next(&fd).ssi_pid != std::process::id())
    });
    assert_eq!(status, 0);
    next(&fd);
}

fn thread_signals_are_the_threads_own() {
    let fd = open(&[Signal::SIGUSR1], SfdFlags::SFD_NONBLOCK);
    // raise(3) is for the calling thread.
    raise(Signal::SIGUSR1).expect("raise");
    thread::scope(|scope| {
        scope.spawn(|| assert!(fd.read_signal().expect("read").is_none()));
    });
    next(&fd);
}

fn calls_check_their_arguments() {
    let mask = 0_u64;
    let call = |number: i32, mask: *const u64, size: usize, flags: i32| {
        // SAFETY: the mask is live or null, which the kernel refuses.
        Errno::result(unsafe { libc::syscall(libc::SYS_signalfd4, number, mask, size, flags) })
    };
    assert_eq!(call(-1, &mask, 4, 0), Err(Errno::EINVAL));
    assert_eq!(call(-1, std::ptr::null(), 8, 0), Err(Errno::EFAULT));
    assert_eq!(call(-1, &mask, 8, 1), Err(Errno::EINVAL));
    assert_eq!(call(0, &mask, 8, 0), Err(Errno::EINVAL));
    assert_eq!(call(99, &mask, 8, 0), Err(Errno::EBADF));
    let fd = open(&[Signal::SIGUSR1], SfdFlags::empty());
    assert_eq!(fd::read(fd.as_fd().as_raw_fd(), &mut [0; 127]), Err(Errno::EINVAL));
    assert_eq!(fd::write(fd.as_fd().as_raw_fd(), &[0; 128]), Err(Errno::EINVAL));
    raise(Signal::SIGUSR1).expect("raise");
    // SAFETY: the kernel refuses the address.
    let result = unsafe { libc::syscall(libc::SYS_read, fd.as_fd().as_raw_fd(), 8, 128) };
    assert_eq!(Errno::result(result), Err(Errno::EFAULT));
}
