//! Signals: delivery, restart, masks, queues, stacks, faults, timers, stops and groups.

use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use integration::checks;
use integration::guest::{self, fd, fork_child, in_child, signal};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigHandler, SigSet, Signal, kill, raise};
use nix::unistd::{Pid, getpgrp, getpid, gettid, pipe, read, setpgid, write};

fn main() -> ExitCode {
    guest::main(checks![
        handler_runs_before_kill_returns,
        blocked_signal_waits_until_unblocked,
        standard_signals_do_not_queue,
        realtime_signals_queue_in_order_with_values,
        restart_flag_restarts_a_pipe_read,
        without_restart_flag_read_gets_eintr,
        interrupted_write_reports_what_it_wrote,
        nanosleep_is_interrupted_with_the_rest,
        ignored_signal_does_not_interrupt,
        sigchld_comes_with_pid_and_status,
        sigchld_interrupts_a_read,
        kill_from_another_process_names_the_sender,
        kill_of_missing_gets_esrch,
        kill_with_bad_number_gets_einval,
        kill_zero_only_asks,
        kill_of_group_reaches_all,
        sigsuspend_swaps_the_mask_and_returns,
        sigwaitinfo_takes_a_blocked_signal,
        sigtimedwait_times_out,
        signalfd_reads_a_blocked_signal,
        alarm_fires_and_reports_the_rest,
        interval_timer_repeats,
        posix_timer_signals,
    ])
}

fn set_of(signals: &[Signal]) -> SigSet {
    signals.iter().copied().collect()
}

fn later(delay_ms: u64, signal: Signal) -> thread::JoinHandle<()> {
    let pid = getpid();
    // Only the main thread may take it.
    let all = SigSet::all();
    thread::spawn(move || {
        all.thread_block().expect("block");
        thread::sleep(Duration::from_millis(delay_ms));
        kill(pid, signal).expect("kill");
    })
}

fn handler_runs_before_kill_returns() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    for n in 1..=100 {
        kill(getpid(), Signal::SIGUSR1).expect("kill");
        assert_eq!(signal::count(), n);
    }
    use std::sync::atomic::Ordering::SeqCst;
    assert_eq!((signal::SENDER.load(SeqCst), signal::CODE.load(SeqCst)), (getpid().as_raw(), libc::SI_USER));
    raise(Signal::SIGUSR1).expect("raise");
    assert_eq!((signal::THREAD.load(SeqCst), signal::CODE.load(SeqCst)), (gettid().as_raw(), libc::SI_TKILL));
}

fn blocked_signal_waits_until_unblocked() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let set = set_of(&[Signal::SIGUSR1]);
    set.thread_block().expect("block");
    kill(getpid(), Signal::SIGUSR1).expect("kill");
    assert_eq!(signal::count(), 0);
    set.thread_unblock().expect("unblock");
    assert_eq!(signal::count(), 1);
}

fn standard_signals_do_not_queue() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let set = set_of(&[Signal::SIGUSR1]);
    set.thread_block().expect("block");
    (0..10).for_each(|_| kill(getpid(), Signal::SIGUSR1).expect("kill"));
    set.thread_unblock().expect("unblock");
    assert_eq!(signal::count(), 1);
}

/// A set with one real-time signal, which nix has no name for.
fn realtime_set(signal: i32) -> libc::sigset_t {
    // SAFETY: sigset_t is plain data, and the next call initialises it.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is writable.
    unsafe { libc::sigemptyset(&mut set) };
    // SAFETY: the set is initialised.
    unsafe { libc::sigaddset(&mut set, signal) };
    set
}

fn realtime_signals_queue_in_order_with_values() {
    let signal = libc::SIGRTMIN() + 3;
    let set = realtime_set(signal);
    // SAFETY: an initialised set.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    for n in 0..20_usize {
        let value = libc::sigval { sival_ptr: n as *mut libc::c_void };
        // SAFETY: the value is only carried.
        let result = unsafe { libc::sigqueue(getpid().as_raw(), signal, value) };
        assert_eq!(result, 0);
    }
    for n in 0..20_usize {
        // SAFETY: siginfo_t is plain data.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: an initialised set and a writable info.
        let got = unsafe { libc::sigwaitinfo(&set, &mut info) };
        // SAFETY: a queued signal carries a value.
        let value = unsafe { info.si_value() };
        assert_eq!((got, value.sival_ptr as usize, info.si_code), (signal, n, libc::SI_QUEUE));
    }
}

fn restart_flag_restarts_a_pipe_read() {
    signal::note(Signal::SIGUSR1, SaFlags::SA_RESTART);
    let (reader, writer) = pipe().expect("pipe");
    let first = later(60, Signal::SIGUSR1);
    let second = thread::spawn(move || {
        SigSet::all().thread_block().expect("block");
        thread::sleep(Duration::from_millis(200));
        write(&writer, b"x").expect("write");
    });
    assert_eq!(read(&reader, &mut [0]), Ok(1));
    assert_eq!(signal::count(), 1);
    first.join().expect("join");
    second.join().expect("join");
}

