//! Signal handlers: which calls they interrupt, with SA_RESTART and without, and what rt_sigaction(2) says of them.

use std::ffi::CStr;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{mem, ptr, thread};

use integration::checks;
use integration::guest::{self, fork_child, in_child, signal};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, Signal, raise};

fn main() -> ExitCode {
    guest::main(checks![
        storm_without_restart_flag_interrupts_no_call_that_does_not_wait,
        storm_leaves_waitpid_that_does_not_wait_alone,
        waits_for_children_are_interrupted_without_the_flag,
        waits_for_children_restart_with_the_flag,
        semaphore_wait_is_interrupted_without_the_flag,
        semaphore_wait_restarts_with_the_flag,
        semaphore_wait_with_a_limit_is_interrupted,
        semaphore_wait_of_another_thread_is_interrupted,
        nanosleep_is_interrupted_with_the_flag_and_without,
        old_action_is_what_was_set,
        bad_arguments_of_sigaction_are_refused,
        handlers_are_inherited_by_fork,
        exec_resets_handlers_and_keeps_ignored_signals,
        spawning_leaves_handlers_of_the_parent_alone,
        reset_hand_calls_once_and_reads_back_as_default,
        no_defer_nests_and_the_default_does_not,
        handler_mask_holds_while_it_runs,
        alternate_stack_is_used,
        frame_of_a_handler_is_that_of_the_call,
        threads_set_handlers_of_their_own_signals,
        threads_that_set_one_signal_leave_one_whole_action,
    ])
}

/// What the kernel's own structure holds, which libc's wrapper hides a part of.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct KernelAction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

fn raw_sigaction(
    signal: i32,
    act: *const KernelAction,
    old: *mut KernelAction,
    size: usize,
) -> Result<(), Errno> {
    // SAFETY: the callers pass live structures, or addresses that must be refused.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, act, old, size) };
    Errno::result(result).map(drop)
}

fn action_of(signal: Signal) -> KernelAction {
    let mut action = KernelAction::default();
    raw_sigaction(signal as i32, ptr::null(), &mut action, 8).expect("query");
    action
}

/// Installs `handler` through libc.
fn install(signal: i32, handler: usize, flags: libc::c_int, mask: &[Signal]) {
    // SAFETY: sigaction is plain data.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    (action.sa_sigaction, action.sa_flags) = (handler, flags);
    for &blocked in mask {
        // SAFETY: a set of zeroes is the empty one.
        unsafe { libc::sigaddset(&mut action.sa_mask, blocked as i32) };
    }
    // SAFETY: the handlers of this file make async-signal-safe calls and store to atomics only.
    assert_eq!(unsafe { libc::sigaction(signal, &action, ptr::null_mut()) }, 0);
}

fn timer(first_us: i64, every_us: i64) {
    let time = |us| libc::timeval { tv_sec: us / 1_000_000, tv_usec: us % 1_000_000 };
    let timer = libc::itimerval { it_interval: time(every_us), it_value: time(first_us) };
    // SAFETY: the timer outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &raw const timer, 0_usize) };
    assert_eq!(result, 0);
}

fn check(name: &str, result: libc::c_long) -> libc::c_long {
    assert!(result >= 0, "{name}: {}", Errno::last());
    result
}

