//! Signals of faults, stops and threads; alternate stacks; handlers' flags and masks.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use integration::checks;
use integration::guest::{self, fork_child, in_child, signal};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigHandler, SigSet, Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{getpid, gettid, pipe, read, write};

fn main() -> ExitCode {
    guest::main(checks![
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