fn without_restart_flag_read_gets_eintr() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let (reader, _writer) = pipe().expect("pipe");
    let thread = later(60, Signal::SIGUSR1);
    assert_eq!(read(&reader, &mut [0]), Err(Errno::EINTR));
    assert_eq!(signal::count(), 1);
    thread.join().expect("join");
}

fn interrupted_write_reports_what_it_wrote() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let (_reader, writer) = pipe().expect("pipe");
    let thread = later(60, Signal::SIGUSR1);
    assert_eq!(write(&writer, &vec![0; 100_000]), Ok(65536));
    thread.join().expect("join");
    let thread = later(60, Signal::SIGUSR1);
    assert_eq!(write(&writer, b"x"), Err(Errno::EINTR));
    thread.join().expect("join");
}

fn nanosleep_is_interrupted_with_the_rest() {
    signal::note(Signal::SIGUSR1, SaFlags::SA_RESTART);
    let thread = later(60, Signal::SIGUSR1);
    let time = libc::timespec { tv_sec: 20, tv_nsec: 0 };
    let mut rest = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both outlive the call.
    let result = unsafe { libc::nanosleep(&time, &mut rest) };
    assert_eq!((result, Errno::last()), (-1, Errno::EINTR));
    assert!((10..20).contains(&rest.tv_sec));
    thread.join().expect("join");
}

fn ignored_signal_does_not_interrupt() {
    signal::plain(Signal::SIGUSR1, SigHandler::SigIgn);
    let (reader, writer) = pipe().expect("pipe");
    let first = later(40, Signal::SIGUSR1);
    let second = later(60, Signal::SIGWINCH);
    let third = thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        write(&writer, b"x").expect("write");
    });
    assert_eq!(read(&reader, &mut [0]), Ok(1));
    for thread in [first, second, third] {
        thread.join().expect("join");
    }
}

fn sigchld_comes_with_pid_and_status() {
    use std::sync::atomic::Ordering::SeqCst;
    signal::note(Signal::SIGCHLD, SaFlags::SA_RESTART);
    let set = set_of(&[Signal::SIGCHLD]);
    set.thread_block().expect("block");
    let child = fork_child(|| 33);
    assert_eq!(guest::wait_raw(child.as_raw()), 33 << 8);
    set.thread_unblock().expect("unblock");
    assert_eq!(signal::count(), 1);
    assert_eq!(
        (signal::SENDER.load(SeqCst), signal::STATUS.load(SeqCst), signal::CODE.load(SeqCst)),
        (child.as_raw(), 33, libc::CLD_EXITED)
    );
}

fn sigchld_interrupts_a_read() {
    signal::note(Signal::SIGCHLD, SaFlags::empty());
    let (reader, _writer) = pipe().expect("pipe");
    let child = fork_child(|| {
        thread::sleep(Duration::from_millis(80));
        0
    });
    assert_eq!(read(&reader, &mut [0]), Err(Errno::EINTR));
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
}

fn kill_from_another_process_names_the_sender() {
    signal::note(Signal::SIGUSR2, SaFlags::empty());
    let parent = getpid();
    let child = fork_child(|| i32::from(kill(parent, Signal::SIGUSR2).is_err()));
    guest::wait_raw(child.as_raw());
    use std::sync::atomic::Ordering::SeqCst;
    assert_eq!((signal::count(), signal::SENDER.load(SeqCst)), (1, child.as_raw()));
}

fn kill_of_missing_gets_esrch() {
    let child = fork_child(|| 0);
    guest::wait_raw(child.as_raw());
    assert_eq!(kill(child, Signal::SIGTERM), Err(Errno::ESRCH));
    assert_eq!(kill(Pid::from_raw(-999_999), Signal::SIGTERM), Err(Errno::ESRCH));
}

fn kill_with_bad_number_gets_einval() {
    for number in [65, -1, i32::MAX] {
        // SAFETY: kill takes no pointer.
        assert_eq!(Errno::result(unsafe { libc::kill(0, number) }), Err(Errno::EINVAL));
    }
}

fn kill_zero_only_asks() {
    kill(getpid(), None).expect("alive");
    let child = fork_child(|| 0);
    thread::sleep(Duration::from_millis(20));
    kill(child, None).expect("a zombie still has its pid");
    guest::wait_raw(child.as_raw());
    assert_eq!(kill(child, None), Err(Errno::ESRCH));
}