fn storm_without_restart_flag_interrupts_no_call_that_does_not_wait() {
    const PATH: &CStr = c"/etc/passwd";
    signal::note(Signal::SIGALRM, SaFlags::empty());
    signal::note(Signal::SIGCHLD, SaFlags::empty());
    timer(1000, 1000);
    // SAFETY: stat is plain data.
    let mut stat: libc::stat = unsafe { mem::zeroed() };
    let started = Instant::now();
    while signal::count() < 500 && started.elapsed() < Duration::from_secs(20) {
        for _ in 0..50 {
            // SAFETY: the path and the structure outlive the call.
            check("stat", unsafe { libc::stat(PATH.as_ptr(), &mut stat) }.into());
            // SAFETY: takes no argument.
            check("getppid", unsafe { libc::syscall(libc::SYS_getppid) });
            // SAFETY: the path outlives the call.
            let fd = unsafe { libc::open(PATH.as_ptr(), libc::O_RDONLY) };
            check("open", fd.into());
            let mut byte = 0u8;
            // SAFETY: one writable byte.
            check("read", unsafe { libc::read(fd, (&raw mut byte).cast(), 1) } as libc::c_long);
            // SAFETY: a descriptor of ours.
            check("close", unsafe { libc::close(fd) }.into());
            let mut old = KernelAction::default();
            assert_eq!(raw_sigaction(libc::SIGALRM, ptr::null(), &mut old, 8), Ok(()));
            assert_eq!(raw_sigaction(libc::SIGALRM, &old, ptr::null_mut(), 8), Ok(()));
        }
        // SAFETY: the child does nothing but exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above.
            unsafe { libc::_exit(0) };
        }
        guest::wait_raw(check("fork", child.into()) as i32);
    }
    timer(0, 0);
}

fn storm_leaves_waitpid_that_does_not_wait_alone() {
    signal::note(Signal::SIGALRM, SaFlags::empty());
    let child = fork_child(|| {
        thread::sleep(Duration::from_millis(300));
        0
    });
    timer(500, 500);
    loop {
        // SAFETY: no status is asked for.
        match unsafe { libc::waitpid(child.as_raw(), ptr::null_mut(), libc::WNOHANG) } {
            0 => {}
            found => break assert_eq!(found, child.as_raw(), "{}", Errno::last()),
        }
    }
    timer(0, 0);
    assert!(signal::count() > 10);
}

/// A child that lives for a while, and an alarm in the middle of its life.
fn child_and_alarm(flags: SaFlags) -> i32 {
    signal::note(Signal::SIGALRM, flags);
    let child = fork_child(|| {
        thread::sleep(Duration::from_millis(300));
        7
    });
    timer(60_000, 0);
    child.as_raw()
}

fn wait4(pid: i32) -> Result<i32, Errno> {
    // SAFETY: null is allowed for both.
    Errno::result(unsafe { libc::wait4(pid, ptr::null_mut(), 0, ptr::null_mut()) })
}

fn waitid(pid: i32) -> Result<i32, Errno> {
    // SAFETY: siginfo is plain data.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: `info` outlives the call.
    Errno::result(unsafe { libc::waitid(libc::P_PID, pid.unsigned_abs(), &mut info, libc::WEXITED) })
}

fn waits_for_children_are_interrupted_without_the_flag() {
    let child = child_and_alarm(SaFlags::empty());
    assert_eq!(wait4(child), Err(Errno::EINTR));
    assert_eq!(wait4(child), Ok(child));
    let child = child_and_alarm(SaFlags::empty());
    assert_eq!(waitid(child), Err(Errno::EINTR));
    assert_eq!(waitid(child), Ok(0));
    assert_eq!(signal::count(), 2);
}

fn waits_for_children_restart_with_the_flag() {
    let child = child_and_alarm(SaFlags::SA_RESTART);
    assert_eq!(wait4(child), Ok(child));
    let child = child_and_alarm(SaFlags::SA_RESTART);
    assert_eq!(waitid(child), Ok(0));
    assert_eq!(signal::count(), 2);
}

fn semaphore() -> libc::sem_t {
    // SAFETY: sem_t is plain data.
    let mut semaphore: libc::sem_t = unsafe { mem::zeroed() };
    // SAFETY: it is writable. It may be moved as nobody waits on it.
    assert_eq!(unsafe { libc::sem_init(&mut semaphore, 0, 0) }, 0);
    semaphore
}

fn sem_wait(semaphore: *mut libc::sem_t) -> Result<i32, Errno> {
    // SAFETY: the callers pass a live semaphore.
    Errno::result(unsafe { libc::sem_wait(semaphore) })
}

fn semaphore_wait_is_interrupted_without_the_flag() {
    signal::note(Signal::SIGALRM, SaFlags::empty());
    timer(60_000, 0);
    assert_eq!(sem_wait(&mut semaphore()), Err(Errno::EINTR));
    assert_eq!(signal::count(), 1);
}

