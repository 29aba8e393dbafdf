//! Signals: delivery, restart, masks, queues, stacks, faults, timers, stops and groups.

use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use integration::checks;
use integration::guest::{self, fd, fork_child, in_child, signal};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigHandler, SigSet, Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
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
        segv_handler_sees_the_address,
        alternate_stack_carries_an_overflow,
        reset_flag_works_once,
        nodefer_flag_allows_nesting,
        mask_of_the_handler_is_restored,
        stop_and_continue,
        sigkill_and_sigstop_cannot_be_caught,
        tgkill_reaches_that_thread,
        process_signal_goes_to_a_thread_that_lets_it,
        sigpending_shows_both_kinds,
        abort_dies_by_sigabrt,
        divide_error_and_illegal_instruction,
        pause_returns_after_a_handler,
        signal_during_blocked_wait_of_many_threads,
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

/// A handler that notes the fault and leaves the process with a status that tells about it.
extern "C" fn leave(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo.
    let info = unsafe { &*info };
    // SAFETY: a fault carries an address.
    let address = unsafe { info.si_addr() } as usize;
    let good = match signal {
        libc::SIGSEGV => address == 0x1234 && info.si_code == 1,
        _ => address != 0,
    };
    // SAFETY: _exit takes no pointer.
    unsafe { libc::_exit(if good { 40 } else { 41 }) }
}

fn install(
    signal: Signal,
    handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void),
    flags: SaFlags,
) {
    use nix::sys::signal::{SigAction, sigaction};
    let action = SigAction::new(SigHandler::SigAction(handler), flags | SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handlers of this file make only async-signal-safe calls.
    unsafe { sigaction(signal, &action) }.expect("sigaction");
}

fn segv_handler_sees_the_address() {
    let status = in_child(|| {
        install(Signal::SIGSEGV, leave, SaFlags::empty());
        // SAFETY: the fault is the point; the handler does not return.
        unsafe { (0x1234 as *const u8).read_volatile() };
        0
    });
    assert_eq!(status, 40);
}

extern "C" fn leave_at_once(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: _exit takes no pointer.
    unsafe { libc::_exit(50) }
}

fn alternate_stack_carries_an_overflow() {
    fn endless(depth: u64) -> u64 {
        let block = std::hint::black_box([depth; 256]);
        if depth == u64::MAX { 0 } else { endless(depth + 1).wrapping_add(block[3]) }
    }
    let status = in_child(|| {
        let mut memory = vec![0_u8; 65536];
        let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
        // SAFETY: the memory lives until the process ends.
        assert_eq!(unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) }, 0);
        install(Signal::SIGSEGV, leave_at_once, SaFlags::SA_ONSTACK);
        (endless(0) % 7) as i32
    });
    assert_eq!(status, 50);
}

fn reset_flag_works_once() {
    let status = in_child(|| {
        signal::note(Signal::SIGUSR1, SaFlags::SA_RESETHAND);
        raise(Signal::SIGUSR1).expect("raise");
        assert_eq!(signal::count(), 1);
        raise(Signal::SIGUSR1).expect("raise");
        0
    });
    assert_eq!(status, 128 + libc::SIGUSR1);
}

extern "C" fn nest(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    if signal::COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3 {
        // SAFETY: raise is async-signal-safe.
        unsafe { libc::raise(libc::SIGUSR1) };
        let depth = signal::count();
        signal::LAST.fetch_max(depth.cast_signed(), std::sync::atomic::Ordering::SeqCst);
    }
}

fn nodefer_flag_allows_nesting() {
    install(Signal::SIGUSR1, nest, SaFlags::SA_NODEFER);
    raise(Signal::SIGUSR1).expect("raise");
    assert_eq!(signal::count(), 4);
}

fn mask_of_the_handler_is_restored() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let before = SigSet::thread_get_mask().expect("mask");
    raise(Signal::SIGUSR1).expect("raise");
    assert_eq!(SigSet::thread_get_mask().expect("mask"), before);
}

fn stop_and_continue() {
    let (reader, writer) = pipe().expect("pipe");
    let child = fork_child(|| {
        signal::note(Signal::SIGCONT, SaFlags::empty());
        raise(Signal::SIGTSTP).expect("raise");
        write(&writer, &[u8::from(signal::count() == 1)]).expect("write");
        0
    });
    assert_eq!(waitpid(child, Some(WaitPidFlag::WUNTRACED)), Ok(WaitStatus::Stopped(child, Signal::SIGTSTP)));
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).expect("stat");
    assert!(stat.contains(") T "), "{stat}");
    kill(child, Signal::SIGCONT).expect("kill");
    let mut byte = [0];
    read(&reader, &mut byte).expect("read");
    assert_eq!((byte, guest::wait_raw(child.as_raw())), ([1], 0));
}