fn kill_of_group_reaches_all() {
    let (reader, writer) = pipe().expect("pipe");
    let leader = fork_child(|| {
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).expect("setpgid");
        let members: Vec<_> = (0..3)
            .map(|_| {
                fork_child(|| {
                    nix::unistd::pause();
                    0
                })
            })
            .collect();
        signal::note(Signal::SIGTERM, SaFlags::empty());
        write(&writer, b"x").expect("write");
        while signal::count() == 0 {
            nix::unistd::pause();
        }
        let all = members.iter().all(|pid| guest::wait_raw(pid.as_raw()) == libc::SIGTERM);
        i32::from(!all)
    });
    read(&reader, &mut [0]).expect("read");
    thread::sleep(Duration::from_millis(20));
    kill(Pid::from_raw(-leader.as_raw()), Signal::SIGTERM).expect("killpg");
    assert_eq!(guest::wait_raw(leader.as_raw()), 0);
    assert_ne!(getpgrp(), leader);
}

fn sigsuspend_swaps_the_mask_and_returns() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let set = set_of(&[Signal::SIGUSR1]);
    set.thread_block().expect("block");
    kill(getpid(), Signal::SIGUSR1).expect("kill");
    SigSet::empty().suspend().expect("a handler ran");
    assert_eq!(signal::count(), 1);
    assert!(SigSet::thread_get_mask().expect("mask").contains(Signal::SIGUSR1));
}

fn sigwaitinfo_takes_a_blocked_signal() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let set = set_of(&[Signal::SIGUSR1, Signal::SIGUSR2]);
    set.thread_block().expect("block");
    let thread = later(50, Signal::SIGUSR2);
    assert_eq!(set.wait(), Ok(Signal::SIGUSR2));
    thread.join().expect("join");
    assert_eq!(signal::count(), 0);
}

fn sigtimedwait_times_out() {
    let set = realtime_set(libc::SIGUSR1);
    let time = libc::timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    let start = Instant::now();
    // SAFETY: set and time outlive the call.
    let result = unsafe { libc::sigtimedwait(&set, std::ptr::null_mut(), &time) };
    assert_eq!((result, Errno::last()), (-1, Errno::EAGAIN));
    assert!(start.elapsed() >= Duration::from_millis(50));
}

fn signalfd_reads_a_blocked_signal() {
    let set = realtime_set(libc::SIGUSR1);
    set_of(&[Signal::SIGUSR1]).thread_block().expect("block");
    // SAFETY: an initialised set.
    let number = Errno::result(unsafe { libc::signalfd(-1, &set, libc::SFD_NONBLOCK) }).expect("signalfd");
    let file = fd::own(number);
    let mut bytes = [0; 256];
    assert_eq!(fd::read(file.as_raw_fd(), &mut bytes), Err(Errno::EAGAIN));
    kill(getpid(), Signal::SIGUSR1).expect("kill");
    assert_eq!(fd::read(file.as_raw_fd(), &mut bytes), Ok(128));
    assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().expect("4")), libc::SIGUSR1.cast_unsigned());
}

fn alarm_fires_and_reports_the_rest() {
    signal::note(Signal::SIGALRM, SaFlags::empty());
    assert_eq!(nix::unistd::alarm::set(30), None);
    assert_eq!(nix::unistd::alarm::set(1), Some(30));
    nix::unistd::pause();
    assert_eq!((signal::count(), nix::unistd::alarm::cancel()), (1, None));
    // It is not inherited.
    nix::unistd::alarm::set(1);
    assert_eq!(in_child(|| i32::from(nix::unistd::alarm::cancel().is_some())), 0);
}

fn interval_timer_repeats() {
    signal::note(Signal::SIGALRM, SaFlags::SA_RESTART);
    let every = libc::timeval { tv_sec: 0, tv_usec: 10_000 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: the timer outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const timer, 0_usize) };
    assert_eq!(result, 0);
    while signal::count() < 5 {
        nix::unistd::pause();
    }
}

fn posix_timer_signals() {
    let signal = libc::SIGUSR2;
    signal::note(Signal::SIGUSR2, SaFlags::empty());
    // SAFETY: sigevent is plain data.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = signal;
    let mut timer: libc::timer_t = std::ptr::null_mut();
    // SAFETY: both outlive the call.
    assert_eq!(unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &mut event, &mut timer) }, 0);
    let short = libc::timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let spec = libc::itimerspec { it_interval: short, it_value: short };
    // SAFETY: a timer that was just made.
    assert_eq!(unsafe { libc::timer_settime(timer, 0, &spec, std::ptr::null_mut()) }, 0);
    while signal::count() < 3 {
        nix::unistd::pause();
    }
    assert_eq!(signal::CODE.load(std::sync::atomic::Ordering::SeqCst), libc::SI_TIMER);
    // SAFETY: the same timer, once.
    assert_eq!(unsafe { libc::timer_delete(timer) }, 0);
}