fn semaphore_wait_restarts_with_the_flag() {
    signal::note(Signal::SIGALRM, SaFlags::SA_RESTART);
    let mut semaphore = semaphore();
    let address = &raw mut semaphore as usize;
    let poster = thread::spawn(move || {
        nix::sys::signal::SigSet::all().thread_block().expect("block");
        thread::sleep(Duration::from_millis(200));
        // SAFETY: the waiter keeps it alive until this thread is joined.
        unsafe { libc::sem_post(address as *mut libc::sem_t) };
    });
    timer(60_000, 0);
    assert_eq!(sem_wait(address as *mut libc::sem_t), Ok(0));
    assert_eq!(signal::count(), 1);
    poster.join().expect("join");
}

fn semaphore_wait_with_a_limit_is_interrupted() {
    for flags in [SaFlags::empty(), SaFlags::SA_RESTART] {
        signal::note(Signal::SIGALRM, flags);
        timer(60_000, 0);
        let far = libc::timespec { tv_sec: 1 << 34, tv_nsec: 0 };
        // SAFETY: both outlive the call.
        let result = unsafe { libc::sem_timedwait(&mut semaphore(), &far) };
        assert_eq!(Errno::result(result), Err(Errno::EINTR), "{flags:?}");
    }
}

fn semaphore_wait_of_another_thread_is_interrupted() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let waiter = thread::spawn(|| sem_wait(&mut semaphore()));
    use std::os::unix::thread::JoinHandleExt;
    thread::sleep(Duration::from_millis(60));
    // SAFETY: the thread has not been joined.
    assert_eq!(unsafe { libc::pthread_kill(waiter.as_pthread_t(), libc::SIGUSR1) }, 0);
    assert_eq!(waiter.join().expect("join"), Err(Errno::EINTR));
}

fn nanosleep_is_interrupted_with_the_flag_and_without() {
    for flags in [SaFlags::empty(), SaFlags::SA_RESTART] {
        signal::note(Signal::SIGALRM, flags);
        timer(60_000, 0);
        let long = libc::timespec { tv_sec: 20, tv_nsec: 0 };
        // SAFETY: the time outlives the call.
        let result = unsafe { libc::nanosleep(&long, ptr::null_mut()) };
        assert_eq!(Errno::result(result), Err(Errno::EINTR), "{flags:?}");
    }
}