fn sigkill_and_sigstop_cannot_be_caught() {
    use nix::sys::signal::{SigAction, sigaction};
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        // SAFETY: refused.
        assert_eq!(unsafe { sigaction(signal, &action) }, Err(Errno::EINVAL));
    }
}

fn tgkill_reaches_that_thread() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        sender.send(gettid().as_raw()).expect("send");
        while signal::count() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let target = receiver.recv().expect("receive");
    let tgkill = |group: i32, thread: i32| {
        // SAFETY: the call takes no pointer.
        Errno::result(unsafe { libc::syscall(libc::SYS_tgkill, group, thread, libc::SIGUSR1) })
    };
    assert_eq!(tgkill(getpid().as_raw(), target), Ok(0));
    thread.join().expect("join");
    assert_eq!(signal::THREAD.load(std::sync::atomic::Ordering::SeqCst), target);
    assert_eq!(tgkill(1, target), Err(Errno::ESRCH));
    assert_eq!(tgkill(-1, target), Err(Errno::EINVAL));
}

fn process_signal_goes_to_a_thread_that_lets_it() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let (reader, writer) = pipe().expect("pipe");
    let thread = thread::spawn(move || {
        let result = read(&reader, &mut [0]);
        (result, gettid().as_raw())
    });
    set_of(&[Signal::SIGUSR1]).thread_block().expect("block");
    thread::sleep(Duration::from_millis(60));
    kill(getpid(), Signal::SIGUSR1).expect("kill");
    let (result, id) = thread.join().expect("join");
    assert_eq!((result, signal::THREAD.load(std::sync::atomic::Ordering::SeqCst)), (Err(Errno::EINTR), id));
    drop(writer);
}

fn sigpending_shows_both_kinds() {
    set_of(&[Signal::SIGUSR1, Signal::SIGUSR2]).thread_block().expect("block");
    kill(getpid(), Signal::SIGUSR1).expect("kill");
    raise(Signal::SIGUSR2).expect("raise");
    let mut set = realtime_set(libc::SIGHUP);
    // SAFETY: a writable set.
    assert_eq!(unsafe { libc::sigpending(&mut set) }, 0);
    for (signal, expected) in [(libc::SIGUSR1, 1), (libc::SIGUSR2, 1), (libc::SIGHUP, 0)] {
        // SAFETY: an initialised set.
        assert_eq!(unsafe { libc::sigismember(&set, signal) }, expected);
    }
}

fn abort_dies_by_sigabrt() {
    let status = in_child(|| {
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0).expect("setrlimit");
        std::process::abort()
    });
    assert_eq!(status, 128 + libc::SIGABRT);
}

fn divide_error_and_illegal_instruction() {
    let status = in_child(|| {
        install(Signal::SIGFPE, leave, SaFlags::empty());
        // SAFETY: the fault is the point.
        unsafe {
            std::arch::asm!("xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _)
        };
        0
    });
    assert_eq!(status, 40);
    let status = in_child(|| {
        install(Signal::SIGILL, leave, SaFlags::empty());
        // SAFETY: the fault is the point.
        unsafe { std::arch::asm!("ud2") };
        0
    });
    assert_eq!(status, 40);
}

fn pause_returns_after_a_handler() {
    signal::note(Signal::SIGUSR1, SaFlags::SA_RESTART);
    let thread = later(50, Signal::SIGUSR1);
    nix::unistd::pause();
    assert_eq!(signal::count(), 1);
    thread.join().expect("join");
}

fn signal_during_blocked_wait_of_many_threads() {
    signal::note(Signal::SIGUSR1, SaFlags::SA_RESTART);
    let (reader, writer) = pipe().expect("pipe");
    let reader = std::sync::Arc::new(reader);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let reader = std::sync::Arc::clone(&reader);
            thread::spawn(move || read(&*reader, &mut [0]))
        })
        .collect();
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(3));
        kill(getpid(), Signal::SIGUSR1).expect("kill");
    }
    write(&writer, b"12345678").expect("write");
    for thread in threads {
        assert_eq!(thread.join().expect("join"), Ok(1));
    }
    assert_eq!(signal::count(), 20);
}