extern "C" fn count_one(_: libc::c_int) {
    signal::COUNT.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn count_hundred(_: libc::c_int) {
    signal::COUNT.fetch_add(100, Ordering::SeqCst);
}

fn address_of(handler: extern "C" fn(libc::c_int)) -> usize {
    handler as *const () as usize
}

fn old_action_is_what_was_set() {
    let restorer = {
        install(libc::SIGUSR1, address_of(count_one), 0, &[]);
        action_of(Signal::SIGUSR1).restorer
    };
    let bit = |signal: Signal| 1u64 << (signal as u32 - 1);
    let own = 0x0400_0000; // SA_RESTORER
    let all =
        [libc::SA_RESTART, 0, libc::SA_NODEFER, libc::SA_RESTART | libc::SA_ONSTACK, libc::SA_SIGINFO, 0];
    let mut previous = action_of(Signal::SIGUSR1);
    for (n, flags) in all.into_iter().enumerate() {
        for handler in [address_of(count_one), libc::SIG_IGN, address_of(count_hundred), libc::SIG_DFL] {
            let act = KernelAction {
                handler,
                flags: flags as u64 | own,
                restorer,
                mask: bit(Signal::SIGHUP) << n | bit(Signal::SIGKILL) | bit(Signal::SIGSTOP),
            };
            let mut old = KernelAction::default();
            raw_sigaction(libc::SIGUSR1, &act, &mut old, 8).expect("set");
            assert_eq!(old, previous);
            previous = KernelAction { mask: bit(Signal::SIGHUP) << n & !bit(Signal::SIGKILL), ..act };
            assert_eq!(action_of(Signal::SIGUSR1), previous);
            if handler == address_of(count_hundred) {
                let before = signal::count();
                raise(Signal::SIGUSR1).expect("raise");
                assert_eq!(signal::count(), before + 100);
            }
        }
    }
    // The same structure may be read and written.
    let mut both = KernelAction { handler: address_of(count_one), flags: own, restorer, mask: 0 };
    let given = both;
    let pointer = &raw mut both;
    raw_sigaction(libc::SIGUSR1, pointer, pointer, 8).expect("set");
    assert_eq!((both, action_of(Signal::SIGUSR1)), (previous, given));
    let mut both = KernelAction { handler: libc::SIG_IGN, ..given };
    let pointer = &raw mut both;
    raw_sigaction(libc::SIGUSR1, pointer, pointer, 8).expect("set");
    assert_eq!((both, action_of(Signal::SIGUSR1).handler), (given, libc::SIG_IGN));
}

fn bad_arguments_of_sigaction_are_refused() {
    let act = KernelAction { handler: libc::SIG_IGN, ..KernelAction::default() };
    let mut old = KernelAction::default();
    for signal in [0, 65, -1, i32::MIN] {
        assert_eq!(raw_sigaction(signal, &act, ptr::null_mut(), 8), Err(Errno::EINVAL));
        assert_eq!(raw_sigaction(signal, ptr::null(), &mut old, 8), Err(Errno::EINVAL));
    }
    for signal in [libc::SIGKILL, libc::SIGSTOP] {
        assert_eq!(raw_sigaction(signal, &act, ptr::null_mut(), 8), Err(Errno::EINVAL));
        assert_eq!(raw_sigaction(signal, ptr::null(), &mut old, 8), Ok(()));
    }
    for size in [0, 4, 16, 128] {
        assert_eq!(raw_sigaction(libc::SIGUSR1, &act, ptr::null_mut(), size), Err(Errno::EINVAL));
    }
    for bad in [8, usize::MAX - 4095, 0x7fff_ffff_fff8] {
        assert_eq!(raw_sigaction(libc::SIGUSR1, bad as *const _, ptr::null_mut(), 8), Err(Errno::EFAULT));
        assert_eq!(raw_sigaction(libc::SIGUSR1, ptr::null(), bad as *mut _, 8), Err(Errno::EFAULT));
        assert_eq!(raw_sigaction(0, bad as *const _, ptr::null_mut(), 8), Err(Errno::EFAULT));
    }
}

fn handlers_are_inherited_by_fork() {
    install(libc::SIGUSR1, address_of(count_one), 0, &[Signal::SIGUSR2]);
    install(libc::SIGUSR2, address_of(count_hundred), libc::SA_RESTART, &[]);
    let expected = (action_of(Signal::SIGUSR1), action_of(Signal::SIGUSR2));
    assert_eq!(expected.0.handler, address_of(count_one));
    let code = in_child(|| {
        assert_eq!((action_of(Signal::SIGUSR1), action_of(Signal::SIGUSR2)), expected);
        raise(Signal::SIGUSR1).expect("raise");
        assert_eq!(signal::count(), 1);
        // Another handler in the child leaves the parent's.
        install(libc::SIGUSR1, address_of(count_hundred), 0, &[]);
        raise(Signal::SIGUSR1).expect("raise");
        i32::from(signal::count() != 101)
    });
    assert_eq!(code, 0);
    raise(Signal::SIGUSR1).expect("raise");
    assert_eq!(signal::count(), 1);
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of the status");
    u64::from_str_radix(line.trim(), 16).expect("a set")
}

fn exec_resets_handlers_and_keeps_ignored_signals() {
    install(libc::SIGUSR1, address_of(count_one), 0, &[]);
    install(libc::SIGUSR2, address_of(count_one), libc::SA_RESTART, &[]);
    signal::plain(Signal::SIGHUP, nix::sys::signal::SigHandler::SigIgn);
    let output = Command::new("/bin/cat").arg("/proc/self/status").output().expect("cat");
    let status = String::from_utf8(output.stdout).expect("text");
    assert_eq!(field(&status, "SigCgt:"), 0);
    assert_eq!(field(&status, "SigIgn:") & 1, 1);
}

fn spawning_leaves_handlers_of_the_parent_alone() {
    let all = [libc::SIGUSR1, libc::SIGUSR2, libc::SIGHUP, libc::SIGURG];
    all.iter().for_each(|&signal| install(signal, address_of(count_one), 0, &[]));
    for _ in 0..5 {
        assert!(Command::new("/bin/true").status().expect("true").success());
    }
    for signal in all {
        let signal = Signal::try_from(signal).expect("a signal");
        assert_eq!(action_of(signal).handler, address_of(count_one));
        raise(signal).expect("raise");
    }
    assert_eq!(signal::count(), 4);
}

fn reset_hand_calls_once_and_reads_back_as_default() {
    for flags in [libc::SA_RESETHAND, libc::SA_RESETHAND | libc::SA_RESTART] {
        // SIGURG does nothing by default.
        install(libc::SIGURG, address_of(count_one), flags, &[]);
        let before = (signal::count(), action_of(Signal::SIGURG));
        assert_eq!(before.1.handler, address_of(count_one));
        raise(Signal::SIGURG).expect("raise");
        raise(Signal::SIGURG).expect("raise");
        assert_eq!(signal::count(), before.0 + 1);
        assert_eq!(action_of(Signal::SIGURG), KernelAction { handler: libc::SIG_DFL, ..before.1 });
        let mut old = KernelAction::default();
        raw_sigaction(libc::SIGURG, &before.1, &mut old, 8).expect("set");
        assert_eq!(old.handler, libc::SIG_DFL);
        raise(Signal::SIGURG).expect("raise");
        assert_eq!(signal::count(), before.0 + 2);
    }
}

static DEPTH: AtomicU32 = AtomicU32::new(0);
static DEEPEST: AtomicU32 = AtomicU32::new(0);

extern "C" fn nest(signal: libc::c_int) {
    let depth = DEPTH.fetch_add(1, Ordering::SeqCst) + 1;
    DEEPEST.fetch_max(depth, Ordering::SeqCst);
    if signal::COUNT.fetch_add(1, Ordering::SeqCst) < 4 {
        // SAFETY: async-signal-safe.
        unsafe { libc::raise(signal) };
    }
    DEPTH.fetch_sub(1, Ordering::SeqCst);
}

fn no_defer_nests_and_the_default_does_not() {
    for (flags, deepest) in [(0, 1), (libc::SA_NODEFER, 5)] {
        signal::COUNT.store(0, Ordering::SeqCst);
        DEEPEST.store(0, Ordering::SeqCst);
        install(libc::SIGUSR1, address_of(nest), flags, &[]);
        raise(Signal::SIGUSR1).expect("raise");
        assert_eq!((signal::count(), DEEPEST.load(Ordering::SeqCst)), (5, deepest));
    }
}

static MASK: AtomicU64 = AtomicU64::new(0);

extern "C" fn note_mask(_: libc::c_int) {
    let mut mask = 0u64;
    // SAFETY: eight writable bytes.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, 0_usize, &raw mut mask, 8) };
    MASK.store(mask, Ordering::SeqCst);
}

fn handler_mask_holds_while_it_runs() {
    install(libc::SIGUSR1, address_of(note_mask), 0, &[Signal::SIGHUP, Signal::SIGTERM]);
    raise(Signal::SIGUSR1).expect("raise");
    let bit = |signal: i32| 1 << (signal - 1);
    assert_eq!(MASK.load(Ordering::SeqCst), bit(libc::SIGUSR1) | bit(libc::SIGHUP) | bit(libc::SIGTERM));
    note_mask(0);
    assert_eq!(MASK.load(Ordering::SeqCst), 0);
}

static PLACE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note_place(_: libc::c_int) {
    let local = 0u8;
    PLACE.store(&raw const local as usize, Ordering::SeqCst);
}

fn alternate_stack_is_used() {
    let memory = vec![0u8; 64 * 1024];
    let range = memory.as_ptr_range();
    let stack = libc::stack_t { ss_sp: range.start.cast_mut().cast(), ss_flags: 0, ss_size: memory.len() };
    // SAFETY: the memory lives until the check ends, and with it the process.
    assert_eq!(unsafe { libc::sigaltstack(&stack, ptr::null_mut()) }, 0);
    for (flags, inside) in [(libc::SA_ONSTACK, true), (0, false)] {
        install(libc::SIGUSR1, address_of(note_place), flags, &[]);
        raise(Signal::SIGUSR1).expect("raise");
        let place = PLACE.load(Ordering::SeqCst);
        assert_eq!((range.start as usize..range.end as usize).contains(&place), inside);
    }
}

static FRAME: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

extern "C" fn note_frame(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid ucontext to a SA_SIGINFO handler.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    // SAFETY: and a valid siginfo.
    let info = unsafe { &*info };
    let [rax, rip, number, code] = &FRAME;
    rax.store(registers[libc::REG_RAX as usize] as u64, Ordering::SeqCst);
    rip.store(registers[libc::REG_RIP as usize] as u64, Ordering::SeqCst);
    number.store((signal == info.si_signo) as u64, Ordering::SeqCst);
    code.store(info.si_code.unsigned_abs().into(), Ordering::SeqCst);
}

fn frame_of_a_handler_is_that_of_the_call() {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = note_frame;
    for flags in [0, libc::SA_RESTART] {
        install(libc::SIGUSR1, handler as *const () as usize, libc::SA_SIGINFO | flags, &[]);
        raise(Signal::SIGUSR1).expect("raise");
        let [rax, rip, number, code] = FRAME.each_ref().map(|field| field.load(Ordering::SeqCst));
        assert_eq!((rax, number, code), (0, 1, libc::SI_TKILL.unsigned_abs().into()));
        // SAFETY: the thread was about to go on there, behind its call of tgkill.
        let before = unsafe { ptr::read((rip - 2) as *const [u8; 2]) };
        assert_eq!(before, [0x0f, 0x05]);
    }
}

fn threads_set_handlers_of_their_own_signals() {
    static COUNTS: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];
    extern "C" fn count(signal: libc::c_int) {
        COUNTS[signal as usize].fetch_add(1, Ordering::SeqCst);
    }
    let own = |signal: Signal| {
        move || {
            for n in 1..=200 {
                let flags = if n % 3 == 0 { libc::SA_RESTART } else { 0 };
                install(signal as i32, address_of(count), flags, &[]);
                let now = action_of(signal);
                assert_eq!((now.handler, now.flags as i32 & libc::SA_RESTART), (address_of(count), flags));
                raise(signal).expect("raise");
                assert_eq!(COUNTS[signal as usize].load(Ordering::SeqCst), n);
            }
        }
    };
    let signals = [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGHUP, Signal::SIGTERM];
    let threads: Vec<_> = signals.into_iter().map(|signal| thread::spawn(own(signal))).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("join"));
}

fn threads_that_set_one_signal_leave_one_whole_action() {
    let set = |handler: extern "C" fn(libc::c_int), flags: libc::c_int| {
        move || (0..200).for_each(|_| install(libc::SIGUSR1, address_of(handler), flags, &[]))
    };
    let threads = [
        thread::spawn(set(count_one, 0)),
        thread::spawn(set(count_hundred, libc::SA_NODEFER)),
        thread::spawn(set(count_one, 0)),
    ];
    threads.into_iter().for_each(|thread| thread.join().expect("join"));
    let last = action_of(Signal::SIGUSR1);
    let is_one = last.handler == address_of(count_one);
    assert_eq!(last.flags as i32 & libc::SA_NODEFER, if is_one { 0 } else { libc::SA_NODEFER });
    raise(Signal::SIGUSR1).expect("raise");
    assert_eq!(signal::count(), if is_one { 1 } else { 100 });
}
